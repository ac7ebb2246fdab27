"""The folders of clip-retrieval, written whole or not at all."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vsearch import files
from vsearch.errors import SourceError
from vsearch.export.rows import ExportReport, Part, Rows
from vsearch.store import Snapshot, Store
from vsearch.types import Progress

if TYPE_CHECKING:
    from vsearch.filters import Columns

ROWS = 1_000_000  # a part, as clip-retrieval's own default


def to_clip_retrieval(
    store: Store,
    columns: Columns,
    folder: str | os.PathLike[str],
    where: str | None = None,
    progress: Callable[[Progress], None] | None = None,
    rows: int = ROWS,
) -> ExportReport:
    """Write ``folder``; see ``Index.export_clip_retrieval``.  rows: most in a part."""
    started = time.monotonic()
    place = Path(os.path.abspath(folder))
    if os.path.lexists(place):
        raise SourceError(f"{place}: is there already; name a folder that is not")
    unfinished = place.with_name(files.TEMPORARY + uuid.uuid4().hex)
    with store.snapshot() as snapshot, files.storage_errors(place):
        chosen = Rows.of(snapshot, columns, where)
        width = len(str(max(0, len(chosen.ids) - 1) // rows))
        try:
            for made in (unfinished, unfinished / "img_emb", unfinished / "metadata"):
                files.make_dir(made)
            done = 0
            for number, part in enumerate(chosen.parts(rows)):
                _write(snapshot, part, unfinished, f"{number:0{width}d}")
                done += len(part.ids)
                if progress is not None:
                    progress(Progress(done, len(chosen.ids), done, 0, time.monotonic() - started))
            files.rename(unfinished, place)
        except BaseException:
            files.discard(unfinished)
            raise
    return ExportReport(done, time.monotonic() - started)


def _write(snapshot: Snapshot, part: Part, folder: Path, number: str) -> None:
    def fill(sink: files.Sink) -> None:
        head = BytesIO()
        shape = (len(part.ids), snapshot.space.dim)
        np.lib.format.write_array_header_1_0(head, {"descr": "<f2", "fortran_order": False, "shape": shape})
        sink.put(head.getbuffer())
        for _, rows in snapshot.blocks_of(part.ids):
            sink.put(np.ascontiguousarray(rows, "<f2").data)

    files.publish(folder / "img_emb" / f"img_emb_{number}.npy", fill)
    files.publish(folder / "metadata" / f"metadata_{number}.parquet", lambda sink: sink.put(_table(part)))


def _table(part: Part) -> memoryview:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    told = {"image_path": pa.array(part.names, pa.string()), "caption": pa.array(part.captions, pa.string())}
    out = BytesIO()
    parquet.write_table(pa.table(told | part.columns), out)
    return out.getbuffer()
