"""Many photos: a result is whole or absent, and a bad file does not stop the others."""

import json
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest
import pyvips
import tifffile

import colorizenet
from colorizenet.batch import Engine, Worker, run_threads
from colorizenet.colorizer import Colorizer
from colorizenet.errors import ConfigError, DeviceError, ImageError, ModelFileError
from colorizenet.imaging import tiff, writing
from colorizenet.imaging.image import Image, Metadata
from colorizenet.imaging.reading import open_image, read_image
from colorizenet.imaging.writing import encode_image, write_image
from colorizenet.journal import lock_results
from colorizenet.options import Hint, Options, Output, choices
from colorizenet.planning import Job, plan_jobs

EXIF = tiff.make_exif_block({315: (tiff.ASCII, b"Lange\0")})


@pytest.fixture
def save_photo(gray):
    def save(path: Path, format: str = "jpeg") -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_image(Image(gray), format))
        return path

    return save


@pytest.fixture
def worker(make_model) -> Worker:
    """A worker with a tiny network that replaces nothing."""
    return Worker(model=make_model(slope_a=0.5, slope_b=-0.5), threads=2)


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_one_bad_file_does_not_stop_the_others(tmp_path, save_photo, worker):
    folder = tmp_path / "in"
    for name in "abcde":
        save_photo(folder / f"{name}.jpg")
    (folder / "b.jpg").write_bytes((folder / "b.jpg").read_bytes()[:4000])
    (folder / "d.jpg").write_bytes(b"")
    (folder / "e.jpg").unlink()
    (folder / "e.jpg").symlink_to(folder / "nowhere")
    out = tmp_path / "out"
    done = list(run_threads(plan_jobs([folder], out), worker, workers=3))
    assert [each.job.source.name for each in done] == [f"{name}.jpg" for name in "abcde"]
    assert [bool(each.error) for each in done] == [False, True, False, True, True]
    assert sorted(path.name for path in out.iterdir()) == ["a.jpg", "c.jpg"]
    assert done[1].error and "b.jpg" in done[1].error and "cut short" in done[1].error


def test_a_photo_that_is_moved_away_while_it_is_in_work_costs_only_itself(
    tmp_path, save_photo, worker
):
    class MovingWorker(Worker):
        def _make_options(self, job):
            if job.source.name == "a.jpg":
                job.source.rename(tmp_path / "moved.jpg")
            return super()._make_options(job)

    folder = save_photo(tmp_path / "in" / "a.jpg").parent
    save_photo(folder / "b.jpg")
    jobs = plan_jobs([folder], tmp_path / "out", sidecar="also")
    first, second = run_threads(jobs, MovingWorker(model=worker.model))
    assert first.error and "a.jpg cannot be read any more: No such file" in first.error
    assert not second.error and second.job.target.exists()


def test_files_that_exist_are_skipped_without_overwrite(tmp_path, save_photo, worker):
    jobs = plan_jobs([save_photo(tmp_path / "a.jpg")], tmp_path / "out")
    list(run_threads(jobs, worker))
    jobs[0].target.write_bytes(b"mine")
    (done,) = run_threads(jobs, worker)
    assert done.skipped == "exists" and jobs[0].target.read_bytes() == b"mine"
    (done,) = run_threads(jobs, replace(worker, overwrite=True))
    assert not done.skipped and read_image(jobs[0].target).pixels.ndim == 3


def test_a_source_is_not_changed_when_the_results_are_in_its_folder(tmp_path, save_photo, worker):
    path = save_photo(tmp_path / "in" / "a.jpg")
    before = path.read_bytes()
    jobs = plan_jobs([path], path.parent)
    assert [done.error for done in run_threads(jobs, worker)] == [None]
    assert path.read_bytes() == before and jobs[0].target.exists()


def test_a_target_that_cannot_be_written_fails_alone(tmp_path, save_photo, worker):
    jobs = plan_jobs(
        [save_photo(tmp_path / "in" / "deep" / "a.jpg"), save_photo(tmp_path / "b.jpg")],
        tmp_path / "out",
    )
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.jpg").mkdir()
    first, second = run_threads(jobs, replace(worker, overwrite=True))
    assert first.error and "cannot be written" in first.error and second.error is None


def test_a_name_without_room_for_that_of_a_sidecar_is_to_be_shortened(tmp_path, save_photo, worker):
    photos = [save_photo(tmp_path / "in" / f"{'a' * length}.jpg") for length in (239, 240)]
    jobs = plan_jobs(photos, tmp_path / "out", sidecar="only")
    fitting, long = run_threads(jobs, replace(worker, journal=tmp_path / "out"))
    assert fitting.error is None
    assert long.error and long.error.endswith("; shorten the name of the photo or of --out")


def test_unusual_names_are_written(tmp_path, save_photo, worker):
    folder = tmp_path / "in"
    for name in ("two\nlines.jpg", "émoji 🌻.jpg", "[bold]rich.jpg", "-dash.jpg"):
        save_photo(folder / name)
    save_photo(folder / os.fsdecode(b"latin-\xe9.jpg"))
    out = tmp_path / "out"
    assert not any(done.error for done in run_threads(plan_jobs([folder], out), worker))
    assert {path.name for path in out.iterdir()} == {path.name for path in folder.iterdir()}


ERRORS_ABOUT_MEMORY = [MemoryError(), cv2.error("memory"), pyvips.Error("memory")]


@pytest.mark.parametrize("error", ERRORS_ABOUT_MEMORY)
def test_too_little_memory_fails_alone(error, tmp_path, save_photo, worker):
    class Starved(Colorizer):
        def reduce(self, picture, *arguments, **settings):
            if picture.format == "png":
                raise error
            return super().reduce(picture, *arguments, **settings)

    class StarvedWorker(Worker):
        @property
        def colorizer(self):
            return Starved(self.model)

    save_photo(tmp_path / "in" / "a.png", "png")
    save_photo(tmp_path / "in" / "b.jpg")
    jobs = plan_jobs([tmp_path / "in"], tmp_path / "out")
    first, second = run_threads(jobs, StarvedWorker(model=worker.model))
    assert first.error and "more memory" in first.error and second.error is None
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["b.jpg"]


def test_too_little_memory_for_the_network_fails_alone(tmp_path, save_photo, worker):
    from onnxruntime.capi.onnxruntime_pybind11_state import RuntimeException

    class Starved(Colorizer):
        def predict(self, picture, options=Options(), *, count=1):
            raise RuntimeException("bad allocation")

    class StarvedWorker(Worker):
        @property
        def colorizer(self):
            return Starved(self.model)

    jobs = plan_jobs([save_photo(tmp_path / "a.jpg")], tmp_path / "out")
    (done,) = run_threads(jobs, StarvedWorker(model=worker.model))
    assert done.error and "more memory" in done.error


def test_black_and_white_pixels_give_a_warning(tmp_path, gray, worker):
    bits = np.where(gray > 128, np.uint8(255), np.uint8(0))
    pyvips.Image.new_from_array(bits[..., None]).tiffsave(str(tmp_path / "a.tif"), bitdepth=1)
    for stream_above in (0, 1 << 40):
        target = tmp_path / f"out-{stream_above}.tif"
        done = replace(worker, stream_above=stream_above)(Job(tmp_path / "a.tif", (target,)))
        assert done.error is None
        assert any("only black and white pixels" in line for line in done.warnings)


@pytest.mark.parametrize("stream_above", [0, 1 << 40])
@pytest.mark.parametrize("damage", ["cut short", "damaged"])
def test_a_tiled_photo_that_cannot_be_decoded_leaves_no_result(
    damage, stream_above, tmp_path, gray, worker
):
    tifffile.imwrite(tmp_path / "a.tif", gray, tile=(64, 64), compression="zlib")
    encoded = bytearray((tmp_path / "a.tif").read_bytes())
    middle = len(encoded) // 2
    if damage == "cut short":
        with tifffile.TiffFile(tmp_path / "a.tif") as file:
            del encoded[file.pages[0].dataoffsets[-1] + 20 :]
    else:
        encoded[middle : middle + 64] = bytes(range(64))
    (tmp_path / "a.tif").write_bytes(bytes(encoded))
    target = tmp_path / "out.tif"
    done = replace(worker, stream_above=stream_above)(Job(tmp_path / "a.tif", (target,)))
    assert done.error and "damaged or cut short" in done.error
    assert not target.exists()


def test_a_model_or_device_that_cannot_be_used_stops_the_run(tmp_path, save_photo):
    jobs = plan_jobs([save_photo(tmp_path / "a.jpg")], tmp_path / "out")
    with pytest.raises(ModelFileError):
        list(run_threads(jobs, Worker(model="missing.onnx")))
    with pytest.raises(DeviceError):
        list(run_threads(jobs, Worker(device="abacus")))


def test_a_worker_survives_pickling_and_gives_the_same_bytes(tmp_path, save_photo, worker):
    """Also after it has loaded its model, and in another process."""
    source = save_photo(tmp_path / "a.jpg")
    out = tmp_path / "out"
    worker = replace(worker, options=Options(strength=1.5), journal=out)
    first = worker(Job(source, (out / "first.jpg",)))
    assert first.error is None
    pickled = pickle.dumps(worker)
    assert len(pickled) < 5000, "settings only, not the model"
    copy = pickle.loads(pickled)
    assert copy == worker
    assert copy(Job(source, (out / "second.jpg",))).error is None
    (tmp_path / "job.pickle").write_bytes(pickle.dumps((worker, Job(source, (out / "third.jpg",)))))
    program = (
        "import pickle, sys; worker, job = pickle.load(open(sys.argv[1], 'rb'));"
        "sys.exit(worker(job).error)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "job.pickle")]
    subprocess.run(command, check=True, timeout=60)
    results = files_in(out)
    assert results["first.jpg"] == results["second.jpg"] == results["third.jpg"]
    again = pickle.loads(pickled)
    for name in ("first", "second", "third"):
        assert again(Job(source, (out / f"{name}.jpg",))).skipped == "exists"


def test_any_engine_can_run_a_worker(tmp_path, save_photo, worker):
    """An engine takes jobs and a worker, and yields the outcomes in order."""

    def run_in_turn(jobs, worker):
        for job in jobs:
            yield pickle.loads(pickle.dumps(worker))(pickle.loads(pickle.dumps(job)))

    for name in "abc":
        save_photo(tmp_path / "in" / f"{name}.jpg")
    engines: list[Engine] = [run_in_turn, partial(run_threads, workers=2)]
    results = []
    for number, engine in enumerate(engines):
        out = tmp_path / f"out-{number}"
        done = list(engine(plan_jobs([tmp_path / "in"], out), worker))
        assert [each.job.source.name for each in done] == ["a.jpg", "b.jpg", "c.jpg"]
        results.append(files_in(out))
    assert results[0] == results[1] and len(results[0]) == 3


def test_a_run_that_is_stopped_finishes_what_it_began_and_begins_nothing_more(
    tmp_path, save_photo, worker
):
    for number in range(30):
        save_photo(tmp_path / "in" / f"{number:02}.jpg")
    out = tmp_path / "out"
    engine = run_threads(plan_jobs([tmp_path / "in"], out), worker, workers=2)
    next(engine)
    engine.close()
    names = sorted(files_in(out))
    assert 1 <= len(names) < 12
    assert not any(name.endswith(".part") for name in names)


def test_the_journal_key_has_every_choice(worker):
    key = json.loads(worker.journal_key)
    names = {choice.name for kind in (Options, Output) for choice in choices(kind)}
    assert key.keys() == names | {"version", "model"}
    assert key["model"] == worker.colorizer.sha256
    assert replace(worker, options=Options(tta=True)).journal_key != worker.journal_key
    of_numpy = Options(strength=np.float32(1), hints=(Hint(x=0, y=np.float32(1), rgb=None),))
    assert json.loads(replace(worker, options=of_numpy).journal_key)["strength"] == 1
    assert replace(worker, output=Output(quality=50)).journal_key != worker.journal_key


@pytest.mark.parametrize("stream_above", [1, 1 << 40])
def test_only_photos_whose_hints_have_changed_are_redone(
    tmp_path, save_photo, worker, stream_above
):
    sources = [save_photo(tmp_path / "in" / f"{name}.jpg") for name in "ab"]
    jobs = plan_jobs([tmp_path / "in"], tmp_path / "out")
    red = Hint(x=0.5, y=0.5, rgb=(200, 30, 30), radius=0.1)

    def run(*hints: Hint) -> list[bool]:
        own = {sources[0]: hints} if hints else {}
        each = replace(worker, hints=own, stream_above=stream_above, journal=tmp_path / "out")
        return [not done.skipped for done in run_threads(jobs, each)]

    assert run() == [True, True]
    plain = jobs[0].target.read_bytes()
    assert run(red) == [True, False] and run(red) == [False, False]
    hinted = jobs[0].target.read_bytes()
    assert b"colors reconstructed, 1 user hint" in hinted
    assert run(replace(red, x=0.4)) == [True, False]
    assert run(red) == [True, False] and jobs[0].target.read_bytes() == hinted
    assert run() == [True, False] and jobs[0].target.read_bytes() == plain
    two = (red, replace(red, x=0.4))
    assert run(*two) == [True, False] and run(*two[::-1]) == [False, False]


def test_color_photos_are_left_out_or_named_in_a_warning(tmp_path, color_photograph, gray, worker):
    folder = tmp_path / "in"
    folder.mkdir()
    write_image(folder / "color.png", Image(color_photograph))
    write_image(folder / "gray.png", Image(np.dstack([gray] * 3)))
    for stream_above in (1, 1 << 40):
        out = tmp_path / f"out-{stream_above}"
        jobs = plan_jobs([folder], out)
        each = replace(worker, stream_above=stream_above)
        color, plain = run_threads(jobs, replace(each, skip_color=True))
        assert color.skipped == "in color" and color.error is None and not plain.skipped
        assert sorted(files_in(out)) == ["gray.png"]
        color, plain = run_threads(jobs, each)
        assert plain.skipped == "exists" and not color.skipped
        assert len(color.warnings) == 1 and "color.png is already in color" in color.warnings[0]


def test_provenance_is_written_unless_it_is_switched_off(tmp_path, save_photo, worker):
    source = save_photo(tmp_path / "a.jpg")
    worker(Job(source, (tmp_path / "with.jpg",)))
    replace(worker, output=Output(provenance=False))(Job(source, (tmp_path / "without.jpg",)))
    assert b"ColorizeNet" in (tmp_path / "with.jpg").read_bytes()
    assert b"ColorizeNet" not in (tmp_path / "without.jpg").read_bytes()


def test_what_a_format_does_not_hold_is_a_warning_or_an_error(tmp_path, gray, worker):
    write_image(tmp_path / "alpha.png", Image(gray, gray))
    done = worker(Job(tmp_path / "alpha.png", (tmp_path / "x.jpg",), "jpeg"))
    assert done.error and "cannot be written as jpeg: jpeg holds no transparency" in done.error
    assert not (tmp_path / "x.jpg").exists()
    iptc = Metadata(iptc=b"\x1c\x02\x05\x00\x01x")
    write_image(tmp_path / "iptc.tif", Image(gray, metadata=iptc))
    done = worker(Job(tmp_path / "iptc.tif", (tmp_path / "x.webp",), "webp"))
    assert done.error is None and len(done.warnings) == 1
    assert "IPTC" in done.warnings[0] and "webp" in done.warnings[0]
    both = Metadata(exif=tiff.make_exif_block({40091: (tiff.BYTE, bytes(70_000))}))
    both = replace(both, texts=((b"tEXt", b"Title\0Mill"),))
    write_image(tmp_path / "long.png", Image(gray, metadata=both))
    done = worker(Job(tmp_path / "long.png", (tmp_path / "y.jpg",), "jpeg"))
    assert done.error is None and len(done.warnings) == 2
    assert "long.png has text, which jpeg does not hold and is left out" in done.warnings[0]
    assert "more EXIF than jpeg holds, and its longest tag is left out" in done.warnings[1]


def rerun(jobs, out, worker, **settings) -> list[str]:
    with lock_results(out, [job.target for job in jobs]):
        done = list(run_threads(jobs, replace(worker, journal=out, **settings)))
    return ["failed" if each.error else each.skipped or "written" for each in done]


def test_photos_are_redone_when_they_or_a_setting_changed(tmp_path, save_photo, worker):
    out = tmp_path / "out"
    sources = [save_photo(tmp_path / "in" / "a.jpg"), save_photo(tmp_path / "in" / "b.jpg")]
    jobs = plan_jobs(sources, out)
    calm = replace(worker, options=Options(strength=0.5))
    assert rerun(jobs, out, worker) == ["written", "written"]
    assert rerun(jobs, out, worker) == ["exists", "exists"]
    assert rerun(jobs, out, calm) == ["written", "written"]
    write_image(tmp_path / "in" / "b.jpg", Image(np.zeros((9, 9), np.uint8)))
    assert rerun(jobs, out, calm) == ["exists", "written"]
    assert rerun(jobs, out, calm, overwrite=True) == ["written", "written"]
    (tmp_path / "in" / "a.jpg").unlink()
    assert rerun(jobs, out, worker) == ["exists", "written"], "a cannot be made again"


def test_files_of_others_are_left_alone_in_a_folder_of_results(tmp_path, save_photo, worker):
    out = tmp_path / "out"
    sources = [save_photo(tmp_path / "in" / "a.jpg"), save_photo(tmp_path / "in" / "b.jpg")]
    jobs = plan_jobs(sources, out)
    out.mkdir()
    jobs[0].target.write_bytes(b"mine")
    assert rerun(jobs, out, worker) == ["exists", "written"]
    jobs[1].target.write_bytes(b"retouched")
    calm = replace(worker, options=Options(strength=0.5))
    assert rerun(jobs, out, calm) == ["exists", "exists"]
    assert jobs[0].target.read_bytes() == b"mine" and jobs[1].target.read_bytes() == b"retouched"


def colorize_one(
    tmp_path: Path, source: Path, worker: Worker, streamed: bool, strip_pixels: int
) -> Image:
    """The result of one photo, colorized in strips or as a whole."""
    worker = replace(worker, stream_above=0 if streamed else 1 << 40, strip_pixels=strip_pixels)
    target = tmp_path / f"{source.stem}-{streamed}{source.suffix}"
    done = worker(Job(source, (target,)))
    assert done.error is None, done.error
    return read_image(target)


@pytest.mark.parametrize(
    ("ending", "dtype", "channels", "alpha"),
    [
        (".tif", "uint8", 1, False),
        (".tif", "uint16", 1, False),
        (".tif", "uint16", 3, True),
        (".tif", "float32", 1, False),
        (".png", "uint16", 3, False),
        (".png", "uint8", 1, True),
        (".webp", "uint8", 3, True),
    ],
)
@pytest.mark.parametrize("shape", [(601, 903), (1, 1), (5000, 3), (3, 5000)])
def test_a_photo_in_strips_gives_the_result_of_the_whole_photo(
    ending, dtype, channels, alpha, shape, tmp_path, worker, color
):
    picture = (
        pyvips.Image.new_from_array(color).resize(shape[1] / 451, vscale=shape[0] / 300).numpy()
    )
    scale = {"uint8": 1, "uint16": 257, "float32": np.float32(1 / 255)}[dtype]
    pixels = np.ascontiguousarray(
        (picture if channels == 3 else picture[..., 1]).astype(dtype) * scale
    ).astype(dtype)
    glass = np.ascontiguousarray(pixels[..., 0] if channels == 3 else pixels) if alpha else None
    write_image(
        tmp_path / f"in{ending}",
        Image(pixels, glass, metadata=Metadata(exif=EXIF), resolution=(11.8, 11.8)),
    )
    streamed, whole = (
        colorize_one(tmp_path, tmp_path / f"in{ending}", worker, streamed, 1 << 15)
        for streamed in (True, False)
    )
    assert streamed.pixels.shape == (*shape, 3) and streamed.pixels.dtype == dtype
    level = {"uint8": 1, "uint16": 257, "float32": 1 / 255}[dtype] * (
        12 if ending == ".webp" else 1
    )
    assert np.abs(streamed.pixels.astype(float) - whole.pixels).max() <= level
    assert (streamed.alpha is None) == (whole.alpha is None) == (not alpha)
    if alpha:
        assert np.array_equal(streamed.alpha, read_image(tmp_path / f"in{ending}").alpha)
    assert streamed.resolution == whole.resolution
    assert b"Lange" in streamed.metadata.exif
    assert b"colors reconstructed" in streamed.metadata.exif
    assert sorted(path.name for path in tmp_path.glob(".*")) == []


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize(
    ("dtype", "alpha"), [("uint8", False), ("uint16", True), ("float32", False)]
)
def test_an_uncompressed_tiff_in_strips_has_the_tags_that_libvips_writes(
    dtype, alpha, big, tmp_path, worker, gray, monkeypatch
):
    if big:
        choose = writing.choose_options
        forced = {"bigtiff": True}
        monkeypatch.setattr(writing, "choose_options", lambda *of: choose(*of) | forced)
    scale = {"uint8": 1, "uint16": 257, "float32": np.float32(1 / 255)}[dtype]
    pixels = (gray.astype(dtype) * scale).astype(dtype)
    rdf = (
        b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><!--'
        + b"x" * (2 << 20)
        + b"--></rdf:RDF>"
    )
    xmp = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/">' + rdf + b"</x:xmpmeta>"
    )  # longer than the budget for other tags
    source = Image(
        pixels,
        pixels if alpha else None,
        metadata=Metadata(exif=EXIF, xmp=xmp),
        resolution=(11.8, 11.8),
        compression="none",
    )
    write_image(tmp_path / "in.tif", source)
    for streamed in (True, False):
        colorize_one(tmp_path, tmp_path / "in.tif", worker, streamed, 1 << 14)
    with (
        tifffile.TiffFile(tmp_path / "in-True.tif") as rows,
        tifffile.TiffFile(tmp_path / "in-False.tif") as whole,
    ):
        level = {"uint8": 1, "uint16": 257, "float32": 1 / 255}[dtype]
        assert np.abs(rows.asarray().astype(float) - whole.asarray()).max() <= level
        assert rows.is_bigtiff == whole.is_bigtiff == big
        where = ("StripOffsets", "StripByteCounts", "RowsPerStrip")
        of_rows, of_whole = (
            {tag.name: tag.value for tag in file.pages[0].tags if tag.name not in where}
            for file in (rows, whole)
        )
        assert len(rows.pages[0].tags["StripOffsets"].value) > 1
        assert of_rows == of_whole
        assert (
            of_rows["Artist"] == "Lange"
            and len(of_rows["XMP"]) > 2 << 20
            and of_rows["InterColorProfile"]
        )


def test_pages_and_rotated_photos_are_colorized_in_strips(tmp_path, gray, worker):
    pages = np.concatenate([gray, 255 - gray, gray])
    write_image(tmp_path / "pages.tif", Image(pages, pages=3))
    turned = pyvips.Image.new_from_array(gray[..., None]).copy()
    turned.set_type(pyvips.GValue.gint_type, "orientation", 6)
    turned.jpegsave(str(tmp_path / "turned.jpg"))
    for name, shape in (("pages.tif", (900, 451)), ("turned.jpg", (451, 300))):
        streamed, whole = (
            colorize_one(tmp_path, tmp_path / name, worker, streamed, 1 << 15)
            for streamed in (True, False)
        )
        assert streamed.pixels.shape[:2] == shape and streamed.pages == whole.pages == (
            3 if shape[0] == 900 else 1
        )
        assert np.abs(streamed.pixels.astype(int) - whole.pixels).max() <= (
            1 if shape[0] == 900 else 12
        )
    one = worker.colorizer(Image(gray)).pixels
    streamed = read_image(tmp_path / "pages-True.tif").pixels
    assert np.abs(streamed[:300].astype(int) - one).max() <= 1, "each page is colorized by itself"


def test_a_large_photo_is_never_in_memory_as_a_whole(tmp_path):
    """40 megapixels of 16 bits are 80 MB in gray and 240 MB in color."""
    pyvips.Image.identity(ushort=True).resize(8000 / 65536, vscale=5000).tiffsave(
        str(tmp_path / "in.tif")
    )
    program = (
        "import re, sys, pathlib, colorizenet.cli as cli\n"
        "try: cli.main(sys.argv[1:])\n"
        # Not getrusage: its peak includes that of the process that started this one
        "finally:\n"
        "    status = pathlib.Path('/proc/self/status').read_text()\n"
        "    peak = re.search(r'VmHWM:\\s+(\\d+)', status)[1]\n"
        "    print(int(peak) // 1024, file=sys.stderr)"
    )
    command = [
        sys.executable,
        "-c",
        program,
        "colorize",
        tmp_path / "in.tif",
        "--out",
        tmp_path / "out",
    ]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    assert int(done.stderr.split()[-1]) < 450, done.stderr
    with open_image(tmp_path / "out" / "in.tif") as picture:
        assert picture.shape == (5000, 8000) and picture.dtype == np.uint16 and picture.has_color


def test_a_photo_with_a_damaged_end_leaves_no_file(tmp_path, gray, worker):
    encoded = encode_image(Image(gray), "tiff")
    (tmp_path / "cut.tif").write_bytes(
        encoded[:8] + encoded[8 : len(encoded) // 2].ljust(len(encoded) - 8, b"x")
    )
    job = Job(tmp_path / "cut.tif", (tmp_path / "out.tif",))
    done = replace(worker, stream_above=0)(job)
    assert done.error and "damaged or cut short" in done.error
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".onnx"] == ["cut.tif"]


def test_one_call_colorizes_a_photo_into_a_file(tmp_path, save_photo, worker):
    photo = save_photo(tmp_path / "a.png", "png")
    colorizenet.colorize(photo, tmp_path / "b.jpg", model=worker.model, strength=1.4)
    expected = Colorizer(worker.model)(photo, strength=1.4)
    assert (tmp_path / "b.jpg").read_bytes() == encode_image(expected, "jpeg")
    for result, message in (
        (tmp_path / "b.jpg", "exists already"),
        (photo, "is the photo itself"),
        (tmp_path / "c.txt", "use one of .jpg, .png"),
        (tmp_path / "c", "has no known extension"),
    ):
        with pytest.raises(ConfigError, match=message):
            colorizenet.colorize(photo, result, model=worker.model)
    colorizenet.colorize(photo, tmp_path / "b.jpg", model=worker.model, overwrite=True)
    (tmp_path / "d.png").write_bytes(b"no picture")
    with pytest.raises(ImageError, match="not in a supported"):
        colorizenet.colorize(tmp_path / "d.png", tmp_path / "e.png", model=worker.model)
    assert not (tmp_path / "e.png").exists()


def test_photos_of_two_folders_do_not_share_a_result(tmp_path, save_photo, worker):
    one, two = save_photo(tmp_path / "a" / "1.jpg"), save_photo(tmp_path / "b" / "1.jpg")
    os.utime(two, ns=(one.stat().st_atime_ns, one.stat().st_mtime_ns))
    out = tmp_path / "out"
    jobs = [plan_jobs([path], out)[0] for path in (one, two)]
    [first] = run_threads(jobs[:1], replace(worker, journal=out))
    before = files_in(out)
    [second] = run_threads(jobs[1:], replace(worker, journal=out))
    assert first.error is None and files_in(out) == before
    assert second.error and f"is the result of {one}; choose another --out" in second.error
    [forced] = run_threads(jobs[1:], replace(worker, journal=out, overwrite=True))
    assert forced.error is None


def test_a_photo_that_changes_while_it_is_in_work_is_colorized_again(
    tmp_path, save_photo, worker, monkeypatch
):
    photo, out = save_photo(tmp_path / "1.jpg"), tmp_path / "out"
    jobs = plan_jobs([photo], out)
    predict = Colorizer.predict

    def change(*arguments, **settings):
        photo.write_bytes(photo.read_bytes() + b"more")
        return predict(*arguments, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(Colorizer, "predict", change)
        [done] = run_threads(jobs, replace(worker, journal=out))
    assert done.error is None
    assert not replace(worker, journal=out).is_finished(jobs[0])


def test_without_a_journal_files_that_exist_are_kept(tmp_path, save_photo, worker):
    job = Job(save_photo(tmp_path / "in.jpg"), (tmp_path / "1.jpg",), sidecar="also")
    [sidecar] = job.sidecars
    sidecar.write_bytes(b"of the user")
    assert worker(job).error is None
    assert sidecar.read_bytes() == b"of the user" and (tmp_path / "1.jpg").exists()


@pytest.mark.parametrize("stream_above", [10**9, 1000])
def test_a_jpeg_compressed_tiff_keeps_its_transparency(tmp_path, gray, worker, stream_above):
    alpha = np.zeros_like(gray)
    alpha[:, 200:] = 255
    photo = tmp_path / "clear.tif"
    rgba = np.dstack([gray, gray, gray, alpha])
    PIL.Image.fromarray(rgba).save(photo, compression="jpeg")
    out = tmp_path / "out"
    [done] = run_threads(plan_jobs([photo], out), replace(worker, stream_above=stream_above))
    assert done.error is None
    result = read_image(out / "clear.tif")
    assert result.alpha is not None
    assert result.alpha[:, :190].max() < 16 and result.alpha[:, 210:].min() > 240
    assert result.pixels[:, :190].mean() > gray[:, :190].mean() - 10, "nothing is darkened"
