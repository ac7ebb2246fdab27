"""Archives in a survey: which have to be opened, and which are as they were when all of their members were read."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator

from vsearch.bounds import size_and_times
from vsearch.decode import Limits
from vsearch.errors import SourceError
from vsearch.ingest.raised import is_raised
from vsearch.members.address import kind_of, split
from vsearch.members.lookup import locate
from vsearch.sources import Archive, Source, walk
from vsearch.store import Store
from vsearch.store.batch import ArchiveState
from vsearch.store.records import RACY_NS
from vsearch.types import Failure, Item


class Archives:
    """Opens the archives of a source that are new or changed, and counts what is known of the others.

    read: path → state of those that were opened.  unchanged, known_failures: in those that were not.
    """

    def __init__(self, store: Store, retry_failed: bool, limits: Limits) -> None:
        self._store, self._retry_failed, self._limits = store, retry_failed, limits
        self._raised: set[bytes] = set()
        self._held: tuple[Counter[bytes], Counter[bytes]] | None = None
        self._there: dict[bytes, bool] = {}
        self._folders: dict[bytes, bool] = {}
        self.read: dict[bytes, ArchiveState] = {}
        self.unchanged = self.known_failures = 0

    def opened(self, source: Source) -> Iterator[Item | Failure]:
        """What a source shows, but for the members of archives that did not change."""
        for one in walk(source):
            if not isinstance(one, Archive):
                yield one
            elif not self._is_known(one):
                yield from self._read(one)

    def unopened(self, path: bytes) -> bool:
        """Whether a path is that of a member of an archive that is there and was not opened: it may be there still."""
        pair = split(path)
        archive = pair[0] if pair is not None else path
        if pair is None and kind_of(path) in (None, "animation"):  # an animation is a picture itself
            return False
        if archive not in self._there:
            self._there[archive] = archive not in self.read and os.path.isfile(archive)
        return self._there[archive] and not self._is_gone_file(archive, path)

    def _is_gone_file(self, archive: bytes, path: bytes) -> bool:
        """Whether a path is none of an archive's members, but was in a folder named ``trip.zip#x`` beside it."""
        folder = os.path.dirname(path)
        if len(folder) <= len(archive):
            return False
        if folder not in self._folders:
            self._folders[folder] = os.path.isdir(folder)
        if not self._folders[folder]:
            return False
        try:
            return locate(path)[1] is None
        except SourceError:
            return True

    def _is_known(self, one: Archive) -> bool:
        path = one.path
        with self._store.snapshot() as snapshot:
            known = snapshot.archive_state(path)
        if known is None or self._retry_failed or known[:3] != _state(path):
            return False
        if (known.every, known.names) != (one.every, one.names.key):
            return False
        if self._held is None:
            self._held = self._count()
        pictures, failures = (counted[path] for counted in self._held)
        # some are gone, lack a vector in this space, or met a limit that is higher now
        if pictures + failures != known.members or path in self._raised:
            return False
        self.unchanged += pictures
        self.known_failures += failures
        return True

    def _count(self) -> tuple[Counter[bytes], Counter[bytes]]:
        """How many pictures and failures the index holds of each archive."""
        with self._store.snapshot() as snapshot:
            pictures = Counter(
                pair[0]
                for id, record in snapshot.items()
                if (pair := split(record.path)) is not None and not record.missing and not snapshot.is_absent(id)
            )
            failures: Counter[bytes] = Counter()
            for failure in snapshot.failures():
                archive = (split(failure.path) or (failure.path,))[0]
                failures[archive] += 1
                if is_raised(failure, self._limits):
                    self._raised.add(archive)
        return pictures, failures

    def _read(self, archive: Archive) -> Iterator[Item | Failure]:
        before = _state(archive.path)
        paths = set()
        for one in archive:
            paths.add(one.path)
            yield one
        if before is not None:
            self.read[archive.path] = ArchiveState(*before, len(paths), archive.every, archive.names.key)

    def settled(self) -> dict[bytes, ArchiveState]:
        """Those of the opened that may be taken as known next time: not written just now, since the clock has ticks."""
        limit = time.time_ns() - RACY_NS
        return {path: state for path, state in self.read.items() if max(state.mtime_ns, state.ctime_ns) < limit}


def _state(path: bytes) -> tuple[int, int, int] | None:
    try:
        return size_and_times(os.stat(path))
    except OSError:
        return None
