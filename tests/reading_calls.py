"""Every call of ``Index`` and every command that reads, each once, as one job for a process of its own."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from click.testing import CliRunner

import vsearch
from vsearch.cli.app import app
from vsearch.index import Index

RED = vsearch.Query("red")

CHANGING = {
    *("add", "add_embedded", "add_vectors", "build", "catch_up", "change_encoder", "clear_tags", "compact", "merge"),
    *("forget", "move_duplicates", "move_root", "remove", "remove_space", "repair", "tag", "use_space"),
}
ELSEWHERE = {"export_milvus": "needs a server of Milvus, and reads what export_clip_retrieval reads"}


def _places(hits: Any) -> list[tuple[int, float]]:
    return [(hit.id, round(hit.score, 4)) for hit in hits]


def _background(index: Index, _: Path) -> bool:
    with index.store.snapshot() as snapshot:
        return index.background(snapshot) is not None


def _backup(index: Index, out: Path) -> int:
    index.backup(out / "copy.vsearch")
    with vsearch.open(out / "copy.vsearch") as copy:
        return copy.search("red", 1)[0].id


def _routed(index: Index, _: Path) -> list[tuple[int, float]]:
    index.route(encoder=lambda loaded: loaded, decode=index._searcher._decode)
    return _places(index.search("red", 1))


def _used(index: Index, _: Path) -> list[tuple[int, float]]:
    index.use_encoder(index.encoder)
    return _places(index.search("red", 1))


def _explained(index: Index, _: Path) -> list[Any]:
    told = index.explain("red", index.search("red", 1)[0].id)
    return [told.exact_rank, told.ann_rank, round(told.score, 4)]


READS: dict[str, Callable[[Index, Path], Any]] = {
    "asearch": lambda index, _: _places(asyncio.run(index.asearch("red", 1))),
    "background": _background,
    "backup": _backup,
    "check": lambda index, _: list(index.check().problems),
    "classifier": lambda index, _: index.classifier(["red", "blue"]).labels,
    "classify": lambda index, _: index.classify(RED.like(0), ["red", "blue"])[0].name,
    "close": lambda index, _: index.close(),
    "columns": lambda index, _: sorted(index.columns.names()),
    "describe": lambda index, _: _places(index.describe(RED.like(0), 1).captions),
    "duplicates": lambda index, _: len(index.duplicates().groups),
    "encoder": lambda index, _: index.encoder.info.name,
    "encoder_info": lambda index, _: index.encoder_info.name,
    "errors": lambda index, _: [failure.reason for failure in index.errors()],
    "explain": _explained,
    "export_clip_retrieval": lambda index, out: index.export_clip_retrieval(out / "parts").exported,
    "info": lambda index, _: index.info()["images"],
    "loaded_encoder": lambda index, _: index.loaded_encoder is None,
    "pages": lambda index, _: _places(next(iter(index.pages("red", 1)))),
    "path": lambda index, _: index.path.name,
    "roots": lambda index, _: [root.images for root in index.roots()],
    "knows": lambda index, _: index.knows("/nowhere"),
    "ids_below": lambda index, _: index.ids_below("/").tolist(),
    "all_ids": lambda index, _: len(index.all_ids()),
    "ids_matching": lambda index, _: index.ids_matching("id < 2").tolist(),
    "projection": lambda index, _: len(index.projection().ids),
    "route": _routed,
    "search": lambda index, _: _places(index.search("red", 1, where="width > 0")),
    "search_vectors": lambda index, _: index.search_vectors(np.eye(64)[:1], 1, modality="text")[1].shape,
    "spaces": lambda index, _: [(space.embedded, space.live) for space in index.spaces()],
    "store": lambda index, _: index.store.layout.root.name,
    "use_encoder": _used,
}


COMMANDS = {
    "query": ["red", "-k", "1", "--paths"],
    "explain": ["red", "--id", "0", "--json"],
    "audit": ["red", "--by", "red,blue", "-k", "1", "--json"],
    "describe": ["--id", "0", "-k", "1", "--json"],
    "classify": ["PHOTOS/red.png", "--labels", "red,blue"],
    "dups": ["--identical"],
    "info": ["--json"],
    "errors": [],
    "check": ["--json"],
    "backup": ["OUT/backup.vsearch"],
    "merge": ["OUT/merged.vsearch", "INDEX", "--no-build", "--json"],
    "export": ["OUT/exported", "--to", "clip-retrieval", "--json"],
    "spaces": [],
    "roots": ["--json"],
    "eval": ["ann", "--text-queries", "OUT/queries.npy", "--image-queries", "OUT/queries.npy", "--json"],
}
"""The commands that read an index, with what follows; serve is tried by itself."""

OTHER_COMMANDS = {
    *("index", "watch", "import", "tag", "repair", "build", "compact", "store-patches", "forget"),  # change an index
    *("restore", "fetch", "train", "train-reranker", "models", "doctor", "serve"),  # read none, or tried by themselves
}


def answers(place: str, out: str) -> dict[str, Any]:
    """What each call answers of an index opened for it, in values that JSON holds, and what each command prints.

    out: a folder; out/now names what is tried.
    """
    folder, told = Path(out), {}
    for name, read in READS.items():
        (folder / "now").write_text(f"Index.{name}")
        with vsearch.open(place) as index:
            told[f"Index.{name}"] = read(index, folder)
    np.save(folder / "queries.npy", np.eye(64, dtype=np.float32))
    for name in COMMANDS:
        (folder / "now").write_text(name)
        told[name] = _printed(name, place, out)
    return told


def _printed(command: str, place: str, out: str) -> str:
    """Standard output, without the places, times and sizes that differ between two indexes."""
    places = {"PHOTOS": str(Path(place).parent / "photos"), "INDEX": place, "OUT": out}
    words = COMMANDS[command]
    for name, path in places.items():
        words = [word.replace(name, path) for word in words]
    ended = CliRunner().invoke(app, [command, *words, *([] if command == "merge" else ["--index", place])])
    if ended.exit_code or ended.exception:
        raise AssertionError(f"{command}: {ended.exit_code}, {ended.stderr}") from ended.exception
    printed = ended.stdout
    for name, path in places.items():
        printed = printed.replace(path, name)
    return re.sub(r'("seconds"|"bytes"): *[0-9.e-]+', r"\1: 0", printed)
