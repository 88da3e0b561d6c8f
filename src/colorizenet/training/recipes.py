"""Named runs: functions that return a configuration, in a dict you can see."""

from collections.abc import Callable

from colorizenet.training.config import RunConfig

__all__ = ["RECIPES", "encoder_unet"]


def encoder_unet() -> RunConfig:
    """A U-Net on a pretrained encoder, trained by regression: safe colours, small and quick."""
    return RunConfig()


RECIPES: dict[str, Callable[[], RunConfig]] = {run.__name__: run for run in (encoder_unet,)}
