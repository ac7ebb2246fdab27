"""``vsearch info`` and ``vsearch errors``: what an index knows."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vsearch.cli.console import emit, say, show
from vsearch.cli.locate import index_place
from vsearch.cli.output import json_option

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vsearch.present.grid import Grid
    from vsearch.types import Failure


@click.command()
@json_option
@index_place
def info(place: Path, as_json: bool) -> None:
    """Tell what an index holds: pictures, encoder, size."""
    from vsearch.index import open_index
    from vsearch.present import json_line

    with open_index(place, on_notice=say) as index:
        told = index.info()
    if as_json:
        emit(json_line(told).encode("utf-8"))
    else:
        show(rows(index_summary(told)))


@click.command()
@json_option
@index_place
def errors(place: Path, as_json: bool) -> None:
    """List the files that could not be read, with the reason (--json: one object a line)."""
    from vsearch.index import open_index

    with open_index(place, on_notice=say) as index:
        failures = index.errors()
    if as_json:
        emit("".join(map(_failure_line, failures)).encode("utf-8"))
    elif failures:
        show(_failure_table(failures))
    else:
        say(f"no file has failed in {place}")


def _failure_line(failure: Failure) -> str:
    from vsearch.present import json_line, path_fields

    return json_line({**path_fields(failure.path), "stage": failure.stage, "reason": failure.reason})


def _failure_table(failures: list[Failure]) -> Grid:
    from vsearch.present import printable
    from vsearch.present.grid import Grid
    from vsearch.present.table import relative

    here = os.getcwdb()
    told = [(printable(relative(f.path, here)), f.stage, printable(f.reason)) for f in failures]
    return Grid(("file", "stage", "reason"), told)


def index_summary(told: Mapping[str, Any]) -> dict[str, Any]:
    """What was measured of an index, in words instead of tables of numbers; the rest as it is."""
    plain = {name: value for name, value in told.items() if not isinstance(value, (dict, list))}
    if isinstance(told.get("columns"), dict):
        plain["columns"] = ", ".join(told["columns"])
    measured = {name: told[name] for name in ("text", "image") if isinstance(told.get(name), dict)}
    if measured:
        found = ", ".join(f"{name} {m['recall@10']:.3f}" for name, m in measured.items())
        plain["recall"] = f"{found} recall@10 against exact search"
        if "text" not in measured:
            plain["recall"] += "; text not measured, for want of text queries"
        plain["latency"] = ", ".join(
            f"{name} p50 {m['p50_ms']:.1f} ms, p95 {m['p95_ms']:.1f} ms" for name, m in measured.items()
        )
        missed = [f"{name} {m['target']:.3f}" for name, m in measured.items() if not m["reached"]]
        if missed:
            plain["not reached"] = ", ".join(missed)
    return plain


def rows(told: Mapping[str, Any]) -> Grid:
    """Names and values as a table of two columns."""
    from vsearch.present import printable
    from vsearch.present.grid import Grid

    return Grid((), [(name.replace("_", " "), printable(_readable(value))) for name, value in told.items()])


def _readable(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
