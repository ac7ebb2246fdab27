"""Every device of this machine: a process for each that decodes and embeds, while this one alone writes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING

from vsearch.decode import Decoded, Job, Limits
from vsearch.distributed.blocks import IN_FLIGHT, STARTS, Block, Blocks
from vsearch.distributed.worker import Embedded
from vsearch.errors import ClusterError, EncoderError
from vsearch.ingest.reader import Outcome
from vsearch.types import EncoderInfo

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Devices:
    """Devices of this machine by torch's names, as ``cuda:0``.  ``index.add(source, cluster=...)`` uses them.

    One that is named twice gets two processes.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)

    @classmethod
    def named(cls, told: str) -> Devices:
        """From ``cuda:0,cuda:1``, or ``all``: every GPU, or the CPU where there is none.  Raises EncoderError."""
        from vsearch.embed.precision import pick_device

        if told == "all":
            import torch

            return cls([f"cuda:{at}" for at in range(torch.cuda.device_count())] or ["cpu"])
        names = [name.strip() for name in told.split(",")]
        if not all(names):
            raise EncoderError(f"{told!r} names no devices; give all, cpu, cuda:0 or several with commas between them.")
        for name in names:
            pick_device(name)
        return cls(names)

    @contextmanager
    def reader(self, info: EncoderInfo, limits: Limits) -> Iterator[DeviceReader]:
        """Start the processes; they end with the block."""
        reader = DeviceReader(self.names, info, limits)
        try:
            yield reader
        finally:
            reader.close()


@dataclass(slots=True, eq=False)
class _Member:
    """The process of a device, and the blocks that it has, in their order."""

    device: str
    process: subprocess.Popen[bytes]
    pipe: Connection
    blocks: deque[Block] = field(default_factory=deque)


class DeviceReader:
    """A ``Reader`` whose work is done by a process for each device."""

    def __init__(self, devices: Sequence[str], info: EncoderInfo, limits: Limits) -> None:
        self._info, self._limits = info, limits
        self._cores = max(1, len(os.sched_getaffinity(0)) // len(devices))
        self._members: list[_Member] = []
        self._died_idle = 0
        for device in devices:
            self._start(device)

    def close(self) -> None:
        """End the processes."""
        for member in self._members:
            _end(member)
        self._members.clear()

    def embed(self, pictures: Sequence[Decoded]) -> list[NDArray[np.float32] | str]:
        """See ``Reader``: they came with their vectors."""
        return [picture.vector for picture in pictures if isinstance(picture, Embedded)]

    def read(self, jobs: Iterable[Job]) -> Iterator[Outcome]:
        """See ``Reader``.  Raises ClusterError when no process lives long enough, and what the encoder raises."""
        blocks = Blocks(jobs, len(self._members))
        while True:
            self._send(blocks)
            if (outcomes := blocks.told()) is not None:
                yield from outcomes
            elif blocks.under_way:
                self._wait(blocks)
            else:
                return

    def _send(self, blocks: Blocks) -> None:
        """Give blocks to whoever has the fewest."""
        while (member := min(self._members, key=lambda m: len(m.blocks))) and len(member.blocks) < IN_FLIGHT:
            block = blocks.take()
            if block is None:
                return
            member.blocks.append(block)
            with suppress(OSError):  # it died: the next wait finds its pipe at the end
                member.pipe.send(block.jobs)

    def _wait(self, blocks: Blocks) -> None:
        """Take in the next outcomes, or the news that a process has died.  Raises ClusterError, EncoderError."""
        ready = wait([member.pipe for member in self._members])
        for member in [member for member in self._members if member.pipe in ready]:
            try:
                told = member.pipe.recv()
            except (EOFError, OSError):
                self._lose(member, blocks)
                continue
            if isinstance(told, Exception):
                raise told
            blocks.done(member.blocks.popleft(), told)
            self._died_idle = 0

    def _lose(self, member: _Member, blocks: Blocks) -> None:
        """Start another process in the place of one that died, and put its blocks back, or give them up."""
        self._members.remove(member)
        _end(member)
        self._died_idle += 1
        if self._died_idle >= STARTS:
            raise ClusterError(f"the processes for {member.device} die before they have done anything")
        for block in member.blocks:
            blocks.lost(block)
        self._start(member.device)

    def _start(self, device: str) -> None:
        ours, theirs = Pipe()
        environment = {"PYTHONPATH": os.pathsep.join(entry or os.getcwd() for entry in sys.path)}
        if device == "cpu":
            environment["OMP_NUM_THREADS"] = str(self._cores)  # more would only wait for each other
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-P", "-W", "ignore", "-m", "vsearch.distributed.process", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env={**os.environ, **environment},
                start_new_session=True,  # Ctrl-C is for the writer, which then ends them
            )
        self._members.append(_Member(device, process, ours))
        with suppress(OSError):
            ours.send((self._info, self._limits, self._cores, device))


def _end(member: _Member) -> None:
    member.process.kill()  # the decoders see their pipe end, and end too
    member.process.wait()
    member.pipe.close()
