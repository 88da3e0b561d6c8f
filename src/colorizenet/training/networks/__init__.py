"""Networks: from a condition (lightness and further inputs) to chroma."""

from colorizenet.training.networks.base import LayeredNetwork, Network, NetworkConfig

__all__ = ["LayeredNetwork", "Network", "NetworkConfig"]
