"""The index of a store kept as it should be: built when asked, merged or built anew when it falls behind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vsearch import recipe as recipes
from vsearch.ann import has_gpu
from vsearch.build.auto import EXACT_SECONDS, choose, exact_seconds
from vsearch.build.goal import Goal
from vsearch.build.make import build, check
from vsearch.build.merge import drift, merge
from vsearch.build.texts import texts_of
from vsearch.errors import DimensionMismatch, EncoderError, QueryError, TooFewVectors
from vsearch.recipe import Recipe
from vsearch.store import Store, maintain

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vsearch.store.records import Generation

    Matrix = NDArray[np.float32]

_BATCH = 256


@dataclass(frozen=True, slots=True)
class Upkeep:
    """encode: texts to vectors (n, dim) of unit length; None where the encoder knows no texts.

    notice: gets a line on what a build will take, before it starts.
    """

    store: Store
    encode: Callable[[Sequence[str]], Matrix] | None
    notice: Callable[[str], None]

    def build(
        self, recipe: str | Path, goal: Goal, text_queries: NDArray[np.floating[Any]] | None = None
    ) -> dict[str, Any]:
        """Build by a recipe, or by the one that fits: see ``Index.build``."""
        if isinstance(recipe, str) and recipe == "auto":
            with self.store.snapshot() as snapshot:
                count, dim = snapshot.head.images, snapshot.space.dim
            return self._by(choose(count, dim, goal), goal, text_queries)
        return self._by(recipes.load(recipe), goal, text_queries)

    def _by(self, recipe: Recipe, goal: Goal, text_queries: NDArray[np.floating[Any]] | None = None) -> dict[str, Any]:
        if recipe.kind == "flat":
            maintain.drop_generation(self.store)
            return {"recipe": recipe.name}
        if recipe.for_gpu and not has_gpu():
            self.notice(f"no GPU that FAISS can use is here: {recipe.name} is built and searched on the CPU instead")
        told = check(self.store, recipe, goal)
        self.notice(
            f"building {recipe.name}: about {told.seconds:,.0f} s, {told.memory / 1e6:,.0f} MB of memory at the peak, "
            f"{told.bytes_per_vector:,.0f} bytes a picture"
        )
        return build(self.store, recipe, goal, self._texts(text_queries))

    def catch_up(self) -> dict[str, Any] | None:
        """Do what the index needs to stay quick: see ``Index.catch_up``."""
        named, tail, dim = self._tail()
        if exact_seconds(tail, dim) <= EXACT_SECONDS:
            return None
        moved = drift(self.store)
        if named is None or moved is None:
            return self.build("auto", Goal())
        if not moved.stale:
            return merge(self.store)
        return self._by(recipes.from_plan(named.recipe), Goal())

    def rebuild(self) -> str:
        """Replace a damaged generation by a new one of its recipe; say in words what became of it."""
        named = self._tail()[0]
        maintain.drop_generation(self.store)
        if named is None:
            return "dropped the damaged FAISS index"
        try:
            built = self._by(recipes.from_plan(named.recipe), Goal())
        except TooFewVectors:
            return "dropped the damaged FAISS index: exact search answers from so few pictures"
        return f"built the FAISS index again over {built['count']:,} vectors"

    def _tail(self) -> tuple[Generation | None, int, int]:
        with self.store.snapshot() as snapshot:
            named = snapshot.space.generation
            ids = snapshot.kept_ids()
            return named, int((ids >= (named.upto if named else 0)).sum()), snapshot.space.dim

    def _texts(self, given: NDArray[np.floating[Any]] | None) -> Matrix | None:
        if given is not None:
            return self._checked(given)
        if self.encode is None:
            return None
        with self.store.snapshot() as snapshot:
            texts = texts_of(snapshot)
        try:
            return np.concatenate([self.encode(texts[at : at + _BATCH]) for at in range(0, len(texts), _BATCH)])
        except EncoderError as error:
            self.notice(f"texts cannot be embedded, so the search is tuned with pictures alone ({error})")
            return None

    def _checked(self, given: NDArray[np.floating[Any]]) -> Matrix:
        dim = self.store.encoder_info.dim
        told = np.asarray(given, np.float32)
        if told.ndim != 2 or told.shape[1] != dim:
            raise DimensionMismatch(f"text queries of shape {told.shape}; this index holds {dim} dimensions")
        norms = np.linalg.norm(told, axis=1, keepdims=True)
        if not np.isfinite(norms).all() or (norms < 1e-12).any():
            raise QueryError("a text query is zero, infinite or not a number")
        unit: Matrix = told / norms
        return unit
