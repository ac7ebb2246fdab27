"""The loop: gather changes, wait until they settle, index them, again and again."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from vsearch.bounds import size_and_times
from vsearch.errors import IndexLocked, SourceError
from vsearch.following.events import Changes, Events
from vsearch.following.looks import Looks
from vsearch.following.pending import MOST, Job, Touched, folder_of, is_below, is_wanted, may_matter
from vsearch.ingest.settings import resolved
from vsearch.ingest.todo import Todo
from vsearch.sources import Folder, chain
from vsearch.types import Item

if TYPE_CHECKING:
    from vsearch.ingest import Review, Survey
    from vsearch.sources import Source
    from vsearch.store import Snapshot, Store
    from vsearch.types import AddReport, Settings

SETTLE = 2.0  # seconds without a change before files are read
LONGEST_WAIT = 30.0  # seconds after which changes are indexed though others keep coming
RETRY = 2.0  # seconds between attempts while another process writes
RESCAN = 3600.0  # seconds between surveys of everything, for what the system did not tell

Place = tuple[int, int] | None


class Follower:
    """What has changed, what may still grow, and when to act.

    settings: what the index remembers of its roots.
    add: brings the index in line with a source, and calls its second argument on what the survey found.
    """

    def __init__(
        self,
        folders: Sequence[Folder],
        settings: Mapping[bytes, Settings],
        index: Path,
        add: Callable[[Source, Review], AddReport],
        report: Callable[[AddReport], None],
        notice: Callable[[str], None],
        settle: float,
        clock: Callable[[], float],
    ) -> None:
        self._named = folders
        self._folders = [resolved(folder, settings) for folder in folders]
        self._index = os.fsencode(index)
        self._add = add
        self._report = report
        self._notice = notice
        self._settle = settle
        self._clock = clock
        self._places: dict[bytes, Place] = {}
        self._job = Job()
        self._looks = Looks(settle, clock)
        self._first_run = True
        self._since = self._quiet_since = self._not_before = self._surveyed = clock()
        self._holding: set[bytes] = set()  # folders with indexed pictures in or below them
        self._waiting: list[Item] = []  # files of the last run that still grow
        self._held_since: float | None = None  # since when deletions wait for those
        self._told_of_lock = False

    def run(self, events: Events, stop: Event) -> None:
        """Index everything, then follow, until stopped or out of events.  Raises what indexing raises."""
        self._places = {folder.root: _place(folder.root) for folder in self._folders}
        self._survey_all()
        self._quiet_since -= self._settle
        more = True
        while more and not stop.is_set():
            there = [root for root, place in self._places.items() if place is not None]
            with closing(events(there)) as stream:
                more = self._follow(stream, stop)

    def _follow(self, stream: Iterator[Changes], stop: Event) -> bool:
        """Take in changes until stopped, or a folder comes or goes; return whether there may be more."""
        for changes in stream:
            self._note(changes)
            if self._places_changed():
                return True
            if self._is_due():
                self._work()
            if stop.is_set():
                return False
        return False

    # What changes

    def _note(self, changes: Changes) -> None:
        now = self._clock()
        if now - self._surveyed >= RESCAN:
            self._survey_all()
        before = bool(self._job)
        for path in changes:
            folder = folder_of(path, self._folders)
            if folder is not None and not is_below(path, self._index) and is_wanted(path, folder):
                self._note_path(path, folder)
        if self._job and not before:
            self._since = now
        if changes:
            self._quiet_since = now

    def _note_path(self, path: bytes, folder: Folder) -> None:
        try:
            status = os.lstat(path)
        except OSError:
            status = None
        is_folder = status is not None and stat.S_ISDIR(status.st_mode)
        if folder.root in self._job.whole:
            pass  # all of it will be looked at
        elif self._needs_survey(path, folder):
            self._job.survey(folder.root)
        elif is_folder:
            self._job.trees.add(path)
        elif may_matter(path, folder):
            self._job.listed.add(os.path.dirname(path))
            if status is None:
                self._job.gone.add(path)
        if status is not None and not is_folder and len(self._looks) < MOST:
            self._looks.note(path, *size_and_times(status)[:2])

    def _needs_survey(self, path: bytes, folder: Folder) -> bool:
        """Whether more than the path itself may have changed with it."""
        linked = folder.follow_links and may_matter(path, folder)
        return path == folder.root or path in self._holding or linked or len(self._job) >= MOST

    def _survey_all(self) -> None:
        self._surveyed = self._clock()
        for folder in self._folders:
            self._job.survey(folder.root)

    def _places_changed(self) -> bool:
        """Look whether the folders are those that are followed: disks come and go."""
        changed = False
        for root, known in self._places.items():
            now = _place(root)
            if now != known:
                changed = True
                self._places[root] = now
                if now is None:
                    self._notice(f"{os.fsdecode(root)} is not there; it is followed again when it is back")
                else:
                    self._notice(f"{os.fsdecode(root)} is another folder now than before; looking at all of it")
                    self._job.survey(root)
        return changed

    # What is done about it

    def _is_due(self) -> bool:
        now = self._clock()
        settled = now - self._quiet_since >= self._settle or now - self._since >= LONGEST_WAIT
        return bool(self._job) and settled and now >= self._not_before

    def _work(self) -> None:
        job, self._job = self._job, Job()
        job.whole -= {root for root, place in self._places.items() if place is None}
        if not job:
            return
        try:
            report = self._add(self._source(job), lambda store, looked: self._review(job, store, looked))
        except IndexLocked as error:
            self._try_again(job, error)
        except SourceError as error:
            if self._first_run:
                raise
            self._notice(str(error))  # gone between our look and this: the next look finds it when it is back
        else:
            self._first_run = self._told_of_lock = False
            self._report(report)
            self._come_back_for_waiting(job)

    def _source(self, job: Job) -> Source:
        whole = [folder for folder in self._named if folder.root in job.whole]
        touched = [Touched(self._folders, job)] if len(job) else []
        return chain(*whole, *touched)

    def _try_again(self, job: Job, error: IndexLocked) -> None:
        if not self._told_of_lock:
            self._notice(f"{error}; trying again until it is done")
            self._told_of_lock = True
        self._job.take_over(job)
        self._not_before = self._clock() + RETRY

    def _come_back_for_waiting(self, job: Job) -> None:
        self._looks.keep(self._waiting)
        if not self._waiting:
            return
        if self._held_since is not None:
            self._job.take_over(job)
        self._job.listed |= {os.path.dirname(item.path) for item in self._waiting}
        self._since = self._quiet_since = self._clock()

    def _review(self, job: Job, store: Store, looked: Survey) -> None:
        """Leave out of a survey what may still grow, and put in what is known to be gone.

        While a file grows, deletions wait a while: the file may be one of those, on its way to another name.
        """
        with store.snapshot() as snapshot:
            self._waiting = [] if self._first_run else [i for i in looked.todo if self._may_grow(i, snapshot)]
            self._add_gone(job, snapshot, looked)
            if self._first_run:
                self._remember_folders(record.path for _, record in snapshot.items())
        self._remember_folders(item.path for item in looked.todo)
        growing = {item.path for item in self._waiting}
        looked.todo = Todo(item for item in looked.todo if item.path not in growing)
        if growing:
            looked.archives = {}  # what is left for later may be a part of one
        now = self._clock()
        if not (growing and looked.vanished):
            self._held_since = None
        elif self._held_since is None or now - self._held_since < LONGEST_WAIT:
            self._held_since = self._held_since or now
            looked.vanished = {}
        else:
            self._held_since = None

    def _may_grow(self, item: Item, snapshot: Snapshot) -> bool:
        """Whether a file may still be written: it has changed since it was indexed, and was seen to change just now."""
        id = snapshot.at_path(item.path)
        record = None if id is None else snapshot.record(id)
        if record is not None and (record.size, record.mtime_ns) == (item.size, item.mtime_ns):
            return False
        return not self._looks.settled(item)

    def _add_gone(self, job: Job, snapshot: Snapshot, looked: Survey) -> None:
        empty: dict[bytes, bool] = {}
        for path in (path for path in sorted(job.gone) if not os.path.lexists(path)):
            if snapshot.failure_at(path) is not None:
                looked.forgotten.append(path)
            id = snapshot.at_path(path)
            record = None if id is None else snapshot.record(id)
            folder = folder_of(path, self._folders)
            if id is None or record is None or record.missing or folder is None:
                continue
            if folder.root not in empty:
                empty[folder.root] = _shows_nothing(folder)
            if not empty[folder.root]:
                looked.vanished[id] = record
        looked.empty_roots += [root for root, is_empty in empty.items() if is_empty]

    def _remember_folders(self, paths: Iterable[bytes]) -> None:
        roots = {folder.root for folder in self._folders}
        for path in paths:
            at = os.path.dirname(path)
            while at not in self._holding and folder_of(at, self._folders) is not None:
                self._holding.add(at)
                at = at if at in roots else os.path.dirname(at)


def _place(root: bytes) -> Place:
    """What tells a folder from another one, mounted or made in its place; None when it is not there."""
    try:
        told = os.stat(root)
    except OSError:
        return None
    return told.st_dev, told.st_ino


def _shows_nothing(folder: Folder) -> bool:
    """Whether a folder has not a single picture: what an unmounted disk looks like."""
    try:
        return not any(isinstance(found, Item) for found in folder)
    except SourceError:
        return True
