"""What tasks, callbacks and the exporter need to know of a network."""

from typing import ClassVar, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["LayeredNetwork", "Network", "NetworkConfig"]


@runtime_checkable
class Network(Protocol):
    """A ``torch.nn.Module`` that maps a condition to chroma, both in network units.

    The condition holds all inputs of the network along the channels, lightness first.
    Chroma has the size of the condition or is smaller by a power of two. A network with
    a method ``infer`` is exported with the outputs of that: chroma, and what is
    similar.
    """

    size_multiple: int
    """Height and width of the condition must be multiples of this."""

    def forward(self, condition: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 2 h2 w2"]:
        """Predict chroma."""
        ...


@runtime_checkable
class LayeredNetwork(Network, Protocol):
    """A network whose features others read, such as a model that draws around it.

    Its prediction is ``decode(expand(encode(condition)))``.
    """

    def encode(self, condition: Float[Tensor, "b c h w"]) -> list[Float[Tensor, "b _c _h _w"]]:
        """Compute the features of each level of the encoder, finest first."""
        ...

    def expand(
        self, encoded: list[Float[Tensor, "b _c _h _w"]]
    ) -> list[Float[Tensor, "b _c2 _h2 _w2"]]:
        """Compute the features of each level of the decoder, coarsest first."""
        ...

    def decode(self, features: list[Float[Tensor, "b _c _h _w"]]) -> Float[Tensor, "b 2 h2 w2"]:
        """Compute chroma from the features of the decoder."""
        ...


@runtime_checkable
class NetworkConfig(Protocol):
    """A frozen dataclass with the settings of one kind of network."""

    kind: ClassVar[str]
    """The name of this kind in ``config.json``."""

    def build(self, *, in_channels: int = 1, pretrained: bool = True) -> nn.Module:
        """Build the network, a ``Network``. ``pretrained`` False: its weights are
        replaced at once, so that none need to be downloaded."""
        ...
