"""Loss functions, and ``Losses``, the weighted terms that a run minimizes."""

from colorizenet.training.losses.combined import LossConfig, Losses

__all__ = ["LossConfig", "Losses"]
