"""Decoding in worker processes, in order, with a bounded look-ahead.

One thread of the host per worker waits for it with a deadline.  A worker has one file at a time, so the file
that killed it is known and no other is lost.
"""

from __future__ import annotations

import os
import queue
import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Self

import numpy as np

from vsearch.decode.crew import Crew
from vsearch.decode.job import Decoded, Job, Limits, Same
from vsearch.decode.launch import Server, Worker
from vsearch.decode.wire import (
    Ask,
    Garbled,
    Go,
    Late,
    Message,
    Picture,
    Problem,
    Seen,
    WorkerLost,
    receive,
    receive_into,
    send,
)
from vsearch.errors import (
    DecodeError,
    DecoderCrashed,
    DecodeTimeout,
    ImageTooLarge,
    NotAnImage,
    QueryError,
    SourceError,
    Truncated,
)
from vsearch.members.entry import Part
from vsearch.members.lookup import locate
from vsearch.types import Box, Failure, PixelSpec

_RECYCLE_AFTER = 1000  # files; decoders leak
_AGAIN = ("timeout", "crash", "memory")  # may be bad luck: worth a second try on a fresh worker
_ERRORS: dict[str, type[Exception]] = {
    "unreadable": SourceError,
    "not_an_image": NotAnImage,
    "too_large": ImageTooLarge,
    "memory": ImageTooLarge,
    "truncated": Truncated,
    "timeout": DecodeTimeout,
    "crash": DecoderCrashed,
}

Outcome = Decoded | Same | Problem


class DecodePool:
    """Worker processes that turn files into pixels.  A context manager; one pool serves many threads.

    workers: how many processes (default: one per core that this process may use).
    command: how the forking server is started; it gets three arguments more (see ``server``).
    """

    def __init__(
        self,
        spec: PixelSpec,
        limits: Limits = Limits(),  # noqa: B008 (frozen)
        workers: int | None = None,
        command: Sequence[str] | None = None,
    ) -> None:
        count = workers or len(os.sched_getaffinity(0))
        self.workers = count
        self._spec, self._limits = spec, limits
        self._server = Server(spec, limits, command)
        self._idle: queue.LifoQueue[Worker | None] = queue.LifoQueue()
        for _ in range(count):
            self._idle.put(None)
        self._crew = Crew(count, self._decode, "vsearch-decode")

    def map(self, jobs: Iterable[Job], window: int | None = None) -> Iterator[Decoded | Same | Failure]:
        """Decode; the results come in the order of the jobs, one for each.

        window: at most so many jobs are in flight or wait to be taken (default: four per worker), so memory
        does not grow with the number of jobs.  Raises DecodeError when no worker can be started at all.
        """
        if self._server.closed:
            raise DecodeError("the decode pool is closed")
        for job, outcome in self._crew.map(jobs, window or 4 * self.workers):
            if isinstance(outcome, Problem):
                yield Failure(job.path, outcome.stage, outcome.reason, outcome.size, outcome.mtime_ns)
            else:
                yield outcome

    def one(self, path: bytes, box: Box | None = None, part: Part | None = None) -> Decoded:
        """Decode one file, or what lies in the ``box`` of it.  part: where in the file the picture lies, where known.

        Raises SourceError when it cannot be read, DecodeError when it is no good picture, QueryError when the part is
        not inside it.
        """
        outcome = self._decode(Job(path, box=box, part=part))
        if isinstance(outcome, Problem):
            if outcome.code == "outside":  # an error of the question, and not of the file
                raise QueryError(outcome.reason)
            kind = _ERRORS.get(outcome.code, DecodeError)
            raise kind(f"{os.fsdecode(path)!r}: {outcome.reason}")
        assert isinstance(outcome, Decoded)
        return outcome

    def close(self) -> None:
        """End the processes and the threads.  Jobs in flight are dropped.  Closing twice is fine."""
        self._server.close()
        self._crew.close()
        for worker in [self._idle.get() for _ in range(self.workers)]:
            if worker:
                worker.sock.close()
            self._idle.put(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _decode(self, job: Job) -> Outcome:
        try:
            path, part = (job.path, job.part) if job.part is not None else locate(job.path)
        except SourceError as error:
            return Problem("unreadable", str(error))
        ask = Ask(path, bool(job.known), job.box, part)
        outcome = self._try(job, ask)
        if isinstance(outcome, Problem) and outcome.code in _AGAIN:
            outcome = self._try(job, ask, fresh=True)
        return outcome

    def _try(self, job: Job, ask: Ask, fresh: bool = False) -> Outcome:
        worker = self._idle.get()
        keep = False
        try:
            if worker and fresh:  # this one may be no better: when the server dies, so do all of its workers
                self._server.end(worker)
                worker = None
            worker = worker or self._server.spawn()
            outcome = self._exchange(worker, job, ask)
            worker.files += 1
            lost = isinstance(outcome, Problem) and outcome.code in _AGAIN
            keep = not lost and worker.files < _RECYCLE_AFTER
            return outcome
        finally:
            if worker and not keep:
                self._server.end(worker)
            self._idle.put(worker if keep else None)

    def _exchange(self, worker: Worker, job: Job, ask: Ask) -> Outcome:
        deadline = time.monotonic() + self._limits.seconds
        seen: Seen | None = None
        try:
            worker.sock.settimeout(self._limits.seconds)
            send(worker.sock, ask)
            first = receive(worker.sock, deadline)
            if not isinstance(first, Seen):
                return _problem(first)
            seen = first
            if job.known:
                same = seen.content in job.known
                send(worker.sock, Go(not same))
                if same:
                    return Same(job.path, seen.content, seen.size, seen.mtime_ns, seen.ctime_ns)
            return self._picture(worker, job, seen, deadline)
        except Late:
            problem = Problem("timeout", self._late())
        except Garbled:
            problem = Problem("crash", "the decoder's answer makes no sense")
        except WorkerLost:
            problem = self._lost(self._server.end(worker))
        if seen:
            problem.stage, problem.size, problem.mtime_ns = "decode", seen.size, seen.mtime_ns
        return problem

    def _picture(self, worker: Worker, job: Job, seen: Seen, deadline: float) -> Outcome:
        told = receive(worker.sock, deadline)
        if not isinstance(told, Picture):
            return _problem(told)
        pixels = np.empty((self._spec.size, self._spec.size, 3), np.uint8)
        receive_into(worker.sock, pixels.data.cast("B"), deadline)
        return Decoded(
            path=job.path,
            content=seen.content,
            pixels=pixels,
            width=told.width,
            height=told.height,
            size=seen.size,
            mtime_ns=seen.mtime_ns,
            ctime_ns=seen.ctime_ns,
            format=told.format,
            details=told.details,
        )

    def _late(self) -> str:
        return f"took longer than {self._limits.seconds:g} s; raise the limit with --decode-seconds"

    def _lost(self, status: int) -> Problem:
        if status > 0 and os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            if number == signal.SIGXCPU:
                return Problem("timeout", self._late())
            return Problem("crash", f"decoder crashed (signal {number})")
        return Problem("crash", "decoder crashed")


def decode_one(
    path: bytes,
    spec: PixelSpec,
    limits: Limits = Limits(),  # noqa: B008 (frozen)
    box: Box | None = None,
) -> Decoded:
    """Decode one file, or a part of it, in a worker of its own; to decode many, keep a pool.

    Raises SourceError when the file cannot be read; NotAnImage, ImageTooLarge, Truncated, DecodeTimeout,
    DecoderCrashed or plain DecodeError when it is no good picture; QueryError when the part is not inside it.
    """
    with DecodePool(spec, limits, workers=1) as pool:
        return pool.one(path, box)


def _problem(message: Message) -> Problem:
    if not isinstance(message, Problem):
        raise Garbled
    return message
