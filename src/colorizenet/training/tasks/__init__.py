"""Tasks: a network, its losses, an optimizer, and the training step."""

from colorizenet.training.tasks.base import ExportedNetwork, Task, TaskConfig
from colorizenet.training.tasks.ddpm import DDPM, DDPMConfig
from colorizenet.training.tasks.diffusion import Diffusion, DiffusionConfig
from colorizenet.training.tasks.frechet import Frechet, FrechetConfig
from colorizenet.training.tasks.hints import FollowHints, HintsConfig
from colorizenet.training.tasks.optim import OptimConfig
from colorizenet.training.tasks.pix2pix import Pix2Pix, Pix2PixConfig
from colorizenet.training.tasks.projected_gan import ProjectedGAN, ProjectedGANConfig
from colorizenet.training.tasks.regression import Regression, RegressionConfig

__all__ = [
    "DDPM",
    "DDPMConfig",
    "Diffusion",
    "DiffusionConfig",
    "ExportedNetwork",
    "FollowHints",
    "Frechet",
    "FrechetConfig",
    "HintsConfig",
    "OptimConfig",
    "Pix2Pix",
    "Pix2PixConfig",
    "ProjectedGAN",
    "ProjectedGANConfig",
    "Regression",
    "RegressionConfig",
    "Task",
    "TaskConfig",
]
