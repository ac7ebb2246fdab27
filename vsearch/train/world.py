"""The processes that train together: one, or as many as ``torchrun`` started."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed

from vsearch.errors import TrainError


@dataclass(frozen=True)
class World:
    """One process among ``size``; ``device`` is where it computes.  Every method is free when there is one."""

    rank: int
    size: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes and reports."""
        return self.rank == 0

    def gather(self, rows: Tensor) -> tuple[Tensor, int]:
        """The rows of all processes, and where this one's begin among them.  Counts of rows may differ."""
        if self.size == 1:
            return rows, 0
        count = torch.tensor([len(rows)], device=rows.device)
        counts = [torch.empty_like(count) for _ in range(self.size)]
        distributed.all_gather(counts, count)
        lengths = [int(n) for n in counts]
        padded = rows.new_zeros(max(lengths), *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        distributed.all_gather(parts, padded)
        whole = torch.cat([part[:n] for part, n in zip(parts, lengths, strict=True)])
        return whole, sum(lengths[: self.rank])

    def add(self, tensors: Iterable[Tensor]) -> None:
        """Sum each tensor over the processes, in place."""
        if self.size > 1:
            for tensor in tensors:
                distributed.all_reduce(tensor)

    def agree(self, value: Any) -> Any:
        """What the first process says."""
        if self.size == 1:
            return value
        box = [value]
        distributed.broadcast_object_list(box, src=0)
        return box[0]

    @contextmanager
    def first_goes_first(self) -> Iterator[None]:
        """The first process runs the block, then all others do."""
        if self.size > 1 and not self.first:
            distributed.barrier()
        yield
        if self.size > 1 and self.first:
            distributed.barrier()


@contextmanager
def join(device: str | None) -> Iterator[World]:
    """Take part in what ``torchrun`` started; alone when it did not.  Raises TrainError."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if size == 1:
        yield World(0, 1, place)
        return
    if place.type == "cuda" and place.index is None:
        place = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(place)
    try:
        distributed.init_process_group("nccl" if place.type == "cuda" else "gloo")
    except (RuntimeError, ValueError) as error:
        raise TrainError(f"the {size} processes cannot find each other: {error}; start them with torchrun") from error
    try:
        yield World(distributed.get_rank(), size, place)
    finally:
        distributed.destroy_process_group()
