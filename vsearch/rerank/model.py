"""The matcher: does this text tell of this picture?  One number from the patches of one and the tokens of the other.

Built after the Q-Former (Li et al. 2023, arXiv 2301.12597): learned queries attend to each other and to the text, and
look at the frozen patches of the picture.  Here the tokens of the text look too, so that "red" and "apple" can find
their patch; with 6,000 pictures to learn from there is no time to learn that through the queries alone.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

MOST_TOKENS = 77  # of a text; CLIP's context length


@dataclass(frozen=True)
class MatcherConfig:
    """The shape of a matcher.

    base: the encoder whose frozen towers it reads.  patches: how many of a picture.  patch_width, token_width: of the
    towers' vectors.  width: inside; a multiple of ``heads``.
    """

    base: str
    patches: int
    patch_width: int
    token_width: int
    width: int = 96
    queries: int = 32
    layers: int = 2
    heads: int = 4

    def told(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


class Attention(nn.Module):
    """Multi-head attention of x to y."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.ask = nn.Linear(width, width)
        self.tell = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(
        self, x: torch.Tensor, y: torch.Tensor, there: torch.Tensor | None = None, rows: torch.Tensor | None = None
    ) -> torch.Tensor:
        """x: (n, a, width), y: (m, b, width), there: (n, b) bool, rows: (n,) which y.  Returns (n, a, width)."""
        keys, values = map(self._split, self.tell(y).chunk(2, dim=-1))
        if rows is not None:
            keys, values = keys[rows], values[rows]
        mask = None if there is None else there[:, None, None, :]
        seen = functional.scaled_dot_product_attention(self._split(self.ask(x)), keys, values, attn_mask=mask)
        out: torch.Tensor = self.out(seen.transpose(1, 2).flatten(2))
        return out

    def _split(self, x: torch.Tensor) -> torch.Tensor:
        n, length, width = x.shape
        return x.reshape(n, length, self.heads, width // self.heads).transpose(1, 2)


class Block(nn.Module):
    """Queries and tokens attend to each other, then to the patches, then each changes by itself."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.among = Attention(width, heads)
        self.look = Attention(width, heads)
        self.change = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(
        self, x: torch.Tensor, there: torch.Tensor, patches: torch.Tensor, rows: torch.Tensor | None
    ) -> torch.Tensor:
        """x: (n, queries + tokens, width), there: which of them are, patches: (m, patches, width), rows: (n,)."""
        own = self.norms[0](x)
        x = x + self.among(own, own, there)
        x = x + self.look(self.norms[1](x), patches, rows=rows)
        out: torch.Tensor = x + self.change(self.norms[2](x))
        return out


class Matcher(nn.Module):
    """Scores pairs of pictures and texts."""

    patch_mean: torch.Tensor
    patch_scale: torch.Tensor

    def __init__(self, config: MatcherConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        # Set from the training pictures: features of a classifier and shares of colours differ a hundredfold.
        self.register_buffer("patch_mean", torch.zeros(config.patch_width))
        self.register_buffer("patch_scale", torch.ones(config.patch_width))
        self.patch_in = nn.Linear(config.patch_width, width)
        self.token_in = nn.Linear(config.token_width, width)
        self.patch_place = nn.Parameter(torch.randn(config.patches, width) * 0.02)
        self.token_place = nn.Parameter(torch.randn(MOST_TOKENS, width) * 0.02)
        self.queries = nn.Parameter(torch.randn(config.queries, width) * 0.02)
        self.patch_norm, self.token_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.blocks = nn.ModuleList(Block(width, config.heads) for _ in range(config.layers))
        self.out = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 1))

    def forward(
        self, patches: torch.Tensor, tokens: torch.Tensor, there: torch.Tensor, rows: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Score pairs; above 0 where the text is likelier than not to tell of the picture.

        patches: (m, patches, patch_width).  tokens: (n, length, token_width) and there: (n, length) bool, cut at 77.
        rows: (n,) the picture of each text; without it m is n.  Returns (n,) logits.
        """
        tokens, there = tokens[:, :MOST_TOKENS], there[:, :MOST_TOKENS]
        scaled = (patches - self.patch_mean) / self.patch_scale
        seen = self.patch_norm(self.patch_in(scaled) + self.patch_place)
        words = self.token_norm(self.token_in(tokens) + self.token_place[: tokens.shape[1]])
        x = torch.cat([self.queries.expand(len(words), -1, -1), words], dim=1)
        queries = there.new_ones((len(words), self.config.queries))
        present = torch.cat([queries, there], dim=1)
        for block in self.blocks:
            x = block(x, present, seen, rows)
        scores: torch.Tensor = self.out(x[:, : self.config.queries].mean(dim=1)).squeeze(-1)
        return scores
