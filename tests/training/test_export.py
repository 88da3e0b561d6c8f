"""An ONNX file that equals its network at sizes nobody tried before, or no file."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from colorizenet import color
from colorizenet.errors import ConfigError, ModelFileError
from colorizenet.modelfile import ModelCard, load_model
from colorizenet.training.config import from_json, to_json
from colorizenet.training.export import export_network, export_run
from colorizenet.training.fit import build_task, fit, network_weights, read_checkpoint
from colorizenet.training.networks.encoder_unet import EncoderUNetConfig

REPOSITORY = Path(__file__).parents[2]
CARD = ModelCard(name="tiny", task="regression")


def halve(channels: int = 8) -> nn.Sequential:
    """A network of chroma at half the size of the lightness."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, channels, 3, 2, 1), nn.ReLU(), nn.Conv2d(channels, 2, 3, 1, 1)
    )


def difference(path: Path, network: nn.Module, *shape: int) -> float:
    """The largest, in a*b* units."""
    lightness = torch.rand(shape, generator=torch.Generator().manual_seed(1))
    (theirs,) = load_model(path).session.run(None, {"lightness": lightness.numpy()})
    with torch.no_grad():
        ours = network.eval()(lightness).numpy()
    assert theirs.shape == ours.shape
    return float(np.abs(color.denormalize_ab(theirs - ours)).max())


@pytest.fixture(scope="module")
def exported(finished, tiny, tmp_path_factory) -> Path:
    """A model of the finished run, as if its data and its first weights had lain in Ada's home."""
    run = tmp_path_factory.mktemp("exported") / "run"
    shutil.copytree(finished, run)
    network = dataclasses.replace(tiny.network, pretrained="/home/ada/secret/weights.pth")
    data = dataclasses.replace(tiny.data, root="/home/ada/photographs", val="/home/ada/others")
    (run / "config.json").write_text(to_json(dataclasses.replace(tiny, network=network, data=data)))
    out = run.with_name("tiny.onnx")
    export_run(run, out, name="tiny", license="CC0", figures={"ciede2000": 12.5}, limits="small")
    return out


@pytest.mark.parametrize(
    "shape", [(1, 1, 32, 32), (1, 1, 160, 96), (2, 1, 96, 256), (5, 1, 32, 64)]
)
def test_it_equals_the_network_at_any_size(exported, finished, shape):
    task = build_task(from_json(finished / "config.json"))
    task.load_state_dict(torch.load(finished / "best.ckpt", weights_only=True)["state_dict"])
    assert difference(exported, task.network, *shape) < 0.5


def test_the_card_says_where_the_model_comes_from(exported, finished, tiny):
    card = load_model(exported).card
    network = build_task(tiny).network
    made_with = json.loads((finished / "made-with.json").read_text())
    assert dataclasses.replace(card, overrides={}) == ModelCard(
        name="tiny",
        task="regression",
        recipe="encoder_unet",
        size=64,
        size_multiple=32,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        pictures_seen=torch.load(finished / "best.ckpt", weights_only=True)["pictures_seen"],
        seed=tiny.seed,
        data=made_with["data"],
        license="CC0",
        figures={"ciede2000": 12.5},
        limits="small",
        commit=made_with["commit"],
        versions=made_with["versions"],
    )
    (part,) = card.data
    assert part.keys() == {"name", "sha256"} and len(part["sha256"]) == 64


def test_the_card_lists_what_differs_from_the_recipe(exported):
    assert load_model(exported).card.overrides == {
        "data.size": 32,
        "data.val_size": 64,
        "data.screen.min_side": 0,
        "data.screen.min_colorfulness": 0,
        "data.screen.max_tone": 1,
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


def test_the_file_names_no_folder_of_the_machine(exported, finished, tiny):
    content = exported.read_bytes()
    for private in (
        "/home/ada",
        str(finished.parent),
        str(exported.parent),
        tiny.data.root,
        str(REPOSITORY),
    ):
        assert private.encode() not in content, private


def test_a_network_that_does_not_export_leaves_no_file(tmp_path):
    class Branching(nn.Module):
        """Another scale at one size, which no trace at another size can show."""

        def __init__(self):
            super().__init__()
            self.network = halve()

        def forward(self, lightness):
            return self.network(lightness) * (2.0 if lightness.shape[-1] == 224 else 1.0)

    with pytest.raises(
        ModelFileError, match=r"differs from the network by .* a part that does not export"
    ) as error:
        export_network(Branching(), CARD, tmp_path / "out.onnx")
    assert str(error.value).isprintable()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_was_there_is_kept_where_the_new_one_is_wrong(tmp_path):
    (tmp_path / "out.onnx").write_text("the old one")
    with pytest.raises(ModelFileError, match="nan"):
        export_network(nn.Sequential(halve(), Broken()), CARD, tmp_path / "out.onnx")
    assert (tmp_path / "out.onnx").read_text() == "the old one"


class Broken(nn.Module):
    """What a run that has gone wrong predicts."""

    def forward(self, ab):
        return ab * float("nan")


def weights(path: Path) -> dict[int, int]:
    """How many numbers the file holds in each type."""
    counted: dict[int, int] = {}
    for weight in onnx.load(path).graph.initializer:
        counted[weight.data_type] = counted.get(weight.data_type, 0) + int(np.prod(weight.dims))
    return counted


def test_weights_take_half_the_room(tmp_path):
    network = nn.Sequential(
        halve(64), nn.Conv2d(2, 300, 1), nn.Conv2d(300, 300, 1), nn.Conv2d(300, 2, 1)
    )
    export_network(network, CARD, tmp_path / "out.onnx")
    counted = weights(tmp_path / "out.onnx")
    assert counted[onnx.TensorProto.FLOAT16] > 0.95 * sum(counted.values())
    parameters = sum(parameter.numel() for parameter in network.parameters())
    assert (tmp_path / "out.onnx").stat().st_size < 0.6 * 4 * parameters
    assert difference(tmp_path / "out.onnx", network, 1, 1, 96, 64) < 0.5


def test_weights_that_half_precision_cannot_hold_keep_theirs(tmp_path):
    network = halve(64)
    with torch.no_grad():
        network[0].weight *= 1e6  # beyond 65,504, the largest number of half precision
        network[0].bias *= 1e6
        network[2].weight *= 1e-6
    export_network(network, CARD, tmp_path / "out.onnx")
    assert onnx.TensorProto.FLOAT16 not in weights(tmp_path / "out.onnx")
    assert difference(tmp_path / "out.onnx", network, 1, 1, 96, 64) < 2e-3


@pytest.mark.parametrize("missing", ["config.json", "best.ckpt", "made-with.json"])
def test_a_folder_that_holds_no_run_is_refused(finished, tmp_path, missing):
    run = tmp_path / "run"
    shutil.copytree(finished, run, ignore=shutil.ignore_patterns(missing, "*tfevents*"))
    with pytest.raises(ConfigError, match=missing) as error:
        export_run(run, tmp_path / "out.onnx")
    assert str(error.value).isprintable()
    assert not (tmp_path / "out.onnx").exists()


def test_weights_of_a_byte_make_a_file_of_half_the_size_that_is_nearly_right(tmp_path):
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 64, 3, 1, 1), nn.ReLU(), nn.Conv2d(64, 64, 3, 1, 1), nn.Conv2d(64, 2, 1)
    )
    paths = {weights: tmp_path / f"{weights}.onnx" for weights in ("half", "byte")}
    for weights, path in paths.items():
        export_network(network, CARD, path, weights=weights)
    assert paths["byte"].stat().st_size < 0.6 * paths["half"].stat().st_size
    assert 0 < difference(paths["byte"], network, 2, 1, 64, 96) < 1


def test_weights_that_a_byte_cannot_hold_leave_no_file(tmp_path):
    network = nn.Sequential(nn.Conv2d(1, 256, 1), nn.Conv2d(256, 2, 1))
    with torch.no_grad():  # one weight so large that the others of its channel vanish
        network[1].weight.fill_(0.5)
        network[1].weight[:, 0] = 1000
        network[0].weight.fill_(1.0)
        network[0].weight[0] = 0.0
        network[0].bias.zero_()
    with pytest.raises(ModelFileError, match="differs from the network"):
        export_network(network, CARD, tmp_path / "byte.onnx", weights="byte")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def sibling(finished, tmp_path) -> Path:
    """A run of the same network with other weights."""
    run = tmp_path / "sibling"
    shutil.copytree(finished, run)
    checkpoint = torch.load(run / "best.ckpt", weights_only=True)
    checkpoint["state_dict"] = {
        name: value * 1.1 if value.is_floating_point() else value
        for name, value in checkpoint["state_dict"].items()
    }
    torch.save(checkpoint, run / "best.ckpt")
    return run


def test_a_blend_has_its_weights_between_those_of_two_runs(finished, sibling, tiny, tmp_path):
    card = export_run(finished, tmp_path / "blend.onnx", blend=sibling, share=0.25)
    network = build_task(tiny).network
    own = network_weights(torch.load(finished / "best.ckpt", weights_only=True))
    network.load_state_dict({k: v * 1.025 if v.is_floating_point() else v for k, v in own.items()})
    assert difference(tmp_path / "blend.onnx", network, 1, 1, 64, 64) < 0.5
    unmixed = build_task(tiny).network
    unmixed.load_state_dict(own)
    assert difference(tmp_path / "blend.onnx", unmixed, 1, 1, 64, 64) > 0.01
    assert card.blend["share"] == 0.25
    assert card.blend["with"]["pictures_seen"] == card.pictures_seen
    assert card.blend["with"]["data"] == card.data


def test_a_blend_with_a_run_from_before_its_queries_lets_them_speak_more_softly(tiny, tmp_path):
    widths = (8, 8, 8, 8)
    before = dataclasses.replace(
        tiny, network=EncoderUNetConfig(pretrained="none", widths=widths), pictures=16
    )
    after = dataclasses.replace(before, network=dataclasses.replace(before.network, queries=3))
    for config, name in ((before, "before"), (after, "after")):
        fit(config, tmp_path / name)
    export_run(tmp_path / "after", tmp_path / "blend.onnx", blend=tmp_path / "before", share=0.25)
    own, other = (
        network_weights(read_checkpoint(tmp_path / name / "best.ckpt"))
        for name in ("after", "before")
    )
    other = {name: other.get(name, value) for name, value in own.items()}
    other["queries.mix.weight"] = torch.zeros_like(own["queries.mix.weight"])
    network = after.network.build(pretrained=False)
    mixed = {
        k: torch.lerp(v, other[k], 0.25) if v.is_floating_point() else v for k, v in own.items()
    }
    network.load_state_dict(mixed)
    assert difference(tmp_path / "blend.onnx", network, 1, 1, 64, 64) < 0.5
    with pytest.raises(ConfigError, match="another network"):
        export_run(tmp_path / "before", tmp_path / "not.onnx", blend=tmp_path / "after")


@pytest.mark.parametrize("share", [0.0, 1.0, -0.5, 2.0])
def test_a_share_that_is_none_is_refused(finished, sibling, tmp_path, share):
    with pytest.raises(ConfigError, match="between 0 and 1"):
        export_run(finished, tmp_path / "blend.onnx", blend=sibling, share=share)
    assert not (tmp_path / "blend.onnx").exists()


def test_a_run_of_another_network_cannot_be_blended_with(finished, sibling, tmp_path):
    checkpoint = torch.load(sibling / "best.ckpt", weights_only=True)
    name = next(name for name in checkpoint["state_dict"] if name.startswith("network."))
    checkpoint["state_dict"][name] = torch.zeros(3, 1, 4)
    torch.save(checkpoint, sibling / "best.ckpt")
    with pytest.raises(ConfigError, match="another network"):
        export_run(finished, tmp_path / "blend.onnx", blend=sibling)
