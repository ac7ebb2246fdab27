"""Threads that do jobs ahead, in order, for a caller who may be interrupted at any instant.

Python raises KeyboardInterrupt in the main thread between any two instructions: also after a lock of ``Future`` or
``Condition`` was taken and before the block that gives it back.  The thread that needs the lock next then waits for
ever, and so does whoever ends the threads.  So the caller's side takes no lock of Python's: it puts into and takes from
``SimpleQueue``, whose calls are whole.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from vsearch.errors import DecodeError

J = TypeVar("J")
O = TypeVar("O")  # noqa: E741


class _Run(Generic[O]):
    """One call of ``map``: what was done of it, by number, and whether nobody waits any more."""

    def __init__(self) -> None:
        self.answers: SimpleQueue[tuple[int, O | BaseException]] = SimpleQueue()
        self.over = False


class Crew(Generic[J, O]):
    """``count`` threads that apply ``work``.  Serves any number of callers."""

    def __init__(self, count: int, work: Callable[[J], O], name: str) -> None:
        self._work = work
        self._closed = False
        self._tasks: SimpleQueue[tuple[_Run[O], int, J] | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._serve, name=f"{name}_{number}", daemon=True) for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def map(self, jobs: Iterable[J], most: int) -> Iterator[tuple[J, O]]:
        """Jobs and what came of them, in the order of the jobs; at most ``most`` are begun and not yet taken.

        Raises what ``work`` raises, and DecodeError when the crew is closed meanwhile.
        """
        run: _Run[O] = _Run()
        ahead: deque[tuple[int, J]] = deque()
        done: dict[int, O | BaseException] = {}
        try:
            for number, job in enumerate(jobs):
                self._tasks.put((run, number, job))
                ahead.append((number, job))
                if self._closed:  # whoever closed it may have looked through the tasks before this one came
                    raise DecodeError("the decode pool was closed")
                while ahead and _there(run, ahead[0][0], done, wait=len(ahead) >= most):
                    yield _taken(ahead, done)
            while ahead:
                _there(run, ahead[0][0], done, wait=True)
                yield _taken(ahead, done)
        finally:
            run.over = True

    def close(self) -> None:
        """Let the threads end what they do, drop the rest, and wait for them.  Closing twice is fine."""
        self._closed = True
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join()
        while (task := _next(self._tasks)) is not None:
            _answer(task[0], task[1], DecodeError("the decode pool was closed"))

    def _serve(self) -> None:
        while (task := self._tasks.get()) is not None:
            run, number, job = task
            if run.over:
                continue
            if self._closed:
                _answer(run, number, DecodeError("the decode pool was closed"))
                continue
            try:
                outcome: O | BaseException = self._work(job)
            except BaseException as error:  # told to whoever waits for it
                outcome = error
            _answer(run, number, outcome)


def _answer(run: _Run[O], number: int, outcome: O | BaseException) -> None:
    run.answers.put((number, outcome))


def _next(tasks: SimpleQueue[tuple[_Run[O], int, J] | None]) -> tuple[_Run[O], int, J] | None:
    try:
        return tasks.get_nowait()
    except Empty:
        return None


def _there(run: _Run[O], number: int, done: dict[int, O | BaseException], wait: bool) -> bool:
    """Take over what is done; whether that job is, which ``wait`` waits for."""
    while number not in done:
        try:
            found, outcome = run.answers.get(block=wait)
        except Empty:
            return False
        done[found] = outcome
    return True


def _taken(ahead: deque[tuple[int, J]], done: dict[int, O | BaseException]) -> tuple[J, O]:
    number, job = ahead.popleft()
    outcome = done.pop(number)
    if isinstance(outcome, BaseException):
        raise outcome
    return job, outcome
