"""Recipes: functions that return the configuration of a run, by name in ``RECIPES``."""

import dataclasses
from collections.abc import Callable

from colorizenet.training.config import RunConfig
from colorizenet.training.data.augment import AugmentConfig
from colorizenet.training.data.loader import DataConfig
from colorizenet.training.losses.combined import LossConfig
from colorizenet.training.networks.denoiser import NoisePredictorConfig
from colorizenet.training.networks.encoder_unet import EncoderUNetConfig
from colorizenet.training.networks.patchgan import PatchGANConfig
from colorizenet.training.networks.unet import UNetConfig
from colorizenet.training.tasks.ddpm import DDPMConfig
from colorizenet.training.tasks.diffusion import DiffusionConfig
from colorizenet.training.tasks.frechet import FrechetConfig
from colorizenet.training.tasks.hints import HintsConfig
from colorizenet.training.tasks.optim import OptimConfig
from colorizenet.training.tasks.pix2pix import Pix2PixConfig
from colorizenet.training.tasks.projected_gan import ProjectedGANConfig

__all__ = [
    "RECIPES",
    "diffusion",
    "diffusion_scratch",
    "encoder_queries",
    "encoder_unet",
    "frechet",
    "hints",
    "pix2pix",
    "pix2pix_encoder",
    "projected_gan",
    "tiny",
    "unet",
    "unet256",
]


_DEFAULT_NETWORK = EncoderUNetConfig(encoder="tf_efficientnet_lite2", queries=20)
"""The network of the model ``default``."""


def encoder_unet() -> RunConfig:
    """U-Net with a pretrained encoder, Huber loss: quick to train, safe colors."""
    return RunConfig(network=EncoderUNetConfig())


def encoder_queries() -> RunConfig:
    """A larger encoder, color queries and CIEDE2000, as for the model default."""
    return RunConfig(
        data=DataConfig(min_crop=1.0, val_size=160),
        augment=AugmentConfig(
            rotate=0.05, border=0.05, film=0.1, noise=0.05, blur=0.05, jpeg=0.05, fade=0.05
        ),
        network=_DEFAULT_NETWORK,
        loss=LossConfig(pixel="ciede2000", colorfulness=0.03),
        pictures=300_000,
        validate_every=15_000,
    )


def unet() -> RunConfig:
    """U-Net from scratch on pictures of 128 px, L1 loss: the classical baseline."""
    return RunConfig(
        network=UNetConfig(),
        loss=LossConfig(pixel="l1"),
        optim=OptimConfig(lr=1e-3, schedule="plateau"),
        patience=6,
    )


def unet256() -> RunConfig:
    """U-Net from scratch on pictures of 256 px, one level deeper than unet."""
    return RunConfig(
        data=DataConfig(size=256),
        network=UNetConfig(widths=(32, 64, 128, 256, 256, 256)),
        loss=LossConfig(pixel="l1"),
        optim=OptimConfig(lr=1e-3, schedule="plateau"),
        batch_size=16,
        patience=6,
    )


def pix2pix() -> RunConfig:
    """pix2pix as in its paper: U-Net, 70x70 PatchGAN, BCE and L1, at 256 px."""
    return RunConfig(
        data=DataConfig(size=256),
        network=UNetConfig(widths=(64, 128, 256, 512, 512, 512)),
        loss=LossConfig(pixel="l1"),
        task=Pix2PixConfig(),
        optim=OptimConfig(lr=2e-4, betas=(0.5, 0.999), weight_decay=0.0, warmup=0, clip=0.0),
        batch_size=16,
        ema=0.0,
    )


def pix2pix_encoder() -> RunConfig:
    """GAN fine-tuning, for livelier colors.

    It starts from default, or --init-from. Repeat network settings in which another
    model or run differs from encoder_queries.
    """
    return RunConfig(
        data=DataConfig(min_crop=1.0, val_size=160),
        network=_DEFAULT_NETWORK,
        task=Pix2PixConfig(
            lambda_pixel=30.0,
            gan_loss="hinge",
            discriminator=PatchGANConfig(widths=(64, 128, 256), norm="none", spectral=True),
            discriminator_warmup=5_000,
        ),
        optim=OptimConfig(lr=2e-4, encoder_lr=4e-5, betas=(0.5, 0.999), warmup=1_000),
        init_from="default",
        pictures=30_000,
        validate_every=5_000,
    )


def frechet() -> RunConfig:
    """Fine-tuning by a Fréchet distance, encoder and BatchNorm frozen.

    It starts from default, or --init-from. Repeat network settings in which another
    model or run differs from encoder_queries.
    """
    return RunConfig(
        data=DataConfig(min_crop=1.0, val_size=160),
        network=_DEFAULT_NETWORK,
        loss=LossConfig(pixel="ciede2000", colorfulness=0.03),
        task=FrechetConfig(),
        optim=OptimConfig(lr=3e-4, warmup=1_000, freeze="encoder"),
        init_from="default",
        pictures=12_000,
        batch_size=16,
        validate_every=3_000,
        ema=0.99,
    )


def projected_gan() -> RunConfig:
    """Projected GAN fine-tuning, encoder and BatchNorm frozen.

    It starts from default, or --init-from. Repeat network settings in which another
    model or run differs from encoder_queries.
    """
    return RunConfig(
        data=DataConfig(min_crop=1.0, val_size=160),
        network=_DEFAULT_NETWORK,
        loss=LossConfig(pixel="ciede2000", colorfulness=0.03),
        task=ProjectedGANConfig(),
        optim=OptimConfig(lr=3e-4, betas=(0.5, 0.99), warmup=1_000, freeze="encoder"),
        init_from="default",
        pictures=12_000,
        batch_size=16,
        validate_every=3_000,
        ema=0.99,
    )


def diffusion() -> RunConfig:
    """Several plausible colorings around the answer of a frozen model.

    That is default, or --init-from. Repeat network settings in which another model or
    run differs from encoder_queries.
    """
    return RunConfig(
        data=DataConfig(min_crop=1.0, val_size=160, val_pictures=64),
        network=_DEFAULT_NETWORK,
        task=DiffusionConfig(),
        optim=OptimConfig(lr=1e-3, warmup=2_000),
        init_from="default",
        pictures=60_000,
        batch_size=16,
        validate_every=8_000,
        checkpoint_every=2_000,
    )


def diffusion_scratch() -> RunConfig:
    """Textbook diffusion from scratch at 64 px: DDPM, cosine schedule, DDIM sampler."""
    return RunConfig(
        data=DataConfig(size=64, val_size=64, val_pictures=64),
        network=NoisePredictorConfig(),
        task=DDPMConfig(),
        optim=OptimConfig(lr=1e-3, warmup=5_000),
        pictures=300_000,
        batch_size=32,
    )


def hints() -> RunConfig:
    """Where color hints spread, for a frozen network.

    That is default, or --init-from. Its predictions without hints do not change. Repeat
    network settings in which another run differs from encoder_queries.
    """
    return RunConfig(
        data=DataConfig(size=160, val_size=160, val_pictures=100, min_crop=1.0),
        network=dataclasses.replace(_DEFAULT_NETWORK, similarity=16),
        loss=LossConfig(pixel="ciede2000"),
        task=HintsConfig(),
        optim=OptimConfig(lr=5e-3, warmup=500, freeze="all-but-similarity"),
        init_from="default",
        pictures=12_000,
        batch_size=8,
        validate_every=3_000,
        ema=0.99,
    )


def tiny() -> RunConfig:
    """Smoke test: takes a few minutes on two cores, and learns no useful colors."""
    return RunConfig(
        data=DataConfig(size=64, val_size=128, val_pictures=64),
        network=UNetConfig(widths=(16, 32, 64)),
        optim=OptimConfig(lr=3e-3, warmup=500),
        pictures=3_000,
        batch_size=16,
        validate_every=1_000,
        checkpoint_every=1_000,
        ema=0.99,
    )


RECIPES: dict[str, Callable[[], RunConfig]] = {
    recipe.__name__: recipe
    for recipe in (
        encoder_unet,
        encoder_queries,
        unet,
        unet256,
        pix2pix,
        pix2pix_encoder,
        frechet,
        projected_gan,
        diffusion,
        diffusion_scratch,
        hints,
        tiny,
    )
}
