"""Pictures and models small enough to make for each test."""

import os
import shutil
import signal
import tarfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import skimage.data
from hypothesis import settings
from onnx import TensorProto, helper
from playwright.sync_api import Browser, sync_playwright

from colorizenet.modelfile import LIGHTNESS, METADATA_KEY, NOISE, Input, ModelCard

Write = Callable[..., Path]

# Programs in the background ignore Ctrl-C, and so do the programs that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# No test may fail because the machine is busy.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

SAMPLES = Path(__file__).parents[1] / "samples"


@pytest.fixture(scope="session")
def chromium() -> str:
    """The program of a browser. Without one, tests are skipped, but in CI they fail."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None and "CI" not in os.environ:
        pytest.skip("needs Chromium: apt-get install chromium")
    assert found, "Chromium is missing; CI must install it"
    return found


@pytest.fixture(scope="module")
def browser(chromium) -> Iterator[Browser]:
    """A real browser without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def samples() -> list[Path]:
    """The gray sample photographs of the repository."""
    return sorted(SAMPLES.glob("*.jpg"))


@pytest.fixture(scope="session")
def gray() -> np.ndarray:
    """A real gray photograph, (300, 451) uint8."""
    photograph = cv2.imread(str(SAMPLES / "cat.jpg"), cv2.IMREAD_GRAYSCALE)
    assert photograph is not None
    return photograph


@pytest.fixture(scope="session")
def color(gray: np.ndarray) -> np.ndarray:
    """A color picture of the same size, with every hue and with natural detail."""
    height, width = gray.shape
    hue = np.broadcast_to(np.linspace(0, 179, width, dtype=np.uint8), gray.shape)
    saturation = np.broadcast_to(np.linspace(0, 200, height, dtype=np.uint8)[:, None], gray.shape)
    return cv2.cvtColor(np.dstack([hue, saturation, gray]), cv2.COLOR_HSV2RGB)


@pytest.fixture(scope="session")
def write_model() -> Write:
    """Write a model: a = ``slope_a`` * L and b = ``slope_b`` * L at half the size.

    ``similarity``: factors of L in the channels of that output; any residual is
    plausible.
    """

    def write(
        path: Path,
        *,
        slope_a: float = 0.3,
        slope_b: float = -0.2,
        similarity: tuple[float, ...] = (),
        card: str | None = None,
    ) -> Path:
        weight = helper.make_tensor("weight", TensorProto.FLOAT, [2, 1, 1, 1], [slope_a, slope_b])
        nodes = [
            helper.make_node(
                "AveragePool", ["lightness"], ["halved"], kernel_shape=[2, 2], strides=[2, 2]
            ),
            helper.make_node("Conv", ["halved", "weight"], ["ab"]),
        ]
        lightness = helper.make_tensor_value_info(
            "lightness", TensorProto.FLOAT, ["n", 1, "h", "w"]
        )
        ab = helper.make_tensor_value_info("ab", TensorProto.FLOAT, ["n", 2, "h2", "w2"])
        outputs, constants = [ab], [weight]
        if count := len(similarity):
            outputs.append(
                helper.make_tensor_value_info(
                    "similarity", TensorProto.FLOAT, ["n", count, "h2", "w2"]
                )
            )
            constants += [
                helper.make_tensor("slopes", TensorProto.FLOAT, [count, 1, 1, 1], similarity),
                helper.make_tensor("plausible", TensorProto.FLOAT, [1], [1000.0]),
                helper.make_tensor("others", TensorProto.FLOAT, [count - 1], [0.0] * (count - 1)),
            ]
            nodes += [
                helper.make_node("Concat", ["plausible", "others"], ["bias"], axis=0),
                helper.make_node("Conv", ["halved", "slopes", "bias"], ["similarity"]),
            ]
        opset = [helper.make_opsetid("", 17)]
        model = helper.make_model(
            helper.make_graph(nodes, "tiny", [lightness], outputs, constants), opset_imports=opset
        )
        model.ir_version = 10
        text = (
            card
            if card is not None
            else ModelCard(name="tiny", task="regression", size=64).to_json()
        )
        if text:
            helper.set_model_props(model, {METADATA_KEY: text})
        onnx.save(model, path)
        return path

    return write


@pytest.fixture(scope="session")
def write_noise_model() -> Write:
    """Write a model that draws: a = 0.3 L and b = -0.2 L at half the size, both plus
    the scaled mean of their noise. So each draw has a cast of its own."""

    def write(path: Path, *, scale: float = 8.0) -> Path:
        constants = [
            helper.make_tensor("weight", TensorProto.FLOAT, [2, 1, 1, 1], [0.3, -0.2]),
            helper.make_tensor("scale", TensorProto.FLOAT, [], [scale]),
        ]
        nodes = [
            helper.make_node(
                "AveragePool", ["lightness"], ["halved"], kernel_shape=[2, 2], strides=[2, 2]
            ),
            helper.make_node("Conv", ["halved", "weight"], ["answer"]),
            helper.make_node("GlobalAveragePool", ["noise"], ["mean"]),
            helper.make_node("Mul", ["mean", "scale"], ["cast"]),
            helper.make_node("Add", ["answer", "cast"], ["ab"]),
        ]
        inputs = [
            helper.make_tensor_value_info("lightness", TensorProto.FLOAT, [1, 1, "h", "w"]),
            helper.make_tensor_value_info("noise", TensorProto.FLOAT, ["n", 2, "h", "w"]),
        ]
        ab = helper.make_tensor_value_info("ab", TensorProto.FLOAT, ["n", 2, "h2", "w2"])
        graph = helper.make_graph(nodes, "drawing", inputs, [ab], constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        model.ir_version = 10
        card = ModelCard(name="drawing", task="diffusion", size=64, inputs=(LIGHTNESS, NOISE))
        helper.set_model_props(model, {METADATA_KEY: card.to_json()})
        onnx.save(model, path)
        return path

    return write


@pytest.fixture
def drawing_model(tmp_path: Path, write_noise_model: Write) -> Path:
    """A model that draws, in the test's own folder."""
    return write_noise_model(tmp_path / "drawing.onnx")


@pytest.fixture
def make_model(tmp_path: Path, write_model: Write) -> Callable[..., Path]:
    """As ``write_model``, into the test's own folder."""

    def make(name: str = "tiny.onnx", **settings: Any) -> Path:
        return write_model(tmp_path / name, **settings)

    return make


@pytest.fixture
def make_sum_model(tmp_path: Path) -> Callable[..., Path]:
    """Write a model with a second input: a and b are the sums of its even and odd
    channels.

    Lightness is added with a factor of 0, so that the network takes both inputs.
    """

    def make(name: str, channels: int, *, listed: int | None = None) -> Path:
        weight = np.zeros((2, 1 + channels, 1, 1), np.float32)
        for channel in range(channels):
            weight[channel % 2, 1 + channel] = 1
        inputs = [
            helper.make_tensor_value_info(each, TensorProto.FLOAT, ["n", count, "h", "w"])
            for each, count in (("lightness", 1), (name, channels))
        ]
        output = helper.make_tensor_value_info("ab", TensorProto.FLOAT, ["n", 2, "h", "w"])
        nodes = [
            helper.make_node("Concat", ["lightness", name], ["all"], axis=1),
            helper.make_node("Conv", ["all", "weight"], ["ab"]),
        ]
        constants = [helper.make_tensor("weight", TensorProto.FLOAT, weight.shape, weight.ravel())]
        graph = helper.make_graph(nodes, "sum", inputs, [output], constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        model.ir_version = 10
        card = ModelCard(
            name="sum",
            task="regression",
            size=64,
            inputs=(LIGHTNESS, Input(name, channels if listed is None else listed)),
        )
        helper.set_model_props(model, {METADATA_KEY: card.to_json()})
        path = tmp_path / f"{name}.onnx"
        onnx.save(model, path)
        return path

    return make


@pytest.fixture(scope="session")
def color_photograph() -> np.ndarray:
    """A real color photograph (an espresso on a table, CC0), (400, 600, 3) uint8."""
    return skimage.data.coffee()


@pytest.fixture(scope="session")
def write_photograph() -> Write:
    """Write a smooth picture of many colors, always the same for the same number."""

    def write(path: Path, number: int = 0, *, height: int = 48, width: int = 56) -> Path:
        small = np.random.default_rng(number).integers(0, 256, (4, 4, 3), np.uint8)
        picture = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(path.suffix.lower(), picture)[1].tobytes())
        return path

    return write


@pytest.fixture(scope="session")
def write_flat() -> Write:
    """Write a picture of one color, which any cut of it still shows."""

    def write(path: Path, number: int) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((40, 44, 3), number, np.uint8))
        return path

    return write


@pytest.fixture(scope="session")
def pack() -> Write:
    """Pack files into a tar under the names they have in their folder."""

    def pack(shard: Path, folder: Path, files: Iterable[Path], mode: str = "w") -> Path:
        shard.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(shard, mode) as tar:
            for file in files:
                tar.add(file, file.relative_to(folder).as_posix())
        return shard

    return pack
