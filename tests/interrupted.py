"""Interrupts a caller of a crew before each of its instructions.  As a program: that of a crew of futures."""

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

JOBS, MOST, PATIENCE = 5, 2, 5.0
CAUGHT = 42


class Jobs(Protocol):
    """What is interrupted."""

    def map(self, jobs: Iterable[int], most: int) -> Iterator[object]:
        """Do jobs in order."""

    def close(self) -> None:
        """Wait for the threads."""


def interrupted(crew: Jobs, instruction: int) -> bool:
    """Raise KeyboardInterrupt before that instruction of this thread; False when there are not so many."""
    seen = 0

    def trace(frame, event: str, _arg):
        nonlocal seen
        frame.f_trace_opcodes = True
        if event == "opcode":
            seen += 1
            if seen == instruction:
                raise KeyboardInterrupt
        return trace

    sys.settrace(trace)
    try:
        for _ in crew.map(range(JOBS), MOST):
            pass
    except (KeyboardInterrupt, RuntimeError):  # futures also release locks that they do not hold
        return True
    finally:
        sys.settrace(None)
    return False


def first_hang(make: Callable[[], Jobs]) -> tuple[int, int]:
    """The first instruction after which closing waits for ever, 0 for none; and how many were tried."""
    instruction = 0
    going_on = True
    while going_on:
        instruction += 1
        crew = make()
        going_on = interrupted(crew, instruction)
        closing = threading.Thread(target=crew.close, daemon=True)
        closing.start()
        closing.join(PATIENCE)
        if closing.is_alive():
            return instruction, instruction
    return 0, instruction - 1


class Futures:
    """The defect: the caller takes the locks of futures."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(1)

    def map(self, jobs: Iterable[int], most: int) -> Iterator[object]:
        """Do jobs in order."""
        ahead = deque()
        for job in jobs:
            ahead.append(self._threads.submit(abs, job))
            while ahead and (len(ahead) >= most or ahead[0].done()):
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()

    def close(self) -> None:
        """Wait for the threads."""
        self._threads.shutdown(wait=True, cancel_futures=True)


if __name__ == "__main__":
    os._exit(CAUGHT if first_hang(Futures)[0] else 0)  # threads that hang would keep an orderly end from coming
