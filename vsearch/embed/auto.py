"""What the encoder name ``auto`` stands for on this machine, today."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vsearch.embed import hub
from vsearch.embed.presets import OPEN_CLIP, Known

# Most 10^9 operations for a picture: of a processor, and of a GPU with less than so many GiB
PROCESSOR_GFLOPS, SMALL_GPU_GFLOPS, SMALL_GPU = 20.0, 100.0, 7.5
# what drivers of NVIDIA, of AMD, and of Windows' Linux show where there is a GPU
_DRIVERS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")


def choose(device: str | None = None) -> tuple[str, str]:
    """A pretrained open_clip model if one is here or the hub answers within 2 s, else ``mini``.

    device: as for ``load_encoder``.  One that is here comes before one that would have to be fetched.
    Returns the encoder's full name, and one line that says why.
    """
    by_worth = ranked(gpu_memory(device))
    if found := first_here(by_worth):
        return found.full_name, f"encoder {found.full_name}: its weights are on this machine"
    best = by_worth[0]
    if hub.offline():
        why = "offline by request"
    elif hub.answers(best.repo):
        return best.full_name, f"encoder {best.full_name}: the hub answers; {best.megabytes:,} MB are fetched once"
    else:
        why = "the model hub does not answer"
    return "mini", f"encoder mini (bundled): {best.name} is not on this machine, and {why}"


def preferred(device: str | None = None) -> Known:
    """What ``auto`` would fetch."""
    return ranked(gpu_memory(device))[0]


def first_here(known: Sequence[Known]) -> Known | None:
    """The first of these whose files are on this machine."""
    return next((one for one in known if one.here), None)


def ranked(memory: float | None) -> list[Known]:
    """The presets that may be a default, by what they are worth on such a machine.

    memory: GiB of the GPU, None without one.
    """
    most = PROCESSOR_GFLOPS if memory is None else SMALL_GPU_GFLOPS if memory < SMALL_GPU else float("inf")
    free = [known for known in OPEN_CLIP if not known.research_only]
    return sorted(free, key=lambda known: (known.gflops > most, -(known.coco or 0.0)))


def gpu_memory(device: str | None = None) -> float | None:
    """Memory in GiB of the GPU that would be used, None without one.

    torch, which takes seconds to import, is asked only where a driver is.
    """
    if device is not None and not device.startswith("cuda"):
        return None
    if not any(Path(driver).exists() for driver in _DRIVERS):
        return None
    import torch

    if not torch.cuda.is_available():
        return None
    return float(torch.cuda.get_device_properties(device or "cuda").total_memory) / 2**30
