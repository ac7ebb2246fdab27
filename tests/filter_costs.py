"""Runs growing filters in a process of its own and prints what each took: ``python -m tests.filter_costs [unbounded]``.

For each growing filter the largest size that is accepted.  ``unbounded`` is the planted defect: nothing tells what a
filter may grow to, and two filters of moderate size run.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta

import duckdb
import pyarrow as pa

import vsearch.filters.engine as engine_module
from tests.hostile_growth import PLANS, TEXT, Growing, growing
from vsearch.errors import FilterError
from vsearch.filters.engine import Engine
from vsearch.filters.growth import VECTOR, rows_at_once
from vsearch.filters.schema import CODED, SCHEMA, coded

ROWS = 2 * VECTOR
# The promise is two seconds; those of three hundred filters would take ten minutes.
SECONDS = 0.02
UNBOUNDED = (
    f"replace(caption, 'a', '{'a' * 2000}') is null",
    "id < 500 and regexp_matches(caption, '(a?){500}b')",
)


def table(caption: int, one: int) -> pa.Table:
    """Two vectors of rows, with captions of so many bytes, and one of another length."""
    start = datetime(2020, 1, 1)
    values = {
        "id": range(ROWS),
        "taken": [start + timedelta(seconds=1000 * i) for i in range(ROWS)],
        "added": [start] * ROWS,
        "name": [f"{'a' * 40}{i}.jpg" for i in range(ROWS)],
        "caption": ["a" * one if i == 7 else "a" * caption for i in range(ROWS)],
        "width": [i % 100 for i in range(ROWS)],
        "height": [i % 77 for i in range(ROWS)],
        "latitude": [i / 100 for i in range(ROWS)],
        "tags": [["dog", "cat", "a, b"]] * ROWS,
        "tag_confidences": [[0.5, 0.25, 1.0]] * ROWS,
    }
    arrays = []
    for field in SCHEMA:
        if field.type == CODED:
            arrays.append(coded([f"{field.name}{i % 30}" for i in range(ROWS)]))
        else:
            arrays.append(pa.array(values.get(field.name, [None] * ROWS), field.type))
    return pa.table(arrays, SCHEMA)


def sized(engine: Engine, chosen: Iterable[Growing]) -> Iterator[str]:
    """The largest size of each that is accepted."""

    def accepted(text: str) -> bool:
        with suppress(FilterError, duckdb.Error):
            told = engine._language.parse(text, list(engine.columns))
            rows_at_once(told, engine._lengths.of)
            # Too deep for DuckDB is refused here.
            engine._language.statement(told.conditions)
            return True
        return False

    return (one.make(size) for one in chosen if (size := one.largest(accepted)))


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (16 << 30, 16 << 30))
    engine_module.SECONDS = SECONDS
    if sys.argv[1:] == ["unbounded"]:
        engine_module.rows_at_once = lambda told, columns: VECTOR
        engine_module.SECONDS = 1.0  # after which a filter has begun, also on a busy machine
        report(Engine(table(400, 400)), UNBOUNDED)
    else:
        engine = Engine(table(400, 400))
        report(engine, (*PLANS, *sized(engine, growing())))
        engine = Engine(table(20, 100_000))
        report(engine, sized(engine, (one for one in growing() if one.column == TEXT)))


def report(engine: Engine, texts: Iterable[str]) -> None:
    engine.matching("true", ROWS)
    base = status("VmRSS")
    for text in texts:
        # From now on the highest is that of this filter.
        with open("/proc/self/clear_refs", "w") as refs:
            refs.write("5")
        print(json.dumps(measured(engine, text) | {"bytes": status("VmHWM") - base}), flush=True)
    engine.close()


def measured(engine: Engine, text: str) -> dict[str, object]:
    started = time.process_time()
    try:
        outcome = f"{engine.matching(text, ROWS)[0].sum()} pass"
    except FilterError as error:
        outcome = str(error).split("\n")[0]
    seconds = time.process_time() - started
    return {"filter": text[:120], "characters": len(text), "seconds": seconds, "outcome": outcome}


def status(name: str) -> int:
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    main()
