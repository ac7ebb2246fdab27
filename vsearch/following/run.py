"""Keep an index in line with folders: index them once, then whatever changes, as soon as it has settled."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from vsearch.embed import name_encoder
from vsearch.errors import SourceError
from vsearch.following.events import Events, system_events
from vsearch.following.loop import SETTLE, Follower
from vsearch.index import create, open_index
from vsearch.sources import folder

if TYPE_CHECKING:
    from vsearch.decode import Limits
    from vsearch.embed import Encoder
    from vsearch.ingest import Review
    from vsearch.sources import Source
    from vsearch.types import AddReport, Settings

POLL_SETTLE = 1.0  # seconds: one round may see the end of a move and the next one its beginning

AnyPath = str | os.PathLike[str]
Report = Callable[["AddReport"], None]
Notice = Callable[[str], None]


def _silent(_: object) -> None:
    """The core says nothing unless asked."""


def watch(
    path: AnyPath,
    folders: Sequence[AnyPath],
    *,
    encoder: str | Encoder | None = None,
    hidden: bool | None = None,
    follow_links: bool | None = None,
    exclude: Sequence[str] | None = None,
    settle: float = SETTLE,
    poll: bool = False,
    build: bool = True,
    limits: Limits | None = None,
    workers: int | None = None,
    stop: Event | None = None,
    on_report: Report | None = None,
    on_notice: Notice | None = None,
    events: Events | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Index folders and keep the index at ``path``, made when it is not there, in line with them until stopped.

    First everything is indexed as by ``Index.add``, then what changes: a file once its size and time have stood still
    for ``settle`` seconds, so that none is read while it is written.  A moved picture keeps its id and is not embedded
    again.  The index is open for writing only during a run, so others may write in between; while they do, this waits.
    A folder that is emptied, or not there, is taken for a disk that is not mounted: nothing is removed, and it is
    followed again when it is back.

    hidden, follow_links: as of ``folder``; what is None, and whether archives, frames and RAW files are indexed, is as
    the index remembers it of each folder.
    encoder: for an index that is made; None for ``auto``.  poll: look at all files again and again instead of waiting
    for the system to tell, for network disks; ``settle`` is then at least a second.  build: keep the FAISS index up to
    date too.  stop: set it, from a signal handler or another thread, to end.  on_report: gets the report of every run.
    events, clock: where changes and time come from; by default watchfiles and the monotonic clock.
    Raises SourceError, EncoderError, DiskFull, IndexNotWritable, and KeyboardInterrupt as it comes.
    """
    if not folders:
        raise SourceError("there is nothing to follow: name a folder, as in vsearch watch ./photos")
    notice = on_notice or _silent
    stopped = stop or Event()
    followed = [folder(named, hidden=hidden, follow_links=follow_links, exclude=exclude) for named in folders]
    writer = _Writer(Path(os.path.abspath(path)), encoder, limits, workers, build, notice)
    settle = max(settle, POLL_SETTLE) if poll else settle
    follower = Follower(
        followed, writer.settings(), writer.place, writer.add, on_report or _silent, notice, settle, clock
    )
    follower.run(events or system_events(stopped, poll), stopped)


@dataclass
class _Writer:
    """Opens the index for one run after the other; the encoder stays loaded in between."""

    place: Path
    encoder: str | Encoder | None
    limits: Limits | None
    workers: int | None
    build: bool
    notice: Notice
    loaded: Encoder | None = None

    def settings(self) -> dict[bytes, Settings]:
        """What the index remembers of its roots; nothing when it is not made yet."""
        if not os.path.lexists(self.place):
            return {}
        with open_index(self.place) as index, index.store.snapshot() as snapshot:
            return snapshot.settings()

    def add(self, source: Source, review: Review) -> AddReport:
        """Bring the index in line with a source.  Raises IndexLocked while another process writes."""
        if os.path.lexists(self.place):
            if isinstance(self.encoder, str) and self.encoder != "auto":
                name_encoder(self.encoder)
            index = open_index(self.place, write=True, on_notice=self.notice)
        else:
            index = create(self.place, self.encoder or "auto", on_notice=self.notice)
        with index:
            if self.loaded is not None and self.loaded.info.digest == index.encoder_info.digest:
                index.use_encoder(self.loaded)
            report = index.add(source, limits=self.limits, workers=self.workers, review=review)
            if self.build and report.added:
                index.catch_up()
            self.loaded = index.loaded_encoder
        return report
