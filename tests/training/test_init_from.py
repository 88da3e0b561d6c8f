"""Runs that start from the weights of another run."""

import csv
import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch

from colorizenet.errors import ConfigError, ModelFileError
from colorizenet.modelfile import load_model, model_path
from colorizenet.training.config import RunConfig
from colorizenet.training.export import export_run
from colorizenet.training.fit import build_task, fit
from colorizenet.training.networks.onnx_weights import measure_batch_norm, read_model_weights
from colorizenet.training.networks.patchgan import PatchGANConfig
from colorizenet.training.networks.pretrained import complete_weights
from colorizenet.training.networks.unet import UNetConfig
from colorizenet.training.recipes import encoder_queries
from colorizenet.training.tasks import HintsConfig, OptimConfig, Pix2PixConfig


def read_weights(path):
    return torch.load(path, weights_only=True)["state_dict"]


@pytest.fixture(scope="module")
def regression(tiny) -> RunConfig:
    return dataclasses.replace(tiny, network=UNetConfig(widths=(8, 8, 8)), pictures=16)


@pytest.fixture(scope="module")
def first(regression, tmp_path_factory):
    """The folder of a regression that ran to its end."""
    folder = tmp_path_factory.mktemp("init_from") / "first"
    fit(regression, folder, recipe="unet")
    return folder


@pytest.fixture
def make_config(regression):
    """Adversarial training of the same network; arguments are settings of the run."""

    def make(*, discriminator_warmup: int = 0, **settings) -> RunConfig:
        task = Pix2PixConfig(
            discriminator=PatchGANConfig(widths=(8, 8)),
            discriminator_lr=1e-2,
            discriminator_warmup=discriminator_warmup,
        )
        optim = OptimConfig(lr=1e-2, betas=(0.5, 0.999), warmup=0, clip=0.0)
        return dataclasses.replace(regression, task=task, optim=optim, **settings)

    return make


def test_the_best_weights_have_the_lowest_score(make_config, tmp_path):
    fit(make_config(pictures=48, precision="bf16-mixed"), tmp_path / "run")
    with (tmp_path / "run" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    best = min(rows, key=lambda row: float(row["val/score"]))
    seen = torch.load(tmp_path / "run" / "best.ckpt", weights_only=True)["pictures_seen"]
    assert len(rows) == 3
    assert seen == int(best["pictures"])


@pytest.mark.parametrize(("file", "name"), [("", "best"), ("last.ckpt", "last")])
def test_it_starts_from_the_weights_of_a_regression(make_config, regression, tmp_path, file, name):
    loss = dataclasses.replace(regression.loss, vgg16=str(tmp_path / "vgg16.safetensors"))
    fit(dataclasses.replace(regression, loss=loss), tmp_path / "first")
    (tmp_path / "first" / f"{'last' if name == 'best' else 'best'}.ckpt").unlink()
    init_from = str(tmp_path / "first" / file)
    # The last of the four steps is the network's first, and its learning rate is 0.
    config = make_config(discriminator_warmup=12, init_from=init_from, ema=0.0)
    config = dataclasses.replace(config, optim=OptimConfig(lr=0.0, weight_decay=0.0))
    task = fit(config, tmp_path / "second")
    before, after = read_weights(tmp_path / "first" / f"{name}.ckpt"), task.network.state_dict()
    # That step changes the statistics of BatchNorm.
    kept = {key: value for key, value in after.items() if key.endswith(("weight", "bias"))}
    assert kept and all(torch.equal(value, before[f"network.{key}"]) for key, value in kept.items())

    card = export_run(tmp_path / "second", tmp_path / "model.onnx")
    assert (card.task, card.pictures_seen) == ("pix2pix", 16)
    assert card.init_from["pictures_seen"] == 16
    assert card.init_from["settings"]["task"]["kind"] == "regression"
    assert str(tmp_path) not in card.to_json() and "vgg16.safetensors" in card.to_json()


def test_a_run_is_resumed_without_the_run_it_started_from(make_config, first, tmp_path):
    shutil.copytree(first, tmp_path / "first")
    config = make_config(init_from=str(tmp_path / "first"))
    fit(config, tmp_path / "second")
    provenance = tmp_path / "second" / "provenance.json"
    recorded = json.loads(provenance.read_text())["init_from"]
    assert recorded["pictures_seen"] == 16
    shutil.rmtree(tmp_path / "first")
    fit(dataclasses.replace(config, pictures=32), tmp_path / "second", resume=True)
    assert json.loads(provenance.read_text())["init_from"] == recorded
    card = export_run(tmp_path / "second", tmp_path / "model.onnx")
    assert card.init_from["pictures_seen"] == 16
    for other in ("", str(tmp_path / "other")):
        changed = dataclasses.replace(config, init_from=other, pictures=48)
        with pytest.raises(ConfigError, match="init_from"):
            fit(changed, tmp_path / "second", resume=True)


def test_the_average_begins_with_the_initial_weights(make_config, first, tmp_path):
    runs = {}
    for pictures in (16, 48):
        config = make_config(init_from=str(first), pictures=pictures, ema=0.9999)
        fit(config, tmp_path / str(pictures))
        path = tmp_path / str(pictures) / "last.ckpt"
        runs[pictures] = torch.load(path, weights_only=True)

    def change(part: str) -> float:
        name = "network.head.weight"
        return (runs[48][part][name] - runs[16][part][name]).abs().max().item()

    assert change("current_model_state") > 1e-3
    assert change("state_dict") < 1e-4


def test_a_run_of_another_network_is_an_error(make_config, regression, tmp_path):
    other = dataclasses.replace(regression, network=UNetConfig(widths=(8, 16)))
    fit(other, tmp_path / "other")
    with pytest.raises(ConfigError, match="network"):
        fit(make_config(init_from=str(tmp_path / "other")), tmp_path / "second")
    with pytest.raises(ConfigError, match=r"init_from is .*there is no such run"):
        fit(make_config(init_from=str(tmp_path / "missing")), tmp_path / "third")


def test_a_network_with_further_inputs_starts_from_one_without(regression, first, tmp_path):
    config = dataclasses.replace(
        regression, inputs=("lightness", "hints"), init_from=str(first), ema=0.0
    )
    config = dataclasses.replace(config, optim=dataclasses.replace(config.optim, lr=0.0))
    task = fit(config, tmp_path / "second")
    before = read_weights(first / "best.ckpt")["network.down.0.0.weight"]
    after = task.network.state_dict()["down.0.0.weight"]
    assert torch.equal(after[:, :1], before)
    assert after.shape[1] == 4 and (after[:, 1:] == 0).all()


@pytest.mark.parametrize("name", ["default", "small"])
def test_a_model_of_the_package_gives_its_recipe_the_same_network(name):
    network = build_task(encoder_queries(), pretrained=False).network
    weights = complete_weights(read_model_weights(model_path(name), network), network.state_dict())
    assert weights.keys() == network.state_dict().keys()
    network.load_state_dict(weights)
    generator = torch.Generator().manual_seed(0)
    planes = torch.rand(2, 1, 96, 160, generator=generator)
    [expected] = load_model(name).session.run(["ab"], {"lightness": planes.numpy()})
    assert np.abs(np.asarray(expected)).max() > 0.02

    def compare(*, atol: float = 1e-4) -> None:
        with torch.no_grad():
            torch.testing.assert_close(network(planes), torch.tensor(expected), atol=atol, rtol=0)

    network.eval()
    compare()
    measure_batch_norm(network, [torch.rand(8, 1, 96, 96, generator=generator) for _ in range(4)])
    compare()
    # With the statistics of the pictures, training starts near the model's output.
    measure_batch_norm(network, [planes])
    network.train()
    compare(atol=1e-3)


@pytest.fixture(scope="module")
def model(first, tmp_path_factory):
    """The file of a model."""
    file = tmp_path_factory.mktemp("model") / "model.onnx"
    export_run(first, file)
    return file


def test_a_run_starts_from_a_model_file_and_records_its_card(model, regression, tmp_path):
    frozen = OptimConfig(lr=0.0, encoder_lr=0.0, weight_decay=0.0, warmup=0)
    config = dataclasses.replace(regression, init_from=str(model), optim=frozen, ema=0.0)
    task = fit(config, tmp_path / "run", recipe="unet")
    network = build_task(config, pretrained=False).network
    network.load_state_dict(read_model_weights(model, network))
    weights, expected = task.network.state_dict(), network.state_dict()
    convolutions = [name for name, value in expected.items() if value.ndim == 4]
    assert all(torch.equal(weights[name], expected[name]) for name in convolutions)
    # The statistics were measured, and scale and shift make up for it.
    assert not torch.equal(weights["down.0.1.weight"], expected["down.0.1.weight"])

    card = export_run(tmp_path / "run", tmp_path / "again.onnx")
    assert card.init_from["card"]["recipe"] == "unet"
    assert card.init_from["sha256"] == load_model(model).sha256
    assert str(tmp_path) not in card.to_json()


def test_similarity_is_added_to_a_model_file_whose_chroma_stays_the_same(tiny, tmp_path):
    first = dataclasses.replace(tiny, pictures=16)
    fit(first, tmp_path / "first", recipe="encoder_unet")
    export_run(tmp_path / "first", tmp_path / "first.onnx")
    config = dataclasses.replace(
        first,
        init_from=str(tmp_path / "first.onnx"),
        network=dataclasses.replace(first.network, similarity=4),
        task=HintsConfig(),
        optim=OptimConfig(lr=1e-2, warmup=0, freeze="all-but-similarity"),
    )
    fit(config, tmp_path / "second", recipe="hints")
    export_run(tmp_path / "second", tmp_path / "second.onnx")
    lightness = np.random.default_rng(0).random((2, 1, 96, 64), np.float32)
    before, after = (load_model(tmp_path / f"{name}.onnx") for name in ("first", "second"))
    [expected] = before.session.run(None, {"lightness": lightness})
    ab, similarity = after.session.run(["ab", "similarity"], {"lightness": lightness})
    np.testing.assert_array_equal(ab, expected)
    assert similarity.shape == (2, 1 + 5 + 4, *ab.shape[2:])
    # A network without that part starts from such a file, and one with it as well.
    for number, network in enumerate((first.network, config.network)):
        again = dataclasses.replace(first, init_from=str(tmp_path / "second.onnx"), network=network)
        fit(again, tmp_path / f"again{number}")


def test_a_model_of_another_network_or_a_damaged_file_is_an_error(model, regression, tmp_path):
    config = dataclasses.replace(regression, init_from=str(model))
    for widths in ((8, 8, 16), (8, 8)):  # all weights of the second have a place in the file
        other = dataclasses.replace(config, network=UNetConfig(widths=widths))
        with pytest.raises(ConfigError, match="has another network") as caught:
            fit(other, tmp_path / "other")
        assert len(str(caught.value)) < 300
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(model.read_bytes()[:5000])
    with pytest.raises(ModelFileError, match=r"damaged\.onnx"):
        fit(dataclasses.replace(regression, init_from=str(damaged)), tmp_path / "third")
