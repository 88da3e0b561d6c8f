"""``Network``: what tasks, callbacks and the exporter need to know of a network."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

__all__ = ["Network"]


@runtime_checkable
class Network(Protocol):
    """A ``torch.nn.Module`` that maps a condition to chroma, both in network units.

    The condition holds all inputs of the network along the channels, lightness first.
    Chroma has the size of the condition or is smaller by a power of two.
    """

    size_multiple: int
    """Height and width of the condition must be multiples of this."""
    feature_widths: Sequence[int]
    """Channels of each tensor of ``features``, coarsest first."""

    def forward(self, condition: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 2 h2 w2"]:
        """Predict chroma: ``decode(features(condition))``."""
        ...

    def infer(
        self, condition: Float[Tensor, "b c h w"]
    ) -> (
        Float[Tensor, "b 2 h2 w2"] | tuple[Float[Tensor, "b 2 h2 w2"], Float[Tensor, "b _n h2 w2"]]
    ):
        """Compute the outputs of an exported model: chroma, and what is similar if the
        network says it."""
        ...

    def features(self, condition: Float[Tensor, "b c h w"]) -> list[Float[Tensor, "b _c _h _w"]]:
        """Compute the features of each level of the decoder, coarsest first:
        ``expand(encode(condition))``."""
        ...

    def encode(self, condition: Float[Tensor, "b c h w"]) -> list[Float[Tensor, "b _c _h _w"]]:
        """Compute the features of each level of the encoder, finest first."""
        ...

    def expand(
        self, encoded: list[Float[Tensor, "b _c _h _w"]]
    ) -> list[Float[Tensor, "b _c2 _h2 _w2"]]:
        """Compute the features of the decoder from those of the encoder."""
        ...

    def decode(self, features: list[Float[Tensor, "b _c _h _w"]]) -> Float[Tensor, "b 2 h2 w2"]:
        """Compute chroma from ``features``."""
        ...
