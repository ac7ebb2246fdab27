"""A collection of Milvus with the pictures of an index: rows by id, sent batch by batch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vsearch.errors import ExportError
from vsearch.export.rows import ExportReport, Part, Rows
from vsearch.store import Snapshot, Store
from vsearch.types import Progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vsearch.filters import Columns

BATCH_ROWS = 1000
BATCH_BYTES = 16 << 20  # of vectors: a request has 64 MiB by default, and captions need room too
MOST_TEXT = 65_535  # bytes of a VARCHAR
_SPACE = "vsearch_space"
_FIELDS = frozenset(("id", "vector", "path", "caption", "$meta", _SPACE))


@dataclass(frozen=True)
class Place:
    """A collection of a Milvus.

    uri: ``http://HOST:19530``, or the name of a new or own folder of milvus-lite that ends with ``.db``.
    token: ``USER:PASSWORD`` or an API key, where it asks for one.
    """

    uri: str
    collection: str
    token: str = ""


def to_milvus(
    store: Store,
    columns: Columns,
    place: Place,
    where: str | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> ExportReport:
    """Bring a collection in line with an index; see ``Index.export_milvus``."""
    started = time.monotonic()
    with _client(place) as client, store.snapshot() as snapshot, _translated(place):
        chosen = Rows.of(snapshot, columns, where)
        space = f"{snapshot.head.identity}/{snapshot.space.name}"
        before = _prepared(client, place.collection, snapshot.space.dim, space)
        done = 0
        for part in chosen.parts(_batch_rows(snapshot.space.dim)):
            client.upsert(place.collection, list(_rows(snapshot, part, space)))
            done += len(part.ids)
            if progress is not None:
                progress(Progress(done, len(chosen.ids), done, 0, time.monotonic() - started))
        gone = np.setdiff1d(before, chosen.ids)
        for first in range(0, len(gone), BATCH_ROWS):
            client.delete(place.collection, ids=gone[first : first + BATCH_ROWS].tolist())
    return ExportReport(done, time.monotonic() - started, len(gone))


@contextmanager
def _client(place: Place) -> Iterator[Any]:
    try:
        from pymilvus import MilvusClient
    except ImportError as error:
        raise ExportError(
            f"pymilvus is not installed ({error.name} is missing); type: pip install 'vsearch-engine[milvus]'"
        ) from error
    with _translated(place):
        client = MilvusClient(place.uri, token=place.token)
    try:
        yield client
    finally:
        client.close()


@contextmanager
def _translated(place: Place) -> Iterator[None]:
    from pymilvus.exceptions import MilvusException

    try:
        yield
    except MilvusException as error:
        raise ExportError(
            f"{place.uri}, collection {place.collection}: {error.message}. Rows that were sent stay; mend it and type "
            f"the same again, which sends each row anew under its id"
        ) from error


def _batch_rows(dim: int) -> int:
    return max(1, min(BATCH_ROWS, BATCH_BYTES // (4 * dim)))


def _prepared(client: Any, name: str, dim: int, space: str) -> NDArray[np.int64]:
    """Make the collection, or look whether it is this index's; return the ids that are in it.  Raises ExportError."""
    if not client.has_collection(name):
        _create(client, name, dim)
        return np.zeros(0, np.int64)
    client.load_collection(name)
    fields = {field["name"] for field in client.describe_collection(name)["fields"]}
    if _SPACE not in fields or client.query(name, filter=f'{_SPACE} != "{space}"', output_fields=["id"], limit=1):
        raise ExportError(
            f"the collection {name} is there already and holds other vectors: of another index, of another encoder, or "
            f"not from vsearch; name another one with --collection"
        )
    ids = []
    rows = client.query_iterator(name, batch_size=BATCH_ROWS, output_fields=["id"])
    while batch := rows.next():
        ids += [row["id"] for row in batch]
    rows.close()
    return np.array(ids, np.int64)


def _create(client: Any, name: str, dim: int) -> None:
    from pymilvus import DataType

    schema = client.create_schema(auto_id=False, enable_dynamic_field=True)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dim)
    schema.add_field("path", DataType.VARCHAR, max_length=MOST_TEXT)
    schema.add_field("caption", DataType.VARCHAR, max_length=MOST_TEXT, nullable=True)
    schema.add_field(_SPACE, DataType.VARCHAR, max_length=256)
    params = client.prepare_index_params()
    params.add_index("vector", index_type="AUTOINDEX", metric_type="COSINE")
    client.create_collection(name, schema=schema, index_params=params)


def _rows(snapshot: Snapshot, part: Part, space: str) -> Iterator[dict[str, Any]]:
    vectors = snapshot.vectors(part.ids)
    columns = {_free(name): part.values(name) for name in part.columns}
    for row, id in enumerate(part.ids.tolist()):
        caption = part.captions[row]
        told = {name: values[row] for name, values in columns.items() if _is_told(values[row])}
        fixed = {"id": id, "vector": vectors[row], "path": _cut(part.names[row]), _SPACE: space}
        yield {**told, **fixed, "caption": None if caption is None else _cut(caption)}


def _is_told(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and not math.isfinite(value))  # JSON has no such number


def _free(name: str) -> str:
    while name in _FIELDS:
        name += "_"
    return name


def _cut(text: str) -> str:
    raw = text.encode("utf-8", "replace")
    return text if len(raw) <= MOST_TEXT else raw[:MOST_TEXT].decode("utf-8", "ignore")
