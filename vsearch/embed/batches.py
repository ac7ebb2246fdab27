"""Texts of different lengths in batches of about as many tokens, so that little is padded."""

from __future__ import annotations

from collections.abc import Iterator


def batches_by_length(lengths: list[int], most_tokens: int) -> Iterator[list[int]]:
    """Numbers of the texts by ascending length, with at most ``most_tokens`` tokens together once padded."""
    batch: list[int] = []
    for row in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (len(batch) + 1) * lengths[row] > most_tokens:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch
