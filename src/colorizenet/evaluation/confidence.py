"""95 % confidence intervals of means and of shares.

References:
    B. Efron, "Bootstrap methods: another look at the jackknife" (1979).
    E. B. Wilson, "Probable inference, the law of succession, and statistical
    inference" (1927).
"""

import math

import numpy as np

__all__ = [
    "RESAMPLES",
    "SEED",
    "compute_mean_intervals",
    "resample_means",
    "compute_wilson_interval",
]

RESAMPLES = 1000
"""Number of bootstrap samples."""
SEED = 0
"""Seed of every random choice of an evaluation."""
_PERCENTILES = (2.5, 97.5)


def resample_means(values: np.ndarray) -> np.ndarray:
    """Column means over bootstrap samples of the rows: (n, k) -> (RESAMPLES, k).

    All columns share the samples, so that their means may be subtracted. Means of
    columns with infinite values have no meaning.
    """
    count, generator = len(values), np.random.default_rng(SEED)
    finite = np.isfinite(values).all(axis=0)
    values = values if finite.all() else np.where(finite, values, 0)
    means = np.empty((RESAMPLES, values.shape[1]))
    for sample in means:
        drawn = np.bincount(generator.integers(0, count, count), minlength=count)
        sample[:] = drawn @ values
    return means / count


def compute_mean_intervals(means: np.ndarray, values: np.ndarray) -> list[tuple[float, float]]:
    """The interval of each column's mean, from its means over bootstrap samples.

    Shape: ``(RESAMPLES, k), (n, k) -> k pairs``. A column with an infinite value has an
    infinite mean; its interval is the range of its values.
    """
    finite = np.isfinite(values).all(axis=0)
    low, high = np.percentile(means, _PERCENTILES, axis=0)
    low = np.where(finite, low, values.min(axis=0))
    high = np.where(finite, high, values.max(axis=0))
    return [(float(a), float(b)) for a, b in zip(low, high, strict=True)]


def compute_wilson_interval(share: float, count: int, z: float = 1.959964) -> tuple[float, float]:
    """The interval of a share that was observed in ``count`` trials."""
    center = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    spread = math.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    half = z / (1 + z**2 / count) * spread
    return max(0.0, center - half), min(1.0, center + half)
