"""Runs a network over big batches: chunks, transfers, and torch's errors in our words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from vsearch.errors import EncoderError

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHUNK = {"cpu": 64, "cuda": 256}


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


def run(forward: Callable[[Any], torch.Tensor], rows: Any, device: torch.device) -> NDArray[np.float32]:
    """Apply forward to chunks of rows and stack the answers: (n, width) float32 on the CPU.

    rows: anything of length n that can be sliced.  Raises EncoderError for torch's failures.
    """
    chunk = CHUNK.get(device.type, CHUNK["cpu"])
    with torch_errors(), torch.inference_mode():
        # nothing is brought back before all chunks are under way: a GPU never waits for the next transfer
        answers = [forward(rows[start : start + chunk]) for start in range(0, len(rows), chunk)]
        stacked: NDArray[np.float32] = torch.cat(answers).float().cpu().numpy()
    return stacked


@contextmanager
def torch_errors() -> Iterator[None]:
    """Translate torch's errors into EncoderError."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise EncoderError(
            "The GPU has too little free memory for the encoder. Free some, or use `--device cpu`."
        ) from error
    except (RuntimeError, ValueError) as error:
        raise EncoderError(f"The encoder's network failed: {error}. Run `vsearch doctor`.") from error
