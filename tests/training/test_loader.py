"""Batches of training photos: order, crops, skipped photos and the cache."""

import copy
import io
import itertools
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import pyvips
import torch

from colorizenet.errors import ConfigError, DataError
from colorizenet.evaluation.truth import prepare_picture, read_truth
from colorizenet.imaging.reading import read_image
from colorizenet.photosets import read_photo
from colorizenet.training.data.loader import DataConfig, Photographs, crop_center
from colorizenet.training.data.screen import Screen

OPEN = Screen(min_side=0, min_colorfulness=0.0, max_hue_concentration=1.0)
COLOR = Screen(min_side=0)


def make_data(root, *, start=0, rank=0, world=1, seed=0, batch_size=4, **settings) -> Photographs:
    defaults = {"root": str(root), "size": 32, "val_size": 32, "screen": OPEN, "workers": 0}
    data = Photographs(DataConfig(**defaults | settings), batch_size=batch_size, seed=seed)
    data.load_state_dict({"pictures_seen": start, "skipped": {}, "corrupt": []})
    data.trainer = SimpleNamespace(world_size=world, global_rank=rank)
    return data


def take_batches(data, batches) -> torch.Tensor:
    """The pictures of the next training batches, concatenated."""
    return torch.cat(list(itertools.islice(iter(data.train_dataloader()), batches)))


def load(root, batches, **settings) -> torch.Tensor:
    """The pictures of the first batches of a run, concatenated."""
    return take_batches(make_data(root, **settings), batches)


def one_line(error) -> str:
    message = str(error.value)
    assert message.isprintable()
    return message


@pytest.fixture(scope="module")
def flat(tmp_path_factory, write_flat) -> Path:
    """Ten training photos with the levels 0, 20, ... 180, and one validation photo."""
    root = tmp_path_factory.mktemp("flat")
    for number in range(10):
        write_flat(root / "train" / f"{number}.png", 20 * number)
    write_flat(root / "val" / "0.png", 200)
    return root


@pytest.fixture(scope="module")
def mixed(tmp_path_factory, write_photograph, write_flat) -> Path:
    """Thirty training photos, two corrupt and six gray; eight validation photos, one
    of each."""
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


def test_all_splits_of_another_validation_folder_are_used(tmp_path, write_photograph):
    for i in range(5):
        write_photograph(tmp_path / "other" / "train" / f"{i}.jpg", i)
    (tmp_path / "root" / "train").mkdir(parents=True)
    write_photograph(tmp_path / "root" / "train" / "a.jpg")
    assert len(make_data(tmp_path / "root", val=str(tmp_path / "other")).val) == 5


# Order and crops


def test_batches_are_uint8_rgb(flat):
    data = make_data(flat, val_size=64)
    (trained,) = itertools.islice(iter(data.train_dataloader()), 1)
    (validated,) = data.val_dataloader()
    assert trained.dtype == validated.dtype == torch.uint8
    assert trained.shape == (4, 32, 32, 3)
    assert validated.shape == (1, 64, 64, 3)
    assert (validated == 200).all()


def test_each_epoch_has_every_photo_once_in_another_order(flat):
    colors = load(flat, 5)[:, 0, 0, 0].tolist()
    first, second = colors[:10], colors[10:]
    assert sorted(first) == sorted(second) == list(range(0, 200, 20))
    assert first != second != sorted(second)


def test_the_number_of_workers_does_not_change_the_pictures(tmp_path, write_photograph):
    for i in range(5):
        write_photograph(tmp_path / "train" / f"{i}.png", i)
    write_photograph(tmp_path / "val" / "0.png")
    alone = load(tmp_path, 4)
    assert torch.equal(alone, load(tmp_path, 4, workers=1))
    assert torch.equal(alone, load(tmp_path, 4, workers=2))


@pytest.mark.parametrize("start", [1, 8, 27])
def test_a_resumed_run_continues_with_the_next_picture(photographs, start):
    assert torch.equal(load(photographs, 10)[start : start + 8], load(photographs, 2, start=start))


def test_the_batch_size_does_not_change_the_pictures(photographs):
    assert torch.equal(load(photographs, 6), load(photographs, 4, batch_size=6))


def test_the_seed_determines_the_order_and_the_crops(photographs, tmp_path, write_photograph):
    assert not torch.equal(load(photographs, 1), load(photographs, 1, seed=1))
    write_photograph(tmp_path / "train" / "a.png", height=64, width=64)
    write_photograph(tmp_path / "val" / "a.png")
    assert torch.equal(load(tmp_path, 1), load(tmp_path, 1))
    assert not torch.equal(load(tmp_path, 1), load(tmp_path, 1, seed=1))


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_take_the_batches_in_turn(photographs, world):
    every = load(photographs, 2 * world).split(4)
    for rank in range(world):
        assert torch.equal(
            load(photographs, 2, rank=rank, world=world), torch.cat(every[rank::world])
        )


def test_crops_are_square_never_enlarged_and_of_random_size(tmp_path):
    columns, rows = np.meshgrid(np.arange(62), np.arange(50))
    # The color of each pixel is its position.
    position = np.dstack([4 * rows, 4 * columns, 0 * rows]).astype(np.uint8)
    for split in ("train", "val"):
        (tmp_path / split).mkdir()
        cv2.imwrite(str(tmp_path / split / "a.png"), cv2.cvtColor(position, cv2.COLOR_RGB2BGR))
    crops = load(tmp_path, 15, min_crop=0.1).float()
    # Source pixels from one row to the next.
    down = (crops[:, -1, :, 0] - crops[:, 0, :, 0]).mean(1) / 4 / 31
    across = (crops[:, :, -1, 1] - crops[:, :, 0, 1]).abs().mean(1) / 4 / 31
    assert down.min() >= 0.99 and down.max() <= 50 / 32 + 0.01
    assert torch.allclose(down, across, atol=0.02)
    assert down.std() > 0.1
    mirrored = crops[:, 0, -1, 1] < crops[:, 0, 0, 1]
    assert 0.25 < mirrored.float().mean() < 0.75


def test_validation_photos_are_spread_over_the_split(tmp_path, write_flat):
    write_flat(tmp_path / "train" / "a.png", 0)
    for number in range(10):
        write_flat(tmp_path / "val" / f"{number}.png", number)
    batches = list(make_data(tmp_path, val_size=32, val_pictures=5).val_dataloader())
    assert torch.cat(batches)[:, 0, 0, 0].tolist() == [0, 2, 4, 6, 8]


def test_the_fingerprint_depends_on_the_data_and_not_on_its_folder(
    tmp_path, write_photograph, pack
):
    photograph = write_photograph(tmp_path / "private" / "train" / "a.jpg")
    write_photograph(tmp_path / "private" / "val" / "a.jpg")
    root = tmp_path / "private"
    before = make_data(root).fingerprint()
    assert [part["name"] for part in before] == ["private"]
    pack(root / "train-0.tar", photograph.parent, [photograph])
    after = make_data(root).fingerprint()
    assert [part["name"] for part in after] == ["train-0.tar", "private"]
    assert after[1] == before[0]
    write_photograph(photograph, 1)
    assert make_data(root).fingerprint()[1] != before[0]
    assert str(tmp_path) not in str(after)


def test_a_dangling_link_does_not_stop_the_fingerprint(tmp_path, write_photograph):
    write_photograph(tmp_path / "train" / "a.jpg")
    write_photograph(tmp_path / "val" / "a.jpg")
    (tmp_path / "train" / "b.jpg").symlink_to(tmp_path / "absent.jpg")
    [part] = make_data(tmp_path).fingerprint()
    (tmp_path / "train" / "b.jpg").unlink()
    assert make_data(tmp_path).fingerprint() != [part]


# Skipped photos


def test_skipped_photos_are_recorded_with_the_reason(mixed):
    data = make_data(mixed, screen=COLOR)
    batches = take_batches(data, 8).split(4)  # more than an epoch
    assert [len(batch) for batch in batches] == [4] * 8
    assert data.skipped.corrupt == CORRUPT
    assert data.skipped.reasons.keys() == CORRUPT | GRAY
    assert all(
        f"{name} is not in a supported picture format" in data.skipped.reasons[name]
        for name in CORRUPT
    )
    assert {data.skipped.reasons[name] for name in GRAY} == {"gray: colorfulness 0.0"}
    assert str(data.skipped) == "6 gray, 2 corrupt"
    take_batches(data, 16)
    assert str(data.skipped) == "6 gray, 2 corrupt"  # each is counted once


def test_skipped_photos_are_replaced_and_the_others_are_not_moved(mixed):
    everything = load(mixed, 8, screen=OPEN)
    screened = load(mixed, 8, screen=COLOR)
    gray = (everything == everything[..., :1]).flatten(1).all(1)
    same = (everything == screened).flatten(1).all(1)
    assert gray.sum() >= 6
    assert not (screened == screened[..., :1]).flatten(1).all(1).any()
    assert torch.equal(same, ~gray)


def test_replacements_are_random_photos_of_the_whole_set(tmp_path, write_flat):
    for number in range(10):
        write_flat(tmp_path / "train" / f"{number}.png", 20 * number)
    write_flat(tmp_path / "val" / "0.png", 0)
    for number in (3, 7):
        (tmp_path / "train" / f"{number}.png").write_bytes(b"no picture")
    colors = load(tmp_path, 50, max_corrupt=1.0)[
        :, 0, 0, 0
    ]  # twenty epochs, and forty places to take
    levels, counts = colors.unique(return_counts=True)
    assert levels.tolist() == [20 * number for number in range(10) if number not in (3, 7)]
    assert counts.min() > 20 and counts.max() < 40


def test_the_number_of_workers_does_not_change_what_is_skipped(mixed):
    alone, *others = (make_data(mixed, screen=COLOR, workers=workers) for workers in (0, 1, 2))
    stream = take_batches(alone, 10)
    for other in others:
        assert torch.equal(stream, take_batches(other, 10))
        assert other.skipped.reasons == alone.skipped.reasons
        assert other.skipped.corrupt == alone.skipped.corrupt


@pytest.mark.parametrize("start", [1, 8, 27, 50])
def test_a_resumed_run_that_skips_photos_continues_exactly(mixed, start):
    rest = load(mixed, 4, start=start, screen=COLOR, workers=1)
    assert torch.equal(load(mixed, 17, screen=COLOR)[start : start + 16], rest)


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_replace_skipped_photos_as_one_process_does(mixed, world):
    every = load(mixed, 4 * world, screen=COLOR).split(4)
    for rank in range(world):
        share = load(mixed, 4, rank=rank, world=world, screen=COLOR)
        assert torch.equal(share, torch.cat(every[rank::world]))


def test_the_state_includes_the_skipped_photos(mixed):
    data = make_data(mixed, screen=COLOR)
    take_batches(data, 8)
    data.trainer.lightning_module = SimpleNamespace(pictures_seen=32)
    kept = io.BytesIO()
    torch.save(data.state_dict(), kept)
    kept.seek(0)
    resumed = make_data(mixed, screen=COLOR)
    resumed.load_state_dict(torch.load(kept, weights_only=True))
    assert resumed.start == 32
    assert resumed.skipped.reasons == data.skipped.reasons
    assert resumed.skipped.corrupt == CORRUPT
    assert torch.equal(take_batches(resumed, 4), load(mixed, 12, screen=COLOR)[32:])


def test_a_loaded_state_is_not_modified_later(mixed):
    state = {"pictures_seen": 0, "skipped": {}, "corrupt": []}
    before = copy.deepcopy(state)
    data = make_data(mixed, screen=COLOR)
    data.load_state_dict(state)
    take_batches(data, 8)
    assert state == before


def test_the_limit_includes_corrupt_photos_from_before_a_resume(mixed):
    data = make_data(mixed, max_corrupt=0.1)
    data.load_state_dict(
        {"pictures_seen": 0, "skipped": {}, "corrupt": ["train/x.png", "train/y.png"]}
    )
    with pytest.raises(DataError, match=r"4 of 38 photos cannot be decoded"):
        take_batches(data, 8)


def test_photos_that_were_repaired_no_longer_count_after_a_resume(mixed):
    data = make_data(mixed, max_corrupt=0.1)
    repaired = data.train[0].name
    assert repaired not in CORRUPT
    skipped = dict.fromkeys((repaired, *CORRUPT), "it cannot be decoded")
    data.load_state_dict({"pictures_seen": 0, "skipped": skipped, "corrupt": sorted(skipped)})
    assert data.skipped.corrupt == data.skipped.reasons.keys() == CORRUPT


def test_validation_skips_corrupt_photos_and_keeps_gray_ones(mixed):
    data = make_data(mixed, screen=COLOR)
    batches = list(data.val_dataloader())
    assert [len(batch) for batch in batches] == [3, 4]
    gray = [batch[0, 0].tolist() for batch in torch.cat(batches) if batch.float().std() == 0]
    assert gray == [[77, 77, 77]]
    assert data.skipped.reasons.keys() == data.skipped.corrupt == {"val/3.png"}
    assert [batch.tolist() for batch in data.val_dataloader()] == [
        batch.tolist() for batch in batches
    ]


@pytest.mark.parametrize("workers", [0, 2])
def test_too_many_corrupt_photos_stop_the_run(mixed, workers):
    assert len(load(mixed, 20, max_corrupt=0.06)) == 80  # 2 of 38
    data = make_data(mixed, max_corrupt=0.05, workers=workers)
    with pytest.raises(
        DataError, match=r"^2 of 38 photos cannot be decoded, which is over 5%.*train/"
    ) as error:
        take_batches(data, 20)
    assert "data.max-corrupt" in one_line(error)


def test_the_limit_on_corrupt_photos_may_be_zero(mixed):
    with pytest.raises(DataError, match=r"^1 of 38 photos"):
        load(mixed, 20, max_corrupt=0.0)


@pytest.mark.parametrize("workers", [0, 1])
def test_only_gray_photos_are_an_error(flat, workers):
    with pytest.raises(DataError, match=r"100 photos in a row .*10 gray.*data\.screen") as error:
        load(flat, 1, screen=COLOR, workers=workers)
    one_line(error)


def test_only_corrupt_photos_are_an_error_whatever_the_limit(tmp_path, write_photograph):
    write_photograph(tmp_path / "val" / "a.jpg")
    for name in ("a\nb.jpg", "b.jpg"):
        (tmp_path / "train").mkdir(exist_ok=True)
        (tmp_path / "train" / name).write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"2 corrupt; the last, .* is not in a supported") as error:
        load(tmp_path, 1, max_corrupt=1.0)
    one_line(error)


def test_a_validation_set_without_a_readable_photo_is_an_error(tmp_path, write_photograph):
    for number in range(20):
        write_photograph(tmp_path / "train" / f"{number}.png", number)
    (tmp_path / "val").mkdir()
    (tmp_path / "val" / "a.png").write_bytes(b"no picture")
    with pytest.raises(
        DataError, match=r"none of the validation photos can be decoded \(1 corrupt"
    ) as error:
        list(make_data(tmp_path).val_dataloader())
    one_line(error)


def test_a_photo_that_is_removed_during_the_run_is_skipped(tmp_path, write_flat):
    for number in range(12):
        write_flat(tmp_path / "train" / f"{number}.png", 20 * number)
    write_flat(tmp_path / "val" / "0.png", 0)
    data = make_data(tmp_path)
    (tmp_path / "train" / "7.png").unlink()
    assert 140 not in take_batches(data, 6)
    assert data.skipped.corrupt == {"train/7.png"}
    assert "cannot be read" in data.skipped.reasons["train/7.png"]


# The cache


@pytest.mark.parametrize("cache_gb", [40e-6, 1.0], ids=["a part", "everything"])
@pytest.mark.parametrize("workers", [0, 2])
def test_the_cache_does_not_change_the_pictures(mixed, cache_gb, workers):
    plain = make_data(mixed, screen=COLOR)
    cached = make_data(mixed, screen=COLOR, cache_gb=cache_gb, workers=workers)
    assert torch.equal(take_batches(plain, 16), take_batches(cached, 16))
    assert cached.skipped.reasons == plain.skipped.reasons
    assert cached.skipped.corrupt == plain.skipped.corrupt


def test_the_cache_of_shards_does_not_change_the_pictures(mixed, tmp_path, pack):
    for split in ("train", "val"):
        files = sorted((mixed / split).iterdir())
        for part in (0, 1):
            pack(tmp_path / f"{split}-{part}.tar", mixed / split, files[part::2])
    pattern = f"{tmp_path}/{{train,val}}-{{0..1}}.tar"
    assert torch.equal(
        load(pattern, 16, screen=COLOR), load(pattern, 16, screen=COLOR, cache_gb=40e-6, workers=1)
    )


def test_cached_photos_are_not_read_again(tmp_path, write_photograph):
    for number in range(10):
        write_photograph(tmp_path / "train" / f"{number}.png", number)  # of 48 x 56 x 3 bytes
    write_photograph(tmp_path / "val" / "0.png")
    truth = load(tmp_path, 5)
    whole, part = (
        make_data(tmp_path, cache_gb=gb, max_corrupt=1.0) for gb in (1.0, 4.5 * 48 * 56 * 3e-9)
    )
    loaders = [data.train_dataloader() for data in (whole, part)]
    for path in (tmp_path / "train").iterdir():
        path.unlink()
    streams = [torch.cat(list(itertools.islice(iter(loader), 5))) for loader in loaders]
    assert torch.equal(streams[0], truth)
    assert whole.skipped.reasons == {}
    # The first four are in the cache.
    assert part.skipped.corrupt == {f"train/{number}.png" for number in range(4, 10)}


# Settings


def test_a_missing_root_is_an_error():
    with pytest.raises(ConfigError, match=r"data\.root"):
        make_data("")


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
def test_settings_out_of_range_are_rejected(settings):
    with pytest.raises(ConfigError, match=next(iter(settings)).replace("_", "-")):
        DataConfig(**settings)


# Color management


def test_a_display_p3_photo_has_the_same_srgb_pixels_everywhere(tmp_path, color_photograph):
    """In training, in validation, in ``evaluate`` and in ``colorize``."""
    wide = pyvips.Image.new_from_array(color_photograph).icc_transform("p3", input_profile="srgb")
    for split in ("train", "val"):
        (tmp_path / split).mkdir()
        wide.jpegsave(str(tmp_path / split / "p3.jpg"), Q=95, subsample_mode="off")
    path = tmp_path / "val" / "p3.jpg"
    expected = read_image(path).pixels  # the reader of colorize
    assert np.abs(expected.astype(int) - color_photograph).mean() < 2
    stored = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    assert np.abs(expected.astype(int) - stored).mean() > 2  # the profile matters

    data = make_data(tmp_path, val_size=64, size=64, min_crop=1.0)
    (photo,) = data.val
    assert np.array_equal(read_photo(photo), expected)
    assert np.array_equal(read_truth(photo, 64).rgb, prepare_picture(expected, 64))
    (validated,) = data.val_dataloader()
    assert np.array_equal(validated[0].numpy(), crop_center(expected, 64))
    trained = take_batches(data, 1)[0].numpy().mean((0, 1))
    assert np.abs(trained - expected.mean((0, 1))).max() < 12  # a random crop
