"""Networks: from a condition (lightness and further inputs) to chroma."""

from colorizenet.training.networks.base import Network

__all__ = ["Network"]
