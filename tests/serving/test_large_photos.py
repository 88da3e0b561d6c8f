"""Photos of many bytes are files, and photos of many pixels are colorized in strips."""

import io
import json
import re
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import numpy as np
import pytest

from colorizenet.colorizer import Colorizer
from colorizenet.imaging import tiff
from colorizenet.imaging.image import Image, Metadata
from colorizenet.imaging.reading import read_image
from colorizenet.imaging.writing import encode_image
from colorizenet.serving.jobs import Limits
from colorizenet.serving.limits import PHOTO_BYTES, estimate_memory
from colorizenet.serving.messages import PhotoHeader

LIMITS = Limits(concurrency=2, max_bytes=500_000, spool_bytes=1000, stream_above=10_000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Where the folder of the server is."""
    return tmp_path_factory.mktemp("temporary")


@pytest.fixture(scope="module")
def client(run_server, write_noise_model, folder) -> Iterator[httpx.Client]:
    """A client of a server for which nearly everything is large."""
    model = write_noise_model(folder / "drawing.onnx")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(folder))
        with run_server({"default": partial(Colorizer, model, threads=1)}, LIMITS) as client:
            yield client


@pytest.fixture
def list_files(client, folder, wait_until):
    """The files of photos and results that the server holds."""

    def list_files() -> list[Path]:
        return list(folder.glob("colorizenet-*/photo-*"))

    yield list_files
    wait_until(lambda: not list_files())  # deleted as soon as the response has been sent
    stored = re.findall(r"^colorizenet_(?:stored|buffered)_bytes (\S+)", read_metrics(client), re.M)
    assert stored == ["0.0", "0.0"]


def read_metrics(client: httpx.Client) -> str:
    return client.get("/metrics").text


def make_photo(format: str, dtype: str = "uint8", **more) -> bytes:
    """A photo of 150 x 200 pixels with noise, so that its file is large."""
    plane = np.random.default_rng(1).random((150, 200)) * np.linspace(0.2, 0.8, 200)
    return encode_image(
        Image((plane * np.iinfo(dtype).max).astype(dtype), **more), format, quality=95
    )


@pytest.mark.parametrize(
    ("format", "dtype"), [("jpeg", "uint8"), ("png", "uint16"), ("tiff", "uint8")]
)
@pytest.mark.parametrize("form", [False, True])
def test_a_large_photo_gives_the_same_result_as_a_small_one(
    client, list_files, folder, format, dtype, form
):
    carried = Metadata(exif=tiff.make_exif_block({315: (tiff.ASCII, b"Dorothea Lange\0")}))
    photo = make_photo(format, dtype, metadata=carried)
    body = {"files": {"file": photo}} if form else {"content": photo}
    response = client.post("/v1/colorize", **body)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == f"image/{format}"
    assert int(response.headers["content-length"]) == len(response.content) > LIMITS.spool_bytes
    result = read_image(response.content)
    expected = read_image(
        encode_image(Colorizer(folder / "drawing.onnx", threads=1)(read_image(photo)), format)
    )
    assert result.pixels.dtype == dtype and result.pixels.shape == expected.pixels.shape
    difference = np.abs(result.pixels.astype(float) - expected.pixels) / np.iinfo(dtype).max
    assert difference.max() < (0.05 if format == "jpeg" else 0.005)
    assert b"Dorothea Lange" in response.content


def test_the_settings_of_a_form_apply_to_a_large_photo(client, list_files):
    hints = [{"x": 0.5, "y": 0.5, "color": "#c02020", "radius": 0.2}]
    for first in ("file", "options"):
        parts = {"file": make_photo("png"), "options": json.dumps({"hints": hints}).encode()}
        ordered = {first: parts.pop(first), **parts}
        response = client.post("/v1/colorize", files=ordered)
        red, green, _ = read_image(response.content).pixels[65:85, 90:110].mean(axis=(0, 1))
        assert red > green + 20


def test_the_variants_of_a_large_photo_are_a_zip(client, list_files):
    photo = make_photo("png")
    response = client.post("/v1/colorize?variants=3", content=photo)
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        assert archive.namelist() == [f"variant-{number}.png" for number in (1, 2, 3)]
        pictures = [archive.read(name) for name in archive.namelist()]
    second = client.post("/v1/colorize?variants=3&variant=2", content=photo).content
    assert np.array_equal(read_image(second).pixels, read_image(pictures[1]).pixels)


def test_colors_are_suggested_for_a_large_photo(client, list_files):
    files = {"file": make_photo("jpeg"), "options": b'{"x": 0.5, "y": 0.5}'}
    assert client.post("/v1/suggest", files=files).json()["suggestions"]


def test_a_large_photo_is_deleted_where_it_is_rejected(client, list_files, read_problem):
    sound = make_photo("jpeg")
    cases = [
        (sound[:-2000], 422, "damaged or cut short"),
        (b"no photo" * 1000, 415, "not a photo in a supported format"),
        (bytes(500_001), 413, "larger than the limit of 500,000 bytes"),
    ]
    for content, status, detail in cases:
        assert detail in read_problem(client.post("/v1/colorize", content=content), status)
    chunks = (bytes(100_000) for _ in range(6))  # states no length
    assert "larger than" in read_problem(client.post("/v1/colorize", content=chunks), 413)
    response = client.post("/v1/colorize?format=heic&preview=9", content=sound)
    assert "preview" in read_problem(response, 422)


def test_parts_of_a_form_that_are_not_a_photo_are_not_stored(client, list_files, read_problem):
    files = {"file": make_photo("png"), "options": bytes(100_000)}
    assert "send fewer hints" in read_problem(client.post("/v1/colorize", files=files), 413)
    files = {"file": make_photo("png"), "other": bytes(100_000)}
    assert "the parts file, other" in read_problem(client.post("/v1/colorize", files=files), 400)


def test_a_photo_in_strips_takes_the_same_memory_whatever_its_size():
    small, large = (
        PhotoHeader((side, side), 1, "jpeg", 3, 1, streams=True) for side in (10_000, 40_000)
    )
    estimates = [
        estimate_memory(each, 50_000, tta=False, reading="strips") for each in (small, large)
    ]
    assert estimates[0] == estimates[1] < 3 * PHOTO_BYTES
    assert estimate_memory(large, 50_000, tta=False) > 20 * estimates[1]
