"""Many pictures: where results go, and that one bad file does not stop the rest."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import pyvips
import tifffile

from colorizenet import batch
from colorizenet.batch import Job, colorize_all, contact_sheet, open_journal, plan
from colorizenet.colorizer import Colorizer
from colorizenet.errors import ConfigError
from colorizenet.imaging import metadata as saving
from colorizenet.imaging.image import Image
from colorizenet.imaging.reading import open_image, read_image
from colorizenet.imaging.writing import encode_image, write_image


def in_red(image: Image) -> Image:
    """A colorizer that needs no network."""
    return image.with_pixels(np.dstack([image.pixels, image.pixels // 2, image.pixels // 2]))


@pytest.fixture
def photograph(gray):
    def save(path: Path, format: str = "jpeg") -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_image(Image(gray), format))
        return path

    return save


def targets(jobs, out):
    return {job.source.name: job.target.relative_to(out).as_posix() for job in jobs}


def test_a_folder_is_mirrored_and_names_are_kept(tmp_path, photograph):
    for name in ("a.jpg", "deep/er/b.JPG", "deep/c.jpeg"):
        photograph(tmp_path / "in" / name)
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    photograph(tmp_path / "in" / ".hidden.jpg")
    jobs = plan([tmp_path / "in"], tmp_path / "out")
    assert targets(jobs, tmp_path / "out") == {
        "a.jpg": "a.jpg",
        "b.JPG": "deep/er/b.JPG",
        "c.jpeg": "deep/c.jpeg",
    }


def test_several_folders_keep_their_own_names(tmp_path, photograph):
    one, two = photograph(tmp_path / "one" / "a.jpg"), photograph(tmp_path / "two" / "a.jpg")
    jobs = plan([one.parent, two.parent], tmp_path / "out")
    assert [job.target.relative_to(tmp_path / "out").as_posix() for job in jobs] == [
        "one/a.jpg",
        "two/a.jpg",
    ]


def test_no_two_results_share_a_name(tmp_path, photograph):
    folder = tmp_path / "in"
    for name in ("a.jpg", "a.jpeg", "a.png", "A.JPG", "a.jpg.png"):
        photograph(folder / name, "png" if name.endswith(".png") else "jpeg")
    jobs = plan([folder], tmp_path / "out", format="png")
    names = [str(job.target).casefold() for job in jobs]
    assert len(names) == 5 == len(set(names))
    assert all(job.target.suffix == ".png" for job in jobs)


def test_a_result_is_never_put_over_its_input(tmp_path, photograph):
    path = photograph(tmp_path / "a.jpg")
    (job,) = plan([path], tmp_path)
    assert job.target != path
    before = path.read_bytes()
    assert [done.error for done in colorize_all([job], in_red)] == [None]
    assert path.read_bytes() == before and job.target.exists()


def test_a_result_is_never_put_over_another_input(tmp_path, photograph):
    """a.png is an input of the same call, and the result of a.jpg as PNG would have its name."""
    first, second = photograph(tmp_path / "a.jpg"), photograph(tmp_path / "a.png", "png")
    jobs = plan([first, second], tmp_path, format="png")
    assert not {job.target for job in jobs} & {first, second}


def test_results_inside_the_input_folder_are_not_read_again(tmp_path, photograph):
    photograph(tmp_path / "a.jpg")
    out = tmp_path / "colorized"
    for _ in range(2):
        jobs = plan([tmp_path], out)
        assert targets(jobs, out) == {"a.jpg": "a.jpg"}
        list(colorize_all(jobs, in_red, overwrite=True))


def test_the_ending_is_that_of_the_format_it_really_is(tmp_path, photograph):
    photograph(tmp_path / "in" / "really-a-png.jpg", "png")
    (job,) = plan([tmp_path / "in"], tmp_path / "out")
    assert job.target.name == "really-a-png.png"


def test_one_bad_file_does_not_stop_the_rest(tmp_path, photograph):
    folder = tmp_path / "in"
    for name in "abcde":
        photograph(folder / f"{name}.jpg")
    (folder / "b.jpg").write_bytes((folder / "b.jpg").read_bytes()[:4000])
    (folder / "d.jpg").write_bytes(b"")
    (folder / "e.jpg").unlink()
    (folder / "e.jpg").symlink_to(folder / "nowhere")
    out = tmp_path / "out"
    done = list(colorize_all(plan([folder], out), in_red, workers=3))
    assert [Path(d.job.source).name for d in done] == [
        "a.jpg",
        "b.jpg",
        "c.jpg",
        "d.jpg",
        "e.jpg",
    ], "in order"
    assert [bool(d.error) for d in done] == [False, True, False, True, True]
    assert sorted(path.name for path in out.iterdir()) == ["a.jpg", "c.jpg"], "nothing half-written"
    assert "b.jpg" in done[1].error and "cut short" in done[1].error


def test_results_that_are_there_are_left_alone_unless_told(tmp_path, photograph):
    jobs = plan([photograph(tmp_path / "a.jpg")], tmp_path / "out")
    list(colorize_all(jobs, in_red))
    jobs[0].target.write_bytes(b"mine")
    (done,) = colorize_all(jobs, in_red)
    assert done.skipped and jobs[0].target.read_bytes() == b"mine"
    (done,) = colorize_all(jobs, in_red, overwrite=True)
    assert not done.skipped and read_image(jobs[0].target).pixels.ndim == 3


def test_a_place_that_cannot_be_written_fails_that_picture_only(tmp_path, photograph):
    jobs = plan(
        [photograph(tmp_path / "in" / "deep" / "a.jpg"), photograph(tmp_path / "b.jpg")],
        tmp_path / "out",
    )
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.jpg").mkdir()
    done = list(colorize_all(jobs, in_red, overwrite=True))
    assert "cannot be written" in done[0].error and done[1].error is None


def test_names_that_no_one_expects(tmp_path, photograph):
    folder = tmp_path / "in"
    for name in ("two\nlines.jpg", "émoji 🌻.jpg", "[bold]rich[/bold].jpg", "-dash.jpg"):
        photograph(folder / name)
    undecodable = folder / os.fsdecode(b"latin-\xe9.jpg")
    photograph(undecodable)
    out = tmp_path / "out"
    done = list(colorize_all(plan([folder], out), in_red))
    assert not any(d.error for d in done)
    assert {path.name for path in out.iterdir()} == {path.name for path in folder.iterdir()}


def test_the_contact_sheet_shows_gray_beside_color(tmp_path, photograph):
    path = photograph(tmp_path / "a.jpg")
    result = tmp_path / "color.png"
    write_image(result, in_red(read_image(path)))
    sheet = contact_sheet([(path, result)] * 3, tile=100).pixels
    assert sheet.shape == (2 * (61 + 8), 400, 3)
    chroma = np.ptp(sheet.astype(int), axis=2)
    assert chroma[10:60, 10:90].max() <= 1, "left is gray"
    assert chroma[10:60, 110:190].max() > 30, "right is in color"
    assert (sheet[69:, 200:] == 255).all(), "the fourth place is empty"
    with pytest.raises(ConfigError, match="at least one"):
        contact_sheet([])


def test_whose_name_a_result_gets_does_not_depend_on_its_neighbors_order(tmp_path, photograph):
    for name in ("p.jpg", "p.jpeg", "q.jpg"):
        photograph(tmp_path / "in" / name)
    jobs = plan([tmp_path / "in"], tmp_path / "out", format="png")
    assert targets(jobs, tmp_path / "out") == {
        "p.jpg": "p.jpg.png",
        "p.jpeg": "p.jpeg.png",
        "q.jpg": "q.png",
    }


def test_too_little_memory_fails_that_picture_only(tmp_path, photograph):
    def starved(image: Image) -> Image:
        if image.format == "png":
            raise MemoryError
        return in_red(image)

    photograph(tmp_path / "in" / "a.png", "png")
    photograph(tmp_path / "in" / "b.jpg")
    first, second = colorize_all(plan([tmp_path / "in"], tmp_path / "out"), starved)
    assert first.error and "more memory" in first.error and second.error is None


def colored(
    tmp_path: Path, source: Path, colorizer: Colorizer, streamed: bool, monkeypatch, format=None
) -> Image:
    monkeypatch.setattr(batch, "STREAMED", 0 if streamed else 1 << 40)
    job = Job(source, tmp_path / f"{source.stem}-{streamed}{source.suffix}", format)
    (done,) = colorize_all([job], colorizer, stream=colorizer.strips, note="noted")
    assert done.error is None, done.error
    return read_image(job.target)


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
def test_what_is_streamed_is_what_would_be_made_at_once(
    ending, dtype, channels, alpha, shape, tmp_path, make_model, color, monkeypatch
):
    monkeypatch.setattr(batch, "_TASK_PIXELS", 1 << 15)
    picture = (
        pyvips.Image.new_from_array(color).resize(shape[1] / 451, vscale=shape[0] / 300).numpy()
    )
    scale = {"uint8": 1, "uint16": 257, "float32": np.float32(1 / 255)}[dtype]
    pixels = np.ascontiguousarray(
        (picture if channels == 3 else picture[..., 1]).astype(dtype) * scale
    ).astype(dtype)
    glass = np.ascontiguousarray(pixels[..., 0] if channels == 3 else pixels) if alpha else None
    exif = {"exif-ifd0-Artist": (pyvips.GValue.gstr_type, "Lange (ASCII)")}
    write_image(
        tmp_path / f"in{ending}", Image(pixels, glass, carried=exif, resolution=(11.8, 11.8))
    )
    colorizer = Colorizer(make_model(slope_a=0.5, slope_b=-0.5))
    streamed, whole = (
        colored(tmp_path, tmp_path / f"in{ending}", colorizer, s, monkeypatch)
        for s in (True, False)
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
    assert "Lange" in str(streamed.carried["exif-data"]) and "noted" in str(
        streamed.carried["exif-data"]
    )
    assert sorted(path.name for path in tmp_path.glob(".*")) == []


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize(
    ("dtype", "alpha"), [("uint8", False), ("uint16", True), ("float32", False)]
)
def test_an_uncompressed_tiff_is_written_row_by_row_as_libvips_would(
    dtype, alpha, big, tmp_path, make_model, gray, monkeypatch
):
    monkeypatch.setattr(batch, "_TASK_PIXELS", 1 << 14)
    if big:
        chosen = saving.options
        monkeypatch.setattr(saving, "options", lambda *of: chosen(*of) | {"bigtiff": True})
    scale = {"uint8": 1, "uint16": 257, "float32": np.float32(1 / 255)}[dtype]
    pixels = (gray.astype(dtype) * scale).astype(dtype)
    rdf = (
        b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><!--'
        + b"x" * (2 << 20)
        + b"--></rdf:RDF>"
    )
    xmp = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/">' + rdf + b"</x:xmpmeta>"
    )  # more than is read of strangers' tags
    carried = {"exif-ifd0-Artist": (pyvips.GValue.gstr_type, "Lange (ASCII)")}
    carried["xmp-data"] = (pyvips.GValue.blob_type, xmp)
    source = Image(
        pixels,
        pixels if alpha else None,
        carried=carried,
        resolution=(11.8, 11.8),
        compression="none",
    )
    write_image(tmp_path / "in.tif", source)
    colorizer = Colorizer(make_model(slope_a=0.5, slope_b=-0.5))
    for streamed in (True, False):
        colored(tmp_path, tmp_path / "in.tif", colorizer, streamed, monkeypatch)
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


def test_pages_and_turned_pictures_are_streamed_too(tmp_path, make_model, gray, monkeypatch):
    colorizer = Colorizer(make_model(slope_a=0.5, slope_b=-0.5))
    pages = np.concatenate([gray, 255 - gray, gray])
    write_image(tmp_path / "pages.tif", Image(pages, pages=3))
    turned = pyvips.Image.new_from_array(gray[..., None]).copy()
    turned.set_type(pyvips.GValue.gint_type, "orientation", 6)
    turned.jpegsave(str(tmp_path / "turned.jpg"))
    for name, shape in (("pages.tif", (900, 451)), ("turned.jpg", (451, 300))):
        streamed, whole = (
            colored(tmp_path, tmp_path / name, colorizer, s, monkeypatch) for s in (True, False)
        )
        assert streamed.pixels.shape[:2] == shape and streamed.pages == whole.pages == (
            3 if shape[0] == 900 else 1
        )
        assert np.abs(streamed.pixels.astype(int) - whole.pixels).max() <= (
            1 if shape[0] == 900 else 12
        )
    one = colorizer(Image(gray)).pixels
    streamed = read_image(tmp_path / "pages-True.tif").pixels
    assert np.abs(streamed[:300].astype(int) - one).max() <= 1, "each page is a picture of its own"


def test_memory_does_not_grow_with_the_picture(tmp_path):
    """40 megapixels of 16 bits are 80 MB gray and 240 MB in color; whole, that would be twice in memory."""
    pyvips.Image.identity(ushort=True).resize(8000 / 65536, vscale=5000).tiffsave(
        str(tmp_path / "in.tif")
    )
    program = (
        "import re, sys, pathlib, colorizenet.cli as cli\n"
        "try: cli.main(sys.argv[1:])\n"
        # Not getrusage: its peak is at least that of the process that started this one
        "finally:\n"
        "    peak = re.search(r'VmHWM:\\s+(\\d+)', pathlib.Path('/proc/self/status').read_text())[1]\n"
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
        assert picture.shape == (5000, 8000) and picture.dtype == np.uint16 and picture.color


def test_a_damaged_end_of_a_streamed_picture_leaves_nothing(
    tmp_path, make_model, gray, monkeypatch
):
    monkeypatch.setattr(batch, "STREAMED", 0)
    encoded = encode_image(Image(gray), "tiff")
    (tmp_path / "cut.tif").write_bytes(
        encoded[:8] + encoded[8 : len(encoded) // 2].ljust(len(encoded) - 8, b"x")
    )
    colorizer = Colorizer(make_model())
    (done,) = colorize_all(
        [Job(tmp_path / "cut.tif", tmp_path / "out.tif")], colorizer, stream=colorizer.strips
    )
    assert done.error and "damaged or cut short" in done.error
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".onnx"] == ["cut.tif"]


def rerun(jobs, out, way="one way", **options):
    with open_journal(out, way, jobs) as journal:
        done = list(colorize_all(jobs, in_red, journal=journal, **options))
    return ["failed" if each.error else "skipped" if each.skipped else "made" for each in done]


def test_results_are_made_again_when_the_way_or_the_photograph_changed(tmp_path, photograph):
    out = tmp_path / "out"
    jobs = plan([photograph(tmp_path / "in" / "a.jpg"), photograph(tmp_path / "in" / "b.jpg")], out)
    assert rerun(jobs, out) == ["made", "made"]
    assert rerun(jobs, out) == ["skipped", "skipped"]
    assert rerun(jobs, out, way="another") == ["made", "made"]
    write_image(tmp_path / "in" / "b.jpg", Image(np.zeros((9, 9), np.uint8)))
    assert rerun(jobs, out, way="another") == ["skipped", "made"]
    assert rerun(jobs, out, way="another", overwrite=True) == ["made", "made"]
    (tmp_path / "in" / "a.jpg").unlink()
    assert rerun(jobs, out, way="another") == ["skipped", "skipped"], "what is left of it"


def test_what_somebody_else_put_there_is_left_alone(tmp_path, photograph):
    out = tmp_path / "out"
    jobs = plan([photograph(tmp_path / "in" / "a.jpg"), photograph(tmp_path / "in" / "b.jpg")], out)
    out.mkdir()
    jobs[0].target.write_bytes(b"mine")
    assert rerun(jobs, out) == ["skipped", "made"]
    jobs[1].target.write_bytes(b"retouched")
    assert rerun(jobs, out, way="another") == ["skipped", "skipped"]
    assert jobs[0].target.read_bytes() == b"mine" and jobs[1].target.read_bytes() == b"retouched"


def test_a_journal_that_was_cut_short_or_written_over_costs_only_what_it_does_not_say(
    tmp_path, photograph
):
    out = tmp_path / "out"
    jobs = plan([photograph(tmp_path / "in" / f"{name}.jpg") for name in "abc"], out)
    rerun(jobs, out)
    lines = out / ".colorizenet" / "results.jsonl"
    lines.write_bytes(b"\xff\x00 no json\n[1]\n" + lines.read_bytes()[:-20])
    jobs[2].target.unlink()
    assert rerun(jobs, out) == ["skipped", "skipped", "made"]
    assert rerun(jobs, out, way="another") == ["made", "made", "made"]


def test_half_written_files_of_a_killed_run_are_removed(tmp_path, photograph):
    out = tmp_path / "out"
    jobs = plan([photograph(tmp_path / "in" / "deep" / "a.jpg").parents[1]], out)
    (out / "deep").mkdir(parents=True)
    (out / "deep" / ".colorizenet-0123456789abcdef.part").write_bytes(b"half")
    (out / "deep" / "mine.part").write_bytes(b"mine")
    rerun(jobs, out)
    assert sorted(path.name for path in (out / "deep").iterdir()) == ["a.jpg", "mine.part"]


def test_two_runs_do_not_write_into_one_folder(tmp_path, photograph):
    out = tmp_path / "out"
    jobs = plan([photograph(tmp_path / "a.jpg")], out)
    with (
        open_journal(out, "", jobs),
        pytest.raises(ConfigError, match="another run is writing into"),
    ):
        rerun(jobs, out)


def test_a_format_that_cannot_hold_a_picture_is_replaced_and_said(tmp_path, photograph):
    write_image(
        tmp_path / "glass.png", Image(np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.uint8))
    )
    frame = pyvips.Image.identity().embed(0, 0, 256, 9).write_to_buffer(".gif")
    (tmp_path / "frame.gif").write_bytes(frame)
    (glass,) = plan([tmp_path / "glass.png"], tmp_path / "out", format="jpeg")
    assert (glass.target.name, glass.format) == (
        "glass.png",
        "png",
    ) and "transparency" in glass.reason
    (kept,) = plan([tmp_path / "frame.gif"], tmp_path / "out")
    assert kept.target.name == "frame.png" and "gif" in kept.reason
