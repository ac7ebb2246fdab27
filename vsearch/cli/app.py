"""The list of commands."""

from __future__ import annotations

import click

from vsearch.cli.audit import audit
from vsearch.cli.describe import describe
from vsearch.cli.doctor import doctor
from vsearch.cli.downloads import downloads_shown
from vsearch.cli.dups import dups
from vsearch.cli.eval import evaluate
from vsearch.cli.explain import explain
from vsearch.cli.export import export
from vsearch.cli.fetch import fetch
from vsearch.cli.forget import forget
from vsearch.cli.import_vectors import bring
from vsearch.cli.index import index
from vsearch.cli.info import errors, info
from vsearch.cli.labels import classify, tag
from vsearch.cli.maintenance import backup, build, check, compact, repair, restore
from vsearch.cli.merge import merge
from vsearch.cli.models import models
from vsearch.cli.query import query
from vsearch.cli.rerank import store_patches, train_reranker
from vsearch.cli.roots import roots
from vsearch.cli.serve import serve
from vsearch.cli.spaces import spaces
from vsearch.cli.train import train
from vsearch.cli.watch import watch


class _InOrder(click.Group):
    """Lists the commands in the order in which they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


HELP = """Search your pictures with a sentence or another picture.

\b
  vsearch index ./photos
  vsearch query "red apple on a wooden table"

Exit codes: 0 done, 1 nothing found, 2 usage or error, 3 done but some files failed.
"""
SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


@click.group(cls=_InOrder, help=HELP, context_settings=SETTINGS)
@click.version_option(package_name="vsearch-engine", prog_name="vsearch")
@click.pass_context
def app(context: click.Context) -> None:
    """Hold the commands."""
    context.with_resource(downloads_shown())


for command in (
    index,
    watch,
    fetch,
    bring,
    query,
    serve,
    explain,
    audit,
    describe,
    classify,
    tag,
    dups,
    info,
    roots,
    forget,
    errors,
    check,
    repair,
    build,
    compact,
    backup,
    restore,
    merge,
    export,
    spaces,
    evaluate,
    train,
    train_reranker,
    store_patches,
    models,
    doctor,
):
    app.add_command(command)
