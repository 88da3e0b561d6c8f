"""``Losses``: the weighted loss terms of a run, between a prediction and a sample."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from colorizenet.errors import ConfigError, check_minimum
from colorizenet.training.data.augment import Sample, to_pixels
from colorizenet.training.losses import pixel
from colorizenet.training.losses.colorfulness import colorfulness_loss, limit_chroma
from colorizenet.training.losses.perceptual import Lpips

__all__ = ["LossConfig", "Losses", "reduce_to"]


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Loss terms and their weights. A weight of 0 leaves a term out."""

    pixel: Literal["huber", "l1", "l2", "ciede2000"] = "huber"
    """Loss of each pixel's chroma. ``huber`` is quadratic for small errors and linear
    for large ones. ``ciede2000`` measures perceived differences and converges to
    livelier colors."""
    delta: float = 10.0
    """Error at which ``huber`` and ``ciede2000`` turn from quadratic to linear: in a*b*
    units, and in units of CIEDE2000."""
    lpips: float = 0.0
    """Weight of LPIPS (VGG16), a perceptual loss. Steps take several times as long."""
    perceptual_batch_fraction: float = 1.0
    """Fraction of each batch that LPIPS is computed on. 0.25 takes a quarter of its
    time, and over many batches trains as well."""
    colorfulness: float = 0.0
    """Weight of a term that rewards colorfulness, with chroma limited to about 40. With
    ``ciede2000``, 0.03 gives lively colors."""
    chroma: float = 0.0
    """Weight of the difference in chroma of each pixel, whatever the hues are. Colors
    become as vivid as those of the photographs, without the patches of vivid color that
    ``colorfulness`` can leave."""
    vgg16: str = ""
    """File of VGG16's weights for ``lpips``; empty to download torchvision's."""

    def __post_init__(self) -> None:
        if not self.delta > 0:
            raise ConfigError(f"loss.delta is {self.delta}; give a number over 0, for example 10")
        if not 0 < self.perceptual_batch_fraction <= 1:
            raise ConfigError(
                f"loss.perceptual-batch-fraction is {self.perceptual_batch_fraction}; "
                "give a fraction over 0 and up to 1, for example 0.25"
            )
        check_minimum(0, "loss", self, "lpips", "colorfulness", "chroma")


class Losses(nn.Module):
    """The loss terms of a configuration. It adds no parameters to checkpoints."""

    def __init__(self, config: LossConfig) -> None:
        super().__init__()
        self.config = config

    def forward(
        self, predicted: Float[Tensor, "b 2 h2 w2"], sample: Sample
    ) -> dict[str, Float[Tensor, ""]]:
        """Compute each loss term times its weight, by name.

        ``predicted`` may be smaller than the sample's ab by a whole factor. The pixel
        loss compares the two at the size of the prediction, the others at the sample's.
        """
        config = self.config
        reduced = reduce_to(predicted, sample.ab)
        terms = {"pixel": self.pixel_loss(predicted, reduced)}
        if config.chroma:
            delta = config.delta
            terms["chroma"] = config.chroma * pixel.chroma(predicted, reduced, delta=delta)
        if config.colorfulness:
            rgb = to_pixels(sample.lightness, limit_chroma(predicted))
            terms["colorfulness"] = config.colorfulness * colorfulness_loss(rgb)
        if config.lpips:
            part = slice(math.ceil(config.perceptual_batch_fraction * len(predicted)))
            rgb, truth = (
                to_pixels(sample.lightness[part], ab[part]) for ab in (predicted, sample.ab)
            )
            lpips = self._lpips.to(rgb.device)
            terms["lpips"] = config.lpips * lpips(rgb, truth).mean()
        return terms

    def pixel_loss(
        self, predicted: Float[Tensor, "b 2 h w"], ab: Float[Tensor, "b 2 h w"]
    ) -> Float[Tensor, ""]:
        """Compute the pixel loss alone, of chroma of one size."""
        if self.config.pixel == "huber":
            return pixel.huber(predicted, ab, delta=self.config.delta)
        if self.config.pixel == "ciede2000":
            return pixel.ciede2000(predicted, ab, delta=self.config.delta)
        return {"l1": pixel.l1, "l2": pixel.l2}[self.config.pixel](predicted, ab)

    def load_weights(self) -> None:
        """Read the weights that the terms need. Raises ConfigError if it cannot.

        Otherwise they are read when they are first needed.
        """
        if self.config.lpips:
            _ = self._lpips

    @cached_property
    def _lpips(self) -> Lpips:
        # A cached property is no submodule, so that no checkpoint contains its weights.
        return Lpips("vgg16", weights={"vgg16": self.config.vgg16} if self.config.vgg16 else {})


def reduce_to(small: Tensor, planes: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
    """Reduce planes by area to the height and width of ``small``."""
    return F.interpolate(planes, size=small.shape[-2:], mode="area")
