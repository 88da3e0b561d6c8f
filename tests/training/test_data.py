"""What a run sees of its photographs, when, and what it skips."""

import copy
import io
import itertools
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from colorizenet.errors import ConfigError, DataError
from colorizenet.training.data.loader import DataConfig, Photographs
from colorizenet.training.data.screen import Screen

OPEN = Screen(min_side=0, min_colorfulness=0.0, max_tone=1.0)
COLOR = Screen(min_side=0)


def data_of(root, *, start=0, rank=0, world=1, seed=0, batch_size=4, **settings) -> Photographs:
    defaults = {"root": str(root), "size": 32, "val_size": 32, "screen": OPEN, "workers": 0}
    data = Photographs(DataConfig(**defaults | settings), batch_size=batch_size, seed=seed)
    data.load_state_dict({"pictures_seen": start, "skipped": {}, "corrupt": []})
    data.trainer = SimpleNamespace(world_size=world, global_rank=rank)
    return data


def first(data, batches) -> torch.Tensor:
    """The pictures of the next batches to train on, one after the other."""
    return torch.cat(list(itertools.islice(iter(data.train_dataloader()), batches)))


def seen(root, batches, **settings) -> torch.Tensor:
    """The pictures of the first batches of a run, one after the other."""
    return first(data_of(root, **settings), batches)


def one_line(error) -> str:
    message = str(error.value)
    assert message.isprintable()
    return message


@pytest.fixture(scope="module")
def flat(tmp_path_factory, write_flat) -> Path:
    """Ten pictures to train on, of the colors 0, 20, ... 180, and one to validate on."""
    root = tmp_path_factory.mktemp("flat")
    for number in range(10):
        write_flat(root / "train" / f"{number}.png", 20 * number)
    write_flat(root / "val" / "0.png", 200)
    return root


@pytest.fixture(scope="module")
def mixed(tmp_path_factory, write_photograph, write_flat) -> Path:
    """Thirty pictures to train on, of which two are corrupt and six gray, and eight to validate on, one of each."""
    root = tmp_path_factory.mktemp("mixed")
    for number in range(30):
        path = root / "train" / f"{number:02}.png"
        if number in (4, 17):
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"no picture")
        elif number % 5 == 1:
            write_flat(path, 8 * number)
        else:
            write_photograph(path, number)
    for number in range(8):
        write_photograph(root / "val" / f"{number}.png", number)
    (root / "val" / "3.png").write_bytes(b"no picture")
    write_flat(root / "val" / "5.png", 77)
    return root


CORRUPT = {"train/04.png", "train/17.png"}
GRAY = {f"train/{number:02}.png" for number in (1, 6, 11, 16, 21, 26)}


def test_another_folder_to_validate_on_is_taken_whole(tmp_path, write_photograph):
    for i in range(5):
        write_photograph(tmp_path / "other" / "train" / f"{i}.jpg", i)
    (tmp_path / "root" / "train").mkdir(parents=True)
    write_photograph(tmp_path / "root" / "train" / "a.jpg")
    assert len(data_of(tmp_path / "root", val=str(tmp_path / "other")).val) == 5


# What a run sees


def test_batches_are_uint8_rgb(flat):
    data = data_of(flat, val_size=64)
    (trained,) = itertools.islice(iter(data.train_dataloader()), 1)
    (validated,) = data.val_dataloader()
    assert trained.dtype == validated.dtype == torch.uint8
    assert trained.shape == (4, 32, 32, 3)
    assert validated.shape == (1, 64, 64, 3)
    assert (validated == 200).all()


def test_each_epoch_shows_every_picture_once_in_another_order(flat):
    colors = seen(flat, 5)[:, 0, 0, 0].tolist()
    first, second = colors[:10], colors[10:]
    assert sorted(first) == sorted(second) == list(range(0, 200, 20))
    assert first != second != sorted(second)


def test_the_stream_is_the_same_for_any_number_of_workers(tmp_path, write_photograph):
    for i in range(5):
        write_photograph(tmp_path / "train" / f"{i}.png", i)
    write_photograph(tmp_path / "val" / "0.png")
    alone = seen(tmp_path, 4)
    assert torch.equal(alone, seen(tmp_path, 4, workers=1))
    assert torch.equal(alone, seen(tmp_path, 4, workers=2))


@pytest.mark.parametrize("start", [1, 8, 27])
def test_a_stream_started_in_the_middle_is_the_rest_of_the_stream(photographs, start):
    assert torch.equal(seen(photographs, 10)[start : start + 8], seen(photographs, 2, start=start))


def test_another_batch_size_makes_the_same_stream(photographs):
    assert torch.equal(seen(photographs, 6), seen(photographs, 4, batch_size=6))


def test_the_seed_decides_the_order_and_the_cuts(photographs, tmp_path, write_photograph):
    assert not torch.equal(seen(photographs, 1), seen(photographs, 1, seed=1))
    write_photograph(tmp_path / "train" / "a.png", height=64, width=64)
    write_photograph(tmp_path / "val" / "a.png")
    assert torch.equal(seen(tmp_path, 1), seen(tmp_path, 1))
    assert not torch.equal(seen(tmp_path, 1), seen(tmp_path, 1, seed=1))


@pytest.mark.parametrize("world", [2, 3])
def test_the_ranks_of_a_world_share_out_the_batches(photographs, world):
    every = seen(photographs, 2 * world).split(4)
    for rank in range(world):
        assert torch.equal(
            seen(photographs, 2, rank=rank, world=world), torch.cat(every[rank::world])
        )


def test_a_cut_is_never_enlarged_nor_larger_than_the_picture(tmp_path):
    columns, rows = np.meshgrid(np.arange(62), np.arange(50))
    position = np.dstack([4 * rows, 4 * columns, 0 * rows]).astype(
        np.uint8
    )  # each pixel says where it lies
    for split in ("train", "val"):
        (tmp_path / split).mkdir()
        cv2.imwrite(str(tmp_path / split / "a.png"), cv2.cvtColor(position, cv2.COLOR_RGB2BGR))
    cuts = seen(tmp_path, 15, min_crop=0.1).float()
    down = (
        (cuts[:, -1, :, 0] - cuts[:, 0, :, 0]).mean(1) / 4 / 31
    )  # source pixels from one row to the next
    across = (cuts[:, :, -1, 1] - cuts[:, :, 0, 1]).abs().mean(1) / 4 / 31
    assert down.min() >= 0.99 and down.max() <= 50 / 32 + 0.01
    assert torch.allclose(down, across, atol=0.02)  # squares stay squares
    assert down.std() > 0.1  # of many sizes
    mirrored = cuts[:, 0, -1, 1] < cuts[:, 0, 0, 1]
    assert 0.25 < mirrored.float().mean() < 0.75


def test_validation_takes_pictures_spread_over_the_split(tmp_path, write_flat):
    write_flat(tmp_path / "train" / "a.png", 0)
    for number in range(10):
        write_flat(tmp_path / "val" / f"{number}.png", number)
    batches = list(data_of(tmp_path, val_size=32, val_pictures=5).val_dataloader())
    assert torch.cat(batches)[:, 0, 0, 0].tolist() == [0, 2, 4, 6, 8]


def test_the_fingerprint_follows_the_data_and_names_no_folder_of_the_machine(
    tmp_path, write_photograph, pack
):
    photograph = write_photograph(tmp_path / "private" / "train" / "a.jpg")
    write_photograph(tmp_path / "private" / "val" / "a.jpg")
    root = tmp_path / "private"
    before = data_of(root).fingerprint()
    assert [part["name"] for part in before] == ["private"]
    pack(root / "train-0.tar", photograph.parent, [photograph])
    after = data_of(root).fingerprint()
    assert [part["name"] for part in after] == ["train-0.tar", "private"]
    assert after[1] == before[0]
    write_photograph(photograph, 1)
    assert data_of(root).fingerprint()[1] != before[0]
    assert str(tmp_path) not in str(after)


# What a run skips


def test_the_pictures_that_are_skipped_are_counted_and_named_with_the_reason(mixed):
    data = data_of(mixed, screen=COLOR)
    batches = first(data, 8).split(4)  # more than an epoch
    assert [len(batch) for batch in batches] == [4] * 8
    assert data.skipped.corrupt == CORRUPT
    assert data.skipped.reasons.keys() == CORRUPT | GRAY
    assert all(
        f"{name} is not a picture that can be decoded" in data.skipped.reasons[name]
        for name in CORRUPT
    )
    assert {data.skipped.reasons[name] for name in GRAY} == {"gray: colorfulness 0.0"}
    assert str(data.skipped) == "6 gray, 2 corrupt"
    first(data, 16)
    assert str(data.skipped) == "6 gray, 2 corrupt"  # each of them once


def test_others_take_the_place_of_what_is_skipped(mixed):
    everything = seen(mixed, 8, screen=OPEN)
    screened = seen(mixed, 8, screen=COLOR)
    gray = (everything == everything[..., :1]).flatten(1).all(1)
    same = (everything == screened).flatten(1).all(1)
    assert gray.sum() >= 6
    assert not (screened == screened[..., :1]).flatten(1).all(1).any()
    assert torch.equal(same, ~gray)  # and nobody else's place


def test_what_takes_the_place_is_drawn_from_all_pictures(tmp_path, write_flat):
    for number in range(10):
        write_flat(tmp_path / "train" / f"{number}.png", 20 * number)
    write_flat(tmp_path / "val" / "0.png", 0)
    for number in (3, 7):
        (tmp_path / "train" / f"{number}.png").write_bytes(b"no picture")
    colors = seen(tmp_path, 50, max_corrupt=1.0)[
        :, 0, 0, 0
    ]  # twenty epochs, and forty places to take
    shown, counts = colors.unique(return_counts=True)
    assert shown.tolist() == [20 * number for number in range(10) if number not in (3, 7)]
    assert counts.min() > 20 and counts.max() < 40


def test_skipping_is_the_same_for_any_number_of_workers(mixed):
    alone, *others = (data_of(mixed, screen=COLOR, workers=workers) for workers in (0, 1, 2))
    stream = first(alone, 10)
    for other in others:
        assert torch.equal(stream, first(other, 10))
        assert other.skipped.reasons == alone.skipped.reasons
        assert other.skipped.corrupt == alone.skipped.corrupt


@pytest.mark.parametrize("start", [1, 8, 27, 50])
def test_a_stream_that_skips_goes_on_in_the_middle(mixed, start):
    rest = seen(mixed, 4, start=start, screen=COLOR, workers=1)
    assert torch.equal(seen(mixed, 17, screen=COLOR)[start : start + 16], rest)


@pytest.mark.parametrize("world", [2, 3])
def test_the_ranks_of_a_world_skip_as_one_process_does(mixed, world):
    every = seen(mixed, 4 * world, screen=COLOR).split(4)
    for rank in range(world):
        share = seen(mixed, 4, rank=rank, world=world, screen=COLOR)
        assert torch.equal(share, torch.cat(every[rank::world]))


def test_what_was_skipped_is_part_of_the_state(mixed):
    data = data_of(mixed, screen=COLOR)
    first(data, 8)
    data.trainer.lightning_module = SimpleNamespace(pictures_seen=32)
    kept = io.BytesIO()
    torch.save(data.state_dict(), kept)
    kept.seek(0)
    resumed = data_of(mixed, screen=COLOR)
    resumed.load_state_dict(torch.load(kept, weights_only=True))
    assert resumed.start == 32
    assert resumed.skipped.reasons == data.skipped.reasons
    assert resumed.skipped.corrupt == CORRUPT
    assert torch.equal(first(resumed, 4), seen(mixed, 12, screen=COLOR)[32:])


def test_a_state_is_not_changed_by_what_is_skipped_after_it_was_loaded(mixed):
    state = {"pictures_seen": 0, "skipped": {}, "corrupt": []}
    before = copy.deepcopy(state)
    data = data_of(mixed, screen=COLOR)
    data.load_state_dict(state)
    first(data, 8)
    assert state == before


def test_the_limit_counts_what_was_corrupt_before_the_run_was_resumed(mixed):
    data = data_of(mixed, max_corrupt=0.1)
    data.load_state_dict(
        {"pictures_seen": 0, "skipped": {}, "corrupt": ["train/x.png", "train/y.png"]}
    )
    with pytest.raises(DataError, match=r"4 of 30 pictures cannot be decoded"):
        first(data, 8)


def test_validation_skips_what_is_corrupt_and_keeps_what_is_gray(mixed):
    data = data_of(mixed, screen=COLOR)
    batches = list(data.val_dataloader())
    assert [len(batch) for batch in batches] == [3, 4]
    gray = [batch[0, 0].tolist() for batch in torch.cat(batches) if batch.float().std() == 0]
    assert gray == [[77, 77, 77]]
    assert data.skipped.reasons.keys() == data.skipped.corrupt == {"val/3.png"}
    assert [batch.tolist() for batch in data.val_dataloader()] == [
        batch.tolist() for batch in batches
    ]


@pytest.mark.parametrize("workers", [0, 2])
def test_too_many_corrupt_pictures_end_the_run_with_their_number_and_a_name(mixed, workers):
    assert len(seen(mixed, 20, max_corrupt=0.07)) == 80  # 2 of 30
    data = data_of(mixed, max_corrupt=0.06, workers=workers)
    with pytest.raises(
        DataError, match=r"^2 of 30 pictures cannot be decoded, which is over 6%.*train/"
    ) as error:
        first(data, 20)
    assert "data.max-corrupt" in one_line(error)


def test_no_corrupt_picture_may_be_allowed(mixed):
    with pytest.raises(DataError, match=r"^1 of 30 pictures"):
        seen(mixed, 20, max_corrupt=0.0)


@pytest.mark.parametrize("workers", [0, 1])
def test_nothing_but_gray_pictures_is_an_error(flat, workers):
    with pytest.raises(DataError, match=r"100 pictures in a row .*10 gray.*data\.screen") as error:
        seen(flat, 1, screen=COLOR, workers=workers)
    one_line(error)


def test_nothing_but_corrupt_pictures_is_an_error_whatever_the_limit(tmp_path, write_photograph):
    write_photograph(tmp_path / "val" / "a.jpg")
    for name in ("a\nb.jpg", "b.jpg"):
        (tmp_path / "train").mkdir(exist_ok=True)
        (tmp_path / "train" / name).write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"2 corrupt; the last, .* can be decoded") as error:
        seen(tmp_path, 1, max_corrupt=1.0)
    one_line(error)


def test_nothing_that_can_be_validated_on_is_an_error(tmp_path, write_photograph):
    for number in range(20):
        write_photograph(tmp_path / "train" / f"{number}.png", number)
    (tmp_path / "val").mkdir()
    (tmp_path / "val" / "a.png").write_bytes(b"no picture")
    with pytest.raises(
        DataError, match=r"none of the pictures to validate on can be decoded \(1 corrupt"
    ) as error:
        list(data_of(tmp_path).val_dataloader())
    one_line(error)


def test_a_picture_that_goes_during_the_run_is_skipped(tmp_path, write_flat):
    for number in range(12):
        write_flat(tmp_path / "train" / f"{number}.png", 20 * number)
    write_flat(tmp_path / "val" / "0.png", 0)
    data = data_of(tmp_path)
    (tmp_path / "train" / "7.png").unlink()
    assert 140 not in first(data, 6)
    assert data.skipped.corrupt == {"train/7.png"}
    assert "cannot be read" in data.skipped.reasons["train/7.png"]


# The cache


@pytest.mark.parametrize("cache_gb", [40e-6, 1.0], ids=["a part", "everything"])
@pytest.mark.parametrize("workers", [0, 2])
def test_the_cache_changes_nothing_in_the_stream(mixed, cache_gb, workers):
    plain = data_of(mixed, screen=COLOR)
    cached = data_of(mixed, screen=COLOR, cache_gb=cache_gb, workers=workers)
    assert torch.equal(first(plain, 16), first(cached, 16))
    assert cached.skipped.reasons == plain.skipped.reasons
    assert cached.skipped.corrupt == plain.skipped.corrupt


def test_the_cache_of_shards_changes_nothing_either(mixed, tmp_path, pack):
    for split in ("train", "val"):
        files = sorted((mixed / split).iterdir())
        for part in (0, 1):
            pack(tmp_path / f"{split}-{part}.tar", mixed / split, files[part::2])
    pattern = f"{tmp_path}/{{train,val}}-{{0..1}}.tar"
    assert torch.equal(
        seen(pattern, 16, screen=COLOR), seen(pattern, 16, screen=COLOR, cache_gb=40e-6, workers=1)
    )


def test_what_is_in_the_cache_is_not_read_again(tmp_path, write_photograph):
    for number in range(10):
        write_photograph(tmp_path / "train" / f"{number}.png", number)  # of 48 x 56 x 3 bytes
    write_photograph(tmp_path / "val" / "0.png")
    truth = seen(tmp_path, 5)
    whole, part = (
        data_of(tmp_path, cache_gb=gb, max_corrupt=1.0) for gb in (1.0, 4.5 * 48 * 56 * 3e-9)
    )
    loaders = [data.train_dataloader() for data in (whole, part)]
    for path in (tmp_path / "train").iterdir():
        path.unlink()
    streams = [torch.cat(list(itertools.islice(iter(loader), 5))) for loader in loaders]
    assert torch.equal(streams[0], truth)
    assert whole.skipped.reasons == {}
    assert part.skipped.corrupt == {
        f"train/{number}.png" for number in range(4, 10)
    }  # the first four are in


# Settings


def test_no_root_is_a_configuration_that_is_wrong():
    with pytest.raises(ConfigError, match=r"data\.root"):
        data_of("")


@pytest.mark.parametrize(
    "settings",
    [
        {"size": 100},
        {"val_size": 33},
        {"min_crop": 0.0},
        {"min_crop": 1.5},
        {"max_corrupt": -0.1},
        {"cache_gb": -1.0},
        {"workers": -1},
    ],
)
def test_settings_that_cannot_be_are_refused(settings):
    with pytest.raises(ConfigError, match=next(iter(settings))):
        DataConfig(**settings)
