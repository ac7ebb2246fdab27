"""Contrastive losses over one block of scores, row by row.

Every function takes ``logits`` (rows, columns), the scaled cosines of some queries with all answers of a batch, and
``positive`` (rows, columns) bool, which answers belong to a query: its own, and any other of the same picture or with
the same caption.  Those are no negatives.  It returns (rows,): the losses, to be summed and divided by whoever knows
the size of the whole batch.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

LOW = -1e9  # stands for minus infinity, whose gradients would be NaN


def infonce(logits: Tensor, positive: Tensor, hard_weight: float = 0.0, label_smoothing: float = 0.0) -> Tensor:
    """Minus the log-probability of each positive against all negatives, averaged over a row's positives.

    With one positive a row it is softmax cross-entropy (van den Oord et al. 2018, arXiv 1807.03748; CLIP).  Several do
    not compete: each is compared with the negatives alone, and the minimum is 0 for any number of them.
    hard_weight: negatives are weighted by exp(hard_weight * logit), scaled to a mean of 1 (Robinson et al. 2021,
    arXiv 2010.04592).  label_smoothing: share of the target that is spread over all columns.
    """
    negative = logits.masked_fill(positive, LOW)
    if hard_weight:
        weight = (hard_weight * logits).masked_fill(positive, LOW)
        count = (~positive).sum(dim=1, keepdim=True).clamp(min=1).to(logits.dtype)
        negative = negative + (weight - weight.logsumexp(dim=1, keepdim=True) + count.log())
        negative = negative.masked_fill(positive, LOW)
    against = negative.logsumexp(dim=1, keepdim=True)
    each = F.softplus(against - logits).masked_fill(~positive, 0.0)
    rows = each.sum(dim=1) / positive.sum(dim=1)
    if label_smoothing:
        spread = logits.logsumexp(dim=1) - logits.mean(dim=1)
        rows = (1 - label_smoothing) * rows + label_smoothing * spread
    return rows


def siglip(logits: Tensor, positive: Tensor) -> Tensor:
    """Minus the log-probability that each pair by itself is judged rightly (Zhai et al. 2023, arXiv 2303.15343)."""
    sign = torch.where(positive, 1.0, -1.0).to(logits.dtype)
    return F.softplus(-sign * logits).sum(dim=1)


def same(rows: tuple[Tensor, Tensor], columns: tuple[Tensor, Tensor]) -> Tensor:
    """Which of the columns belong to which of the rows: the same picture, or the same caption.

    rows, columns: ids of the picture and of the caption of each pair, (n,) int64.  Returns (rows, columns) bool.
    """
    (picture, caption), (pictures, captions) = rows, columns
    return (picture[:, None] == pictures[None]) | (caption[:, None] == captions[None])


def start(kind: str, temperature: float | None, own: float | None = None) -> tuple[float, float | None]:
    """Where scale (the log of the inverse temperature) and bias begin; a bias of None: there is none.

    temperature: as asked for.  own: the scale that the encoder has.  SigLIP's are 10 and -10: nearly all pairs are
    none, and the first steps would go into learning just that.
    """
    usual = math.log(10.0) if kind == "siglip" else math.log(1 / 0.07)
    scale = -math.log(temperature) if temperature else (own if own is not None else usual)
    return scale, -10.0 if kind == "siglip" else None
