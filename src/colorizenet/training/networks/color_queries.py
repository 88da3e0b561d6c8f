"""``ColorQueries``: what a photograph as a whole says about the color of each of its pixels."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["ColorQueries", "silent"]

_HEADS = 4


class ColorQueries(nn.Module):
    """The levels of a decoder -> chroma, to be added to that of its convolutions; none at first.

    Learned queries ask each level, coarsest first, what is in the picture (attention across, among
    themselves, and a perceptron); every pixel of the finest level then mixes the chroma of the
    answers it resembles. So what is far apart in a photograph can agree on a color. After the
    color decoder of DDColor (Kang et al. 2023, arXiv:2212.11613, section 3.3), smaller.
    """

    def __init__(self, widths: Sequence[int], queries: int, dimensions: int = 128) -> None:
        """``widths`` are the channels of the levels, coarsest first."""
        super().__init__()
        *asked, finest = widths
        self.queries = nn.Parameter(torch.randn(queries, dimensions))
        self.keys = nn.ModuleList(nn.Conv2d(width, dimensions, 1) for width in asked)
        self.layers = nn.ModuleList(
            nn.TransformerDecoderLayer(
                dimensions,
                _HEADS,
                2 * dimensions,
                dropout=0.0,
                activation="gelu",
                batch_first=True,
                norm_first=True,
            )
            for _ in asked
        )
        self.norm = nn.LayerNorm(dimensions)
        self.answers = nn.Linear(dimensions, finest)
        self.mix = nn.Conv2d(queries, 2, 1, bias=False)
        nn.init.zeros_(self.mix.weight)

    def forward(self, levels: Sequence[Float[Tensor, "b _c _h _w"]]) -> Float[Tensor, "b 2 h w"]:
        *asked, finest = levels
        answers = self.queries.expand(finest.shape[0], -1, -1)
        for level, key, layer in zip(asked, self.keys, self.layers, strict=True):
            answers = layer(answers, key(level).flatten(2).transpose(1, 2))
        alike = self.answers(self.norm(answers)) @ finest.flatten(2) / finest.shape[1] ** 0.5
        return self.mix(alike.unflatten(2, finest.shape[2:]))


def silent(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The queries among a network's weights, saying nothing: what completes those of the same network without."""
    queries = {name: value for name, value in weights.items() if name.startswith("queries.")}
    return {
        name: torch.zeros_like(value) if name == "queries.mix.weight" else value
        for name, value in queries.items()
    }
