"""Calls of vsearch/files.py, counted in this process, which dies at one of them."""

from __future__ import annotations

import os
import signal
from typing import Any

from vsearch import files

CALLS = ("create", "write_all", "truncate", "fsync", "fsync_dir", "make_dir", "rename", "rename_new", "unlink")


def counted(die_at: int = 0) -> list[int]:
    """Count the calls that change files from now on, in a list of one number.

    die_at: the call at which this process kills itself, counted from 1; a write is half done then.
    """
    calls = [0]

    def wrap(name: str) -> None:
        call = getattr(files, name)

        def counting(*arguments: Any) -> Any:
            calls[0] += 1
            if calls[0] == die_at:
                if name == "write_all":
                    fd, data, offset = arguments
                    call(fd, memoryview(data).cast("B")[: len(data) // 2], offset)
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments)

        setattr(files, name, counting)

    for name in CALLS:
        wrap(name)
    return calls
