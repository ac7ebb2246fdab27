"""What a small mistake in the server, or in gathering from shards, would change; as in test_planted_defects.py."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.planting import Trials, planted
from vsearch.results import Hits
from vsearch.server import bodies
from vsearch.server.cursors import Cursors
from vsearch.server.faults import Refused
from vsearch.sharded import hits
from vsearch.types import Hit

DEFECTS = Trials()
catches = DEFECTS.catches


@catches("a cursor is forgotten", "vsearch.server.cursors:Cursors.next", "query.number += 1", "pass")
def a_cursor_asks_for_the_same_page_each_time() -> None:
    pages = [Hits.of([Hit(1, id, 0.5, b"/%d" % id, None, 1, 1) for id in ids]) for ids in ((0, 1), (2, 3), (4,))]
    cursors = Cursors()
    first = cursors.first(iter(pages), 2, "c", None)
    told = [cursors.next(str(first.cursor)), cursors.next(str(first.cursor))]
    told += [cursors.next(str(told[0].cursor)), cursors.next(str(told[0].cursor))]
    assert [[hit.id for hit in page.hits] for page in told] == [[2, 3], [2, 3], [4], [4]]


@catches(
    "each piece of a body has all the time",
    "vsearch.server.bodies:limited",
    "deadline = deadline or asyncio",
    "deadline = asyncio",
)
def a_body_that_arrives_in_slow_pieces_is_given_up() -> None:
    now = 0.0

    async def receive() -> dict[str, Any]:
        nonlocal now
        now += 6.0
        for _ in range(3):  # turns of the loop, in which its clocks go off
            await asyncio.sleep(0)
        return {"type": "http.request", "body": b"x", "more_body": True}

    async def pieces() -> int:
        asyncio.get_running_loop().time = lambda: now  # type: ignore[method-assign]
        next_message = bodies.limited(receive, 1000, 10.0)
        for count in range(5):
            try:
                await next_message()
            except Refused as refused:
                assert refused.status == 408
                return count
        return 5

    assert asyncio.run(pieces()) < 5


@catches(
    "copies in the second shard are left out",
    "vsearch.sharded.hits:gathered",
    "(*known.raw_copies, hit.raw_path, *hit.raw_copies)",
    "(*known.raw_copies, hit.raw_path)",
)
def a_picture_of_several_shards_names_all_its_copies() -> None:
    def shard(*paths: bytes) -> list[tuple[Hit, bytes]]:
        return [(Hit(1, 7, 0.5, paths[0], None, 1, 1, raw_copies=paths[1:]), b"same")]

    (hit,) = hits.gathered({0: shard(b"/a", b"/a2"), 1: shard(b"/b", b"/b2"), 2: shard(b"/c")}, 5, ())
    assert (hit.rank, hit.raw_path, sorted(hit.raw_copies)) == (1, b"/a", [b"/a2", b"/b", b"/b2", b"/c"])


@pytest.mark.parametrize("name", DEFECTS)
def test_it_is_right(name: str) -> None:
    DEFECTS[name][0]()


@pytest.mark.parametrize("name", DEFECTS)
def test_the_planted_defect_shows(name: str) -> None:
    trial, defect = DEFECTS[name]
    with planted(defect), pytest.raises((AssertionError, Refused)):
        trial()
