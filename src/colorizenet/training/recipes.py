"""Named runs: functions that return a configuration, in a dict you can see."""

from collections.abc import Callable

from colorizenet.training.config import RunConfig
from colorizenet.training.data.augment import AugmentConfig
from colorizenet.training.data.loader import DataConfig
from colorizenet.training.networks.encoder_unet import EncoderUNetConfig
from colorizenet.training.networks.patchgan import PatchGANConfig
from colorizenet.training.networks.unet import UNetConfig
from colorizenet.training.tasks.base import OptimConfig, Pix2PixConfig, RegressionConfig

__all__ = [
    "RECIPES",
    "encoder_queries",
    "encoder_unet",
    "pix2pix",
    "pix2pix_encoder",
    "tiny",
    "unet",
    "unet256",
]


def encoder_unet() -> RunConfig:
    """A U-Net on a pretrained encoder, trained by regression: safe colors, small and quick."""
    return RunConfig(network=EncoderUNetConfig())


def encoder_queries() -> RunConfig:
    """The same with color queries, punished by what the eye sees and paid for color: as the model that ships."""
    return RunConfig(
        data=DataConfig(min_crop=1.0),
        augment=AugmentConfig(film=0.1, noise=0.05, blur=0.05, jpeg=0.05, fade=0.05),
        network=EncoderUNetConfig(queries=20),
        task=RegressionConfig(loss="ciede2000", colorfulness=0.03),
        pictures=300_000,
        validate_every=15_000,
    )


def unet() -> RunConfig:
    """The classical baseline: a U-Net from scratch on pictures of 128 px, mean absolute error."""
    return RunConfig(
        network=UNetConfig(),
        task=RegressionConfig(loss="l1"),
        optim=OptimConfig(lr=1e-3, schedule="plateau"),
        patience=6,
    )


def unet256() -> RunConfig:
    """The same baseline on pictures of 256 px, a level deeper."""
    return RunConfig(
        data=DataConfig(size=256),
        network=UNetConfig(widths=(32, 64, 128, 256, 256, 256)),
        task=RegressionConfig(loss="l1"),
        optim=OptimConfig(lr=1e-3, schedule="plateau"),
        batch_size=16,
        patience=6,
    )


def pix2pix() -> RunConfig:
    """The game of pix2pix as its paper has it, PatchGAN of 70 x 70, around a U-Net from scratch, at 256 px."""
    return RunConfig(
        data=DataConfig(size=256),
        network=UNetConfig(widths=(64, 128, 256, 512, 512, 512)),
        task=Pix2PixConfig(),
        optim=OptimConfig(lr=2e-4, betas=(0.5, 0.999), weight_decay=0.0, warmup=0, clip=0.0),
        batch_size=16,
        ema=0.0,
    )


def pix2pix_encoder() -> RunConfig:
    """A short game after regression: give `--start` the folder of an encoder_unet run. Livelier and more real."""
    return RunConfig(
        network=EncoderUNetConfig(),
        task=Pix2PixConfig(
            loss="huber",
            weight=30.0,
            adversary="hinge",
            discriminator=PatchGANConfig(widths=(64, 128, 256), norm="none", spectral=True),
            warm_up=5_000,
        ),
        optim=OptimConfig(lr=2e-4, encoder_lr=4e-5, betas=(0.5, 0.999), warmup=1_000),
        pictures=30_000,
        validate_every=5_000,
    )


def tiny() -> RunConfig:
    """Ends within a minute on two cores: for tests and first tries, not for colors."""
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
    run.__name__: run
    for run in (encoder_unet, encoder_queries, unet, unet256, pix2pix, pix2pix_encoder, tiny)
}
