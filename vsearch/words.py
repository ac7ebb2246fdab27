"""What pictures and words say of each other: captions and phrases near a picture, labels, tags."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from vsearch import phrases, texts
from vsearch.arguments import check_number
from vsearch.asking import Asking
from vsearch.embed.external import is_external
from vsearch.hits import check_confidence, check_k
from vsearch.labels import Classifier, clear, tag
from vsearch.projection import Projection, named, project
from vsearch.results import Hits
from vsearch.texts import TextSets
from vsearch.types import Description, Label, Progress, Query, QueryValue, TagReport

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]


class Words(Asking):
    """The part of an index that knows words; ``Index`` gives it the rest."""

    _texts: TextSets

    def describe(self, query: QueryValue | Query, k: int = 5) -> Description:
        """Tell the k captions of the collection, and the k phrases of the bundled vocabulary, nearest to a picture.

        query: a Path, a PIL image, or ``Query.like(id)`` for an indexed picture, whose own captions are not left out.
        The first call embeds all captions and phrases, which are kept beside the vectors of the pictures.
        Raises what ``search`` raises.
        """
        xq = self._embed(query).vector
        return Description(tuple(self._captions(xq, k)), tuple(texts.phrases(self._texts.phrases(), xq, k)))

    def projection(self) -> Projection:
        """Lay the collection out on a plane: what is alike lies near, in groups with names; see ``projection``.

        Groups are named by their tags or by words of their captions, else by bundled phrases, of which the first 512
        are embedded each time.  The same collection gives the same answer.  Raises EncoderError, IndexCorrupt.
        """
        with self._store.snapshot() as snapshot:
            knows_texts = not is_external(self._store.encoder_info.name)
            return named(project(snapshot), snapshot, self._sample_of_phrases if knows_texts else None)

    def _sample_of_phrases(self) -> tuple[Sequence[str], Matrix]:
        sample = phrases.load()[:512]
        return sample, self.encoder.encode_texts(sample)

    def _captions(self, xq: Matrix, k: int) -> Hits:
        check_k(k)
        known = self._texts.captions()
        with self._store.snapshot() as snapshot:
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
        told = labels if isinstance(labels, Classifier) else self.classifier(labels)
        return told.names(self._embed(query).vector, top or len(told.labels))[0]

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
        told = labels if isinstance(labels, Classifier) else self.classifier(labels)
        report = tag(self._store, told, least=min_confidence, top=top, progress=progress)
        self.columns.refresh()
        return report

    def clear_tags(self) -> int:
        """Take all tags away; return how many pictures had some.  Raises IndexNotWritable, DiskFull."""
        count = clear(self._store)
        self.columns.refresh()
        return count
