"""Patches and tokens of open_clip's networks before they are pooled, for those towers that this room does not run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from vsearch.errors import EncoderError


def patches(visual: Any, pixels: Tensor) -> Tensor:
    """What the last layer of a picture tower gives of each place: (n, 3, side, side) to (n, places, width).

    Raises EncoderError for a tower of which open_clip gives none.
    """
    plain = getattr(visual, "attn_pool", None) is None  # else the last norm is of what that pool gives
    with _told("picture tower", "patches"):
        # as maps, since a network of convolutions has no other form
        found = visual.forward_intermediates(
            pixels, indices=1, intermediates_only=True, output_fmt="NCHW", normalize_intermediates=plain
        )
        maps: Tensor = found["image_intermediates"][-1]
    return maps.flatten(2).transpose(1, 2)


def tokens(network: Any, ids: Tensor) -> Tensor:
    """What the last layer of a text tower gives of each token: ids (n, length) to (n, length, width).

    Raises EncoderError for a tower of which open_clip gives none.
    """
    of_transformers = getattr(getattr(network, "text", None), "config", None)
    with _told("text tower", "tokens"):
        if of_transformers is not None:
            mask = (ids != of_transformers.pad_token_id).long()
            hidden: Tensor = network.text.transformer(input_ids=ids, attention_mask=mask).last_hidden_state
            return hidden
        found = network.forward_intermediates(
            text=ids, text_indices=1, normalize_intermediates=True, intermediates_only=True
        )
        last: Tensor = found["text_intermediates"][-1]
    return last


def present(tokenizer: Any, ids: Tensor) -> Tensor:
    """Where texts have a token, (n, length) bool: before and at the end mark, or where they are not filled up."""
    pad = getattr(getattr(tokenizer, "tokenizer", None), "pad_token_id", None)
    if pad is not None:
        filled: Tensor = ids != pad
        return filled
    return torch.arange(ids.shape[1]) <= ids.argmax(dim=1, keepdim=True)


@contextmanager
def _told(tower: str, what: str) -> Iterator[None]:
    try:
        yield
    except (AssertionError, AttributeError, NotImplementedError, TypeError) as error:
        raise EncoderError(
            f"open_clip gives no {what} of this model's {tower} ({error}), which a re-ranker reads. Train one with "
            "--encoder mini or another model: a re-ranker works with an index of any encoder"
        ) from error
