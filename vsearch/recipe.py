"""Index recipes: how an ANN index is built and searched, as data."""

from __future__ import annotations

import dataclasses
import math
import re
import tomllib
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from vsearch.arguments import path_of, written
from vsearch.errors import RecipeError, TooFewVectors

Modality = Literal["text", "image"]


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """How one modality is searched.

    nprobe: inverted lists visited; for a graph, the length of its list of candidates (efSearch).
    rescore: candidates for each result that are scored again from stored vectors.
    """

    nprobe: int
    rescore: int


@dataclass(frozen=True, slots=True)
class BuildSettings:
    """How an index is trained.  See ``indexes/opq-ivf-pq.toml`` for what each number means.

    transform: whether a query-aware transform may be put before the index, if it pays.
    """

    lists_per_sqrt: float
    train_per_list: int
    dims_per_byte: int
    seed: int
    transform: bool = False


@dataclass(frozen=True, slots=True)
class Recipe:
    """A kind of index.  ``flat`` has neither factory nor settings.

    floor: recall@10 against exact search that the untuned settings reach on generated vectors, by modality.
    """

    name: str
    about: str
    kind: Literal["flat", "faiss"]
    factory: str = ""
    build: BuildSettings | None = None
    text: SearchSettings | None = None
    image: SearchSettings | None = None
    floor: dict[str, float] = field(default_factory=dict)

    def search(self, modality: Modality) -> SearchSettings:
        """The settings for queries of a modality."""
        told = self.text if modality == "text" else self.image
        if told is None:
            raise RecipeError(f"recipe {self.name!r} has no [search.{modality}] settings")
        return told

    @property
    def mappable(self) -> bool:
        """Whether FAISS searches its file where it lies.  Fast-scan lists are copied, and the file would count too."""
        return re.search(r"x4fs|RaBitQfs", self.factory) is None

    @property
    def for_gpu(self) -> bool:
        """Whether it was chosen for what a GPU does with it, as its name says."""
        return self.name.startswith("gpu-")

    @property
    def codebook(self) -> int:
        """Entries of each code book of a product quantiser, 0 where the code is another."""
        if "{m}" not in self.factory:
            return 0
        return 16 if "x4fs" in self.factory else 256


def load(which: str | Path) -> Recipe:
    """A bundled recipe by name, or one from a TOML file.  Raises RecipeError."""
    if not isinstance(which, str | Path):
        raise RecipeError(f"a recipe is a name or the Path of a TOML file, and this is {written(which)}")
    if isinstance(which, Path) or which.endswith(".toml"):
        try:
            return parse(path_of(which, RecipeError).read_text("utf-8"))
        except OSError as error:
            raise RecipeError(f"{which}: the recipe cannot be read ({error.strerror})") from error
        except UnicodeDecodeError as error:
            raise RecipeError(f"{which}: the recipe is not UTF-8 text") from error
    if which not in names():
        raise RecipeError(f"no recipe is named {which!r}; there are: {', '.join(names())}, or give a TOML file")
    return parse((resources.files("vsearch.recipes") / f"{which}.toml").read_text("utf-8"))


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
    _table(told, "", ("name", "about", "kind", "factory", "floor", "build", "search"))
    if not isinstance(told.get("name"), str):
        raise RecipeError("a recipe needs a name")
    kind = told.get("kind")
    if kind not in ("flat", "faiss"):
        raise RecipeError(f"kind is {kind!r}; it is 'flat' or 'faiss'")
    common = (told["name"], str(told.get("about", "")))
    if kind == "flat":
        return Recipe(*common, "flat")
    search = _table(told, "search", ("text", "image"))
    return Recipe(
        *common,
        "faiss",
        _text(told, "factory"),
        BuildSettings(**_fields(told, "build", BuildSettings)),
        SearchSettings(**_fields(search, "text", SearchSettings)),
        SearchSettings(**_fields(search, "image", SearchSettings)),
        _floor(told),
    )


def _table(told: dict[str, Any], key: str, allowed: tuple[str, ...]) -> dict[str, Any]:
    table = told.get(key) if key else told
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


def _fields(told: dict[str, Any], key: str, kind: type) -> dict[str, Any]:
    fields = {f.name: f for f in dataclasses.fields(kind)}
    table = _table(told, key, tuple(fields))
    for name, wanted in fields.items():
        if name in table or wanted.default is dataclasses.MISSING:
            _check(key, name, table.get(name), str(wanted.type))
    return table


def _check(table: str, name: str, value: Any, wanted: str) -> None:
    if wanted == "bool":
        if not isinstance(value, bool):
            raise RecipeError(f"[{table}] {name} is {value!r}; it is true or false")
        return
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not number or (wanted == "int" and not isinstance(value, int)):
        raise RecipeError(f"[{table}] {name} is {value!r}; it is a {'whole ' if wanted == 'int' else ''}number")
    least, most = (0, 2**31 - 1) if name == "seed" else (1e-3, 2**20)
    if not least <= value <= most:
        raise RecipeError(f"[{table}] {name} is {value!r}; it lies between {least} and {most}")


def _floor(told: dict[str, Any]) -> dict[str, float]:
    if "floor" not in told:
        return {}
    table = _table(told, "floor", ("text", "image"))
    for name, value in table.items():
        if not isinstance(value, float) or not 0 < value <= 1:
            raise RecipeError(f"[floor] {name} is {value!r}; it is a recall between 0 and 1")
    return table


@dataclass(frozen=True, slots=True)
class Plan:
    """A recipe with every number filled in for a collection.

    factory: what FAISS is asked to make.  train: vectors in the training sample.
    """

    recipe: Recipe
    factory: str
    nlist: int
    train: int


def plan(recipe: Recipe, count: int, dim: int) -> Plan:
    """Fill in a recipe's numbers for ``count`` vectors of ``dim`` numbers.  Raises TooFewVectors, RecipeError."""
    if recipe.build is None:
        raise RecipeError(f"recipe {recipe.name!r} builds nothing: without an index everything is searched exactly")
    need = max(1, recipe.codebook)
    if count < need:
        raise TooFewVectors(
            f"{count} vectors are too few for {recipe.name!r}, which needs {need}; "
            f"exact search answers from so few at once, and needs no build"
        )
    nlist = max(1, min(2 ** round(math.log2(recipe.build.lists_per_sqrt * math.sqrt(count))), count // 39))
    m = max(1, dim // recipe.build.dims_per_byte)
    if recipe.codebook == 16:
        m *= 2
    m = min(m, dim)
    while dim % m:
        m -= 1
    try:
        factory = recipe.factory.format(nlist=nlist, m=m, dim=dim)
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise RecipeError(f"factory {recipe.factory!r}: only {{nlist}}, {{m}} and {{dim}} can be filled in") from error
    train = nlist * recipe.build.train_per_list if "{nlist}" in recipe.factory else 1
    return Plan(recipe, factory, nlist, min(count, max(recipe.codebook * 40, train)))


def kept(plan: Plan, text: SearchSettings, image: SearchSettings, measured: dict[str, Any]) -> str:
    """What is kept beside an index: the recipe that made it, every number filled in, and what was measured of it.

    measured: numbers, texts and tables of such; None values are left out.
    """
    recipe = plan.recipe
    assert recipe.build is not None
    told = {
        "name": recipe.name,
        "about": recipe.about,
        "kind": recipe.kind,
        "factory": recipe.factory,
        "filled": {"factory": plan.factory, "nlist": plan.nlist, "train": plan.train},
        "floor": recipe.floor,
        "build": dataclasses.asdict(recipe.build),
        "search": {"text": dataclasses.asdict(text), "image": dataclasses.asdict(image)},
        "measured": measured,
    }
    return _toml(told)


def from_plan(text: str) -> Recipe:
    """The recipe that made an index, with its tuned search settings, from what ``kept`` wrote."""
    told = tomllib.loads(text)
    return parse(_toml({k: v for k, v in told.items() if k not in ("filled", "measured")}))


def measured(text: str) -> dict[str, Any]:
    """What was measured of an index when it was built, from what ``kept`` wrote."""
    told: dict[str, Any] = tomllib.loads(text).get("measured", {})
    return told


def filled(text: str) -> dict[str, Any]:
    """The numbers filled in when an index was built, from what ``kept`` wrote: factory, nlist, train."""
    told: dict[str, Any] = tomllib.loads(text).get("filled", {})
    return told


def _toml(table: dict[str, Any], at: str = "") -> str:
    lines = [f"{_value(k)} = {_value(v)}\n" for k, v in table.items() if v is not None and not isinstance(v, dict)]
    inner = [(f"{at}.{_value(k)}" if at else _value(k), v) for k, v in table.items() if isinstance(v, dict) and v]
    return "".join(lines) + "".join(f"[{name}]\n{_toml(v, name)}" for name, v in inner)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return '"' + "".join(c if c >= " " and c != "\x7f" else f"\\u{ord(c):04x}" for c in escaped) + '"'
    return repr(value)
