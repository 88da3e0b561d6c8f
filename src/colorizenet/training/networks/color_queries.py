"""``ColorQueries``: lets distant parts of a picture agree on their colors."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["ColorQueries"]

_HEADS = 4


class ColorQueries(nn.Module):
    """Learned queries that attend to decoder levels and add chroma, zero at first.

    Each transformer layer lets the queries attend to one level (cross-attention), then
    to each other (self-attention), coarsest level first. Each pixel of the finest level
    is compared with each query by a dot product, and a 1x1 convolution turns these
    similarities into chroma. A smaller form of the color decoder of DDColor (Kang et
    al. 2023, arXiv:2212.11613, section 3.3).
    """

    def __init__(self, widths: Sequence[int], queries: int, dimensions: int = 128) -> None:
        """``widths``: channels of the levels, coarsest first. ``queries``: their
        number."""
        super().__init__()
        *coarse, finest = widths
        self.queries = nn.Parameter(torch.randn(queries, dimensions))
        self.keys = nn.ModuleList(nn.Conv2d(width, dimensions, 1) for width in coarse)
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
            for _ in coarse
        )
        self.norm = nn.LayerNorm(dimensions)
        self.answers = nn.Linear(dimensions, finest)
        self.mix = nn.Conv2d(queries, 2, 1, bias=False)
        nn.init.zeros_(self.mix.weight)

    def forward(self, levels: Sequence[Float[Tensor, "b _c _h _w"]]) -> Float[Tensor, "b 2 h w"]:
        """Chroma at the size of the finest of the levels, which come coarsest first."""
        *coarse, finest = levels
        answers = self.queries.expand(finest.shape[0], -1, -1)
        for level, key, layer in zip(coarse, self.keys, self.layers, strict=True):
            answers = layer(answers, key(level).flatten(2).transpose(1, 2))
        similarity = self.answers(self.norm(answers)) @ finest.flatten(2) / finest.shape[1] ** 0.5
        return self.mix(similarity.unflatten(2, finest.shape[2:]))
