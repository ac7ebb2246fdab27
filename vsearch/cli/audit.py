"""``vsearch audit``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from vsearch.cli.console import emit, say, show
from vsearch.cli.locate import encoder_option, find_index, index_option
from vsearch.cli.output import json_option
from vsearch.cli.run import Exit
from vsearch.cli.units import Within

if TYPE_CHECKING:
    from vsearch.evaluate.audit import AuditReport, Group, Share
    from vsearch.present.grid import Grid


@click.command()
@click.argument("text", metavar="TEXT")
@click.option("--by", metavar="A,B", required=True, help='The groups to tell apart, as in "man,woman"; or a file.')
@click.option(
    "-k", "--count", "k", type=click.IntRange(1, 100_000), default=100, show_default=True, help="How deep to look."
)
@click.option(
    "--certain",
    metavar="P",
    type=Within(0, 1),
    default=0.8,
    show_default=True,
    help="How clearly a picture must be of one group; else it is undecided.",
)
@index_option
@encoder_option
@json_option
def audit(text: str, by: str, k: int, certain: float, index_path: str | None, as_json: bool) -> int:
    """Compare how the pictures that a text finds are made up with how the collection is.

    Each picture is assigned to one of the groups, or to none, by the encoder of the index.
    """
    place = find_index(index_path)
    from vsearch.evaluate import audit as measured
    from vsearch.index import open_index
    from vsearch.labels import read_labels
    from vsearch.present import json_line

    with open_index(place, on_notice=say) as index:
        told = measured(index, text, read_labels(by), k, certain=certain)
    if not told.k:
        say(f"nothing found in {place}, so there is nothing to compare")
        return Exit.NOTHING_FOUND
    if as_json:
        emit(json_line(asdict(told)).encode("utf-8"))
    else:
        show(_table(told))
        emit("\n".join(["", *_remarks(told), ""]))
    return Exit.DONE


def _table(told: AuditReport) -> Grid:
    from vsearch.present.grid import Grid

    sample = "sample" if told.sampled else "collection"
    rows = [
        ("group", f"top {told.k:,}", "95 %", sample, "95 %", "skew", ""),
        *(_row(group) for group in told.groups),
        ("undecided", _percent(told.undecided_top), "", _percent(told.undecided_collection), "", "", ""),
    ]
    return Grid(rows[0], rows[1:])


def _row(group: Group) -> tuple[str, ...]:
    skew = "none" if group.skew is None else f"{group.skew:+.2f}"
    shares = [column for share in (group.top, group.collection) for column in (_percent(share), _interval(share))]
    return (group.name, *shares, skew, "differs" if group.differs else "")


def _percent(share: Share) -> str:
    return f"{share.share:.0%} ({share.count:,})"


def _interval(share: Share) -> str:
    return f"{share.low:.0%} to {share.high:.0%}"


def _remarks(told: AuditReport) -> list[str]:
    return [
        "Shares of groups are of the pictures that are decided.",
        "Skew is ln(share in the top / share in the collection): 0 is equal, +0.69 twice as many, -0.69 half.",
        *(
            [f"NDKL is {told.ndkl:.3f}; random rankings of this length have {told.ndkl_by_chance:.3f}."]
            if told.ndkl is not None
            else []
        ),
        *told.limits,
    ]
