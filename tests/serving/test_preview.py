"""Small results, single variants, and the description of a server."""

import io
import zipfile
from functools import partial

import numpy as np
import pytest

from colorizenet import __version__
from colorizenet.colorizer import Colorizer
from colorizenet.imaging import tiff
from colorizenet.imaging.image import Image, Metadata
from colorizenet.imaging.reading import read_image
from colorizenet.imaging.writing import encode_image
from colorizenet.serving.jobs import Limits


def make_photo(height: int, width: int, format: str, dtype: str = "uint8", **more) -> bytes:
    """A photo with soft structure, which survives reduction."""
    down, across = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    plane = 0.2 + 0.6 * (np.sin(4 * across) ** 2 + down) / 2
    largest = {"uint8": 255, "uint16": 65535}.get(dtype, 1)
    return encode_image(Image((plane * largest).astype(dtype), **more), format)


def test_the_server_describes_itself(api):
    info = api.get("/v1/info").json()
    assert info["version"] == __version__ and info["license"] == "Apache-2.0"
    assert info["models"] == api.get("/v1/models").json()
    assert info["models"][0]["takes_hints"] is True
    assert info["limits"] == {"max_bytes": 2_000_000, "max_pixels": 1_000_000, "max_pages": 20}
    assert {"jpeg", "png", "tiff", "webp", "avif"} <= set(info["formats"])
    assert "gif" in info["readable"] and "gif" not in info["formats"]


@pytest.mark.parametrize(
    ("format", "dtype"),
    [("jpeg", "uint8"), ("png", "uint16"), ("tiff", "float32"), ("webp", "uint8")],
)
def test_a_preview_is_the_result_reduced_to_8_bits(api, format, dtype):
    photo = make_photo(600, 900, format, dtype)
    small = api.post("/v1/colorize?preview=300", content=photo)
    whole = api.post(
        "/v1/colorize?format=" + ("tiff" if dtype != "uint8" else "png"), content=photo
    )
    assert small.headers["content-type"] == "image/jpeg"
    assert small.headers["colorizenet-size"] == whole.headers["colorizenet-size"] == "900x600"
    preview, result = read_image(small.content), read_image(whole.content)
    assert preview.pixels.shape == (200, 300, 3) and preview.pixels.dtype == np.uint8
    largest = np.iinfo(dtype).max if dtype != "float32" else 1
    reduced = result.pixels.reshape(200, 3, 300, 3, 3).mean(axis=(1, 3)) * (255 / largest)
    # The network input is reduced twice for a preview, and colors differ a little.
    assert np.abs(reduced - preview.pixels).mean() < 5


def test_a_preview_has_a_format_of_choice_and_no_metadata(api):
    carried = Metadata(exif=tiff.make_exif_block({315: (tiff.ASCII, b"Dorothea Lange\0")}))
    photo = make_photo(300, 200, "tiff", metadata=carried)
    assert b"Dorothea Lange" in api.post("/v1/colorize", content=photo).content
    for format in ("jpeg", "png"):
        response = api.post(f"/v1/colorize?preview=100&format={format}", content=photo)
        assert response.headers["content-type"] == f"image/{format}"
        assert b"Dorothea" not in response.content and b"ColorizeNet" not in response.content
        assert read_image(response.content).pixels.shape == (100, 67, 3)


def test_a_preview_of_strength_0_is_the_gray_photo(api):
    response = api.post("/v1/colorize?preview=100&strength=0", content=make_photo(300, 200, "png"))
    pixels = read_image(response.content).pixels.astype(int)
    assert np.ptp(pixels, axis=2).max() <= 2


def test_a_preview_is_of_the_first_page_and_never_larger_than_the_photo(api):
    dark = np.zeros((120, 80), np.uint8)
    pages = encode_image(Image(np.concatenate([dark, dark + 255]), pages=2), "tiff")
    response = api.post("/v1/colorize?preview=4096", content=pages)
    picture = read_image(response.content)
    assert picture.pixels.shape == (120, 80, 3) and picture.pixels.max() < 30
    assert response.headers["colorizenet-size"] == "80x120"


def test_hints_are_followed_in_a_preview(api):
    hints = '{"hints": [{"x": 0.5, "y": 0.5, "color": "#c02020", "radius": 0.2}], "preview": 100}'
    response = api.post(
        "/v1/colorize",
        files={"file": make_photo(300, 200, "png"), "options": hints.encode()},
    )
    red, green, _ = read_image(response.content).pixels[50, 33].astype(int)
    assert red > green + 40


def test_a_changed_setting_of_the_same_photo_changes_its_preview(api):
    """Also where the picture and the answer of the network are kept."""
    first, second = make_photo(300, 200, "png"), make_photo(200, 300, "png")
    queries = ["strength=1", "strength=0.5", "size=64", "strength=0.5", "strength=1"]
    results = [api.post(f"/v1/colorize?preview=100&{q}", content=first).content for q in queries]
    assert results[0] == results[4] != results[1] == results[3] != results[2] != results[0]
    other = api.post("/v1/colorize?preview=100", content=second).content
    assert read_image(other).pixels.shape == (67, 100, 3)
    assert api.post("/v1/colorize?preview=100", content=first).content == results[0]
    larger = api.post("/v1/colorize?preview=150", content=first).content
    assert read_image(larger).pixels.shape == (150, 100, 3)


@pytest.mark.parametrize("query", ["preview=63", "preview=4097", "preview=x", "variant=0"])
def test_a_wrong_preview_is_an_error(api, read_problem, query):
    response = api.post(f"/v1/colorize?{query}", content=b"x")
    assert query.partition("=")[0] in read_problem(response, 422)


def test_a_photo_that_was_not_asked_for_in_variants_has_one(api, read_problem):
    photo = make_photo(30, 20, "png")
    assert api.post("/v1/colorize?variant=1", content=photo).status_code == 200
    response = api.post("/v1/colorize?variant=2", content=photo)
    assert "variant is 2 and variants is 1; give" in read_problem(response, 422)


def test_one_variant_is_the_picture_that_is_in_the_archive(run_server, write_noise_model, tmp_path):
    load = partial(Colorizer, write_noise_model(tmp_path / "drawing.onnx"), threads=1)
    photo = make_photo(60, 40, "png")
    with run_server({"default": load}, Limits(concurrency=2)) as client:
        packed = client.post("/v1/colorize?variants=3&seed=5", content=photo).content
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            expected = [archive.read(name) for name in archive.namelist()]
        for number in (1, 2, 3):
            url = f"/v1/colorize?variants=3&seed=5&variant={number}"
            response = client.post(url, content=photo)
            assert response.headers["content-type"] == "image/png"
            assert response.content == expected[number - 1]
        packed = client.post("/v1/colorize?variants=3&preview=64", content=photo).content
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            assert archive.namelist() == ["variant-1.jpg", "variant-2.jpg", "variant-3.jpg"]
