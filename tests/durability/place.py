"""Where the harnesses work: in memory where there is room, since none of them needs a disk that is slow to sync."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MEMORY = Path("/dev/shm")
ROOM = 1 << 29


@contextmanager
def workshop() -> Iterator[Path]:
    """An empty folder that is gone afterwards."""
    roomy = MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM
    with tempfile.TemporaryDirectory(prefix="vsearch-", dir=MEMORY if roomy else None) as folder:
        yield Path(folder)
