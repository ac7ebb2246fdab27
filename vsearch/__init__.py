"""Search pictures with a sentence or another picture.

::

    index = vsearch.create("photos.vsearch")
    index.add(vsearch.folder("./photos"))
    hits = index.search("red apple on a wooden table", k=10)

Importing this package is cheap: numpy, torch and faiss are loaded by the first call that needs them (PEP 562).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vsearch.decode import Limits
    from vsearch.distributed import connect as cluster
    from vsearch.embed import Encoder, load_encoder
    from vsearch.errors import VsearchError
    from vsearch.index import Index, create, restore
    from vsearch.index import open_index as open
    from vsearch.maintenance.merge import merge
    from vsearch.remote import fetch
    from vsearch.results import Hits
    from vsearch.sharded import ShardedHits, ShardedIndex
    from vsearch.sources import archive, clip_retrieval, folder, img2dataset, listing, table, vector_file
    from vsearch.sources import files as pictures
    from vsearch.types import AddReport, Box, Crop, EncoderInfo, Failure, Hit, Item, Part, Query

__version__ = "0.1.0"

__all__ = [
    "AddReport",
    "Box",
    "Crop",
    "Encoder",
    "EncoderInfo",
    "Failure",
    "Hit",
    "Hits",
    "Index",
    "Item",
    "Limits",
    "Part",
    "Query",
    "ShardedHits",
    "ShardedIndex",
    "VsearchError",
    "__version__",
    "archive",
    "cluster",
    "clip_retrieval",
    "create",
    "pictures",
    "fetch",
    "folder",
    "img2dataset",
    "listing",
    "load_encoder",
    "merge",
    "open",
    "restore",
    "table",
    "vector_file",
    "watch",
]

_HOMES = {
    "AddReport": ("types", "AddReport"),
    "Box": ("types", "Box"),
    "Crop": ("types", "Crop"),
    "Encoder": ("embed", "Encoder"),
    "EncoderInfo": ("types", "EncoderInfo"),
    "Failure": ("types", "Failure"),
    "Hit": ("types", "Hit"),
    "Hits": ("results", "Hits"),
    "Index": ("index", "Index"),
    "Item": ("types", "Item"),
    "Limits": ("decode", "Limits"),
    "Part": ("types", "Part"),
    "Query": ("types", "Query"),
    "ShardedHits": ("sharded", "ShardedHits"),
    "ShardedIndex": ("sharded", "ShardedIndex"),
    "VsearchError": ("errors", "VsearchError"),
    "archive": ("sources", "archive"),
    "cluster": ("distributed", "connect"),
    "clip_retrieval": ("sources", "clip_retrieval"),
    "create": ("index", "create"),
    "pictures": ("sources", "files"),
    "fetch": ("remote", "fetch"),
    "folder": ("sources", "folder"),
    "img2dataset": ("sources", "img2dataset"),
    "listing": ("sources", "listing"),
    "load_encoder": ("embed", "load_encoder"),
    "merge": ("maintenance.merge", "merge"),
    "open": ("index", "open_index"),
    "restore": ("index", "restore"),
    "table": ("sources", "table"),
    "vector_file": ("sources", "vector_file"),
    "watch": ("following", "watch"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    room, attribute = _HOMES[name]
    return getattr(import_module(f"{__name__}.{room}"), attribute)


def __dir__() -> list[str]:
    return sorted(__all__)
