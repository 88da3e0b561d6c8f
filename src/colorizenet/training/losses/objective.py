"""``Objective``: how far a prediction is from the truth, as the sum of whichever errors a run asks for."""

import math
from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from colorizenet.errors import ConfigError
from colorizenet.training.data import augment
from colorizenet.training.losses import pixel as losses
from colorizenet.training.losses.perceptual import Activations, Lpips
from colorizenet.training.networks.bins import Bins

__all__ = ["Objective", "ObjectiveConfig"]


@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """What counts as an error of color, and how much; each weight of 0 leaves its error out."""

    loss: Literal["huber", "l1", "l2", "ciede2000"] = "huber"
    """What counts as an error of a pixel: squared when small and absolute when large, absolute, squared, or what
    the eye sees, which settles on livelier colors."""
    corner: float = 10.0
    """Where ``huber`` and ``ciede2000`` turn from squared to absolute, in their units, say 0.1 for absolute."""
    gradient: float = 0.0
    """Weight of the error of the change from pixel to pixel: against bleeding and blotches."""
    perceptual: float = 0.0
    """Weight of the difference of what VGG16 sees, in five layers: things look right. Steps take far longer."""
    lpips: float = 0.0
    """Weight of LPIPS (VGG16): the same, calibrated on what people see."""
    looked_at: float = 1.0
    """Share of each batch that VGG16 looks at: a quarter takes a quarter of its time and, over many batches, teaches
    the same."""
    bins: float = 0.0
    """Weight of guessing the bin of ab at lower size, rare colors counting more: more and surer colors."""
    colorfulness: float = 0.0
    """Weight of the lack of colorfulness, whatever the truth, chroma counting up to some 40: 0.03 beside ``ciede2000``
    is lively."""
    vgg16: str = ""
    """File of VGG16's weights for ``perceptual`` and ``lpips``; empty to download torchvision's."""

    def __post_init__(self) -> None:
        if self.corner <= 0:
            raise ConfigError(
                f"task.corner is {self.corner}; give a distance over 0 in a*b* units, say 10"
            )
        if not 0 < self.looked_at <= 1:
            raise ConfigError(
                f"task.looked-at is {self.looked_at}; give a share over 0 and up to 1, say 0.25"
            )
        for name in ("gradient", "perceptual", "lpips", "bins", "colorfulness"):
            if getattr(self, name) < 0:
                raise ConfigError(
                    f"task.{name} is {getattr(self, name)}; give a weight of at least 0"
                )


class Objective(nn.Module):
    """The errors of predictions. Its ``bins`` learn along with the network; nothing of it is exported."""

    def __init__(self, config: ObjectiveConfig, network: nn.Module) -> None:
        """``network`` is asked for the width of its features."""
        super().__init__()
        self.config = config
        weights = {"vgg16": config.vgg16} if config.vgg16 else {}
        # Frozen networks are kept out of the module tree, or each checkpoint would carry them.
        self._seen = (Activations("vgg16", weights=weights),) if config.perceptual else ()
        self._lpips = (Lpips("vgg16", weights=weights),) if config.lpips else ()
        self.bins = Bins(network.feature_widths[-2]) if config.bins else None  # type: ignore[index]

    def pixels(self, predicted: losses.Chroma, ab: losses.Chroma) -> losses.Scalar:
        """The error of pixels alone, which is what validation minimizes."""
        if self.config.loss == "huber":
            return losses.huber(predicted, ab, corner=self.config.corner)
        if self.config.loss == "ciede2000":
            return losses.ciede2000(predicted, ab, corner=self.config.corner)
        return {"l1": losses.l1, "l2": losses.l2}[self.config.loss](predicted, ab)

    def forward(
        self,
        lightness: Float[Tensor, "b 1 h w"],
        ab: Float[Tensor, "b 2 h w"],
        predicted: Float[Tensor, "b 2 h2 w2"],
        features: list[Tensor],
    ) -> dict[str, losses.Scalar]:
        """Each error times its weight, by name. ``predicted`` may be an even division of the true ``ab``."""
        config = self.config
        small = shrunk(ab, predicted)
        errors = {"pixels": self.pixels(predicted, small)}
        if config.gradient:
            errors["gradient"] = config.gradient * losses.gradient(predicted, small)
        if self.bins is not None:
            errors["bins"] = config.bins * self.bins(features[-2], ab)
        if config.colorfulness:
            paid = augment.to_pixels(lightness, losses.enough(predicted))
            errors["colorfulness"] = config.colorfulness * losses.colorfulness_loss(paid)
        if not (self._seen or self._lpips):
            return errors
        some = slice(math.ceil(config.looked_at * len(ab)))
        rgb, truth = (augment.to_pixels(lightness[some], each[some]) for each in (predicted, ab))
        if self._seen:
            seen = self._seen[0].to(rgb.device)
            pairs = zip(seen(rgb), seen(truth), strict=True)
            # A layer counts by how far it is off as a share of what it sees, so that none drowns the others.
            off = [F.l1_loss(x, y) / y.abs().mean().clamp(min=1e-6) for x, y in pairs]
            errors["perceptual"] = config.perceptual * sum(off, start=rgb.new_zeros(())) / len(off)
        if self._lpips:
            errors["lpips"] = config.lpips * self._lpips[0].to(rgb.device)(rgb, truth).mean()
        return errors


def shrunk(plane: Float[Tensor, "b c h w"], like: Tensor) -> Float[Tensor, "b c h2 w2"]:
    """A plane brought to the size of another by area, as a camera with fewer pixels would see it."""
    return F.interpolate(plane, size=like.shape[-2:], mode="area")
