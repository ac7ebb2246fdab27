"""The bytes of a file from an offset on, as the hub sends them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from vsearch.embed import hub
from vsearch.embed.download.failures import HubAnswerError, client_errors
from vsearch.embed.download.remote import RemoteFile

BLOCK = 1 << 16


@dataclass(frozen=True)
class Body:
    """What follows in the file.  offset: of the first byte; 0 also where another was asked for, by hubs that cannot."""

    offset: int
    blocks: Iterable[bytes]


@contextmanager
def open_body(file: RemoteFile, offset: int, seconds: float) -> Iterator[Body]:
    """Ask for a file from an offset on.  seconds: without a byte, after which the connection counts as cut.

    Raises HubError, HubAnswerError for bytes from elsewhere.
    """
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
    with _response(file.url, headers, seconds) as (response, blocks):
        yield Body(_offset(response, offset), blocks)


@contextmanager
def _response(url: str, headers: dict[str, str], seconds: float) -> Iterator[tuple[Any, Iterable[bytes]]]:
    from huggingface_hub.utils import get_session, hf_raise_for_status  # type: ignore[attr-defined]

    session: Any = get_session()
    # of httpx since version 1.0 of the hub's client, of requests before
    modern = callable(getattr(session, "stream", None))
    with hub.online(), client_errors():
        if modern:
            opened = session.stream("GET", url, headers=headers, timeout=seconds, follow_redirects=True)
        else:
            opened = session.get(url, headers=headers, timeout=seconds, stream=True)
        response = opened.__enter__()
    try:
        with client_errors():
            hf_raise_for_status(response)
        yield response, _blocks(response.iter_bytes() if modern else response.iter_content(BLOCK))
    finally:
        opened.__exit__(None, None, None)


def _blocks(blocks: Iterable[bytes]) -> Iterator[bytes]:
    with client_errors():
        yield from blocks


def _offset(response: Any, asked: int) -> int:
    if response.status_code != 206:
        return 0
    told = re.match(r"bytes (\d+)-", str(response.headers.get("Content-Range", "")))
    if not told or int(told[1]) != asked:
        raise HubAnswerError(f"the hub was asked for the bytes from {asked:,} on and sends others")
    return int(told[1])
