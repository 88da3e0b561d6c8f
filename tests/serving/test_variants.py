"""The API gives several colorings of a photo as one ZIP file."""

import io
import zipfile
from collections.abc import Iterator
from functools import partial

import httpx
import pytest

from colorizenet.colorizer import Colorizer
from colorizenet.imaging.image import Image
from colorizenet.imaging.writing import encode_image
from colorizenet.serving.jobs import JobQueue, Limits
from colorizenet.serving.limits import estimate_memory
from colorizenet.serving.messages import ColorizeRequest, PhotoHeader


@pytest.fixture(scope="module")
def loaders(write_noise_model, write_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    drawing, plain = write_noise_model(folder / "drawing.onnx"), write_model(folder / "plain.onnx")
    return {
        "drawing": partial(Colorizer, drawing, threads=1),
        "plain": partial(Colorizer, plain, threads=1),
    }


@pytest.fixture(scope="module")
def drawing_api(run_server, loaders) -> Iterator[httpx.Client]:
    with run_server(loaders, Limits(concurrency=2)) as client:
        yield client


@pytest.fixture(scope="module")
def photo(gray) -> bytes:
    return encode_image(Image(gray[:96, :128]), "png")


def read_archive(response: httpx.Response) -> dict[str, bytes]:
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_variants_are_the_files_of_a_zip_and_the_first_is_the_usual_result(
    drawing_api, photo, loaders, gray
):
    response = drawing_api.post("/v1/colorize", content=photo, params={"variants": 4, "seed": 7})
    files = read_archive(response)
    assert list(files) == [f"variant-{number}.png" for number in (1, 2, 3, 4)]
    assert len(set(files.values())) == 4
    assert files["variant-1.png"] == drawing_api.post("/v1/colorize", content=photo).content
    colorizer, image = loaders["drawing"](), Image(gray[:96, :128])
    expected = colorizer.predict(image, count=4, seed=7)[3]
    assert files["variant-4.png"] == encode_image(colorizer.apply(image, expected), "png")


def test_a_seed_gives_the_same_bytes_and_diversity_and_format_apply(drawing_api, photo):
    def post(**settings: object) -> httpx.Response:
        return drawing_api.post("/v1/colorize", content=photo, params={"variants": 2, **settings})

    assert post(seed=7).content == post(seed=7).content != post(seed=8).content
    none = read_archive(post(diversity=0, format="webp"))
    assert list(none) == ["variant-1.webp", "variant-2.webp"]
    assert none["variant-1.webp"] == none["variant-2.webp"]


def test_variants_may_be_in_the_options_of_a_form(drawing_api, photo):
    form = {"options": '{"variants": 2, "seed": 7}'}
    by_form = drawing_api.post("/v1/colorize", files={"file": photo}, data=form)
    by_query = drawing_api.post("/v1/colorize", content=photo, params={"variants": 2, "seed": 7})
    assert by_form.content == by_query.content


@pytest.mark.parametrize(
    ("settings", "detail"),
    [
        ({"variants": 2, "model": "plain"}, "the model tiny cannot draw variants"),
        ({"variants": 17}, "variants"),
        ({"seed": 7}, "seed is for variants; add variants=6"),
        ({"variants": 2, "tta": True}, "tta averages predictions"),
    ],
)
def test_what_is_impossible_is_an_error_of_one_line(
    drawing_api, photo, read_problem, settings, detail
):
    response = drawing_api.post("/v1/colorize", content=photo, params=settings)
    assert detail in read_problem(response, 422)


def test_the_models_say_whether_they_draw(drawing_api):
    models = {each["name"]: each for each in drawing_api.get("/v1/models").json()}
    assert {name: each["draws_variants"] for name, each in models.items()} == {
        "drawing": True,
        "plain": False,
    }


def test_diverse_draws_the_variants_of_default(run_server, loaders, photo):
    served = {"default": loaders["plain"], "diverse": loaders["drawing"]}
    with run_server(served, Limits(concurrency=2)) as client:
        listed = client.get("/v1/models").json()
        assert [each["draws_variants"] for each in listed] == [True, True]
        assert [each["draws_for"] for each in listed] == [None, "default"]
        params = {"variants": 2, "seed": 7}
        by_default = client.post("/v1/colorize", content=photo, params=params)
        by_name = client.post("/v1/colorize", content=photo, params=params | {"model": "diverse"})
        assert read_archive(by_default) == read_archive(by_name)
        usual = client.post("/v1/colorize", content=photo, params={"model": "default"})
        assert usual.content != read_archive(by_default)["variant-2.png"]


def test_variants_count_as_work_and_as_memory(loaders):
    """A photo that is small becomes large by the number of its variants."""
    queue = JobQueue(loaders, Limits(concurrency=2))
    try:
        header = PhotoHeader((1000, 1500), 1, "jpeg", 1, 1)
        one, two, many = (
            queue._judge(header, ColorizeRequest(variants=variants)) for variants in (1, 2, 12)
        )
    finally:
        queue.close()
    assert one.cost < two.cost < many.cost / 4
    assert (one.large, two.large, many.large) == (False, False, True)
    draws = [
        estimate_memory(header, 100_000, tta=False, draws=True, variants=variants)
        for variants in (1, 4, 16)
    ]
    assert estimate_memory(header, 100_000, tta=False) < draws[0] < draws[1] < draws[2]
