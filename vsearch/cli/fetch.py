"""``vsearch fetch``."""

from __future__ import annotations

from dataclasses import asdict

import click

from vsearch.cli.console import emit, say
from vsearch.cli.output import json_option
from vsearch.cli.progress import progress
from vsearch.cli.run import Exit

SHOWN = 10  # failures that are named


@click.command()
@click.argument("url")
@click.argument("folder")
@click.option(
    "--connections", metavar="N", type=click.IntRange(1, 64), default=8, show_default=True, help="Files at a time."
)
@json_option
def fetch(url: str, folder: str, connections: int, as_json: bool) -> int:
    """Copy pictures from s3://bucket/photos, gs://…, https://… or any store that fsspec knows into a FOLDER to index.

    Pictures, archives and captions are copied. Typed again, only what is new or has changed there is. Nothing in FOLDER
    is deleted. Your keys for a store come from where its own programs find them, as ~/.aws/credentials.
    """
    from vsearch.present import json_line, printable
    from vsearch.remote import fetch as fetch_all

    try:
        with progress() as shower:
            report = fetch_all(url, folder, connections=connections, progress=shower)
    except KeyboardInterrupt:
        say("interrupted; what was copied stays. Type the same again to go on.")
        return Exit.INTERRUPTED
    for name, why in report.failures[:SHOWN]:
        say(f"{printable(name)}: {printable(why)}")
    if len(report.failures) > SHOWN:
        say(f"and {len(report.failures) - SHOWN:,} more failed; --json tells all")
    if as_json:
        emit(json_line({**asdict(report), "seconds": round(report.seconds, 3)}).encode("utf-8"))
    else:
        told = f"{report.copied:,} files copied ({report.bytes / 1e6:,.1f} MB), {report.unchanged:,} here already"
        emit(f"{told} in {report.seconds:.1f} s → {printable(folder)}\n")
        say(f"search them: vsearch index {printable(folder)}")
    return Exit.SOME_FAILED if report.failures else Exit.DONE
