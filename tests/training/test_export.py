"""An ONNX file that equals its network at sizes that were not traced, or no file."""

import dataclasses
import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from colorizenet import color
from colorizenet.errors import ConfigError, ModelFileError
from colorizenet.modelfile import LIGHTNESS, Input, ModelCard, load_model, model_path
from colorizenet.training.checkpoints import network_weights
from colorizenet.training.config import read_json, to_json
from colorizenet.training.export import (
    average_weights,
    export_network,
    export_run,
    replace_card,
)
from colorizenet.training.fit import build_task
from colorizenet.training.networks.encoder_unet import EncoderUNetConfig
from colorizenet.training.networks.onnx_weights import read_model_weights
from colorizenet.training.networks.pretrained import complete_weights
from colorizenet.training.recipes import RECIPES
from colorizenet.training.tasks.base import ExportedNetwork

REPOSITORY = Path(__file__).parents[2]
CARD = ModelCard(name="tiny", task="regression")


def build_halving_network(channels: int = 8) -> nn.Sequential:
    """A network of chroma at half the size of the lightness."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, channels, 3, 2, 1), nn.ReLU(), nn.Conv2d(channels, 2, 3, 1, 1)
    )


def difference(path: Path, network: nn.Module, *shape: int) -> float:
    """The largest difference between file and network on noise, in a*b* units."""
    lightness = torch.rand(shape, generator=torch.Generator().manual_seed(1))
    (found,) = load_model(path).session.run(None, {"lightness": lightness.numpy()})
    with torch.no_grad():
        expected = network.eval()(lightness).numpy()
    assert found.shape == expected.shape
    return float(np.abs(color.denormalize_ab(found - expected)).max())


@pytest.fixture(scope="module")
def exported(finished, tiny, tmp_path_factory) -> Path:
    """A model of the finished run, as if data and weights were in Ada's home."""
    run = tmp_path_factory.mktemp("exported") / "run"
    shutil.copytree(finished, run)
    network = dataclasses.replace(tiny.network, pretrained="/home/ada/secret/weights.pth")
    data = dataclasses.replace(tiny.data, root="/home/ada/photographs", val="/home/ada/others")
    (run / "config.json").write_text(to_json(dataclasses.replace(tiny, network=network, data=data)))
    out = run.with_name("tiny.onnx")
    with warnings.catch_warnings():
        # The exporter of some versions of torch warns of itself.
        warnings.filterwarnings("error", module="colorizenet")
        export_run(
            run,
            out,
            name="tiny",
            license="CC0",
            metrics={"ciede2000": 12.5},
            limitations="small",
        )
    return out


# The file and the network


@pytest.mark.parametrize(
    "shape", [(1, 1, 32, 32), (1, 1, 160, 96), (2, 1, 96, 256), (5, 1, 32, 64)]
)
def test_file_equals_the_network_at_any_size(exported, finished, shape):
    task = build_task(read_json(finished / "config.json"))
    task.load_state_dict(torch.load(finished / "best.ckpt", weights_only=True)["state_dict"])
    assert difference(exported, task.network, *shape) < 0.5


def test_file_has_the_inputs_of_its_card_and_equals_the_network_for_them(tmp_path):
    class TwoInputs(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.convolution = nn.Conv2d(4, 2, 3, 2, 1)

        def forward(self, lightness, hints):
            return self.convolution(torch.cat([lightness, hints], dim=1))

    card = dataclasses.replace(CARD, inputs=(LIGHTNESS, Input("hints", 3)), size_multiple=4)
    network = TwoInputs()
    export_network(network, card, tmp_path / "out.onnx", dtype="fp32")
    model = load_model(tmp_path / "out.onnx")
    assert model.card.inputs == (LIGHTNESS, Input("hints", 3))
    assert [(each.name, each.shape[1]) for each in model.session.get_inputs()] == [
        ("lightness", 1),
        ("hints", 3),
    ]
    inputs = {"lightness": torch.rand(3, 1, 20, 36), "hints": torch.rand(3, 3, 20, 36)}
    (found,) = model.session.run(None, {name: plane.numpy() for name, plane in inputs.items()})
    with torch.no_grad():
        assert np.allclose(found, network(**inputs).numpy(), atol=1e-5)


class Branching(nn.Module):
    """Doubles its answer at one width, which other widths do not show."""

    def __init__(self):
        super().__init__()
        self.network = build_halving_network()

    def forward(self, lightness):
        return self.network(lightness) * (2.0 if lightness.shape[-1] == 224 else 1.0)


class Diverged(nn.Module):
    """What a diverged run predicts."""

    def forward(self, ab):
        return ab * float("nan")


def test_network_that_does_not_export_leaves_no_file(tmp_path):
    with pytest.raises(
        ModelFileError, match=r"differs from the network by .* a part that does not export"
    ) as error:
        export_network(Branching(), CARD, tmp_path / "out.onnx")
    assert str(error.value).isprintable()
    assert list(tmp_path.iterdir()) == []


def test_existing_file_stays_where_the_new_one_would_be_wrong(tmp_path):
    (tmp_path / "out.onnx").write_text("the old one")
    network = nn.Sequential(build_halving_network(), Diverged())
    with pytest.raises(ModelFileError, match="nan"):
        export_network(network, CARD, tmp_path / "out.onnx")
    assert (tmp_path / "out.onnx").read_text() == "the old one"


def test_an_export_prints_no_notes_of_the_exporter(tmp_path, caplog):
    network = EncoderUNetConfig(
        encoder="test_efficientnet", pretrained="none", widths=(16, 8, 8, 8), queries=3
    ).build()
    card = dataclasses.replace(CARD, size_multiple=network.size_multiple)
    export_network(ExportedNetwork(network, ["lightness"]), card, tmp_path / "out.onnx")
    assert not [record for record in caplog.records if record.name.startswith("onnxscript")]


def test_similarity_that_is_not_finite_leaves_no_file(tmp_path):
    class Undefined(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = build_halving_network()

        def forward(self, lightness):
            ab = self.network(lightness)
            return ab, torch.cat([ab * 0, (ab - 1000).log()], dim=1)

    with pytest.raises(ModelFileError, match="nan"):
        export_network(Undefined(), CARD, tmp_path / "out.onnx")
    assert list(tmp_path.iterdir()) == []


# The card


def test_another_card_leaves_the_network_as_it_is(exported, tmp_path):
    copy = tmp_path / "copy.onnx"
    shutil.copy(exported, copy)
    before = load_model(copy)
    card = dataclasses.replace(before.card, metrics={"ciede2000": 9.0})
    replace_card(copy, card)
    after = load_model(copy)
    assert after.card == card and after.sha256 != before.sha256
    inputs = {"lightness": np.full((1, 1, 64, 64), 0.5, np.float32)}
    assert np.array_equal(before.session.run(None, inputs), after.session.run(None, inputs))


def test_card_records_where_the_model_comes_from(exported, finished, tiny):
    card = load_model(exported).card
    network = build_task(tiny).network
    provenance = json.loads((finished / "provenance.json").read_text())
    assert dataclasses.replace(card, overrides={}) == ModelCard(
        format=2,
        name="tiny",
        task="regression",
        recipe="encoder_unet",
        inputs=(LIGHTNESS,),
        size=64,
        size_multiple=32,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        pictures_seen=torch.load(finished / "best.ckpt", weights_only=True)["pictures_seen"],
        seed=tiny.seed,
        data=provenance["data"],
        license="CC0",
        metrics={"ciede2000": 12.5},
        limitations="small",
        commit=provenance["commit"],
        versions=provenance["versions"],
    )
    (part,) = card.data
    assert part.keys() == {"name", "sha256"} and len(part["sha256"]) == 64


def test_card_lists_what_differs_from_the_recipe(exported):
    assert load_model(exported).card.overrides == {
        "data.size": 32,
        "data.val_size": 64,
        "data.screen.min_side": 0,
        "data.screen.min_colorfulness": 0,
        "data.screen.max_hue_concentration": 1,
        "data.workers": 0,
        "network.encoder": "test_efficientnet",
        "network.pretrained": "weights.pth",
        "network.widths": [16, 8, 8, 8],
        "optim.lr": 1e-2,
        "optim.encoder_lr": 1e-2,
        "optim.warmup": 8,
        "pictures": 48,
        "batch_size": 4,
        "validate_every": 16,
        "checkpoint_every": 12,
        "ema": 0.9,
        "precision": "32-true",
    }


def test_file_contains_no_folder_of_the_machine(exported, finished, tiny):
    content = exported.read_bytes()
    for private in (
        "/home/ada",
        str(finished.parent),
        str(exported.parent),
        tiny.data.root,
        str(REPOSITORY),
    ):
        assert private.encode() not in content, private


@pytest.mark.parametrize("missing", ["config.json", "best.ckpt", "provenance.json"])
def test_incomplete_run_folder_is_refused(finished, tmp_path, missing):
    run = tmp_path / "run"
    shutil.copytree(finished, run, ignore=shutil.ignore_patterns(missing, "*tfevents*"))
    with pytest.raises(ConfigError, match=missing) as error:
        export_run(run, tmp_path / "out.onnx")
    assert str(error.value).isprintable()
    assert not (tmp_path / "out.onnx").exists()


# How weights are stored


def count_numbers(path: Path) -> dict[int, int]:
    """How many numbers the file holds in each data type."""
    counted: dict[int, int] = {}
    for weight in onnx.load(path).graph.initializer:
        counted[weight.data_type] = counted.get(weight.data_type, 0) + int(np.prod(weight.dims))
    return counted


def test_fp16_takes_half_the_room_of_fp32_and_int8_half_of_that(tmp_path):
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 64, 3, 1, 1), nn.ReLU(), nn.Conv2d(64, 64, 3, 1, 1), nn.Conv2d(64, 2, 1)
    )
    paths = {dtype: tmp_path / f"{dtype}.onnx" for dtype in ("fp32", "fp16", "int8")}
    for dtype, path in paths.items():
        export_network(network, CARD, path, dtype=dtype)
    fp32, fp16, int8 = (path.stat().st_size for path in paths.values())
    parameters = sum(parameter.numel() for parameter in network.parameters())
    assert fp32 > 4 * parameters
    assert fp16 < 0.6 * fp32 and int8 < 0.6 * fp16
    counted = count_numbers(paths["fp16"])
    assert counted[onnx.TensorProto.FLOAT16] > 0.95 * sum(counted.values())
    assert onnx.TensorProto.FLOAT16 not in count_numbers(paths["fp32"])
    assert difference(paths["fp32"], network, 2, 1, 64, 96) < 2e-3
    assert difference(paths["fp16"], network, 2, 1, 64, 96) < 0.5
    assert 0 < difference(paths["int8"], network, 2, 1, 64, 96) < 1


def test_a_model_that_says_what_is_similar_can_be_stored_in_int8(tmp_path):
    network = RECIPES["hints"]().network.build(pretrained=False)
    weights = read_model_weights(model_path("default"), network)
    network.load_state_dict(complete_weights(weights, network.state_dict()))
    card = dataclasses.replace(CARD, size_multiple=network.size_multiple)
    path = tmp_path / "int8.onnx"
    export_network(ExportedNetwork(network, ["lightness"]), card, path, dtype="int8")
    assert path.stat().st_size < 0.6 * model_path("default").stat().st_size
    l_star = np.tile(np.linspace(0.1, 0.9, 128, dtype=np.float32), (1, 1, 96, 1))
    (ab, alike), (expected, expected_alike) = (
        load_model(source).session.run(None, {"lightness": l_star}) for source in (path, "default")
    )
    assert np.abs(ab - expected).max() * color.AB_SCALE < 3
    assert np.abs(alike[:, 1:] - expected_alike[:, 1:]).max() < 0.1


def test_weights_that_fp16_cannot_hold_are_stored_as_fp32(tmp_path):
    network = build_halving_network(64)
    with torch.no_grad():
        network[0].weight *= 1e6  # more than 65,504, the largest number of fp16
        network[0].bias *= 1e6
        network[2].weight *= 1e-6
    export_network(network, CARD, tmp_path / "out.onnx")
    assert onnx.TensorProto.FLOAT16 not in count_numbers(tmp_path / "out.onnx")
    assert difference(tmp_path / "out.onnx", network, 1, 1, 96, 64) < 2e-3


def test_weights_that_int8_cannot_hold_leave_no_file(tmp_path):
    network = nn.Sequential(nn.Conv2d(1, 256, 1), nn.Conv2d(256, 2, 1))
    with torch.no_grad():  # one weight is so large that the others of its channel vanish
        network[1].weight.fill_(0.0005)
        network[1].weight[:, 0] = 1
        network[0].weight.fill_(1.0)
        network[0].weight[0] = 0.0
        network[0].bias.zero_()
    with pytest.raises(ModelFileError, match="in int8 differs from the network"):
        export_network(network, CARD, tmp_path / "int8.onnx", dtype="int8")
    assert list(tmp_path.iterdir()) == []


# Averages of two runs


@pytest.fixture
def sibling(finished, tmp_path) -> Path:
    """A run of the same network, with weights 1.1 times as large."""
    run = tmp_path / "sibling"
    shutil.copytree(finished, run)
    checkpoint = torch.load(run / "best.ckpt", weights_only=True)
    checkpoint["state_dict"] = {
        name: value * 1.1 if value.is_floating_point() else value
        for name, value in checkpoint["state_dict"].items()
    }
    torch.save(checkpoint, run / "best.ckpt")
    return run


def test_average_has_its_weights_between_those_of_two_runs(finished, sibling, tiny, tmp_path):
    out = tmp_path / "average.onnx"
    card = export_run(finished, out, average_with=sibling, alpha=0.25)
    own = network_weights(torch.load(finished / "best.ckpt", weights_only=True))
    network = build_task(tiny).network
    network.load_state_dict({k: v * 1.025 if v.is_floating_point() else v for k, v in own.items()})
    assert difference(out, network, 1, 1, 64, 64) < 0.5
    network.load_state_dict(own)
    assert difference(out, network, 1, 1, 64, 64) > 0.01
    assert card.average_with["alpha"] == 0.25
    assert card.average_with["run"]["pictures_seen"] == card.pictures_seen
    assert card.average_with["run"]["data"] == card.data


def test_average_with_a_network_without_color_queries_scales_the_queries_down():
    config = EncoderUNetConfig(encoder="test_efficientnet", pretrained="none", widths=(8, 8, 8, 8))
    before = config.build().state_dict()
    after = dataclasses.replace(config, queries=3).build().state_dict()
    after["queries.mix.weight"] = torch.ones_like(after["queries.mix.weight"])
    average = average_weights(after, before, Path("before"), 0.25)
    for name, value in average.items():
        expected = after[name]
        if name == "queries.mix.weight":
            expected = 0.75 * after[name]
        elif name in before and value.is_floating_point():
            expected = torch.lerp(after[name], before[name], 0.25)
        assert torch.allclose(value, expected), name
    with pytest.raises(ConfigError, match="another network"):
        average_weights(before, after, Path("after"), 0.25)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.5, 2.0])
def test_alpha_outside_its_range_is_refused(finished, sibling, tmp_path, alpha):
    with pytest.raises(ConfigError, match="between 0 and 1"):
        export_run(finished, tmp_path / "average.onnx", average_with=sibling, alpha=alpha)
    assert not (tmp_path / "average.onnx").exists()


def test_run_of_another_network_cannot_be_averaged_with(finished, sibling, tmp_path):
    checkpoint = torch.load(sibling / "best.ckpt", weights_only=True)
    name = next(name for name in checkpoint["state_dict"] if name.startswith("network."))
    checkpoint["state_dict"][name] = torch.zeros(3, 1, 4)
    torch.save(checkpoint, sibling / "best.ckpt")
    with pytest.raises(ConfigError, match="another network"):
        export_run(finished, tmp_path / "average.onnx", average_with=sibling)
