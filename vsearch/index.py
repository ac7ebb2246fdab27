"""The front door: one object that holds pictures and answers questions about them."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from vsearch import duplicates, export, phrases, texts
from vsearch.arguments import check_choice, check_ids, check_number, numbers_of, path_of, whole_number, written
from vsearch.duplicates import Duplicates, Keep, Moved
from vsearch.embed import resolve
from vsearch.embed.external import is_external
from vsearch.embed.load import made
from vsearch.errors import IndexNotFound, IndexNotWritable, QueryError, SourceError
from vsearch.export import ExportReport
from vsearch.filters import Columns
from vsearch.ingest import EmbeddedReport, Options, RespaceOptions, add_embedded, add_vectors, ingest, respace
from vsearch.labels import Classifier, clear, tag
from vsearch.maintenance.info import about
from vsearch.maintenance.repair import mend
from vsearch.projection import Projection, named, project
from vsearch.results import Hits
from vsearch.roots import Pictures, Roots
from vsearch.search import Request, Searcher
from vsearch.search.searcher import check_confidence, check_k, check_modality
from vsearch.sources import EmbeddedSource, Source, as_source
from vsearch.sources import files as pictures
from vsearch.store import Snapshot, Store, maintain, spaces
from vsearch.store.check import check as check_store
from vsearch.texts import TextSets
from vsearch.types import (
    AddReport,
    CheckReport,
    Description,
    EncoderInfo,
    Failure,
    Label,
    MadeWith,
    Progress,
    Query,
    QueryValue,
    RepairReport,
    RootInfo,
    SpaceInfo,
    SpaceReport,
    TagReport,
    Target,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vsearch.build import Upkeep
    from vsearch.confidence import Background
    from vsearch.decode import Limits
    from vsearch.distributed import Cluster, Devices
    from vsearch.embed import Encoder
    from vsearch.ingest import Review
    from vsearch.recipe import Modality
    from vsearch.search.explain import Explanation
    from vsearch.search.query import Decode

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
    place = path_of(path, IndexNotWritable)
    if isinstance(encoder, str):
        encoder, why = resolve(encoder)
        notice(why)
    encoder = made(encoder)
    return Index(Store.create(place, encoder.info), encoder, notice)


def open_index(
    path: AnyPath, *, write: bool = False, encoder: str | Encoder | None = None, on_notice: Notice | None = None
) -> Index:
    """Open an index for searching, and with ``write`` for changing it too.

    encoder: an object to use instead of loading the pinned one by name, or its name, which makes an encoder of unknown
    origin known; it must have the same fingerprint.
    A process that was forked while the index was open can neither use nor open it: close it before forking and open it
    in each process, or start processes with spawn or a fork server.
    Raises IndexNotFound, IndexNotReadable, IndexClosed, IndexLocked, FormatTooNew, IndexCorrupt, EncoderMismatch;
    EncoderUnknown comes with the first use of an encoder that only the index names.
    """
    store = Store.open(path_of(path, IndexNotFound), write=write)
    try:
        index = Index(store, None, on_notice or _silent)
        if encoder is not None:
            index.use_encoder(made(encoder))
    except BaseException:
        store.close()
        raise
    return index


def restore(backup: AnyPath, destination: AnyPath) -> None:
    """Make an index of a backup, which stays as it is, at a new place; what a server was given comes to lie beside it.

    Nothing is overwritten, and the index is seen under its name when it is whole.
    Raises IndexNotFound, IndexExists, DiskFull, IndexNotWritable.
    """
    with closing(Store.open(path_of(backup, IndexNotFound))) as store:
        maintain.restore(store, Path(os.path.abspath(path_of(destination, IndexNotWritable))))


def _marks(ids: Sequence[int], what: str) -> Sequence[int]:
    return ids if type(ids) is tuple and not ids else check_ids(ids, what)


class Index:
    """Pictures, their vectors and what is known of them.  Searching is safe from any number of threads.

    columns: what filters read.
    """

    def __init__(self, store: Store, encoder: Encoder | None, notice: Notice) -> None:
        self._store = store
        self._notice = notice
        self._texts = TextSets(store, lambda info, lines: self._searcher.encoder_of(info).encode_texts(lines), notice)
        self.columns = Columns(store)
        self._roots = Roots(store, self.columns)
        self._searcher = Searcher(store, self.columns, encoder, notice)

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
        self._searcher.generations.forget()
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
        return self._searcher.encoder_of(self._store.encoder_info)

    def _note_made_with(self) -> None:
        """Remember what vectors are made with, and tell when some are made with something else."""
        now: MadeWith | None = getattr(self._searcher.encoder, "made_with", None)
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
        return self._searcher.encoder

    @property
    def store(self) -> Store:
        """The store behind it, for what only reads, measuring and export, and for files that can be made again."""
        return self._store

    def use_encoder(self, encoder: Encoder) -> None:
        """Use this object for embedding.  Raises EncoderMismatch when its fingerprint is not the pinned one."""
        from vsearch.embed.load import check_same

        check_same(encoder.info, self._store.encoder_info)
        self._searcher.encoder = encoder

    def route(self, *, encoder: Callable[[Encoder], Encoder], decode: Decode) -> None:
        """Embed through what ``encoder`` makes of each encoder that is loaded, read query pictures by ``decode``.

        For servers, which gather the queries of many threads and keep processes for decoding.
        """
        self._searcher.route(encoder, decode)

    def __len__(self) -> int:
        """How many pictures can be found."""
        with self._store.snapshot() as snapshot:
            return snapshot.shown

    # Searching

    def search(
        self,
        query: str | QueryValue | Query,
        k: int = 10,
        *,
        modality: Modality | None = None,
        target: Target = "pictures",
        where: str | None = None,
        offset: int = 0,
        more: Sequence[int] = (),
        less: Sequence[int] = (),
        include_query: bool = False,
        min_confidence: float | None = None,
    ) -> Hits:
        """Find the k pictures that fit best, or with ``target="captions"`` the k captions of the collection.

        query: str is always text; Path and PIL image are always pictures; Query combines several.
        Pictures that are part of the query are left out, by id, path or content, unless ``include_query``.
        where: a condition on the columns, in SQL: ``"taken >= '2024-01-01' and folder like 'trips/%'"``.
        offset: leave out so many of the best: pages of one size fit together while nothing changes.
        more, less: ids of pictures marked as right and as wrong, by which the query is moved (see ``feedback``); the
        wrong ones are left out.  min_confidence: in [0, 1], leave out hits with less.
        Returns at most k hits, best first; files with the same bytes are one hit, and so are pictures with the same
        caption when captions are wanted, which have no confidence.
        Captions are compared exactly, by the vectors of their lines, which are made when first asked for and kept;
        they know neither ``where`` nor ``offset``.
        Raises QueryError, FilterError, DecodeError, EncoderError, IndexCorrupt.
        """
        check_k(k, offset)
        check_confidence(min_confidence)
        check_modality(modality)
        request = Request(
            query, modality, where, _marks(more, "more"), _marks(less, "less"), include_query, min_confidence
        )
        if not (isinstance(target, str) and target == "pictures"):
            check_choice(target, get_args(Target), "target")
            if where is not None or offset:
                raise QueryError("captions are searched without where and offset; leave them out")
            return self._captions(*self._searcher.vector(request), k)
        return self._searcher.search(request, k, offset)

    async def asearch(self, query: str | QueryValue | Query, k: int = 10, **options: Any) -> Hits:
        """Search in a thread, so that an event loop goes on meanwhile: takes, returns and raises as ``search``.

        One that is cancelled is no longer waited for; its thread ends by itself.
        """
        return await asyncio.to_thread(self.search, query, k, **options)

    def pages(
        self,
        query: str | QueryValue | Query,
        page: int = 20,
        *,
        modality: Modality | None = None,
        where: str | None = None,
        more: Sequence[int] = (),
        less: Sequence[int] = (),
        include_query: bool = False,
        min_confidence: float | None = None,
    ) -> Iterator[Hits]:
        """All results, page by page, best first within and as a rule between pages; the last may have fewer.

        What is added after the first page was asked for does not turn up, what is removed is left out from then on,
        and nothing is shown twice or pushed off a page.  Takes what ``search`` takes, and raises what it raises.
        """
        check_k(page)
        check_confidence(min_confidence)
        check_modality(modality)
        request = Request(
            query, modality, where, _marks(more, "more"), _marks(less, "less"), include_query, min_confidence
        )
        return self._searcher.pages(request, page)

    def search_vectors(
        self, xq: Matrix, k: int = 10, *, modality: Modality = "image", where: str | None = None
    ) -> tuple[Matrix, Ids]:
        """Find the k nearest stored vectors for each query.

        xq: (nq, dim) float32; scaled to unit length here.  modality: where the queries come from, which decides
        how widely the ANN index is searched.  where: a condition on the columns, as for ``search``.
        Returns scores (nq, k) float32, cosine in [-1, 1], highest first; ids (nq, k) int64, -1 where fewer than k
        exist.  Raises DimensionMismatch, QueryError, FilterError, IndexClosed.
        """
        check_k(k)
        check_modality(modality)
        xq = np.atleast_2d(numbers_of(xq, "query vectors").astype(np.float32, copy=False))
        return self._searcher.search_vectors(xq, k, modality, where)

    def explain(
        self, query: str | QueryValue | Query, id: int, k: int = 10, *, modality: Modality | None = None
    ) -> Explanation:
        """Tell why a picture is where it is among the k results of a query, or is not.

        Compares the query with everything, and looks through the lists of the FAISS index: slow, and exact.
        Raises QueryError for an unknown id, and what ``search`` raises.
        """
        check_k(k)
        check_modality(modality)
        return self._searcher.explain(Request(query, modality), whole_number(id, "an id"), k)

    def background(self, snapshot: Snapshot) -> Background | None:
        """What confidences are told from, as of a snapshot of ``store``; None where they are not known."""
        return self._searcher.backgrounds.of(snapshot)

    # Words

    def describe(self, query: QueryValue | Query, k: int = 5) -> Description:
        """Tell the k captions of the collection, and the k phrases of the bundled vocabulary, nearest to a picture.

        query: a Path, a PIL image, or ``Query.like(id)`` for an indexed picture, whose own captions are not left out.
        The first call embeds all captions and phrases, which are kept beside the vectors of the pictures.
        Raises what ``search`` raises.
        """
        xq, space = self._searcher.vector(Request(query))
        captions = self._captions(xq, space, k)
        return Description(tuple(captions), tuple(texts.phrases(self._texts.phrases(space), xq, k)))

    def projection(self) -> Projection:
        """Lay the collection out on a plane: what is alike lies near, in groups with names; see ``projection``.

        Groups are named by their tags or by words of their captions, else by bundled phrases, of which the first 512
        are embedded each time.  The same collection gives the same answer.  Raises EncoderError, IndexCorrupt.
        """
        with self._store.snapshot() as snapshot:
            return named(project(snapshot), snapshot, self._sample_of_phrases if self._knows_texts else None)

    def _sample_of_phrases(self) -> tuple[Sequence[str], Matrix]:
        sample = phrases.load()[:512]
        return sample, self.encoder.encode_texts(sample)

    def _captions(self, xq: Matrix, space: str, k: int) -> Hits:
        check_k(k)
        known = self._texts.captions(space)
        with self._store.snapshot(space) as snapshot:
            return Hits.of(texts.captions(snapshot, known, xq, k))

    def classifier(
        self, labels: Sequence[str], *, templates: Sequence[str] | None = None, temperature: float | None = None
    ) -> Classifier:
        """Embed labels, so that pictures can be told apart by them; see ``labels.Classifier.of``."""
        return Classifier.of(self.encoder, labels, templates=templates, temperature=temperature)

    def classify(
        self, query: QueryValue | Query, labels: Sequence[str] | Classifier, *, top: int | None = None
    ) -> list[Label]:
        """Tell which of some labels a picture shows, likeliest first; ``top`` of them, or all.

        query: a Path, a PIL image, or ``Query.like(id)`` for an indexed picture.  labels: two or more texts, or what
        ``classifier`` made of them.  Raises QueryError, DecodeError, EncoderError.
        """
        if top is not None:
            check_k(top)
        classifier = labels if isinstance(labels, Classifier) else self.classifier(labels)
        return classifier.names(self._searcher.vector(Request(query))[0], top or len(classifier.labels))[0]

    def tag(
        self,
        labels: Sequence[str] | Classifier,
        *,
        min_confidence: float = 0.5,
        top: int = 3,
        progress: Callable[[Progress], None] | None = None,
    ) -> TagReport:
        """Give every picture those labels as tags that it shows most likely, in place of the tags that it has.

        Works on stored vectors; no picture is read.  min_confidence: in [0, 1]; top: most tags of a picture.
        Pictures that are added later have no tags until this is called again.
        Raises QueryError, EncoderError, IndexNotWritable, DiskFull.
        """
        check_number(min_confidence, "min_confidence")
        check_confidence(min_confidence)
        check_k(top)
        classifier = labels if isinstance(labels, Classifier) else self.classifier(labels)
        report = tag(self._store, classifier, least=min_confidence, top=top, progress=progress)
        self.columns.refresh()
        return report

    def clear_tags(self) -> int:
        """Take all tags away; return how many pictures had some.  Raises IndexNotWritable, DiskFull."""
        count = clear(self._store)
        self.columns.refresh()
        return count

    # Duplicates

    def duplicates(
        self, *, keep: str = "largest", threshold: float | None = None, near: bool = True, within: bool = False
    ) -> Duplicates:
        """Find pictures that are there more than once: files with the same bytes, and near duplicates.

        keep: which of a group is kept: ``largest``, ``oldest``, ``newest`` or ``folder:PATH``.  threshold: cosine from
        which two pictures are compared by a perceptual hash; by default measured with pictures of the collection.
        near: False looks for identical files only, and reads no picture.
        within: also frames of one video, and members of one archive, as duplicates of each other.  What is no longer
        where it was is in no group.
        Nothing is changed: the result is a plan for ``move_duplicates``.
        Raises QueryError, EncoderError, IndexCorrupt.
        """
        if threshold is not None:
            check_number(threshold, "threshold")
        if threshold is not None and not -1 <= threshold <= 1:
            raise QueryError(f"a threshold of {threshold}; it is a cosine, as 0.9")

        def search(snapshot: Snapshot, xq: Matrix, k: int, exclude: frozenset[int]) -> tuple[Matrix, Ids]:
            return self._searcher.nearest(snapshot, xq, k, "image", exclude)

        return duplicates.find(
            self._store, search, lambda: self.encoder, keep=Keep(keep), threshold=threshold, near=near, within=within
        )

    def move_duplicates(self, plan: Duplicates, folder: str | os.PathLike[str]) -> tuple[list[Moved], Path]:
        """Move the pictures of a plan that are not kept into a folder, and take them out of the results.

        This alone touches your picture folders: files are renamed on the same disk, each only while it and the
        picture kept instead are what was indexed; nothing is overwritten.  Returns what became of each, and the path
        of a journal, with which ``duplicates.undo`` (``vsearch dups --undo JOURNAL``) moves them back.
        Raises QueryError for a folder in which they would be indexed again, SourceError, IndexNotWritable, DiskFull.
        """
        return duplicates.move(self._store, plan, Path(folder))

    # Changing

    def add(
        self,
        source: Source | AnyPath | Iterable[AnyPath],
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

        source: what ``vsearch.folder`` and its like make; or a path, or a list of paths, of folders, archives, tables
        and pictures, each taken for what it is.
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
        report = ingest(self._store, lambda: self.encoder, as_source(source), options)
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
        ids = add_vectors(self._store, uris, vectors, {} if meta is None else meta, progress)
        self.columns.refresh()
        self._renew_background()
        return ids

    def add_embedded(
        self, source: EmbeddedSource, *, progress: Callable[[Progress], None] | None = None
    ) -> EmbeddedReport:
        """Add pictures with the vectors that another program made of them.

        source: ``clip_retrieval("./out")`` or ``vector_file("clip.npy", meta="clip.csv")``.
        The index must have been made with the encoder that made the vectors, or with ``external:NAME:DIM`` where
        that is not here.  With an encoder, up to 64 pictures that are on this machine are embedded and compared, and
        those on disk are recorded so that ``add`` leaves them alone, but for pictures that EXIF turns: others embed
        them lying on their side, and ``add`` will embed them upright.
        Names, captions and columns are treated as by ``add_vectors``; all parts are checked before the first is stored,
        and then come one after another.
        Raises DimensionMismatch, EncoderMismatch when more than a tenth of the cosines are below 0.99, SourceError,
        EncoderError, IndexNotWritable, DiskFull.
        """
        if not isinstance(source, EmbeddedSource):
            raise SourceError(
                f"vectors come from vsearch.clip_retrieval or vsearch.vector_file, and not from {written(source)}; "
                "arrays are added by add_vectors"
            )
        encoder = self.encoder if self._knows_texts else None
        report = add_embedded(self._store, source, encoder, progress)
        self.columns.refresh()
        self._renew_background()
        return report

    def _renew_background(self) -> None:
        encode = self._encode_texts if self._knows_texts else None
        self._searcher.backgrounds.renew(
            encode, lambda xq, modality: self.search_vectors(xq, 1, modality=modality)[0][:, 0]
        )

    def roots(self) -> list[RootInfo]:
        """The folders, archives and videos that pictures come from, by path, with what each was indexed with.

        One inside another counts in both.
        """
        return self._roots.listed()

    def move_root(self, old: AnyPath, new: AnyPath) -> int:
        """Put everything that is known below a folder below another one, where it lies now; return how many pictures.

        No picture is read: ids, vectors and tags stay.  The next ``add`` of the new folder finds what has changed.
        Raises QueryError when nothing lies below ``old``, SourceError when ``new`` is no folder, IndexNotWritable,
        DiskFull.
        """
        return self._roots.move(old, new)

    def knows(self, path: AnyPath) -> bool:
        """Whether a path is one of the roots, or there are pictures below it."""
        return self._roots.knows(path)

    def ids_below(self, path: AnyPath) -> Ids:
        """Ids of the pictures below a folder, in an archive, or at a path, missing ones too: (n,) int64, ascending."""
        return self._roots.ids_below(path)

    def all_ids(self) -> Ids:
        """Ids of all pictures, missing ones too: (n,) int64, ascending."""
        return self._roots.all_ids()

    def ids_matching(self, where: str) -> Ids:
        """Ids of the pictures for which a condition on the columns holds, missing ones too: (n,) int64, ascending.

        Raises FilterError.
        """
        return self._roots.ids_matching(where)

    def remove(self, pictures: Pictures) -> int:
        """Forget pictures (never their files), by ids or by the paths or URIs they have; return how many there were."""
        return self._roots.remove(pictures)

    def forget(self, path: AnyPath) -> int:
        """Forget all that is known below a folder, of an archive, or of a picture; return how many pictures there were.

        Files stay where they are, and those in a folder that is indexed come back with its next run.  Failures there
        are forgotten too, and so are roots.
        """
        return self._roots.forget(path)

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

        other = made(encoder)
        report = respace(self._store, other, RespaceOptions(limits or DecodeLimits(), workers, yes, progress))
        self._searcher.encoder = other
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
        return self.change_encoder(self._searcher.load(info), **options)

    def remove_space(self, name: str) -> str:
        """Forget a space that is not in use, with its vectors; return its full name.  Raises QueryError."""
        full = spaces.named(self._store, name).name
        spaces.remove(self._store, full)
        return full

    def compact(self) -> int:
        """Give back the room of forgotten pictures; return how many vectors went."""
        return maintain.compact(self._store)

    def backup(self, destination: AnyPath) -> None:
        """Copy a consistent moment of the index, and what a server was given, while others read and write."""
        maintain.backup(self._store, Path(os.path.abspath(path_of(destination, IndexNotWritable))))

    def export_clip_retrieval(
        self,
        folder: str | os.PathLike[str],
        *,
        where: str | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> ExportReport:
        """Write the pictures that can be found, or those for which ``where`` holds, as clip-retrieval's folders.

        folder: is made, and is there only when all of it is.  It gets ``img_emb/img_emb_N.npy``, fp16 rows of unit
        length in the order of ids, and ``metadata/metadata_N.parquet`` with image_path, caption, and every column
        that says anything, but for tags and what tells only of this index (id, added, size, folder).
        ``vsearch.clip_retrieval`` reads it back.  Raises FilterError, IndexCorrupt, IndexNotWritable, DiskFull.
        """
        return export.to_clip_retrieval(self._store, self.columns, folder, where, progress)

    def export_milvus(
        self,
        uri: str,
        collection: str,
        *,
        token: str = "",
        where: str | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> ExportReport:
        """Bring a collection of Milvus in line with this index: the same ids, vectors, paths, captions and columns.

        uri: ``http://HOST:19530``, or a place for milvus-lite that ends with ``.db``.  token: ``USER:PASSWORD`` or a
        key.  A new collection is made with cosine as metric and Milvus's own choice of index.  Rows go in batches, each
        whole or not at all, under their ids: typed again after a break, or after changes here, the same call sends
        all anew, nothing is there twice, and rows of pictures that are no longer here (or for which ``where`` does
        not hold) are removed.  Captions are cut to 65,535 bytes, what a VARCHAR holds.
        Raises ExportError, also when the collection holds vectors of another index or encoder, FilterError,
        IndexCorrupt.
        """
        place = export.Place(uri, collection, token)
        return export.to_milvus(self._store, self.columns, place, where, progress)

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
