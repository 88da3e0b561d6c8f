"""``RunningFrechet``: a Fréchet distance of predicted and true pictures as a loss.

A batch is too small for a covariance. So the moments run over many batches, and the
gradient goes through the current one (Yang et al. 2026, arXiv:2604.28190). Features of
the gray picture are joined to those of the colored one, so that not only the colors of
the whole set count but also which picture has them (DeVries et al. 2019,
arXiv:1907.08175).
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["RunningFrechet"]

_RIDGE = 1e-3
"""Added to both covariances, in units of the mean variance: bounds the slope of the
root where a variance is nearly 0."""


class RunningFrechet(nn.Module):
    """The relative Fréchet distance of joint features, from running moments.

    All of its state is in buffers. First it collects: the principal components of the
    true pictures' features from ``basis_pictures`` pictures, then moments from
    ``moment_pictures`` more. From then on the moments are exponential averages over
    about ``memory`` pictures. Real and predicted moments are of the same pictures, so
    that their sampling errors largely cancel.
    """

    collected: Tensor
    mean: Tensor
    scatter: Tensor
    basis: Tensor
    averaged: Tensor
    means: Tensor
    seconds: Tensor

    def __init__(
        self,
        width: int,
        *,
        dimensions: int = 192,
        basis_pictures: int = 2_000,
        moment_pictures: int = 1_000,
        memory: int = 2_000,
    ) -> None:
        """``width``: of a feature vector. ``dimensions``: principal components kept."""
        super().__init__()
        self.gather = _keep
        """Collects the vectors of all processes, which the task replaces."""
        dimensions = min(dimensions, width)
        self.basis_pictures, self.moment_pictures = basis_pictures, moment_pictures
        self.memory = memory
        joint = 2 * dimensions
        self.register_buffer("collected", torch.zeros((), dtype=torch.int64))
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scatter", torch.zeros(width, width))
        self.register_buffer("basis", torch.zeros(width, dimensions))
        self.register_buffer("averaged", torch.zeros((), dtype=torch.int64))
        # Of real and predicted features: E[z] and E[z z^T].
        self.register_buffer("means", torch.zeros(2, joint))
        self.register_buffer("seconds", torch.zeros(2, joint, joint))

    @property
    def is_ready(self) -> bool:
        """Whether enough pictures were collected for a distance."""
        return int(self.averaged) >= self.moment_pictures

    @torch.no_grad()
    def collect(
        self,
        predicted: Float[Tensor, "b d"],
        real: Float[Tensor, "b d"],
        gray: Float[Tensor, "b d"],
    ) -> None:
        """Add a batch to the principal components or, once they are known, to the
        moments. A batch that is not finite is left out."""
        predicted, real, gray = map(self.gather, (predicted, real, gray))
        if not _are_finite(predicted, real, gray):
            return
        if int(self.collected) < self.basis_pictures:
            self._add_to_scatter(real)
            if int(self.collected) >= self.basis_pictures:
                self.basis.copy_(torch.linalg.eigh(self.scatter)[1][:, -self.basis.shape[1] :])
        else:
            self._average(self._join(real, gray), self._join(predicted, gray))

    def forward(
        self,
        predicted: Float[Tensor, "b d"],
        real: Float[Tensor, "b d"],
        gray: Float[Tensor, "b d"],
    ) -> Float[Tensor, ""]:
        """Add a batch to the moments, and compute the distance over the real variance.

        The value is that of the running moments. The gradient is that of the batch as
        if all pictures were like it. NaN where the batch is not finite, which would
        make the moments NaN for good.
        """
        z = self._join(predicted, gray)
        # DDP averages the gradients of the processes, which makes them that of all
        # pictures.
        joined = self.gather(self._join(real, gray).detach()), self.gather(z.detach())
        if not _are_finite(*joined):
            return z.sum() * math.nan
        self._average(*joined)
        mean, second = z.mean(0), z.T @ z / len(z)
        # The value of the running moments with the gradient of the batch's.
        mean = self.means[1].clone() + (mean - mean.detach())
        second = self.seconds[1].clone() + (second - second.detach())
        real_mean = self.means[0].clone()
        covariance = second - torch.outer(mean, mean)
        real_covariance = self.seconds[0] - torch.outer(real_mean, real_mean)
        dimensions = self.basis.shape[1]
        variance = real_covariance.diagonal()[:dimensions].sum()
        ridge = _RIDGE * variance / dimensions * torch.eye(len(mean), device=mean.device)
        distance = _frechet_distance(mean, covariance + ridge, real_mean, real_covariance + ridge)
        return distance / variance

    def _join(self, color: Tensor, gray: Tensor) -> Float[Tensor, "b j"]:
        """The principal components of the colored and the gray picture."""
        return torch.cat([(x - self.mean) @ self.basis for x in (color, gray)], dim=1)

    def _add_to_scatter(self, vectors: Float[Tensor, "b d"]) -> None:
        """Update mean and scatter (Chan, Golub and LeVeque 1979)."""
        count, before = len(vectors), int(self.collected)
        mean = vectors.mean(0)
        centered, shift = vectors - mean, mean - self.mean
        self.scatter += centered.T @ centered + torch.outer(shift, shift) * (
            before * count / (before + count)
        )
        self.mean += shift * (count / (before + count))
        self.collected += count

    def _average(self, real: Float[Tensor, "b j"], predicted: Float[Tensor, "b j"]) -> None:
        """Move the moments towards those of a batch; plain means up to ``memory``."""
        count = len(real)
        weight = max(count / self.memory, count / (int(self.averaged) + count))
        for position, z in enumerate((real, predicted)):
            self.means[position].lerp_(z.mean(0), min(1.0, weight))
            self.seconds[position].lerp_(z.T @ z / count, min(1.0, weight))
        self.averaged += count


def _are_finite(*batches: Tensor) -> bool:
    return all(bool(batch.isfinite().all()) for batch in batches)


def _keep(vectors: Tensor) -> Tensor:
    return vectors


def _frechet_distance(
    mean: Float[Tensor, "j"],
    covariance: Float[Tensor, "j j"],
    real_mean: Float[Tensor, "j"],
    real_covariance: Float[Tensor, "j j"],
) -> Float[Tensor, ""]:
    """The squared distance of two Gaussians (Dowson and Landau 1982).

    With ``R`` the root of the real covariance, ``tr (C R^2)^(1/2)`` is the sum of the
    roots of the eigenvalues of ``R C R``.
    """
    values, vectors = torch.linalg.eigh(real_covariance)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    overlap = torch.linalg.eigvalsh(root @ covariance @ root).clamp(min=1e-12).sqrt().sum()
    traces = covariance.trace() + real_covariance.trace()
    return (mean - real_mean).square().sum() + traces - 2 * overlap
