"""Batches of sRGB pixels to network units and back, with augmentation on the device.

Two kinds of augmentation: ``zoom``, ``rotate`` and ``border`` change the photo, so
lightness and ab alike. ``film``, ``fade``, ``blur``, ``noise`` and ``jpeg`` change the
network input alone: they imitate what film, lenses, scanners and age do to old photos,
and the network learns to color in spite of it. All random numbers follow from a seed,
so that a resumed run repeats them.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import cv2
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from colorizenet import color
from colorizenet.errors import ConfigError
from colorizenet.training.data.conditions import CONDITIONS, Condition, render_condition

__all__ = [
    "AugmentConfig",
    "Sample",
    "augment_batch",
    "shift_and_cut",
    "to_network",
    "to_pixels",
    "to_rgb",
]

_LARGEST_ANGLE = 5.0
"""Degrees that ``rotate`` turns a picture by at most."""


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Random changes of the training photos. 0 disables a change."""

    zoom: float = 0.0
    """Cut off up to this share of each side: 0.25 keeps at least three quarters."""
    rotate: float = 0.0
    """Share of pictures that are turned by up to 5 degrees, as crooked photos and scans
    are, and enlarged so that no corner is empty."""
    border: float = 0.0
    """Share of pictures that get a uniform gray, black or white border, as scans
    have. Each side is up to 1/6 of the picture wide."""
    film: float = 0.0
    """Share of network inputs as film of random sensitivity to red, green and blue
    records them, with a gamma of 0.7 to 1.4. Imitates blue-sensitive plates and pale
    prints."""
    blur: float = 0.0
    """Share of network inputs with Gaussian blur of 0.5 to 2 pixels."""
    noise: float = 0.0
    """Share of network inputs with grain: noise of 1 to 8 percent of the lightness
    range."""
    jpeg: float = 0.0
    """Share of network inputs with JPEG artifacts of quality 20 to 80."""
    fade: float = 0.0
    """Share of network inputs with faded contrast: lifted blacks, darkened whites and a
    brightness gradient across the picture."""

    def __post_init__(self) -> None:
        for field in fields(self):
            share = getattr(self, field.name)
            if not 0 <= share <= 1 or (field.name == "zoom" and share == 1):
                limit = "0 up to, but not including, 1" if field.name == "zoom" else "0 to 1"
                raise ConfigError(f"augment.{field.name} is {share}; give a share from {limit}")


class Sample(NamedTuple):
    """A training batch in network units."""

    condition: Float[Tensor, "b c h w"]
    """Network input: degraded lightness, and further inputs of the network."""
    lightness: Float[Tensor, "b 1 h w"]
    """True lightness."""
    ab: Float[Tensor, "b 2 h w"]
    """True chroma."""


@torch.no_grad()
def to_network(
    rgb: UInt8[Tensor, "b h w 3"],
) -> tuple[Float[Tensor, "b 1 h w"], Float[Tensor, "b 2 h w"]]:
    """Convert sRGB photos to lightness and ab in network units, channels second."""
    return _linear_to_network(_rgb_to_linear(rgb))


@torch.no_grad()
def augment_batch(
    rgb: UInt8[Tensor, "b h w 3"],
    config: AugmentConfig,
    seed: int,
    *,
    inputs: Sequence[str] = ("lightness",),
    conditions: Mapping[str, Condition] = CONDITIONS,
) -> Sample:
    """Augment sRGB photos and convert them to a training batch.

    Equal seeds give equal batches, on any device. ``inputs``: names of the network
    inputs, which ``conditions`` renders. Computes in float32, inside of autocast as
    well.
    """
    with torch.autocast(rgb.device.type, enabled=False):
        random = _Random(seed, len(rgb), rgb.device)
        linear = _rgb_to_linear(rgb)
        if config.zoom:
            linear = _crop(linear, random, config.zoom)
        if config.rotate:
            linear = torch.where(random.choose(config.rotate), _rotate(linear, random), linear)
        if config.border:
            linear = torch.where(random.choose(config.border), _add_border(linear, random), linear)
        lightness, ab = _linear_to_network(linear)
        degraded = _degrade(linear, lightness, config, random)
        condition = render_condition(inputs, degraded, ab, seed, conditions=conditions)
        return Sample(condition, lightness, ab)


def to_pixels(
    lightness: Float[Tensor, "b 1 h w"], ab: Float[Tensor, "b 2 h2 w2"]
) -> Float[Tensor, "b 3 h w"]:
    """Convert network units to sRGB in 0..1, differentiably.

    Smaller ab is enlarged bilinearly.
    """
    ab = F.interpolate(ab.float(), size=lightness.shape[-2:], mode="bilinear", antialias=False)
    lab = torch.cat(
        [color.denormalize_l(lightness.float()), color.denormalize_ab(ab)], dim=1
    ).movedim(1, -1)
    return color.linear_to_rgb(color.fade_linear(color.lab_to_linear(lab))).movedim(-1, 1)


@torch.no_grad()
def to_rgb(
    lightness: Float[Tensor, "b 1 h w"], ab: Float[Tensor, "b 2 h2 w2"]
) -> UInt8[Tensor, "b h w 3"]:
    """Convert network units to sRGB photos. Smaller ab is enlarged bilinearly."""
    return (to_pixels(lightness, ab).movedim(1, -1) * 255).round().to(torch.uint8)


def shift_and_cut(
    batches: Sequence[Float[Tensor, "b 3 h w"]], generator: torch.Generator
) -> list[Float[Tensor, "b 3 h w"]]:
    """Shift each picture by up to 1/8 of its sides, and make a random square gray.

    The square has half of the sides. Picture i of each batch is changed alike. Colors
    stay as they are, and the gradient passes (Zhao et al. 2020, arXiv:2006.10738).
    """
    count, _, height, width = batches[0].shape
    stacked = torch.stack(list(batches), dim=1)  # (b, batches, 3, h, w)
    down, right = height // 8, width // 8
    padded = F.pad(stacked.flatten(1, 2), (right, right, down, down), mode="reflect")
    padded = padded.unflatten(1, stacked.shape[1:3])
    keep = stacked.new_ones(count, 1, 1, height, width)
    shifted = []
    for picture, mask in zip(padded, keep, strict=True):
        top, left, y, x = torch.rand(4, generator=generator).tolist()
        top, left = round(2 * down * top), round(2 * right * left)
        shifted.append(picture[..., top : top + height, left : left + width])
        y, x = round(height * (y - 1 / 4)), round(width * (x - 1 / 4))  # partly outside, too
        mask[..., max(0, y) : max(0, y + height // 2), max(0, x) : max(0, x + width // 2)] = 0
    cut = torch.stack(shifted) * keep + 0.5 * (1 - keep)
    return list(cut.unbind(1))


class _Random:
    """Random numbers for each picture of a batch, equal on any device."""

    def __init__(self, seed: int, pictures: int, device: torch.device) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.pictures, self.device = pictures, device

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Uniform numbers ``(pictures, *shape)``; shape is 1, 1, 1 by default."""
        share = torch.rand((self.pictures, *(shape or (1, 1, 1))), generator=self.generator)
        return (low + (high - low) * share).to(self.device)

    def choose(self, share: float) -> Bool[Tensor, "b 1 1 1"]:
        """True for about this share of the pictures."""
        return self.uniform(0.0, 1.0) < share

    def grain(self, share: float, height: int, width: int) -> tuple[Tensor, Tensor]:
        """Normal noise for about this share of the pictures, and their indices.

        For half of them it is correlated over 3 x 3 pixels. Numbers are drawn on the
        CPU, which takes longer than all else on a GPU, so only those that are used.
        """
        chosen = torch.rand(self.pictures, generator=self.generator) < share
        [index] = chosen.nonzero(as_tuple=True)
        white = torch.randn(len(index), 1, height, width, generator=self.generator)
        is_coarse = torch.rand(len(index), 1, 1, 1, generator=self.generator) < 0.5
        white, is_coarse = white.to(self.device), is_coarse.to(self.device)
        # The mean of nine has a third of the deviation.
        coarse = F.avg_pool2d(white, 3, stride=1, padding=1) * 3
        return torch.where(is_coarse, coarse, white), index.to(self.device)


def _rgb_to_linear(rgb: UInt8[Tensor, "b h w 3"]) -> Float[Tensor, "b 3 h w"]:
    """Convert to linear light, channels second, which is faster to process."""
    return _linear_levels(rgb.device).take(rgb.movedim(-1, 1).long())


@functools.cache
def _linear_levels(device: torch.device) -> Float[Tensor, "256"]:
    """Linear light of the 256 levels, which halves the time to convert to Lab."""
    return color.rgb_to_linear(torch.arange(256, device=device) / 255)


def _linear_to_network(
    linear: Float[Tensor, "b 3 h w"],
) -> tuple[Float[Tensor, "b 1 h w"], Float[Tensor, "b 2 h w"]]:
    lab = color.linear_to_lab(linear.movedim(1, -1)).movedim(-1, 1)
    return color.normalize_l(lab[:, :1]), color.normalize_ab(lab[:, 1:])


def _crop(linear: Tensor, random: _Random, zoom: float) -> Tensor:
    """Crop each picture at random and enlarge it to its former size."""
    side = 1 - random.uniform(0.0, zoom, 1)
    theta = torch.zeros(len(linear), 2, 3, device=linear.device)
    for axis in (0, 1):
        theta[:, axis, axis] = side[:, 0]
        theta[:, axis, 2] = ((1 - side) * random.uniform(-1.0, 1.0, 1))[:, 0]
    grid = F.affine_grid(theta, list(linear.shape), align_corners=False)
    return F.grid_sample(linear, grid, padding_mode="border", align_corners=False)


def _rotate(linear: Tensor, random: _Random) -> Tensor:
    """Turn each picture by a random angle, and enlarge it until it fills its frame."""
    angle = torch.deg2rad(random.uniform(-_LARGEST_ANGLE, _LARGEST_ANGLE, 1))[:, 0]
    height, width = linear.shape[-2:]
    longer, shorter = max(height, width), min(height, width)
    cosine, sine = angle.cos(), angle.sin()
    # The corners of the frame, turned by the angle, stay within the picture.
    scale = shorter / (shorter * cosine + longer * sine.abs())
    theta = torch.zeros(len(linear), 2, 3, device=linear.device)
    theta[:, 0, 0] = theta[:, 1, 1] = scale * cosine
    theta[:, 0, 1] = -scale * sine * height / width
    theta[:, 1, 0] = scale * sine * width / height
    grid = F.affine_grid(theta, list(linear.shape), align_corners=False)
    return F.grid_sample(linear, grid, padding_mode="border", align_corners=False)


def _add_border(linear: Tensor, random: _Random) -> Tensor:
    """Paint a border of one gray over each picture: a quarter black, a quarter white.

    About a third of the sides have no border.
    """
    gray = random.uniform(-0.5, 1.5).clamp(0, 1)
    height, width = linear.shape[-2:]
    down = torch.linspace(0, 1, height, device=linear.device)[None, None, :, None]
    across = torch.linspace(0, 1, width, device=linear.device)[None, None, None, :]
    top, bottom, left, right = (random.uniform(-1 / 12, 1 / 6).clamp(min=0) for _ in range(4))
    inside = (down >= top) & (down <= 1 - bottom) & (across >= left) & (across <= 1 - right)
    return torch.where(inside, linear, gray)


def _degrade(
    linear: Float[Tensor, "b 3 h w"],
    lightness: Float[Tensor, "b 1 h w"],
    config: AugmentConfig,
    random: _Random,
) -> Float[Tensor, "b 1 h w"]:
    """The lightness as an old photo would have it, within 0..1."""
    degraded = lightness
    if config.film:
        degraded = torch.where(random.choose(config.film), _expose(linear, random), degraded)
    if config.fade:
        degraded = torch.where(random.choose(config.fade), _fade(degraded, random), degraded)
    if config.blur:
        chosen, sigma = random.choose(config.blur), random.uniform(0.5, 2.0)
        degraded = torch.where(chosen, _blur(degraded, sigma), degraded)
    if config.noise:
        grain, index = random.grain(config.noise, *degraded.shape[-2:])
        grain = grain * random.uniform(0.01, 0.08)[index]
        degraded = degraded.index_add(0, index, grain)
    if config.jpeg:
        degraded = _compress(degraded, random.choose(config.jpeg), random.uniform(20.0, 80.0))
    return degraded if degraded is lightness else degraded.clamp(0, 1)


def _expose(linear: Float[Tensor, "b 3 h w"], random: _Random) -> Float[Tensor, "b 1 h w"]:
    """Lightness on film of random color sensitivity and random gamma."""
    weights = random.uniform(0.0, 1.0, 3, 1, 1)
    exposed = (linear * (weights / weights.sum(1, keepdim=True))).sum(1, keepdim=True)
    gamma = torch.exp(random.uniform(math.log(0.7), math.log(1.4)))
    y = exposed.clamp(1e-6, 1) ** gamma
    return color.normalize_l(
        color.linear_to_lab(y.movedim(1, -1).expand(*y.shape[:1], *y.shape[2:], 3))[..., :1]
    ).movedim(-1, 1)


def _fade(lightness: Tensor, random: _Random) -> Tensor:
    """Reduce the contrast and add a brightness gradient in a random direction."""
    black, white = random.uniform(0.0, 0.25), random.uniform(0.75, 1.0)
    height, width = lightness.shape[-2:]
    device = lightness.device
    across = torch.linspace(-1, 1, width, device=device) * random.uniform(-0.1, 0.1)
    down = torch.linspace(-1, 1, height, device=device)[:, None] * random.uniform(-0.1, 0.1)
    return black + lightness * (white - black) + across + down


def _blur(lightness: Tensor, sigma: Float[Tensor, "b 1 1 1"]) -> Tensor:
    """Blur each picture with a Gaussian of its own standard deviation, in pixels."""
    offsets = torch.arange(-6, 7, device=lightness.device)
    kernel = torch.exp(-(offsets**2) / (2 * sigma**2))  # (b, 1, 1, 13)
    kernel = kernel / kernel.sum(-1, keepdim=True)
    batch = len(lightness)
    padded = F.pad(lightness, (6, 6, 6, 6), mode="replicate").movedim(0, 1)
    across = F.conv2d(padded, kernel, groups=batch)
    return F.conv2d(across, kernel.mT, groups=batch).movedim(0, 1)


def _compress(lightness: Tensor, chosen: Tensor, quality: Tensor) -> Tensor:
    """Encode the chosen pictures as JPEG and decode them."""
    compressed = lightness.clone()
    for index in chosen.flatten().nonzero().flatten().tolist():
        pixels = (lightness[index, 0].clamp(0, 1) * 255).round().to(torch.uint8)
        _, encoded = cv2.imencode(
            ".jpg", pixels.cpu().numpy(), [cv2.IMWRITE_JPEG_QUALITY, int(quality[index])]
        )
        decoded = cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE)
        assert decoded is not None
        compressed[index, 0] = torch.from_numpy(decoded).to(lightness) / 255
    return compressed
