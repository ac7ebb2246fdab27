"""The model hub and its cache on this machine, asked without torch and without patience.

Left alone, the hub's client retries for 20 seconds and more for each file when there is no network.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SECONDS = 2.0
# what open_clip looks for in a repository, in its order
WEIGHT_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
CONFIG_FILE = "open_clip_config.json"


def cached(repo: str, *names: str) -> Path | None:
    """The first of these files of a repository (ORG/NAME) that the cache holds."""
    from huggingface_hub import try_to_load_from_cache

    for name in names:
        found = try_to_load_from_cache(repo, name)
        if isinstance(found, str):
            return Path(found)
    return None


def offline() -> bool:
    """Whether the user asked for no network: VSEARCH_OFFLINE, HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set."""
    from huggingface_hub import constants

    with _switch:
        return os.environ.get("VSEARCH_OFFLINE", "0") not in ("", "0") or bool(constants.HF_HUB_OFFLINE)


def answers(repo: str, seconds: float = SECONDS) -> bool:
    """Whether the hub tells within so many seconds that it has the repository."""
    if offline():
        return False
    said: list[bool] = []
    # a thread, since looking up the hub's address knows no time limit
    asking = threading.Thread(target=lambda: said.append(_ask(repo, seconds)), daemon=True)
    asking.start()
    asking.join(seconds)
    return said == [True]


def _ask(repo: str, seconds: float) -> bool:
    from huggingface_hub import model_info

    try:
        with online():
            model_info(repo, timeout=seconds)
    except Exception:  # whatever keeps the hub from answering, the outcome is the same
        return False
    return True


def endpoint() -> str:
    """Address of the hub: HF_ENDPOINT, else https://huggingface.co."""
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


def cache_folder() -> Path:
    """The hub's cache on this machine: HF_HUB_CACHE, else ``hub`` in HF_HOME."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def free_bytes() -> int:
    """Bytes that this user may still write on the disk of the cache.  Raises OSError."""
    folder = cache_folder().absolute()
    there = next(place for place in (folder, *folder.parents) if place.exists())
    return shutil.disk_usage(there).free


_switch = threading.RLock()  # held by whoever has set, or relies on, the client's switch for the whole process


@contextmanager
def cache_only() -> Iterator[None]:
    """Make the hub's client use its cache alone, for the whole process, while the block runs."""
    from huggingface_hub import constants

    with _switch:
        before = constants.HF_HUB_OFFLINE
        constants.HF_HUB_OFFLINE = True
        try:
            yield
        finally:
            constants.HF_HUB_OFFLINE = before


@contextmanager
def online() -> Iterator[None]:
    """Keep other threads from switching the network off while a request begins."""
    with _switch:
        yield
