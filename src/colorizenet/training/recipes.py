"""Named runs: functions that return a configuration, in a dict you can see."""

from collections.abc import Callable

from colorizenet.training.config import RunConfig
from colorizenet.training.data import DataConfig
from colorizenet.training.encoder_unet import EncoderUNetConfig
from colorizenet.training.tasks import OptimConfig, RegressionConfig
from colorizenet.training.unet import UNetConfig

__all__ = ["RECIPES", "encoder_unet", "tiny", "unet", "unet256"]


def encoder_unet() -> RunConfig:
    """A U-Net on a pretrained encoder, trained by regression: safe colours, small and quick."""
    return RunConfig(network=EncoderUNetConfig())


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


def tiny() -> RunConfig:
    """Ends within a minute on two cores: for tests and first tries, not for colours."""
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


RECIPES: dict[str, Callable[[], RunConfig]] = {run.__name__: run for run in (encoder_unet, unet, unet256, tiny)}
