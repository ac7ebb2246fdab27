"""``vsearch serve``."""

from __future__ import annotations

import logging
import os
import signal
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from types import FrameType

import click

from vsearch.cli.browser import opened_page
from vsearch.cli.console import say
from vsearch.cli.locate import encoder_option, find_index

PORT = 7700


@click.command()
@click.argument("indexes", metavar="[INDEX ...]", nargs=-1)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=PORT, show_default=True, help="0: any free one.")
@click.option("--socket", "socket_path", metavar="PATH", help="Listen on a Unix socket that only you can use, instead.")
@click.option("--token-file", metavar="FILE", help="Keep the token there; made when it is missing.")
@click.option("--no-token", is_flag=True, help="Let everyone on this machine in. Refused for other addresses.")
@click.option("--allow-host", metavar="NAME", multiple=True, help="A further name by which browsers reach the server.")
@click.option("--writable", is_flag=True, help="Let clients add pictures and forget them.")
@click.option("--rerank", metavar="FOLDER", help="A re-ranker that clients may ask for; see train-reranker.")
@click.option(
    "--ray", metavar="ADDRESS", help="Search the indexes as shards of one collection, on a Ray cluster or local."
)
@encoder_option
@click.option("--open", "open_page", is_flag=True, help="Open the page in a browser.")
def serve(
    indexes: tuple[str, ...],
    host: str,
    port: int,
    socket_path: str | None,
    token_file: str | None,
    no_token: bool,
    allow_host: tuple[str, ...],
    writable: bool,
    rerank: str | None,
    ray: str | None,
    open_page: bool,
) -> None:
    """Serve a page to search with, and the same as an HTTP API.

    Only this machine can reach it, and only with the token in the address that is printed. Several indexes are
    collections of one server. What others change in them, and indexes that are built anew, show without a restart.
    """
    if no_token and token_file:
        raise click.UsageError("--no-token and --token-file exclude each other.")
    paths = [find_index(named) for named in indexes or (None,)]
    _need_server()
    # Requests run beside each other; if each of them used all cores too, they would wait for one another.
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when numpy, torch and faiss are loaded
    from vsearch.server import Settings
    from vsearch.server import serve as run
    from vsearch.server.tokens import make_token, token_in

    token = None
    if token_file:
        token = token_in(Path(token_file))
    elif not no_token and socket_path is None:
        token = make_token()
    place = Path(socket_path) if socket_path else None
    reranker = Path(rerank) if rerank else None
    settings = Settings(host, port, place, token, frozenset(allow_host), writable, reranker=reranker, ray=ray)

    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # any client can make it warn

    until_end = ExitStack()

    def ready(address: str) -> None:
        shown = address.partition("#")[0] + f" with the token in {token_file}" if token_file else address
        say(f"serving at {shown}\nstop with Ctrl-C")
        if open_page and place is None:
            until_end.enter_context(opened_page(address))

    signal.signal(signal.SIGTERM, _interrupt)
    with until_end, suppress(KeyboardInterrupt):
        run(paths, settings, ready)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """End on SIGTERM as on Ctrl-C, so that nothing is left behind."""
    raise KeyboardInterrupt


def _need_server() -> None:
    try:
        import prometheus_client  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        pip = f"{sys.executable} -m pip install"
        raise click.ClickException(
            f"the server is not installed ({error.name} is missing); type: {pip} 'vsearch-engine[serve]'"
        ) from error
