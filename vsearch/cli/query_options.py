"""The terms of a query: the options that say what to search with, shared by all commands that search."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from vsearch.types import Box, Part, Query

Command = Callable[..., Any]


@dataclass(frozen=True)
class Terms:
    """What was given.  weights: by the term as it was typed, sizes.  crop: of the only picture."""

    texts: tuple[str, ...]
    images: tuple[str, ...]
    ids: tuple[int, ...]
    vectors: tuple[str, ...]
    not_texts: tuple[str, ...]
    not_images: tuple[str, ...]
    weights: dict[str, float]
    crop: tuple[float, float, float, float, bool] | None

    def query(self) -> Query:
        """The query in the library's words.  Raises SourceError for a vector that cannot be read."""
        from vsearch.types import Query

        return Query(*self._parts())

    @property
    def only_text(self) -> bool:
        """Whether one text is all there is."""
        return len(self.texts) == 1 and not (
            self.images or self.ids or self.vectors or self.not_texts or self.not_images
        )

    @property
    def title(self) -> str:
        """The query as the title of a page."""
        names = [*self.texts, *(Path(file).name for file in (*self.images, *self.vectors))]
        wanted = " + ".join([*names, *(f"picture {id}" for id in self.ids)])
        unwanted = [*self.not_texts, *(Path(file).name for file in self.not_images)]
        return "".join([wanted, *(f" - {name}" for name in unwanted)])

    def _parts(self) -> Iterator[Part]:
        from vsearch.sources.vectors import read_vector
        from vsearch.types import Crop, Part

        box = self._box()
        for text in self.texts:
            yield Part(text, self._weight(text))
        for file in self.images:
            yield Part(Path(file) if box is None else Crop(Path(file), box), self._weight(file))
        for id in self.ids:
            yield Part(id, self._weight(str(id)))
        for file in self.vectors:
            yield Part(read_vector(Path(file)), self._weight(file))
        for text in self.not_texts:
            yield Part(text, -self._weight(text))
        for file in self.not_images:
            yield Part(Path(file), -self._weight(file))

    def _weight(self, term: str) -> float:
        return self.weights.get(term, 1.0)

    def _box(self) -> Box | None:
        from vsearch.types import Box

        if self.crop is None:
            return None
        x, y, width, height, fractions = self.crop
        return Box(x, y, width, height, "fractions" if fractions else "pixels")


def terms_options(command: Command) -> Command:
    """Give a command the texts and options that say what to search with; it gets them as one ``terms``."""

    @wraps(command)
    def with_terms(**options: Any) -> Any:
        names = ("texts", "images", "ids", "vectors", "not_texts", "not_images", "weights", "crop")
        terms = Terms(**{name: options.pop(name) for name in names})
        _check(terms)
        return command(terms=terms, **options)

    wrapped: Command = with_terms
    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped


def _check(terms: Terms) -> None:
    if not (terms.texts or terms.images or terms.ids or terms.vectors):
        raise click.UsageError(
            'Nothing to search for: give a text, as in vsearch query "red apple", --image, --like or --vector.'
        )
    if terms.crop is not None and len(terms.images) != 1:
        raise click.UsageError("--crop is the part of one picture: give one --image with it.")
    known = [*terms.texts, *terms.images, *map(str, terms.ids), *terms.vectors, *terms.not_texts, *terms.not_images]
    for term in terms.weights:
        if term not in known:
            told = ", ".join(map(repr, known))
            raise click.UsageError(f"--weight names {term!r}, which is no term of this query; its terms are {told}.")


def _read_weights(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> dict[str, float]:
    weights = {}
    for told in given:
        number, colon, term = told.partition(":")
        try:
            weights[term] = float(number)
        except ValueError:
            weights[term] = -1.0
        if not colon or not 0 < weights[term] < float("inf"):
            raise click.BadParameter(f"{told!r} is not a number above 0, a colon and a term, as in 2:beach.")
    return weights


def _read_crop(
    _: click.Context, __: click.Parameter, told: str | None
) -> tuple[float, float, float, float, bool] | None:
    if told is None:
        return None
    try:
        x, y, width, height = map(float, told.split(","))
    except ValueError:
        raise click.BadParameter(
            f"{told!r} is not x,y,width,height: four pixels, as in 120,40,300,200, or fractions of the picture's "
            "width and height with a decimal point, as in 0.0,0.5,1.0,0.5."
        ) from None
    return x, y, width, height, "." in told


_OPTIONS = (
    click.argument("texts", metavar="[TEXT]...", nargs=-1),
    click.option("--image", "images", metavar="FILE", multiple=True, help="A picture to search with."),
    click.option(
        "--like", "ids", metavar="ID", type=click.IntRange(0), multiple=True, help="An indexed picture to search with."
    ),
    click.option(
        "--vector",
        "vectors",
        metavar="FILE.npy",
        multiple=True,
        help="A vector to search with, made elsewhere by the model of the index: (dim,) floats.",
    ),
    click.option("--not", "not_texts", metavar="TEXT", multiple=True, help="What the pictures are not to show."),
    click.option("--not-image", "not_images", metavar="FILE", multiple=True, help="What they are not to look like."),
    click.option(
        "--weight",
        "weights",
        metavar="N:TERM",
        multiple=True,
        callback=_read_weights,
        help="How much a term counts, as in 2:beach. TERM as it was given; default 1.",
    ),
    click.option(
        "--crop",
        metavar="X,Y,W,H",
        callback=_read_crop,
        help="The part of --image to search with: pixels, or fractions of its size with a decimal point.",
    ),
)
