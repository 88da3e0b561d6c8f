"""Which photographs there are, which split they belong to, and what a run sees of them, when."""

import itertools
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from colorizenet.errors import ConfigError, DataError
from colorizenet.training.data import DataConfig, Photographs, all_pictures, decode, find_pictures

SPLITS = ("train", "val", "test")


def names(pictures) -> set[str]:
    return {picture.name for picture in pictures}


def data_of(root, *, start=0, rank=0, world=1, seed=0, batch_size=4, **settings) -> Photographs:
    data = Photographs(
        DataConfig(**{"root": str(root), "size": 32, "workers": 0} | settings), batch_size=batch_size, seed=seed
    )
    data.load_state_dict({"pictures_seen": start})
    data.trainer = SimpleNamespace(world_size=world, global_rank=rank)
    return data


def seen(root, batches, **settings) -> torch.Tensor:
    """The pictures of the first batches of a run, one after the other."""
    loader = data_of(root, **settings).train_dataloader()
    return torch.cat(list(itertools.islice(iter(loader), batches)))


def one_line(error) -> str:
    message = str(error.value)
    assert message.isprintable()
    return message


@pytest.fixture(scope="module")
def flat(tmp_path_factory, write_flat) -> Path:
    """Ten pictures to train on, of the colours 0, 20, ... 180, and one to validate on."""
    root = tmp_path_factory.mktemp("flat")
    for number in range(10):
        write_flat(root / "train" / f"{number}.png", 20 * number)
    write_flat(root / "val" / "0.png", 200)
    return root


# Finding


def test_a_folder_of_any_depth_and_its_shards_hold_the_same_pictures(tmp_path, write_photograph, pack):
    folder = tmp_path / "folder"
    files = [write_photograph(folder / name, i) for i, name in enumerate(("a.jpg", "b/c.PNG", "b/d/e.webp", "b/f.tif"))]
    pack(tmp_path / "shards" / "one.tar", folder, files[:2])
    pack(tmp_path / "shards" / "deep" / "two.TAR", folder, files[2:])

    loose = {picture.name: decode(picture) for picture in all_pictures(folder)}
    packed = {picture.name.split("/", 1)[1]: decode(picture) for picture in all_pictures(tmp_path / "shards")}
    assert loose.keys() == packed.keys() == {"a.jpg", "b/c.PNG", "b/d/e.webp", "b/f.tif"}
    assert all(np.array_equal(loose[name], packed[name]) for name in loose)


def test_one_shard_can_be_the_whole_root(tmp_path, write_photograph, pack):
    shard = pack(tmp_path / "one.tar", tmp_path, [write_photograph(tmp_path / "a.jpg")])
    assert names(all_pictures(shard)) == {"one.tar/a.jpg"}


def test_only_photographs_count(tmp_path, write_photograph, pack):
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "labels.json").write_text("{}")
    files = [write_photograph(tmp_path / "a.jpg"), tmp_path / "notes.txt", tmp_path / "labels.json"]
    shard = pack(tmp_path / "shards" / "one.tar", tmp_path, files)
    assert names(all_pictures(shard)) == {"one.tar/a.jpg"}
    assert names(all_pictures(tmp_path)) == {"a.jpg", "one.tar/a.jpg"}


def test_a_photograph_is_decoded_upright_in_rgb(tmp_path):
    upright = np.full((16, 32, 3), (200, 100, 50), np.uint8)
    plain = cv2.imencode(".jpg", cv2.cvtColor(upright, cv2.COLOR_RGB2BGR))[1].tobytes()
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"  # orientation 6: turn right
    turned = plain[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + plain[2:]
    (tmp_path / "turned.jpg").write_bytes(turned)
    rgb = decode(all_pictures(tmp_path)[0])
    assert rgb.shape == (32, 16, 3)
    assert np.abs(rgb.astype(int) - (200, 100, 50)).max() <= 2


# Splits


@pytest.mark.parametrize("folders", [("train", "val", "test"), ("data_256", "val_256", "test_256")])
def test_given_folders_are_the_splits(tmp_path, write_photograph, folders):
    for folder in folders:
        write_photograph(tmp_path / folder / "class" / "a.jpg")
    for split, folder in zip(SPLITS, folders, strict=True):
        assert names(find_pictures(tmp_path, split)) == {f"{folder}/class/a.jpg"}


def test_given_shards_are_the_splits(tmp_path, write_photograph, pack):
    photograph = write_photograph(tmp_path / "loose" / "a.jpg")
    for shard in ("train-000.tar", "train-001.TAR", "val-coco.tar", "test_0.tar"):
        pack(tmp_path / "shards" / shard, photograph.parent, [photograph])
    assert names(find_pictures(tmp_path / "shards", "train")) == {"train-000.tar/a.jpg", "train-001.TAR/a.jpg"}
    assert names(find_pictures(tmp_path / "shards", "val")) == {"val-coco.tar/a.jpg"}
    assert names(find_pictures(tmp_path / "shards", "test")) == {"test_0.tar/a.jpg"}


def test_a_picture_may_be_called_like_a_split(tmp_path):
    for name in ("test.jpg", "train.png", *(f"{i}.jpg" for i in range(40))):
        (tmp_path / name).touch()
    assert names(find_pictures(tmp_path, "train")) > {"train.png"} - names(find_pictures(tmp_path, "test"))
    assert sum(len(find_pictures(tmp_path, split)) for split in SPLITS) == 42


def test_the_hash_split_is_disjoint_complete_and_about_80_10_10(tmp_path):
    for i in range(1000):
        (tmp_path / f"{i}.jpg").touch()
    split = {name: names(find_pictures(tmp_path, name)) for name in SPLITS}
    assert split["train"] | split["val"] | split["test"] == {f"{i}.jpg" for i in range(1000)}
    assert sum(map(len, split.values())) == 1000
    assert 0.76 < len(split["train"]) / 1000 < 0.84
    assert 0.07 < len(split["val"]) / 1000 < 0.13


def test_the_hash_split_never_moves_when_pictures_are_added(tmp_path):
    for i in range(100):
        (tmp_path / f"{i}.jpg").touch()
    before = {split: names(find_pictures(tmp_path, split)) for split in SPLITS}
    (tmp_path / "more").mkdir()
    for i in range(100):
        (tmp_path / "more" / f"{i}.jpg").touch()
    for split in SPLITS:
        assert before[split] == {name for name in names(find_pictures(tmp_path, split)) if "/" not in name}


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
    colours = seen(flat, 5)[:, 0, 0, 0].tolist()
    first, second = colours[:10], colours[10:]
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
        assert torch.equal(seen(photographs, 2, rank=rank, world=world), torch.cat(every[rank::world]))


def test_a_cut_is_never_enlarged_nor_larger_than_the_picture(tmp_path):
    columns, rows = np.meshgrid(np.arange(62), np.arange(50))
    position = np.dstack([4 * rows, 4 * columns, 0 * rows]).astype(np.uint8)  # each pixel says where it lies
    for split in ("train", "val"):
        (tmp_path / split).mkdir()
        cv2.imwrite(str(tmp_path / split / "a.png"), cv2.cvtColor(position, cv2.COLOR_RGB2BGR))
    cuts = seen(tmp_path, 15, min_crop=0.1).float()
    down = (cuts[:, -1, :, 0] - cuts[:, 0, :, 0]).mean(1) / 4 / 31  # source pixels from one row to the next
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


def test_the_fingerprint_follows_the_data_and_names_no_folder_of_the_machine(tmp_path, write_photograph, pack):
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


# What goes wrong


@pytest.mark.parametrize(
    ("split", "damage", "workers"),
    [("train", "garbage", 0), ("train", "garbage", 1), ("val", "cut short", 1), ("val", "empty", 0)],
)
def test_a_damaged_picture_is_named_on_one_line(tmp_path, write_photograph, split, damage, workers):
    for each in ("train", "val"):
        path = write_photograph(tmp_path / each / "a\nb.jpg")
    whole = path.read_bytes()
    damaged = {"garbage": b"no picture", "cut short": whole[: len(whole) // 2], "empty": b""}[damage]
    (tmp_path / split / "a\nb.jpg").write_bytes(damaged)
    data = data_of(tmp_path, workers=workers, val_size=32)
    with pytest.raises(DataError) as error:
        next(iter(data.train_dataloader() if split == "train" else data.val_dataloader()))
    assert one_line(error).startswith(f"'{split}/a\\nb.jpg' ")


def test_a_picture_that_has_gone_is_named(tmp_path, write_photograph):
    for split in ("train", "val"):
        write_photograph(tmp_path / split / "a.jpg")
    data = data_of(tmp_path)
    (tmp_path / "train" / "a.jpg").unlink()
    with pytest.raises(DataError, match=r"^train/a\.jpg cannot be read") as error:
        next(iter(data.train_dataloader()))
    one_line(error)


def test_no_root_is_a_configuration_that_is_wrong():
    with pytest.raises(ConfigError, match=r"data\.root"):
        data_of("")


@pytest.mark.parametrize("name", ["absent", "ab\nsent"])
def test_a_missing_folder_is_named(tmp_path, name):
    with pytest.raises(DataError, match="does not exist") as error:
        all_pictures(tmp_path / name)
    one_line(error)


def test_a_folder_without_photographs_is_named(tmp_path):
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(DataError, match="holds no photograph") as error:
        all_pictures(tmp_path)
    assert str(tmp_path) in one_line(error)


def test_a_missing_split_is_named(tmp_path, write_photograph):
    write_photograph(tmp_path / "train" / "a.jpg")
    with pytest.raises(DataError, match=r"1 photographs.*val split") as error:
        data_of(tmp_path)
    one_line(error)


@pytest.mark.parametrize("mode", ["w:gz", "w:xz"])
def test_a_compressed_tar_is_refused_with_what_to_do(tmp_path, write_photograph, pack, mode):
    shard = pack(tmp_path / "one.tar", tmp_path, [write_photograph(tmp_path / "a.jpg")], mode)
    with pytest.raises(DataError, match=r"one\.tar is not an uncompressed tar.*tar cf") as error:
        all_pictures(shard)
    one_line(error)


def test_a_tar_that_was_cut_short_is_refused(tmp_path, write_photograph, pack):
    shard = pack(tmp_path / "one.tar", tmp_path, [write_photograph(tmp_path / "a.png", height=64)])
    shard.write_bytes(shard.read_bytes()[:2000])
    with pytest.raises(DataError, match=r"one\.tar"):
        all_pictures(shard)


@pytest.mark.parametrize("settings", [{"size": 100}, {"val_size": 33}, {"min_crop": 0.0}, {"min_crop": 1.5}])
def test_settings_that_cannot_be_are_refused(settings):
    with pytest.raises(ConfigError, match=next(iter(settings))):
        DataConfig(**settings)
