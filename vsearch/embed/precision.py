"""On which device, and how precisely, a network runs.

bfloat16 on a CPU with AMX or AVX-512 BF16 is several times as fast as float32; on one without it is far slower.
So the CPU's precision is found by a short trial at load, and never at the price of the vectors.

Where a process needs both, import torch before faiss: each brings its own OpenMP and CUDA runtime.
"""

from __future__ import annotations

import copy
import platform
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch

from vsearch.errors import EncoderError
from vsearch.remembered import CACHE
from vsearch.types import MadeWith

MIN_COSINE = 0.999
MIN_GAIN = 1.15
PROBE_PICTURES = 4
KIND = "precision"
_PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
ROUNDS = 3
ENOUGH_SECONDS = 0.5

Encode = Callable[[torch.dtype], torch.Tensor]
K = TypeVar("K")


@dataclass(frozen=True)
class Placement:
    """Where a network runs, in which precision, and why (for `vsearch doctor`)."""

    device: torch.device
    dtype: torch.dtype
    why: str

    @property
    def made_with(self) -> MadeWith:
        """The same, for those who compare."""
        return MadeWith(str(self.dtype).removeprefix("torch."), processor(self.device))


def pick_device(wanted: str | None) -> torch.device:
    """The device asked for, or a GPU when there is one.  Raises EncoderError when it is not there."""
    try:
        device = torch.device(wanted or ("cuda" if torch.cuda.is_available() else "cpu"))
    except RuntimeError as error:
        raise EncoderError(f"There is no device {wanted!r}. Use `cpu`, `cuda` or `cuda:0`.") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise EncoderError(f"There is no GPU {wanted!r} that torch can use here. Use `cpu`.")
    return device


def processor(device: torch.device) -> str:
    """The name of the processor behind a device, as the system has it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    with suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def place(
    network: Any, device: torch.device, encode: Encode, key: str = "", before: MadeWith | None = None
) -> Placement:
    """Move a float32 network, in place, to its device, and its ``visual`` part to the best precision there.

    encode: dtype -> (n, dim) vectors, of any scale, that the network gives of a fixed probe batch in that dtype.
    A GPU that has bfloat16 gets it for all of the network.  A CPU gets it for pictures only (texts are few, and
    no faster), when every row's cosine to float32 is at least 0.999 and it is at least 1.15 times as fast.
    key: names the weights: what was found for them on such a machine is remembered, so that a race decides once.
    before: what the vectors of an index were made with; on the same processor it is what more are made with.
    """
    network.eval().requires_grad_(False)
    network.to(device).to(memory_format=torch.channels_last)
    if device.type == "cuda" and torch.cuda.is_bf16_supported():
        network.to(torch.bfloat16)
        return Placement(device, torch.bfloat16, "a GPU with bf16")
    if device.type != "cpu" or not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return Placement(device, torch.float32, f"this {device.type} has no bf16 that is known to be fast")
    if before is not None and before.processor == processor(device) and before.precision in _PRECISIONS:
        return _chosen(network, device, _PRECISIONS[before.precision], "as the index has it")
    where = f"{key} | {processor(device)} | torch {torch.__version__}, {torch.get_num_threads()} threads"
    known = CACHE.recall(KIND, where) if key else None
    if isinstance(known, list) and len(known) == 2 and known[0] in _PRECISIONS:
        return _chosen(network, device, _PRECISIONS[known[0]], str(known[1]))
    placement = _choose_on_cpu(network, device, encode)
    if key:
        CACHE.remember(KIND, where, [placement.made_with.precision, placement.why])
    return placement


def _chosen(network: Any, device: torch.device, dtype: torch.dtype, why: str) -> Placement:
    network.visual.to(dtype)
    return Placement(device, dtype, why)


def _choose_on_cpu(network: Any, device: torch.device, encode: Encode) -> Placement:
    towers = {torch.float32: network.visual, torch.bfloat16: copy.deepcopy(network.visual).to(torch.bfloat16)}
    chosen = torch.float32
    try:
        vectors, seconds = race(network, towers, encode)
        exact, short = vectors[torch.float32], vectors[torch.bfloat16]
        cosine = float(torch.nn.functional.cosine_similarity(exact, short).min())
        gain = seconds[torch.float32] / seconds[torch.bfloat16]
        why = f"bf16 runs {gain:.1f} times as fast as float32, cosine {cosine:.4f}"
        if cosine >= MIN_COSINE and gain >= MIN_GAIN:
            chosen = torch.bfloat16
    except RuntimeError:
        why = "the model does not run in bf16"
    network.visual = towers[chosen]
    return Placement(device, chosen, why)


def race(
    network: Any, towers: dict[K, Any], encode: Callable[[K], torch.Tensor]
) -> tuple[dict[K, torch.Tensor], dict[K, float]]:
    """Vectors of the probe and the least seconds for it, by tower.

    The towers take turns as the network's ``visual``, so that what else the machine does meets all of them; the first
    round, which pays for set-up, is not timed.
    """
    vectors: dict[K, torch.Tensor] = {}
    seconds = dict.fromkeys(towers, float("inf"))
    begin = 0.0
    with torch.inference_mode():
        for turn in range(1 + ROUNDS):
            for key, tower in towers.items():
                network.visual = tower
                start = time.perf_counter()
                vectors[key] = encode(key).float().cpu()  # a GPU has finished when its answer is here
                if turn:
                    seconds[key] = min(seconds[key], time.perf_counter() - start)
            if turn == 0:
                begin = time.perf_counter()
            elif time.perf_counter() - begin > ENOUGH_SECONDS:
                break
    return vectors, seconds


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
