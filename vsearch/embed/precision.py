"""On which device, and how precisely, a network runs.

bfloat16 on a CPU with AMX or AVX-512 BF16 is several times as fast as float32; on one without it is far slower.
So the CPU's precision is found by a short trial at load, and never at the price of the vectors.

Import torch before faiss in every process: both bring an OpenMP runtime, and torch must be the first.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from vsearch.errors import EncoderError

MIN_COSINE = 0.999
MIN_GAIN = 1.15
PROBE_PICTURES = 4

Forward = Callable[[Any, torch.dtype], torch.Tensor]


@dataclass(frozen=True)
class Placement:
    """Where a network runs, in which precision, and why (for `vsearch doctor`)."""

    device: torch.device
    dtype: torch.dtype
    why: str


def pick_device(wanted: str | None) -> torch.device:
    """The device asked for, or a GPU when there is one.  Raises EncoderError when it is not there."""
    try:
        device = torch.device(wanted or ("cuda" if torch.cuda.is_available() else "cpu"))
    except RuntimeError as error:
        raise EncoderError(f"There is no device {wanted!r}. Use `cpu`, `cuda` or `cuda:0`.") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise EncoderError(f"There is no GPU {wanted!r} that torch can use here. Use `cpu`.")
    return device


def place(network: torch.nn.Module, device: torch.device, forward: Forward) -> Placement:
    """Move a float32 network, in place, to its device and to the fastest precision that is exact enough.

    forward: (network, dtype) -> (n, dim) vectors of a fixed probe batch on the CPU, any scale.
    A GPU that has bfloat16 gets it; a CPU gets it when the probe's cosine to float32 is at least 0.999
    for every row and the probe takes at most 1/1.15 of the time.
    """
    network.eval().requires_grad_(False)
    if device.type == "cuda":
        dtype = torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
        network.to(device, dtype).to(memory_format=torch.channels_last)
        return Placement(device, dtype, "GPU")
    network.to(device).to(memory_format=torch.channels_last)
    if device.type != "cpu":
        return Placement(device, torch.float32, f"{device.type}: not tried in bf16")
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return Placement(device, torch.float32, "this CPU has no bf16 arithmetic")
    return _faster_on_cpu(network, device, forward)


def _faster_on_cpu(network: torch.nn.Module, device: torch.device, forward: Forward) -> Placement:
    exact, slow = _timed(forward, network, torch.float32)
    kept = {name: tensor.detach() for name, tensor in network.state_dict().items()}
    network.to(torch.bfloat16)
    try:
        short, fast = _timed(forward, network, torch.bfloat16)
        cosine = float(torch.nn.functional.cosine_similarity(exact, short).min())
        found = f"bf16 runs {slow / fast:.1f} times as fast as fp32, cosine {cosine:.4f}"
        if cosine >= MIN_COSINE and slow >= MIN_GAIN * fast:
            return Placement(device, torch.bfloat16, found)
    except RuntimeError:
        found = "the model does not run in bf16"
    # the rounded weights cannot be widened back: put the kept ones in their place
    network.to(torch.float32).load_state_dict(kept)
    return Placement(device, torch.float32, found)


def _timed(forward: Forward, network: torch.nn.Module, dtype: torch.dtype) -> tuple[torch.Tensor, float]:
    """Vectors of the probe, and seconds of its second run (the first one pays for set-up)."""
    with torch.inference_mode():
        forward(network, dtype)
        begin = time.perf_counter()
        vectors = forward(network, dtype).float()
        return vectors, time.perf_counter() - begin


def probe_pixels(size: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """PROBE_PICTURES fixed pictures with soft shapes and some noise: (n, size, size, 3) uint8."""
    random = np.random.default_rng(20240229)
    coarse = random.integers(0, 256, (PROBE_PICTURES, 8, 8, 3)).astype(np.float32)
    spread = np.linspace(0, 7, size)
    low, share = np.floor(spread).astype(int), (spread % 1).astype(np.float32)
    high = np.minimum(low + 1, 7)
    rows = coarse[:, low] * (1 - share)[:, None, None] + coarse[:, high] * share[:, None, None]
    soft = rows[:, :, low] * (1 - share)[:, None] + rows[:, :, high] * share[:, None]
    noisy = soft + random.normal(0, 12, soft.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)
