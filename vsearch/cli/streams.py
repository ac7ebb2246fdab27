"""Standard streams that are closed, full or gone.  Imports nothing that opens files.

The system gives a closed descriptor to the next file that is opened, and a database would get what is meant for the
terminal.
"""

from __future__ import annotations

import io
import os
import sys

_ERRORS = "backslashreplace"  # a name that the terminal's encoding lacks is shown escaped; it must not end the program


def prepare() -> None:
    """Occupy closed standard streams, and let nothing that happens to standard error end the program.

    As gnulib's ``stdopen``, reading from a closed input and writing to a closed output fail as on a closed descriptor.
    """
    for fd, flags in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        _occupy(fd, flags)
    sys.stdin = sys.stdin or open(0, closefd=False)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)
    if sys.stderr is sys.__stderr__:
        encoding = sys.stderr.encoding if sys.stderr else None
        sys.stderr = io.TextIOWrapper(io.BufferedWriter(_Messages()), encoding, line_buffering=True)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ERRORS)


def _occupy(fd: int, flags: int) -> None:
    try:
        os.fstat(fd)
    except OSError:
        null = os.open(os.devnull, flags)
        if null != fd:
            os.dup2(null, fd)
            os.close(null)


class _Messages(io.RawIOBase):
    """Standard error, where what cannot be written is dropped: no message is worth the run that it is about."""

    def fileno(self) -> int:
        return 2

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return os.isatty(2)

    def write(self, data: bytes | memoryview) -> int:  # type: ignore[override]
        try:
            return os.write(2, data)
        except OSError:
            return len(data)
