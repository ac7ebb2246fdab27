"""200 hostile clients at one server: its memory must stay bounded and flat, and a good client be answered.

A server is started over a small index, in a process of its own, with the limits that it has (in the short form with
smaller and quicker ones).  Each hostile client does one of ten things again and again, from long bodies without a token
to answers that nobody reads (hostile_attacks.py); one good client asks for words all the while.  The anonymous memory
of the server's process is read twenty times a second.

It fails when memory grows: its peak in the last quarter of the time is more than 1.1 times that of the second quarter
and 8 MiB (24 MiB in the short form, in which the allocator is still getting to know what is asked of it).  It fails
when memory exceeds what the server's limits add up to, and when the good client gets anything but answers.

tools/hostile_clients.py                 ten minutes
tools/hostile_clients.py --quick         a short form
tools/hostile_clients.py --defect NAME   a server with a planted defect, which must fail: long "bodies" without a token,
                                         and any number of them; or connections that are "kept" when they are over
tools/hostile_clients.py --json FILE     the figures, also as JSON
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
from hostile_attacks import ATTACKS, JSON, Attack, Target, head

import vsearch
from vsearch.server import Limits, Settings, serve
from vsearch.server.connections import Connection
from vsearch.server.tokens import make_token

MIB = 2**20
CLIENTS = 200
PERIOD = 0.05  # seconds between two looks at the memory
PAUSE = 0.05  # seconds between two connections of a hostile client
QUICK = Limits(
    body_bytes=4 * MIB,
    bodies_bytes=8 * MIB,
    head_seconds=0.5,
    body_seconds=3,
    idle_seconds=1,
    send_seconds=0.5,
)
DEFECTS = ("bodies", "kept")
KEPT = 1 << 16  # bytes of a connection that is kept
COPIES = 3  # of a body: as it comes, decoded, and as a file in memory
EACH = MIB // 2  # bytes of a connection: what has come of a request, a piece of a file, and what waits to be sent


@dataclass
class Observations:
    """What happened.  memory: (seconds, bytes) of each look.  answers: statuses of the good client, with its times."""

    memory: list[tuple[float, int]] = field(default_factory=list)
    attacks: Counter[str] = field(default_factory=Counter)
    answers: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)

    def peak(self, first: float, last: float) -> int:
        """The most memory between two fractions of the time."""
        end = self.memory[-1][0]
        return max(size for at, size in self.memory if first * end <= at <= last * end)

    def figures(self) -> dict[str, Any]:
        """All of it."""
        return {
            "seconds": round(self.memory[-1][0], 1),
            "MiB at the start": self.memory[0][1] / MIB,
            "MiB, peak of the second quarter": self.peak(0.25, 0.5) / MIB,
            "MiB, peak of the last quarter": self.peak(0.75, 1) / MIB,
            "MiB, peak": self.peak(0, 1) / MIB,
            "answers of the good client": {str(status): count for status, count in sorted(self.answers.items())},
            "its p50 ms": 1000 * float(np.percentile(self.seconds, 50)),
            "its p99 ms": 1000 * float(np.percentile(self.seconds, 99)),
            "connections": dict(self.attacks),
        }

    def faults(self, limits: Limits, slack: int) -> list[str]:
        """What is wrong with it.  slack: bytes by which memory may have grown."""
        half, end, start = self.peak(0.25, 0.5), self.peak(0.75, 1), self.memory[0][1]
        room = COPIES * limits.bodies_bytes + CLIENTS * EACH
        faults = []
        if end > 1.1 * half + slack:
            faults.append(f"memory grew from {half / MIB:.0f} to {end / MIB:.0f} MiB")
        if self.peak(0, 1) > start + room:
            faults.append(f"memory reached {self.peak(0, 1) / MIB:.0f} MiB of {(start + room) / MIB:.0f} that may be")
        if set(self.answers) != {200}:
            faults.append(f"the good client got {dict(self.answers)}")
        idle = [attack.__name__ for attack in ATTACKS if not self.attacks[attack.__name__]]
        return faults + [f"no client ended a {name}" for name in idle]


def make(place: Path) -> Path:
    """An index whose first picture is a file of 18 MB, and whose others are small."""
    folder = place / "pictures"
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (2000, 3000, 3), np.uint8)
    Image.fromarray(noise).save(folder / "0.png", compress_level=0)
    for number in range(1, 20):
        Image.new("RGB", (40 + number, 30), (number * 12, 200, 255 - number * 12)).save(folder / f"{number}.png")
    with vsearch.create(place / "hostile.vsearch", encoder="toy") as made:
        made.add(vsearch.folder(folder))
    return place / "hostile.vsearch"


@contextmanager
def served(index: Path, limits: Limits, defect: str = "") -> Iterator[tuple[int, Target]]:
    """A server in a process of its own; gives the process's id."""
    command = [sys.executable, __file__, "--serve", str(index), json.dumps(asdict(limits)), defect]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port, token = process.stdout.readline().split()
            yield process.pid, Target(int(port), token, limits)
        finally:
            process.kill()


def serve_alone(index: str, limits: str, defect: str) -> None:
    """Be that process."""
    token = make_token()
    made = Limits(**json.loads(limits))
    if defect == "bodies":
        made = replace(made, public_bytes=made.body_bytes, bodies_bytes=2**60)
    if defect == "kept":
        forget, kept = Connection.connection_lost, []

        def keep(connection: Connection, error: Exception | None) -> None:
            kept.append((connection, b"x" * KEPT))
            forget(connection, error)

        Connection.connection_lost = keep  # type: ignore[method-assign]

    def ready(address: str) -> None:
        print(address.split(":")[2].partition("/")[0], token, flush=True)

    serve([Path(index)], Settings(port=0, token=token, limits=made), ready)


def anonymous(pid: int) -> int:
    """Bytes of memory that a process has for itself (proc(5), RssAnon)."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:"))


async def attacked(target: Target, attack: Attack, observations: Observations) -> None:
    """Attack again and again."""
    while True:
        with suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
            try:
                await attack(target, reader, writer)
            finally:
                observations.attacks[attack.__name__] += 1
                writer.transport.abort()
        await asyncio.sleep(PAUSE)


async def search_status(target: Target, number: int) -> int:
    """Ask for words as a good client does; returns the status, or 0 where there was no answer."""
    body = json.dumps({"parts": [{"text": f"red and {number}"}], "k": 5}).encode()
    lines = (JSON, target.right, b"Connection: close\r\n", b"Content-Length: %d\r\n" % len(body))
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
        writer.write(head("POST", "/search", *lines) + body)
        answer = await reader.read()
        writer.close()
    except OSError:
        return 0
    return int(answer.split(b" ")[1]) if answer.endswith(b"}") else 0


async def good_client(target: Target, observations: Observations) -> None:
    """Ask one question after the other."""
    while True:
        began = time.perf_counter()
        status = await search_status(target, sum(observations.answers.values()))
        observations.seconds.append(time.perf_counter() - began)
        observations.answers[status] += 1


async def watched(pid: int, target: Target, seconds: float) -> Observations:
    """Let all clients loose for some seconds, and look at the memory meanwhile."""
    for number in range(20):
        assert await search_status(target, -number) == 200
    observations = Observations()
    began = time.monotonic()
    observations.memory.append((0.0, anonymous(pid)))
    tasks = [asyncio.create_task(good_client(target, observations))]
    tasks += [asyncio.create_task(attacked(target, attack, observations)) for attack in islice(cycle(ATTACKS), CLIENTS)]
    while (at := time.monotonic() - began) < seconds:
        observations.memory.append((at, anonymous(pid)))
        await asyncio.sleep(PERIOD)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return observations


def run(quick: bool, seconds: float, defect: str) -> tuple[dict[str, Any], list[str]]:
    """The figures and the faults of one server."""
    limits, slack = (QUICK, 24 * MIB) if quick else (Limits(), 8 * MIB)
    with tempfile.TemporaryDirectory() as folder, served(make(Path(folder)), limits, defect) as (pid, target):
        observations = asyncio.run(watched(pid, target, seconds))
    return observations.figures(), observations.faults(limits, slack)


def main() -> int:
    """Run; 1 when the server failed."""
    if sys.argv[1:2] == ["--serve"]:
        serve_alone(*sys.argv[2:])
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller limits, and ten seconds")
    parser.add_argument("--seconds", type=float, help="default: 600, or 10 with --quick")
    parser.add_argument("--defect", choices=DEFECTS, default="", help="a server that must be caught")
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args()
    figures, faults = run(given.quick, given.seconds or (10 if given.quick else 600), given.defect)
    text = json.dumps({"clients": CLIENTS, **figures, "faults": faults}, indent=1)
    print(text)
    if given.json:
        given.json.write_text(text + "\n", encoding="utf-8")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
