"""The seam between pixels and network units: batches of uint8 RGB <-> (L, ab), on the device.

On the way, photographs may be changed, each in its own way: how they are cut and how vivid they are,
which the network is to learn; and, in what the network sees alone, what film, lenses, scanners and
time do to old ones. Every draw follows from a seed, so that a resumed run draws the same.
"""

import functools
import math
from dataclasses import dataclass, fields
from typing import NamedTuple

import cv2
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from colorizenet import color
from colorizenet.errors import ConfigError

__all__ = ["AugmentConfig", "Sample", "augmented", "to_network", "to_pixels", "to_rgb"]


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """How photographs are changed before they are learned from; each 0 leaves its change out."""

    zoom: float = 0.0
    """Cut out up to this share of each side, anywhere in the picture."""
    stretch: float = 0.0
    """Change the aspect by up to this share, either way: 0.2 for 20 %."""
    saturation: float = 0.0
    """Make the true colors more vivid by up to this share: against the muted colors of averages."""
    film: float = 0.0
    """Share of the pictures that are seen as through a film of other sensitivity to red, green and blue, with a
    gamma of 0.7 to 1.4: so that blue-sensitive plates and pale prints are understood."""
    blur: float = 0.0
    """Share of the pictures that are seen out of focus."""
    noise: float = 0.0
    """Share of the pictures that are seen with grain."""
    jpeg: float = 0.0
    """Share of the pictures that are seen as a JPEG of low quality."""
    fade: float = 0.0
    """Share of the pictures that are seen bleached: blacks lifted, whites darkened, unevenly over the picture."""
    sizes: tuple[int, ...] = ()
    """Bring each batch to one of these sides, in pixels, so that the network knows pictures of more than one size."""

    def __post_init__(self) -> None:
        for side in self.sizes:
            if side < 32 or side % 32:
                raise ConfigError(
                    f"augment.sizes has {side}; give multiples of 32, say 128 160 192"
                )
        for field in fields(self):
            share = getattr(self, field.name)
            if isinstance(share, tuple):
                continue
            if not 0 <= share <= 1 or (field.name in ("zoom", "stretch") and share == 1):
                raise ConfigError(
                    f"augment.{field.name} is {share}; give a share of at least 0 and at most 1"
                )


class Sample(NamedTuple):
    """A batch to learn from, in network units."""

    seen: Float[Tensor, "b 1 h w"]
    """What the network is shown."""
    lightness: Float[Tensor, "b 1 h w"]
    """That of the photograph."""
    ab: Float[Tensor, "b 2 h w"]
    """What it is to predict."""


@torch.no_grad()
def to_network(
    rgb: UInt8[Tensor, "b h w 3"],
) -> tuple[Float[Tensor, "b 1 h w"], Float[Tensor, "b 2 h w"]]:
    """(L, ab) of sRGB photographs in network units, channels second."""
    return _network_of(_linear_of(rgb))


@torch.no_grad()
def augmented(rgb: UInt8[Tensor, "b h w 3"], config: AugmentConfig, seed: int) -> Sample:
    """What is learned from photographs that are changed as ``config`` says; equal seeds draw equal changes."""
    if not any(getattr(config, field.name) for field in fields(config)):
        lightness, ab = to_network(rgb)
        return Sample(lightness, lightness, ab)
    draw = _Draw(seed, len(rgb), rgb.device)
    linear = _linear_of(rgb)
    if config.zoom or config.stretch:
        linear = _recut(linear, draw, config.zoom, config.stretch)
    if config.sizes:
        side = config.sizes[draw.integer(len(config.sizes))]
        linear = F.interpolate(linear, size=(side, side), mode="bilinear", antialias=True)
    if config.saturation:
        linear = _saturated(linear, 1 + draw.between(0.0, config.saturation))
    lightness, ab = _network_of(linear)
    seen = lightness
    if config.film:
        seen = torch.where(draw.chosen(config.film), _through_film(linear, draw), seen)
    if config.fade:
        seen = torch.where(draw.chosen(config.fade), _faded(seen, draw), seen)
    if config.blur:
        seen = torch.where(draw.chosen(config.blur), _blurred(seen, draw.between(0.5, 2.0)), seen)
    if config.noise:
        seen = torch.where(
            draw.chosen(config.noise), seen + draw.grain(seen) * draw.between(0.01, 0.08), seen
        )
    if config.jpeg:
        seen = _compressed(seen, draw.chosen(config.jpeg), draw.between(20.0, 80.0))
    return Sample(seen.clamp(0, 1), lightness, ab)


def to_pixels(
    lightness: Float[Tensor, "b 1 h w"], ab: Float[Tensor, "b 2 h2 w2"]
) -> Float[Tensor, "b 3 h w"]:
    """sRGB in 0..1 of (L, ab) in network units, with a gradient; smaller chroma is brought up bilinearly."""
    ab = F.interpolate(ab.float(), size=lightness.shape[-2:], mode="bilinear", antialias=False)
    lab = torch.cat(
        [color.denormalize_l(lightness.float()), color.denormalize_ab(ab)], dim=1
    ).movedim(1, -1)
    return color.linear_to_rgb(color.fade_linear(color.lab_to_linear(lab))).movedim(-1, 1)


@torch.no_grad()
def to_rgb(
    lightness: Float[Tensor, "b 1 h w"], ab: Float[Tensor, "b 2 h2 w2"]
) -> UInt8[Tensor, "b h w 3"]:
    """sRGB photographs of (L, ab) in network units; smaller chroma is brought up bilinearly."""
    return (to_pixels(lightness, ab).movedim(1, -1) * 255).round().to(torch.uint8)


class _Draw:
    """Random numbers, one a picture, that follow from a seed on any device."""

    def __init__(self, seed: int, pictures: int, device: torch.device) -> None:
        self.generator, self.pictures, self.device = (
            torch.Generator().manual_seed(seed),
            pictures,
            device,
        )

    def between(self, low: float, high: float, *shape: int) -> Tensor:
        """Evenly between two numbers: (pictures, 1, 1, 1), or (pictures, *shape)."""
        share = torch.rand((self.pictures, *(shape or (1, 1, 1))), generator=self.generator)
        return (low + (high - low) * share).to(self.device)

    def integer(self, below: int) -> int:
        """One for all pictures."""
        return int(torch.randint(below, (), generator=self.generator))

    def chosen(self, share: float) -> Tensor:
        """True for about this share of the pictures: (pictures, 1, 1, 1)."""
        return self.between(0.0, 1.0) < share

    def grain(self, like: Tensor) -> Tensor:
        """Normal noise, of one to three pixels' grain."""
        noise = torch.randn(like.shape, generator=self.generator).to(self.device)
        coarse = (
            F.avg_pool2d(noise, 3, stride=1, padding=1) * 3
        )  # the mean of nine has a third of the deviation
        return torch.where(self.chosen(0.5), coarse, noise)


def _linear_of(rgb: UInt8[Tensor, "b h w 3"]) -> Float[Tensor, "b 3 h w"]:
    """Linear light; a plane a channel is quicker to go through."""
    return _linear_levels(rgb.device).take(rgb.movedim(-1, 1).long())


@functools.cache
def _linear_levels(device: torch.device) -> Float[Tensor, "256"]:
    """Linear light of the 256 levels that there are: looking them up halves the way to Lab."""
    return color.rgb_to_linear(torch.arange(256, device=device) / 255)


def _network_of(
    linear: Float[Tensor, "b 3 h w"],
) -> tuple[Float[Tensor, "b 1 h w"], Float[Tensor, "b 2 h w"]]:
    lab = color.linear_to_lab(linear.movedim(1, -1)).movedim(-1, 1)
    return color.normalize_l(lab[:, :1]), color.normalize_ab(lab[:, 1:])


def _recut(linear: Tensor, draw: _Draw, zoom: float, stretch: float) -> Tensor:
    """Another cut of each picture, stretched to the size it had."""
    side = 1 - draw.between(0.0, zoom, 1)
    bound = math.log1p(stretch)
    ratio = torch.exp(draw.between(-bound, bound, 1) / 2)
    # Of a cut that would reach over an edge, the longer side is what there is.
    wide, high = (side * ratio).clamp(max=1), (side / ratio).clamp(max=1)
    theta = torch.zeros(len(linear), 2, 3, device=linear.device)
    for axis, extent in enumerate((wide, high)):
        theta[:, axis, axis] = extent[:, 0]
        theta[:, axis, 2] = ((1 - extent) * draw.between(-1.0, 1.0, 1))[:, 0]
    grid = F.affine_grid(theta, list(linear.shape), align_corners=False)
    return F.grid_sample(linear, grid, padding_mode="border", align_corners=False)


def _saturated(linear: Tensor, times: Tensor) -> Tensor:
    """Further from the gray of equal luminance, as far as a screen can show it: L* stays."""
    gray = color.luminance(linear.movedim(1, -1)).movedim(-1, 1)
    return color.fade_linear((gray + times * (linear - gray)).movedim(1, -1)).movedim(-1, 1)


def _through_film(linear: Tensor, draw: _Draw) -> Tensor:
    """Lightness as a film sees it that weighs red, green and blue in its own way."""
    weights = draw.between(0.0, 1.0, 3, 1, 1)
    exposed = (linear * (weights / weights.sum(1, keepdim=True))).sum(1, keepdim=True)
    gamma = torch.exp(draw.between(math.log(0.7), math.log(1.4)))
    y = exposed.clamp(1e-6, 1) ** gamma
    return color.normalize_l(
        color.linear_to_lab(y.movedim(1, -1).expand(*y.shape[:1], *y.shape[2:], 3))[..., :1]
    ).movedim(-1, 1)


def _faded(seen: Tensor, draw: _Draw) -> Tensor:
    """Less contrast, and less on one side than on the other."""
    black, white = draw.between(0.0, 0.25), draw.between(0.75, 1.0)
    height, width = seen.shape[-2:]
    across = torch.linspace(-1, 1, width, device=seen.device) * draw.between(-0.1, 0.1)
    down = torch.linspace(-1, 1, height, device=seen.device)[:, None] * draw.between(-0.1, 0.1)
    return black + seen * (white - black) + across + down


def _blurred(seen: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur, of a deviation of its own for each picture."""
    offsets = torch.arange(-6, 7, device=seen.device)
    kernel = torch.exp(-(offsets**2) / (2 * sigma**2))  # (b, 1, 1, 13)
    kernel = kernel / kernel.sum(-1, keepdim=True)
    batch = len(seen)
    padded = F.pad(seen, (6, 6, 6, 6), mode="replicate").movedim(0, 1)
    across = F.conv2d(padded, kernel, groups=batch)
    return F.conv2d(across, kernel.mT, groups=batch).movedim(0, 1)


def _compressed(seen: Tensor, chosen: Tensor, quality: Tensor) -> Tensor:
    """What a JPEG file keeps of those that are chosen."""
    after = seen.clone()
    for index in chosen.flatten().nonzero().flatten().tolist():
        pixels = (seen[index, 0].clamp(0, 1) * 255).round().to(torch.uint8)
        _, encoded = cv2.imencode(
            ".jpg", pixels.cpu().numpy(), [cv2.IMWRITE_JPEG_QUALITY, int(quality[index])]
        )
        decoded = cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE)
        assert decoded is not None
        after[index, 0] = torch.from_numpy(decoded).to(seen) / 255
    return after
