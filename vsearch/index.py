"""The front door: one object that holds pictures and answers questions about them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from vsearch.about import about
from vsearch.confidence import Backgrounds
from vsearch.copies import Copies
from vsearch.embed import load_encoder, load_pinned, resolve
from vsearch.embed.external import is_external
from vsearch.exchange import Exchange
from vsearch.filters import Columns
from vsearch.generations import Generations
from vsearch.ingest import Options, RespaceOptions, add_vectors, ingest, respace
from vsearch.mend import mend
from vsearch.places import Places
from vsearch.sources import Source
from vsearch.sources import files as pictures
from vsearch.store import Store, maintain, spaces
from vsearch.store.check import check as check_store
from vsearch.texts import TextSets
from vsearch.types import (
    AddReport,
    CheckReport,
    EncoderInfo,
    Failure,
    MadeWith,
    Progress,
    RepairReport,
    SpaceInfo,
    SpaceReport,
)
from vsearch.words import Words

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vsearch.build import Upkeep
    from vsearch.decode import Limits
    from vsearch.distributed import Cluster, Devices
    from vsearch.embed import Encoder
    from vsearch.ingest import Review
    from vsearch.query import Decode

    Ids = NDArray[np.int64]
    Matrix = NDArray[np.float32]

Notice = Callable[[str], None]
AnyPath = str | os.PathLike[str]


def _silent(_: str) -> None:
    """The core says nothing unless asked."""


def create(path: AnyPath, encoder: str | Encoder = "auto", *, on_notice: Notice | None = None) -> Index:
    """Make an empty index at ``path`` and open it for writing.

    encoder: a name (see ``vsearch models``) or an encoder object.  It is pinned: every later use of the index
    needs the same weights and preprocessing.  on_notice: gets one line on which encoder was chosen and why.
    Raises IndexExists, EncoderUnavailable, IndexNotWritable, DiskFull.
    """
    notice = on_notice or _silent
    if isinstance(encoder, str):
        name, why = resolve(encoder)
        notice(why)
        encoder = load_encoder(name)
    return Index(Store.create(Path(path), encoder.info), encoder, notice)


def open_index(
    path: AnyPath, *, write: bool = False, encoder: str | Encoder | None = None, on_notice: Notice | None = None
) -> Index:
    """Open an index for searching, and with ``write`` for changing it too.

    encoder: an object to use instead of loading the pinned one by name, or its name, which makes an encoder of unknown
    origin known; it must have the same fingerprint.
    A process that was forked while the index was open can neither use nor open it: close it before forking and open it
    in each process, or start processes with spawn or a fork server.
    Raises IndexNotFound, IndexClosed, IndexLocked, FormatTooNew, IndexCorrupt, EncoderMismatch; EncoderUnknown comes
    with the first use of an encoder that only the index names.
    """
    store = Store.open(Path(path), write=write)
    try:
        index = Index(store, None, on_notice or _silent)
        if encoder is not None:
            index.use_encoder(load_encoder(encoder) if isinstance(encoder, str) else encoder)
    except BaseException:
        store.close()
        raise
    return index


class Index(Words, Copies, Exchange, Places):
    """Pictures, their vectors and what is known of them.  Searching is safe from any number of threads.

    columns: what filters read.
    """

    def __init__(self, store: Store, encoder: Encoder | None, notice: Notice) -> None:
        self._store = store
        self._encoder = encoder
        self._through: Callable[[Encoder], Encoder] = lambda loaded: loaded
        self._notice = notice
        self._loading = threading.Lock()
        self._texts = TextSets(store, self._encode_texts, notice)
        self._generations = Generations(store, notice)
        self.columns = Columns(store)
        self._backgrounds = Backgrounds(store)

    # Life

    def __enter__(self) -> Index:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release everything.  Closing twice is harmless; any other use afterwards raises IndexClosed."""
        self._store.close()
        self._generations.forget()
        self.columns.close()

    @property
    def path(self) -> Path:
        """Where the index is."""
        return self._store.layout.root

    @property
    def encoder_info(self) -> EncoderInfo:
        """The encoder that is pinned."""
        return self._store.encoder_info

    @property
    def encoder(self) -> Encoder:
        """The live space's encoder, loaded when first used and when the index has changed to another one.

        Raises EncoderUnavailable, EncoderMismatch.
        """
        return self._encoder_of(self._store.encoder_info)

    def _encoder_of(self, info: EncoderInfo) -> Encoder:
        with self._loading:
            if self._encoder is None or self._encoder.info.digest != info.digest:
                self._encoder = self._through(self._load_pinned(info))
            return self._encoder

    def _load_pinned(self, info: EncoderInfo) -> Encoder:
        with self._store.snapshot() as snapshot:
            before = snapshot.made_with(info.space)
        return load_pinned(info, self.path.name, before=before)

    def _note_made_with(self) -> None:
        """Remember what vectors are made with, and tell when some are made with something else."""
        now: MadeWith | None = getattr(self._encoder, "made_with", None)
        if now is None:
            return
        with self._store.snapshot() as snapshot:
            space = snapshot.space.name
            before = snapshot.made_with(space)
        if before is None:
            spaces.note_made_with(self._store, space, now)
        elif before != now:
            self._notice(
                f"these pictures were embedded in {now.precision} on {now.processor}, the first ones in "
                f"{before.precision} on {before.processor}: the same picture may get a vector that differs by 0.001"
            )

    @property
    def loaded_encoder(self) -> Encoder | None:
        """The encoder, if anything has needed it so far."""
        return self._encoder

    @property
    def store(self) -> Store:
        """The store behind it, for what only reads, measuring and export, and for files that can be made again."""
        return self._store

    def use_encoder(self, encoder: Encoder) -> None:
        """Use this object for embedding.  Raises EncoderMismatch when its fingerprint is not the pinned one."""
        from vsearch.embed.load import check_same

        check_same(encoder.info, self._store.encoder_info)
        self._encoder = encoder

    def route(self, *, encoder: Callable[[Encoder], Encoder], decode: Decode) -> None:
        """Embed through what ``encoder`` makes of each encoder that is loaded, read query pictures by ``decode``.

        For servers, which gather the queries of many threads and keep processes for decoding.
        """
        with self._loading:
            self._through, self._decode = encoder, decode

    def __len__(self) -> int:
        """How many pictures can be found."""
        with self._store.snapshot() as snapshot:
            return snapshot.shown

    # Changing

    def add(
        self,
        source: Source,
        *,
        limits: Limits | None = None,
        workers: int | None = None,
        retry_failed: bool = False,
        prune: bool = False,
        yes: bool = False,
        progress: Callable[[Progress], None] | None = None,
        review: Review | None = None,
        cluster: Cluster | Devices | None = None,
    ) -> AddReport:
        """Bring the index in line with a source: what is new or changed is embedded, what moved is recognised.

        Pictures under the source's folders that are gone leave the results but keep their vectors; ``prune``
        forgets them, above a tenth of the folder only with ``yes``.  A file that cannot be read is remembered and
        read again when it changes, or with ``retry_failed``.  Committed at least every 256 pictures or two seconds.
        review: is called with what was found, and may leave some of it for later, before anything is done.
        workers: processes that decode here; cluster: where pictures are decoded and embedded instead, with as many
        workers as there is room for (``vsearch.cluster``), or a process for each of some ``Devices``.
        Raises IndexNotWritable, DiskFull, SourceError, EncoderError.
        """
        from vsearch.decode import Limits as DecodeLimits

        opening = cluster.reader if cluster is not None else None
        options = Options(limits or DecodeLimits(), workers, retry_failed, prune, yes, progress, review, opening)
        report = ingest(self._store, lambda: self.encoder, source, options)
        if report.added:
            self._note_made_with()
        self.columns.refresh()
        self._renew_background()
        return report

    def add_vectors(
        self,
        uris: Sequence[str | bytes | Path],
        vectors: NDArray[np.floating],
        meta: Mapping[str, Sequence[Any]] | None = None,
        *,
        progress: Callable[[Progress], None] | None = None,
    ) -> Ids:
        """Add vectors that were made elsewhere, by the model that the pinned encoder names; see also ``add_embedded``.

        uris: what each is a vector of; nothing has to exist there.  One that is known already is replaced, and of
        equal ones the last stays.  vectors: (n, dim) floats of any length but zero, also memory-mapped; scaled to
        unit length here.  meta: columns of n values each, None for unknown: ``caption``, ``width``, ``height``, and
        any other for filters.
        Returns their ids, (n,) int64.  All rows are checked before the first is stored; then they are committed in
        batches.  Raises DimensionMismatch (shape; a row that is zero or not finite), SourceError, IndexNotWritable,
        DiskFull.
        """
        ids = add_vectors(self._store, uris, vectors, meta or {}, progress)
        self.columns.refresh()
        self._renew_background()
        return ids

    def _renew_background(self) -> None:
        encode = self._encode_texts if self._knows_texts else None
        self._backgrounds.renew(encode, lambda xq, modality: self.search_vectors(xq, 1, modality=modality)[0][:, 0])

    def build(
        self,
        recipe: str | Path = "auto",
        *,
        recall: float = 0.95,
        memory: int | None = None,
        latency: float | None = None,
        text_queries: NDArray[np.floating] | None = None,
    ) -> dict[str, Any]:
        """Build the FAISS index for what is there now, tune its search, and return its report.

        recipe: a name, a TOML file, or ``auto``: exact search while that is quick, else the quickest kind that fits.
        recall: share of the exact ten best that text queries are to find; pictures as queries are held to more.
        memory: bytes that building may take.  latency: seconds that 95 % of single searches may take.
        text_queries: (n, dim) embedded texts to tune with, 1,000 or more; by default the captions of the collection,
        or bundled phrases, embedded by the index's own encoder.
        Searching goes on meanwhile with what there was.  Raises TooFewVectors, RecipeError, MemoryBudgetTooSmall,
        DimensionMismatch, DiskFull.
        """
        from vsearch.build import Goal

        return self._upkeep().build(recipe, Goal(recall, memory, latency), text_queries)

    def merge(self) -> dict[str, Any]:
        """Add what came since the build to the lists of the FAISS index, without training; return a report.

        Searching goes on meanwhile with what there was.  Raises QueryError when there is no index, IndexCorrupt,
        DiskFull.
        """
        from vsearch.build import merge

        return merge(self._store)

    def catch_up(self) -> dict[str, Any] | None:
        """Do what the index needs to stay quick, if anything; return the report of it.

        While exact search of what the FAISS index does not hold takes under 50 ms, nothing.  Then the tail is merged,
        or, when there is no index or the collection has drifted away from it, everything is built anew.
        Raises what ``build`` raises.
        """
        return self._upkeep().catch_up()

    def _upkeep(self) -> Upkeep:
        from vsearch.build import Upkeep

        return Upkeep(self._store, self._encode_texts if self._knows_texts else None, self._notice)

    @property
    def _knows_texts(self) -> bool:
        return not is_external(self.encoder_info.name)

    def _encode_texts(self, texts: Sequence[str]) -> Matrix:
        return self.encoder.encode_texts(texts)

    def change_encoder(
        self,
        encoder: str | Encoder,
        *,
        limits: Limits | None = None,
        workers: int | None = None,
        yes: bool = False,
        progress: Callable[[Progress], None] | None = None,
    ) -> SpaceReport:
        """Embed all pictures anew with another encoder, and answer with it once that is complete.

        The pictures are read again from where they are; ids stay the same.  Until the end the encoder of now answers,
        here and in every other process; stopped at any instant, the next call goes on.  The vectors of before are
        kept: ``use_space`` goes back to them.  yes: also when more than a tenth of the pictures is not there.
        Raises SourceError, EncoderError, IndexNotWritable, DiskFull.
        """
        from vsearch.decode import Limits as DecodeLimits

        made = load_encoder(encoder) if isinstance(encoder, str) else encoder
        report = respace(self._store, made, RespaceOptions(limits or DecodeLimits(), workers, yes, progress))
        self._encoder = made
        self._renew_background()
        return report

    def spaces(self) -> list[SpaceInfo]:
        """The joint spaces that the index has vectors in, the oldest first."""
        return spaces.listed(self._store)

    def use_space(self, name: str, **options: Any) -> SpaceReport:
        """Answer with another space, after embedding what it lacks.

        name: of the space, or of its encoder.  options: those of ``change_encoder``.  Raises QueryError for a name
        that there is not, EncoderMismatch when its encoder is no longer what it was, and as ``change_encoder`` does.
        """
        info = spaces.named(self._store, name).encoder
        return self.change_encoder(self._load_pinned(info), **options)

    def remove_space(self, name: str) -> str:
        """Forget a space that is not in use, with its vectors; return its full name.  Raises QueryError."""
        full = spaces.named(self._store, name).name
        spaces.remove(self._store, full)
        return full

    def compact(self) -> int:
        """Give back the room of forgotten pictures; return how many vectors went."""
        return maintain.compact(self._store)

    def backup(self, destination: AnyPath) -> None:
        """Copy a consistent moment of the index to a new place, while others read and write."""
        maintain.backup(self._store, Path(os.path.abspath(destination)))

    # Knowing

    def errors(self) -> list[Failure]:
        """Files that could not be read, with the reason, by path."""
        with self._store.snapshot() as snapshot:
            return sorted(snapshot.failures(), key=lambda f: f.path)

    def info(self) -> dict[str, Any]:
        """What the index is, in values that JSON can hold."""
        return {**about(self._store), "columns": self.columns.names()}

    def check(self) -> CheckReport:
        """Compare everything on disk with its checksums and with itself.  Changes nothing."""
        started = time.monotonic()
        found = check_store(self._store)
        return CheckReport(tuple(found.problems), found.images, found.bytes, time.monotonic() - started)

    def repair(self) -> RepairReport:
        """Mend what ``check`` finds: build the FAISS index again, embed damaged vectors again from the pictures.

        Raises IndexCorrupt when the metadata itself is damaged: nothing else can tell what was there.
        """

        def add(paths: Sequence[bytes]) -> int:
            return self.add(pictures(paths)).added

        return mend(self._store, add, self._upkeep().rebuild)
