"""What a figure was measured on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

LIBRARIES = ("torch", "faiss-gpu", "faiss-cpu", "numpy", "lmdb", "pillow", "timm", "open_clip_torch")


def describe() -> dict[str, str]:
    """CPU, cores that this process may use, memory, GPU, and the versions of what does the work."""
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    told = {
        "CPU": _cpu_model(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{gib:.0f} GiB",
        "GPU": _gpu(),
        "Python": platform.python_version(),
        "Linux": platform.release().split("-")[0],
    }
    return told | {name: found for name in LIBRARIES if (found := _version(name))}


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def _gpu() -> str:
    import torch

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
