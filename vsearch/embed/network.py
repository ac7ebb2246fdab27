"""Runs a network over big batches: chunks, transfers, and torch's errors in our words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from vsearch.embed.batchsize import batch_size, fitting, known, learn
from vsearch.embed.heap import keep_freed_memory
from vsearch.errors import EncoderError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def normalised(
    pixels: NDArray[np.uint8], device: torch.device, dtype: torch.dtype, mean: Sequence[float], std: Sequence[float]
) -> torch.Tensor:
    """(n, s, s, 3) uint8 to (n, 3, s, s) of (pixel - mean) / std on the device; mean and std in pixel units.

    The bytes travel, not the floats: a quarter of the transfer.
    """
    tensor = torch.from_numpy(np.require(pixels, requirements=["C", "W"]))
    if device.type == "cuda":
        tensor = tensor.pin_memory().to(device, non_blocking=True)
    centre, scale = (torch.tensor(v, dtype=torch.float32, device=device) for v in (mean, std))
    # permuting keeps the channels last in memory, which is what the networks are laid out for
    return ((tensor.float() - centre) / scale).to(dtype).permute(0, 3, 1, 2)


def run(
    forward: Callable[[Any], torch.Tensor], rows: Any, device: torch.device, network: nn.Module
) -> NDArray[np.float32]:
    """Apply forward to chunks of rows and stack the answers: (n, width) float32 on the CPU.

    rows: anything of length n that can be sliced.  network: what forward runs; the chunk's size is remembered for it.
    Where memory is short the chunk is halved and the rest goes on; on a GPU its size is found by the first one's peak.
    Raises EncoderError for torch's failures, also when there is no memory for a single row.
    """
    if device.type == "cpu":
        keep_freed_memory()
    answers: list[torch.Tensor] = []
    at = 0
    with torch_errors(), torch.inference_mode():
        # nothing is brought back before all chunks are under way: a GPU never waits for the next transfer
        while at < len(rows):
            chunk = rows[at : at + batch_size(network, device)]
            answer = _attempt(forward, chunk, device, network)
            if answer is None:
                learn(network, len(chunk) // 2)
            else:
                answers.append(answer)
                at += len(chunk)
        stacked: NDArray[np.float32] = torch.cat(answers).float().cpu().numpy()
    return stacked


def _attempt(
    forward: Callable[[Any], torch.Tensor], chunk: Any, device: torch.device, network: nn.Module
) -> torch.Tensor | None:
    """The answer for a chunk, or None when it is too large for the memory; what it took of that is free again."""
    try:
        if device.type == "cuda" and not known(network):
            return _measured(forward, chunk, device, network)
        return forward(chunk)
    except torch.OutOfMemoryError:
        if len(chunk) == 1:
            raise
    # not inside the handler: its traceback holds the activations
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return None


def _measured(
    forward: Callable[[Any], torch.Tensor], chunk: Any, device: torch.device, network: nn.Module
) -> torch.Tensor:
    """The answer for a chunk on a GPU; its peak of memory says how many rows fit at once from then on."""
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    answer = forward(chunk)
    peak = torch.cuda.max_memory_allocated(device) - before
    cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # free for us, not for others
    learn(network, fitting(peak / len(chunk), torch.cuda.mem_get_info(device)[0] + cached))
    return answer


@contextmanager
def torch_errors() -> Iterator[None]:
    """Translate torch's errors into EncoderError."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise EncoderError(
            "There is too little free memory for the encoder, even for one row at a time. Free some."
        ) from error
    except (RuntimeError, ValueError) as error:
        raise EncoderError(f"The encoder's network failed: {error}. Run `vsearch doctor`.") from error
