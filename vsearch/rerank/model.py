"""The matcher: does this text tell of this picture?  One number from the patches of one and the tokens of the other.

Each token looks for its patches by the cosine of two vectors in a space that both share, and takes the mean of what
it finds there:

    c_tp = cos(ask(t), key(p));  w_t = softmax over p of c_tp / temperature;  found_t = sum over p of w_tp * value(p)
    score = verdict(mean over t of reading(t, found_t, t * found_t)) + gain * sum over t and p of share_t * w_tp * c_tp

The last term is the late interaction of FILIP (Yao et al. 2021, arXiv 2111.07783).  It is what makes the rest learn:
telling a caption from that of any other picture already draws "apple" to the apple's patches, and only what is found
there says whether that apple is red.  Dot products that begin near zero, with or without the learned queries of a
Q-Former (Li et al. 2023, arXiv 2301.12597), still guessed after as many steps (docs/rerank.md has the figures).
"""

from __future__ import annotations

import math
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
    width: int = 128
    heads: int = 4

    def told(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


class Attention(nn.Module):
    """Multi-head attention of the tokens of a text to each other."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.ask, self.tell = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
        """x: (n, length, width), there: (n, length) bool.  Returns (n, length, width)."""
        keys, values = (split(part, self.heads) for part in self.tell(x).chunk(2, dim=-1))
        mask = there[:, None, None, :]
        seen = functional.scaled_dot_product_attention(split(self.ask(x), self.heads), keys, values, attn_mask=mask)
        out: torch.Tensor = self.out(seen.transpose(1, 2).flatten(2))
        return out


class Look(nn.Module):
    """Each token of a text looks at the patches of a picture: what it finds, and how sure it is to have found it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.ask, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.sharpness = nn.Parameter(torch.full((heads, 1, 1), math.log(10.0)))

    def forward(
        self, tokens: torch.Tensor, patches: torch.Tensor, rows: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """tokens: (n, length, width), patches: (m, patches, width), rows: (n,) the picture of each text.

        Returns found (n, length, width) and the mean cosine where it was looked, (n, length, heads).
        """
        asked = functional.normalize(split(self.ask(tokens), self.heads), dim=-1)
        keys = functional.normalize(split(self.key(patches), self.heads), dim=-1)
        values = split(self.value(patches), self.heads)
        cosines = asked @ keys[rows].transpose(-1, -2)
        weights = torch.softmax(cosines * self.sharpness.exp(), dim=-1)
        found = (weights @ values[rows]).transpose(1, 2).flatten(2)
        return found, (weights * cosines).sum(dim=-1).transpose(1, 2)


class Matcher(nn.Module):
    """Scores pairs of pictures and texts."""

    patch_mean: torch.Tensor
    patch_scale: torch.Tensor

    def __init__(self, config: MatcherConfig) -> None:
        super().__init__()
        self.config = config
        width, heads = config.width, config.heads
        # Set from the training pictures: features of a classifier and shares of colours differ a hundredfold.
        self.register_buffer("patch_mean", torch.zeros(config.patch_width))
        self.register_buffer("patch_scale", torch.ones(config.patch_width))
        self.patch_in = nn.Linear(config.patch_width, width)
        self.patch_place = nn.Parameter(torch.randn(config.patches, width) * 0.5)
        self.patch_change, self.patch_norm = change(width), nn.LayerNorm(width)
        self.token_in = nn.Linear(config.token_width, width)
        self.token_place = nn.Parameter(torch.randn(MOST_TOKENS, width) * 0.2)
        self.first_norm, self.among = nn.LayerNorm(width), Attention(width, heads)
        self.token_change, self.token_norm = change(width), nn.LayerNorm(width)
        self.look = Look(width, heads)
        self.own, self.share = nn.Linear(width, width), nn.Linear(width, heads)
        self.reading = nn.Sequential(nn.Linear(3 * width, width), nn.GELU(), nn.Linear(width, width))
        self.verdict = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, 1))
        self.gain = nn.Parameter(torch.tensor(5.0))

    def forward(
        self, patches: torch.Tensor, tokens: torch.Tensor, there: torch.Tensor, rows: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Score pairs; above 0 where the text is likelier than not to tell of the picture.

        patches: (m, patches, patch_width).  tokens: (n, length, token_width) and there: (n, length) bool, cut at 77.
        rows: (n,) the picture of each text; without it m is n.  Returns (n,) logits.
        """
        there = there[:, :MOST_TOKENS]
        rows = torch.arange(len(tokens), device=tokens.device) if rows is None else rows
        return self.match(self.see(patches), self.read(tokens[:, :MOST_TOKENS], there), there, rows)

    def see(self, patches: torch.Tensor) -> torch.Tensor:
        """Patches as they are looked at: (m, patches, patch_width) to (m, patches, width)."""
        x = self.patch_in((patches - self.patch_mean) / self.patch_scale) + self.patch_place
        out: torch.Tensor = self.patch_norm(x + self.patch_change(x))
        return out

    def read(self, tokens: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
        """Tokens in the light of each other: (n, length, token_width) to (n, length, width)."""
        x = self.token_in(tokens) + self.token_place[: tokens.shape[1]]
        x = x + self.among(self.first_norm(x), there)
        out: torch.Tensor = self.token_norm(x + self.token_change(x))
        return out

    def match(self, seen: torch.Tensor, words: torch.Tensor, there: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Score what ``see`` and ``read`` made of pictures and texts.  rows: (n,).  Returns (n,) logits."""
        found, cosines = self.look(words, seen, rows)
        shares = torch.softmax(self.share(words).masked_fill(~there[..., None], -math.inf), dim=1)
        own = self.own(words)
        read = self.reading(torch.cat([own, found, own * found], dim=-1)) * there[..., None]
        mean = read.sum(dim=1) / there.sum(dim=1, keepdim=True)
        scores: torch.Tensor = self.verdict(mean).squeeze(-1) + self.gain * (shares * cosines).sum(dim=(1, 2))
        return scores


def split(x: torch.Tensor, heads: int) -> torch.Tensor:
    """(n, length, width) to (n, heads, length, width / heads)."""
    return x.reshape(*x.shape[:2], heads, -1).transpose(1, 2)


def change(width: int) -> nn.Sequential:
    """What each vector becomes by itself, to be added to it."""
    return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
