"""What runs in the process of one device: blocks of files come through a pipe, outcomes with vectors go back.

One thread decodes the next block while the main one embeds; the main one, because only there glibc keeps big blocks.
"""

from __future__ import annotations

import sys
import threading
from multiprocessing.connection import Connection
from queue import SimpleQueue

from vsearch.decode import Job
from vsearch.distributed.worker import Worker
from vsearch.errors import ClusterError, VsearchError
from vsearch.ingest.reader import Outcome


def serve(pipe: Connection) -> None:
    """Work until the other side closes the pipe.  What fails is sent, and ends it."""
    try:
        info, limits, processes, device = pipe.recv()
        worker = Worker(info, limits, processes, device)
        decoded: SimpleQueue[list[Outcome] | Exception | None] = SimpleQueue()
        threading.Thread(target=_decode, args=(pipe, worker, decoded), daemon=True).start()
        worker.ready()
        while (outcomes := decoded.get()) is not None:
            if isinstance(outcomes, Exception):
                raise outcomes
            pipe.send(worker.embed(outcomes))
    except (EOFError, BrokenPipeError):
        return
    except VsearchError as error:
        pipe.send(error)
    except Exception as error:
        pipe.send(ClusterError(f"a process that embeds failed: {error!r}"))


def _decode(pipe: Connection, worker: Worker, decoded: SimpleQueue[list[Outcome] | Exception | None]) -> None:
    try:
        while True:
            jobs: list[Job] = pipe.recv()
            decoded.put(worker.decode(jobs))
    except (EOFError, OSError):
        decoded.put(None)
    except Exception as error:  # told to the main thread, which tells the other side
        decoded.put(error)


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
