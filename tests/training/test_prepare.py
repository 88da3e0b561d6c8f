"""``colorizenet prepare``: its shards, what it leaves out, and how it continues."""

import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import pyvips
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st

from colorizenet import cli
from colorizenet.errors import ConfigError, DataError
from colorizenet.evaluation import metrics
from colorizenet.imaging.reading import open_image
from colorizenet.photosets import find_photos, list_photos, split_photos
from colorizenet.training.data import prepare as preparing
from colorizenet.training.data.duplicates import HashIndex
from colorizenet.training.data.loader import DataConfig, Photographs
from colorizenet.training.data.manifest import ManifestRow, PrepareResult
from colorizenet.training.data.prepare import PrepareConfig, prepare
from colorizenet.training.data.screen import Screen
from colorizenet.training.data.workfolder import flatten_settings

SPLITS = ("train", "val", "test")
SMALL = PrepareConfig(size=32, per_shard=3)


def read_manifest(folder: Path) -> dict[str, ManifestRow]:
    """The rows of the manifest by the names of the photos."""
    header, *lines = (folder / "manifest.tsv").read_text(encoding="utf-8").split("\n")[:-1]
    assert tuple(header.split("\t")) == ManifestRow._fields
    found = [ManifestRow(*line.split("\t")) for line in lines]
    return {row.name: row for row in found}


def outcomes(folder: Path) -> dict[str, str]:
    return {name: row.kind for name, row in read_manifest(folder).items()}


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def stored(folder: Path, name: str) -> bytes:
    """The JPEG of a photo in its shard."""
    row = read_manifest(folder)[name]
    with tarfile.open(folder / f"{row.shard}.tar") as tar:
        member = tar.extractfile(f"{row.key}.jpg")
        assert member is not None
        return member.read()


def rgb_of(encoded: bytes) -> np.ndarray:
    bgr = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    assert bgr is not None
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


def reduce_rgb8(encoded: bytes, short_side: int) -> np.ndarray:
    with open_image(encoded, first_page=True) as file:
        return file.reduce_rgb8(short_side)


def vips(rgb: np.ndarray) -> pyvips.Image:
    return pyvips.Image.new_from_array(rgb)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, write_photograph) -> Path:
    """Twenty-four photos without splits, some of them in a subfolder."""
    root = tmp_path_factory.mktemp("source")
    for number in range(24):
        below = root / "below" if number % 3 else root
        write_photograph(below / f"{number:02}.png", number, height=70 + number, width=110 - number)
    return root


@pytest.fixture(scope="module")
def made(folder, tmp_path_factory) -> Path:
    """The shards of that folder."""
    target = tmp_path_factory.mktemp("made") / "shards"
    prepare(folder, target, SMALL)
    return target


def one_line(error) -> str:
    message = str(error.value)
    assert message.isprintable()
    return message


# Shards


def test_photos_are_stored_reduced_with_full_chroma(folder, made):
    assert set(outcomes(made).values()) == {"kept"}
    for name, row in read_manifest(made).items():
        whole, encoded = cv2.imread(str(folder / name)), stored(made, name)
        assert whole is not None
        rgb, open_for_reading = rgb_of(encoded), pyvips.Image.new_from_buffer(encoded, "")
        scale = 32 / min(whole.shape[:2])
        assert (open_for_reading.width, open_for_reading.height) == tuple(
            round(side * scale) for side in whole.shape[1::-1]
        )
        assert (row.width, row.height) == (
            str(open_for_reading.width),
            str(open_for_reading.height),
        )
        assert open_for_reading.get("jpeg-chroma-subsample") == "4:4:4"
        reference = cv2.resize(whole, rgb.shape[1::-1], interpolation=cv2.INTER_AREA)[..., ::-1]
        assert metrics.psnr(rgb, reference) > 28


def test_a_small_photo_keeps_its_size(tmp_path, write_photograph):
    write_photograph(tmp_path / "in" / "train" / "a.png", 1, height=70, width=90)
    prepare(tmp_path / "in", tmp_path / "out")
    assert rgb_of(stored(tmp_path / "out", "train/a.png")).shape == (70, 90, 3)


def test_reducing_a_jpeg_while_decoding_gives_the_same_picture(color_photograph):
    large = cv2.resize(color_photograph, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    encoded = cv2.imencode(".jpg", large[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    for size in (64, 100, 128, 200, 256):
        rgb = reduce_rgb8(encoded, size)
        assert min(rgb.shape[:2]) == size
        assert (
            metrics.psnr(rgb, cv2.resize(large, rgb.shape[1::-1], interpolation=cv2.INTER_AREA))
            > 30
        )


def test_the_splits_are_those_of_the_source(folder, made):
    expected = {
        split: {picture.name for picture in pictures}
        for split, pictures in split_photos(folder).items()
    }
    assert {
        split: {n for n, row in read_manifest(made).items() if row.split == split}
        for split in SPLITS
    } == expected
    assert all(row.shard.startswith(row.split) for row in read_manifest(made).values())


def test_named_splits_are_kept(tmp_path, photographs):
    prepare(photographs, tmp_path / "out", PrepareConfig(size=32, screen=Screen(min_side=0)))
    assert {
        (name.split("/")[0], row.split) for name, row in read_manifest(tmp_path / "out").items()
    } == {
        ("train", "train"),
        ("val", "val"),
    }


def test_the_shards_have_webdataset_form_and_are_listed(made):
    shards = sorted(path.name for path in made.glob("*.tar"))
    kept = list(read_manifest(made).values())
    assert shards == sorted({f"{row.shard}.tar" for row in kept})
    members = []
    for shard in shards:
        with tarfile.open(made / shard) as tar:
            assert all((m.mtime, m.uid, m.uname, m.mode) == (0, 0, "", 0o644) for m in tar)
            members += [f"{shard}/{member.name}" for member in tar]
            assert len(tar.getmembers()) <= 3
    assert len({name.split("/")[1] for name in members}) == len(members) == len(kept)
    assert {picture.name for picture in list_photos(made)} == set(members)
    for split in SPLITS:
        assert len(find_photos(made, split)) == sum(row.split == split for row in kept)
    full = [
        sum(row.shard == shard[:-4] for row in kept)
        for shard in shards
        if f"{shard[:-5]}" == "train-00"
    ]
    assert full[:-1] == [3] * (len(full) - 1)


def test_training_reads_the_shards(made):
    config = DataConfig(root=str(made), size=32, val_size=32, workers=0, screen=Screen(min_side=32))
    data = Photographs(config, batch_size=2, seed=0)
    assert next(iter(data.train_dataloader())).shape == (2, 32, 32, 3)
    assert next(iter(data.val_dataloader())).shape[1:] == (32, 32, 3)


def test_time_threads_and_target_do_not_change_a_byte(folder, made, tmp_path):
    prepare(folder, tmp_path / "again", SMALL, workers=1)
    assert content(tmp_path / "again") == content(made)
    assert {"manifest.tsv", "prepare.json", "val-000.tar"} <= content(made).keys()
    assert not (made / ".prepare").exists()
    assert str(folder).encode() not in b"".join(content(made).values())


def test_the_source_may_be_shards(tmp_path, folder, made, pack):
    files = [folder / name for name, row in read_manifest(made).items() if row.split != "val"]
    pack(tmp_path / "train-000.tar", folder, files[:5])
    pack(tmp_path / "val-000.tar", folder, files[5:8])
    prepare(str(tmp_path / "{train,val}-000.tar"), tmp_path / "out", SMALL)
    assert (
        sorted(row.split for row in read_manifest(tmp_path / "out").values())
        == ["train"] * 5 + ["val"] * 3
    )


# Photos that are left out


@pytest.fixture
def mixed(tmp_path, write_photograph, color_photograph) -> Path:
    """A good training photo, and one for each reason to leave a photo out."""
    root = tmp_path / "in" / "train"
    good = write_photograph(root / "good.jpg", 1, height=160, width=200).read_bytes()
    write_photograph(root / "tiny.png", 2, height=50, width=300)
    gray = cv2.cvtColor(color_photograph, cv2.COLOR_RGB2GRAY)
    cv2.imwrite(str(root / "gray.jpg"), gray)
    sepia = gray[..., None] * np.array([0.55, 0.78, 1.0])
    cv2.imwrite(str(root / "sepia.png"), sepia.astype(np.uint8))
    (root / "cut.jpg").write_bytes(good[: len(good) // 2])
    (root / "cut.png").write_bytes(cv2.imencode(".png", color_photograph)[1].tobytes()[:9000])
    (root / "empty.jpg").touch()
    (root / "text.webp").write_text("no picture")
    (root / "folder.jpg").mkdir()
    (root / "lost.jpg").symlink_to(root / "nowhere.jpg")
    return tmp_path / "in"


LEFT_OUT = {"tiny.png": "tiny", "gray.jpg": "gray", "sepia.png": "sepia"} | dict.fromkeys(
    ("cut.jpg", "cut.png", "empty.jpg", "text.webp", "folder.jpg", "lost.jpg"), "unreadable"
)


def test_unusable_photos_are_left_out_and_reported(tmp_path, mixed):
    reports = []
    result = prepare(
        mixed,
        tmp_path / "out",
        report=lambda row, examined, total: reports.append((row.kind, examined, total)),
    )
    assert outcomes(tmp_path / "out") == {"train/good.jpg": "kept"} | {
        f"train/{n}": why for n, why in LEFT_OUT.items()
    }
    assert [examined for _, examined, _ in reports] == list(range(1, 11))
    assert {total for *_, total in reports} == {10}
    assert result.kept == {"train": 1} and result.left_out["unreadable"] == 6
    by_name = read_manifest(tmp_path / "out")
    assert by_name["train/tiny.png"].outcome == "tiny: 300 x 50"
    assert (
        float(by_name["train/gray.jpg"].colorfulness)
        < 12
        < float(by_name["train/good.jpg"].colorfulness)
    )
    assert str(tmp_path) not in (tmp_path / "out" / "manifest.tsv").read_text()


def test_an_open_screen_accepts_them(tmp_path, mixed):
    everything = Screen(min_side=0, min_colorfulness=0.0, max_hue_concentration=1.0)
    prepare(mixed, tmp_path / "out", PrepareConfig(size=64, duplicate_bits=-1, screen=everything))
    kept = {name for name, kind in outcomes(tmp_path / "out").items() if kind == "kept"}
    assert kept == {"train/good.jpg", "train/tiny.png", "train/gray.jpg", "train/sepia.png"}


def test_the_smallest_side_is_that_of_the_photo_before_reduction(tmp_path, write_photograph):
    write_photograph(tmp_path / "in" / "train" / "a.png", 1, height=160, width=200)
    prepare(tmp_path / "in", tmp_path / "out", PrepareConfig(size=32, screen=Screen(min_side=150)))
    assert outcomes(tmp_path / "out") == {"train/a.png": "kept"}


def test_of_duplicates_the_training_photo_is_left_out(tmp_path, write_photograph, color_photograph):
    source = tmp_path / "in"
    for split, width, quality in (("val", 600, 95), ("test", 450, 90), ("train", 300, 70)):
        (source / split).mkdir(parents=True)
        copy = cv2.resize(color_photograph, (width, width * 2 // 3), interpolation=cv2.INTER_AREA)
        cv2.imwrite(
            str(source / split / "copy.jpg"), copy[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality]
        )
        write_photograph(source / split / "other.png", width, height=100, width=120)
    prepare(source, tmp_path / "out", PrepareConfig(size=128))
    found = read_manifest(tmp_path / "out")
    assert {name for name, row in found.items() if row.kind == "duplicate"} == {
        "test/copy.jpg",
        "train/copy.jpg",
    }
    assert found["train/copy.jpg"].outcome == f"duplicate: of {found['val/copy.jpg'].key}"
    prepare(source, tmp_path / "all", PrepareConfig(size=128, duplicate_bits=-1))
    assert set(outcomes(tmp_path / "all").values()) == {"kept"}


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1)), st.data(), st.integers(0, 8))
def test_the_hash_index_finds_what_a_full_search_finds(hashes, data, distance):
    index = HashIndex(distance, slots=97)  # few, so that hashes share slots
    for value in hashes:
        index.add(value)
    query = data.draw(st.sampled_from(hashes)) if hashes else 0
    for bit in data.draw(st.sets(st.integers(0, 63), max_size=9)):
        query ^= 1 << bit
    near = [
        number for number, value in enumerate(hashes) if (value ^ query).bit_count() <= distance
    ]
    assert index.find(query) == (near[0] if near else None)


def test_a_source_without_usable_photos_is_an_error_and_can_be_tried_again(tmp_path, mixed):
    (mixed / "train" / "good.jpg").unlink()
    with pytest.raises(DataError) as error:
        prepare(mixed, tmp_path / "out")
    assert "9 photos and all are left out (6 unreadable, 1 gray, 1 sepia, 1 tiny)" in one_line(
        error
    )
    assert prepare(mixed, tmp_path / "out", PrepareConfig(screen=Screen(min_side=0))).kept == {
        "train": 1
    }


def test_names_are_escaped_in_the_manifest(tmp_path, write_photograph):
    names = {
        "a\tb.png": "a\\tb.png",
        "c\nd.png": "c\\nd.png",
        "e\\f.png": "e\\\\f.png",
        "\udcff.png": "\\udcff.png",
    }
    for number, name in enumerate([*names, "Zürich.png"]):
        write_photograph(tmp_path / "in" / "train" / name, number, height=80, width=90)
    prepare(tmp_path / "in", tmp_path / "out")
    assert outcomes(tmp_path / "out") == {
        f"train/{name}": "kept" for name in [*names.values(), "Zürich.png"]
    }


# Formats


def check_reduced(color_photograph, encoded: bytes, least: float = 30) -> None:
    """Check that a file is reduced to the photo, 100 px high."""
    rgb = reduce_rgb8(encoded, 100)
    assert rgb.dtype == np.uint8 and rgb.shape == (100, 150, 3)
    assert (
        metrics.psnr(rgb, cv2.resize(color_photograph, (150, 100), interpolation=cv2.INTER_AREA))
        > least
    )


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".bmp"])
def test_every_format_is_read(color_photograph, suffix):
    check_reduced(color_photograph, cv2.imencode(suffix, color_photograph[..., ::-1])[1].tobytes())


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_are_read(color_photograph, suffix):
    deep = color_photograph[..., ::-1].astype(np.uint16) * 257
    check_reduced(color_photograph, cv2.imencode(suffix, deep)[1].tobytes())


@pytest.mark.parametrize(
    ("orientation", "turned"),
    [
        (1, None),
        (3, cv2.ROTATE_180),
        (6, cv2.ROTATE_90_COUNTERCLOCKWISE),
        (8, cv2.ROTATE_90_CLOCKWISE),
    ],
)
def test_photos_are_turned_upright(color_photograph, orientation, turned):
    lying = color_photograph if turned is None else cv2.rotate(color_photograph, turned)
    image = vips(lying).copy()
    image.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    check_reduced(color_photograph, image.jpegsave_buffer(Q=95))


def test_an_embedded_profile_is_honored(color_photograph):
    wide = vips(color_photograph).icc_transform("p3", input_profile="srgb")
    assert metrics.psnr(wide.numpy(), color_photograph) < 30
    check_reduced(color_photograph, wide.pngsave_buffer())
    check_reduced(color_photograph, vips(color_photograph).pngsave_buffer(profile="srgb"))


def test_cmyk_is_converted(color_photograph):
    printed = vips(color_photograph).icc_transform("cmyk", input_profile="srgb")
    check_reduced(
        color_photograph, printed.jpegsave_buffer(Q=95), least=24
    )  # CMYK has a smaller gamut


def test_a_damaged_profile_is_ignored(color_photograph):
    image = vips(color_photograph).copy()
    profile: Any = b"no profile" * 20
    image.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    check_reduced(color_photograph, image.tiffsave_buffer())


def test_transparent_pixels_are_placed_on_white(color_photograph):
    for dtype, full in ((np.uint8, 255), (np.uint16, 65535)):
        rgba = np.dstack(
            [color_photograph.astype(dtype) * (full // 255), np.full((400, 600), full, dtype)]
        )
        rgba[:200, :, 3] = 0
        expected = color_photograph.copy()
        expected[:200] = 255
        check_reduced(
            expected, cv2.imencode(".png", rgba[..., [2, 1, 0, 3]])[1].tobytes(), least=29
        )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_gray_has_three_equal_channels(color_photograph, dtype):
    gray = cv2.cvtColor(color_photograph, cv2.COLOR_RGB2GRAY).astype(dtype) * (
        257 if dtype == np.uint16 else 1
    )
    rgb = reduce_rgb8(cv2.imencode(".png", gray)[1].tobytes(), 100)
    assert rgb.shape == (100, 150, 3) and np.ptp(rgb, axis=2).max() == 0


def test_floating_point_is_unreadable(tmp_path, mixed, color_photograph):
    cv2.imwrite(str(mixed / "train" / "float.tif"), color_photograph.astype(np.float32) / 255)
    prepare(mixed, tmp_path / "out")
    assert read_manifest(tmp_path / "out")["train/float.tif"].outcome.startswith(
        "unreadable: it has float pixels"
    )


# Interruption


SMALL_FLAGS = ("--size", 32, "--per-shard", 3)


@pytest.mark.parametrize("interruption", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_program_continues_to_the_same_bytes(folder, made, tmp_path, interruption):
    target = tmp_path / "out"
    slow = f"""
import signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from colorizenet.cli import main
from colorizenet.imaging.reading import ImageFile
reduce = ImageFile.reduce_rgb8
ImageFile.reduce_rgb8 = lambda *arguments: (time.sleep(0.05), reduce(*arguments))[1]
main({["prepare", str(folder), str(target), *map(str, SMALL_FLAGS), "--jobs", "1"]!r})
"""
    with subprocess.Popen(
        [sys.executable, "-c", slow], stderr=subprocess.PIPE, text=True
    ) as process:
        while not (target / "train-001.tar").exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(interruption)
        _, message = process.communicate()
    if interruption == signal.SIGINT:
        assert process.returncode == 130
        (line,) = message.splitlines()
        assert re.search(r"\d+ of 24 photos were examined.*same command again to continue", line)
    else:
        assert process.returncode == -signal.SIGKILL
    assert not (target / "manifest.tsv").exists()
    before = (target / "val-000.tar").stat()
    prepare(folder, target, SMALL)
    assert content(target) == content(made)
    after = (target / "val-000.tar").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


class Killed(BaseException):
    pass


def test_a_stop_before_or_after_any_rename_does_not_change_the_result(
    tmp_path, monkeypatch, write_photograph
):
    folder, rename = tmp_path / "in", Path.replace
    for number, split in enumerate(("val", "test", *4 * ["train"])):
        write_photograph(folder / split / f"{number}.png", number, height=64, width=80)
    prepare(folder, tmp_path / "undisturbed", SMALL)
    expected = content(tmp_path / "undisturbed")

    def stopping(moment: int, after: bool):
        def replace(self, target):
            nonlocal moment
            moment -= 1
            if moment == 0 and not after:
                raise Killed
            rename(self, target)
            if moment == 0:
                raise Killed

        return replace

    stops = 0
    for moment in range(1, 12):
        for after in (False, True):
            target = tmp_path / f"{moment} {after}"
            monkeypatch.setattr(Path, "replace", stopping(moment, after))
            try:
                prepare(folder, target, SMALL, workers=1)
            except Killed:
                stops += 1
            monkeypatch.setattr(Path, "replace", rename)
            prepare(folder, target, SMALL, workers=1)
            assert content(target) == expected
    assert stops == 2 * (1 + 2 * 4 + 1)  # the settings, four shards and their tables, the manifest


def test_a_finished_folder_is_not_written_again(folder, made):
    before = {path: path.stat().st_mtime_ns for path in made.iterdir()}
    again = prepare(folder, made, SMALL)
    assert again.already_finished and again.kept.total() == 24
    assert {path: path.stat().st_mtime_ns for path in made.iterdir()} == before


@pytest.fixture
def started(folder, tmp_path, monkeypatch) -> Path:
    """A target folder with the first of its shards."""

    def stop(row, examined, _total):
        if examined > 4:
            raise Killed

    with pytest.raises(Killed):
        prepare(folder, tmp_path / "started", SMALL, report=stop)
    return tmp_path / "started"


def test_a_run_cannot_continue_with_other_settings(folder, started, made):
    other = PrepareConfig(size=64, per_shard=3, screen=Screen(max_hue_concentration=0.9))
    for target in (started, made):
        with pytest.raises(ConfigError) as error:
            prepare(folder, target, other)
        changed = "size 32 (now 64), max_hue_concentration 0.99 (now 0.9)"
        assert f"started with {changed}" in one_line(error)


def test_a_run_cannot_continue_with_other_photos(started, tmp_path, folder, write_photograph):
    other = tmp_path / "other"
    for name in content(folder):
        write_photograph(other / name, 99)
    with pytest.raises(ConfigError) as error:
        prepare(other, started, SMALL)
    assert "another list of photos (24, now 24" in one_line(error)


def test_a_target_with_foreign_files_is_rejected(folder, started, tmp_path):
    for target, name in ((started, "holiday.jpg"), (tmp_path / "new", "train-000.tar")):
        target.mkdir(exist_ok=True)
        (target / name).write_bytes(b"mine")
        with pytest.raises(ConfigError) as error:
            prepare(folder, target, SMALL)
        assert f"has {name}, which `prepare` did not write" in one_line(error)
        assert (target / name).read_bytes() == b"mine"


def test_a_shard_that_a_finished_folder_has_lost_is_an_error(folder, tmp_path):
    prepare(folder, tmp_path / "target", SMALL)
    (tmp_path / "target" / "train-000.tar").unlink()
    with pytest.raises(DataError) as error:
        prepare(folder, tmp_path / "target", SMALL)
    assert "has lost train-000.tar" in one_line(error)


def test_a_missing_finished_shard_is_an_error(folder, started):
    (started / "val-000.tar").unlink()
    with pytest.raises(DataError) as error:
        prepare(folder, started, SMALL)
    assert "has lost val-000.tar" in one_line(error)


def test_there_is_no_empty_shard_where_the_last_photos_are_left_out(tmp_path, write_photograph):
    for split in ("val", "train"):
        for number in range(4):
            write_photograph(tmp_path / "in" / split / f"{number}.png", number, height=80, width=90)
    flags = PrepareConfig(per_shard=4)  # the training photos equal the validation photos

    def stop(row, examined, _total):
        if examined == 5:
            raise Killed

    prepare(tmp_path / "in", tmp_path / "out", flags)
    with pytest.raises(Killed):
        prepare(tmp_path / "in", tmp_path / "again", flags, report=stop)
    assert prepare(tmp_path / "in", tmp_path / "again", flags).left_out == {"duplicate": 4}
    assert content(tmp_path / "out") == content(tmp_path / "again")
    assert sorted(path.name for path in (tmp_path / "out").glob("*.tar")) == ["val-000.tar"]


def test_a_foreign_settings_file_is_rejected(folder, tmp_path):
    (tmp_path / "prepare.json").write_text('["mine"]')
    with pytest.raises(ConfigError) as error:
        prepare(folder, tmp_path, SMALL)
    assert "prepare.json was not written by `prepare`" in one_line(error)


def test_a_run_cannot_continue_with_another_version(folder, started):
    described = json.loads((started / "prepare.json").read_text())
    (started / "prepare.json").write_text(json.dumps(described | {"format": 99}))
    with pytest.raises(ConfigError) as error:
        prepare(folder, started, SMALL)
    assert "format 99" in one_line(error)


def test_target_and_source_must_be_separate(folder, write_photograph, tmp_path):
    for source, target, part in (
        (folder, folder / "out", "is inside of"),
        (folder, folder, "is inside of"),
        (
            write_photograph(tmp_path / "out" / "in" / "a.png", 1).parent,
            tmp_path / "out",
            "contains photos",
        ),
    ):
        with pytest.raises(ConfigError) as error:
            prepare(source, target, SMALL)
        assert part in one_line(error)
    assert not (folder / "out").exists()


def test_two_programs_cannot_write_the_same_folder(folder, started):
    with FileLock(started / ".prepare" / "lock"), pytest.raises(ConfigError) as error:
        prepare(folder, started, SMALL)
    assert "is in use by another program" in one_line(error)


def test_a_full_disk_is_an_error_message(folder, tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigError) as error:
        prepare(folder, tmp_path / "out", SMALL)
    assert "cannot be written (No space left on device)" in one_line(error)


# The command line


@pytest.fixture
def run(capsys):
    """Run the command line: its status, and the lines of stdout and stderr."""

    def run(*given: object) -> tuple[int, list[str], list[str]]:
        with pytest.raises(SystemExit) as ended:
            cli.main(["prepare", *map(str, given)])
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out.splitlines(), captured.err.splitlines()

    return run


def test_the_command_writes_what_the_function_writes(run, folder, made, tmp_path):
    status, out, err = run(folder, tmp_path / "out", *SMALL_FLAGS)
    assert (status, out, len(err)) == (0, [str(tmp_path / "out")], 1)
    assert err[0].startswith("24 kept (train ")
    assert content(tmp_path / "out") == content(made)
    status, out, err = run(folder, tmp_path / "out", *SMALL_FLAGS)
    assert (status, out, len(err)) == (0, [str(tmp_path / "out")], 1)
    assert f"{tmp_path / 'out'} is already finished: 24 kept" in err[0]


def test_unreadable_photos_are_named_and_the_others_are_prepared(run, mixed, tmp_path):
    status, out, err = run(mixed, tmp_path / "out")
    assert (status, out, len(err)) == (0, [str(tmp_path / "out")], 7)
    named = "colorizenet: train/empty.jpg is left out: unreadable: it is empty"
    assert sum(line.startswith(named) for line in err) == 1
    assert err[-1].startswith(
        "1 kept (train 1, val 0, test 0), 6 unreadable, 1 gray, 1 sepia, 1 tiny in "
    )


@pytest.mark.parametrize(
    ("flag", "value", "field"),
    [
        ("--size", 64, "size"),
        ("--quality", 50, "quality"),
        ("--per-shard", 7, "per_shard"),
        ("--duplicate-bits", 0, "duplicate_bits"),
        ("--min-side", 1, "min_side"),
        ("--min-colorfulness", 3.5, "min_colorfulness"),
        ("--max-hue-concentration", 0.5, "max_hue_concentration"),
    ],
)
def test_each_flag_changes_one_setting(run, monkeypatch, tmp_path, flag, value, field):
    configs = []

    def replacement(_source, _target, config, **_):
        configs.append(config)
        return PrepareResult()

    monkeypatch.setattr(preparing, "prepare", replacement)
    assert run("in", tmp_path, flag, value)[0] == 0
    default, given = (
        flatten_settings(preparing.asdict(settings)) for settings in (PrepareConfig(), configs[0])
    )
    assert {name: given[name] for name in given if given[name] != default[name]} == {field: value}
    assert run("in", tmp_path)[0] == 0 and configs[1] == PrepareConfig()


@pytest.mark.parametrize(
    ("given", "part"),
    [
        (["--size", "0"], "size is 0"),
        (["--quality", "101"], "quality is 101"),
        (["--per-shard", "0"], "per_shard is 0"),
        (["--duplicate-bits", "9"], "duplicate_bits is 9"),
        (["--max-hue-concentration", "2"], "max_hue_concentration is 2"),
        (["--jobs", "0"], "jobs"),
        (["--sise", "3"], "Did you mean --size?"),
    ],
)
def test_a_setting_out_of_range_is_rejected_on_one_line(run, folder, tmp_path, given, part):
    status, out, err = run(folder, tmp_path / "out", *given)
    assert (status, out, len(err)) == (2, [], 1)
    assert err[0].startswith("colorizenet: ") and part in err[0]
    assert not (tmp_path / "out").exists()


def test_an_unusable_source_or_target_is_rejected_on_one_line(run, folder, tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    for source, target, part in (
        (tmp_path / "absent", tmp_path / "out", "does not exist"),
        (tmp_path / "long" / ("a" * 300), tmp_path / "out", "does not exist"),
        (tmp_path / "empty", tmp_path / "out", "has no photos"),
        (folder, tmp_path / "file", "is a file"),
        (folder, tmp_path / "file" / "out", "cannot be written"),
    ):
        status, out, err = run(source, target)
        assert (status, out, len(err)) == (2, [], 1)
        assert err[0].startswith("colorizenet: ") and part in err[0]


def test_torch_is_not_imported(folder, tmp_path):
    program = f"""
import io, sys
from colorizenet.cli import main
try:
    main({["prepare", str(folder), str(tmp_path / "out"), "--size", "32"]!r})
except SystemExit as ended:
    sys.exit(ended.code or ("torch imported" if "torch" in sys.modules else 0))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
