"""Index recipes: how an ANN index is built and searched, as data."""

from __future__ import annotations

import dataclasses
import math
import tomllib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from vsearch.errors import RecipeError, TooFewVectors

Modality = Literal["text", "image"]
CODEBOOK = 256


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """How one modality is searched.

    nprobe: inverted lists visited.  rescore: candidates for each result that are scored again from stored vectors.
    """

    nprobe: int
    rescore: int


@dataclass(frozen=True, slots=True)
class BuildSettings:
    """How an index is trained.  See ``indexes/ivf-pq.toml`` for what each number means."""

    lists_per_sqrt: float
    train_per_list: int
    dims_per_byte: int
    seed: int


@dataclass(frozen=True, slots=True)
class Recipe:
    """A kind of index.  ``flat`` has neither factory nor settings."""

    name: str
    about: str
    kind: Literal["flat", "faiss"]
    factory: str = ""
    build: BuildSettings | None = None
    text: SearchSettings | None = None
    image: SearchSettings | None = None

    def search(self, modality: Modality) -> SearchSettings:
        """The settings for queries of a modality."""
        told = self.text if modality == "text" else self.image
        if told is None:
            raise RecipeError(f"recipe {self.name!r} has no [search.{modality}] settings")
        return told


def load(which: str | Path) -> Recipe:
    """A bundled recipe by name, or one from a TOML file.  Raises RecipeError."""
    if isinstance(which, Path) or which.endswith(".toml"):
        try:
            return parse(Path(which).read_text())
        except OSError as error:
            raise RecipeError(f"{which}: the recipe cannot be read ({error.strerror})") from error
    file = resources.files("vsearch.recipes") / f"{which}.toml"
    if not file.is_file():
        raise RecipeError(f"no recipe is named {which!r}; there are: {', '.join(names())}, or give a TOML file")
    return parse(file.read_text())


def names() -> list[str]:
    """The bundled recipes."""
    found = (f.name for f in resources.files("vsearch.recipes").iterdir())
    return sorted(n.removesuffix(".toml") for n in found if n.endswith(".toml"))


def parse(text: str) -> Recipe:
    """A recipe from TOML.  Unknown keys and impossible numbers are refused: an ignored option is a bug."""
    try:
        told = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"the recipe is not TOML: {error}") from error
    search = _table(told, "search", ("text", "image"), optional=True)
    _table(told, "", ("name", "about", "kind", "factory", "build", "search"))
    kind = told.get("kind")
    if kind not in ("flat", "faiss"):
        raise RecipeError(f"kind is {kind!r}; it is 'flat' or 'faiss'")
    if not isinstance(told.get("name"), str):
        raise RecipeError("a recipe needs a name")
    common = (told["name"], str(told.get("about", "")))
    if kind == "flat":
        return Recipe(*common, "flat")
    return Recipe(
        *common,
        "faiss",
        _text(told, "factory"),
        BuildSettings(**_numbers(told, "build", BuildSettings)),
        SearchSettings(**_numbers(search, "text", SearchSettings)),
        SearchSettings(**_numbers(search, "image", SearchSettings)),
    )


def _table(told: dict[str, Any], key: str, allowed: tuple[str, ...], optional: bool = False) -> dict[str, Any]:
    table = told.get(key, {} if optional else None) if key else told
    if not isinstance(table, dict):
        raise RecipeError(f"the recipe needs a table [{key}]")
    unknown = sorted(set(table) - set(allowed))
    if unknown:
        raise RecipeError(f"unknown key {unknown[0]!r} in {f'[{key}]' if key else 'the recipe'}; known: {allowed}")
    return table


def _text(told: dict[str, Any], key: str) -> str:
    if not isinstance(told.get(key), str):
        raise RecipeError(f"the recipe needs {key} as text")
    return str(told[key])


def _numbers(told: dict[str, Any], key: str, kind: type) -> dict[str, Any]:
    fields: dict[str, Any] = {field.name: field.type for field in dataclasses.fields(kind)}
    table = _table(told, key, tuple(fields))
    for name, wanted in fields.items():
        value = table.get(name)
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not math.isfinite(float(value or 0)) or (wanted == "int" and not isinstance(value, int)):
            raise RecipeError(f"[{key}] {name} is {value!r}; it is a number")
        if float(value or 0) < (0 if name == "seed" else 1e-3):
            raise RecipeError(f"[{key}] {name} is {value!r}; it is larger than that")
    return table


@dataclass(frozen=True, slots=True)
class Plan:
    """A recipe with every number filled in for a collection."""

    recipe: Recipe
    factory: str
    nlist: int
    train: int

    def toml(self) -> str:
        """The plan as it is kept beside the index it made."""
        build, text, image = self.recipe.build, self.recipe.text, self.recipe.image
        assert build and text and image
        return (
            f'name = "{self.recipe.name}"\nfactory = "{self.factory}"\nnlist = {self.nlist}\ntrain = {self.train}\n'
            f"seed = {build.seed}\n"
            f"[search.text]\nnprobe = {text.nprobe}\nrescore = {text.rescore}\n"
            f"[search.image]\nnprobe = {image.nprobe}\nrescore = {image.rescore}\n"
        )


def from_plan(text: str) -> Recipe:
    """The recipe that made an index, from the plan kept beside it."""
    told = tomllib.loads(text)
    search = told["search"]
    return Recipe(
        told["name"],
        "",
        "faiss",
        told["factory"],
        None,
        SearchSettings(**search["text"]),
        SearchSettings(**search["image"]),
    )


def plan(recipe: Recipe, count: int, dim: int) -> Plan:
    """Fill in a recipe's numbers for ``count`` vectors of ``dim`` numbers.  Raises TooFewVectors, RecipeError."""
    if recipe.build is None:
        raise RecipeError(f"recipe {recipe.name!r} builds nothing: without an index everything is searched exactly")
    need = CODEBOOK if "{m}" in recipe.factory else 1
    if count < need:
        raise TooFewVectors(
            f"{count} vectors are too few for {recipe.name!r}, which needs {need}; "
            f"exact search answers from so few at once, and needs no build"
        )
    nlist = max(1, min(2 ** round(math.log2(recipe.build.lists_per_sqrt * math.sqrt(count))), count // 39))
    m = max(1, dim // recipe.build.dims_per_byte)
    while dim % m:
        m -= 1
    try:
        factory = recipe.factory.format(nlist=nlist, m=m)
    except (KeyError, IndexError, ValueError) as error:
        raise RecipeError(f"factory {recipe.factory!r}: only {{nlist}} and {{m}} can be filled in") from error
    return Plan(recipe, factory, nlist, min(count, max(CODEBOOK * 40, nlist * recipe.build.train_per_list)))
