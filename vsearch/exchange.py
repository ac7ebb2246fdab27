"""What an index takes from other programs as they have it, and writes as they want it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from vsearch import export
from vsearch.arguments import written
from vsearch.asking import Asking
from vsearch.embed.external import is_external
from vsearch.errors import SourceError
from vsearch.export import ExportReport
from vsearch.ingest import EmbeddedReport, add_embedded
from vsearch.sources import EmbeddedSource
from vsearch.types import Progress

if TYPE_CHECKING:
    import os


class Exchange(Asking):
    """The part of an index that lets people come and go; ``Index`` gives it the rest."""

    def _renew_background(self) -> None:
        raise NotImplementedError

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
        encoder = None if is_external(self._store.encoder_info.name) else self.encoder
        report = add_embedded(self._store, source, encoder, progress)
        self.columns.refresh()
        self._renew_background()
        return report

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
