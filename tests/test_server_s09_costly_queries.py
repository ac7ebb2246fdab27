"""S9: whatever is asked has a bound, and what is beyond it is 4xx."""

import asyncio
import json
import threading
import time

import pytest
from serving import Client, encoded

from vsearch.server import Limits
from vsearch.server.faults import Refused
from vsearch.server.work import Work

RED = [{"text": "red"}]


@pytest.mark.parametrize(
    "body",
    [
        {"parts": RED, "k": 10**9},
        {"parts": RED, "k": 0},
        {"parts": RED, "k": -1},
        {"parts": RED, "k": 1.5},
        {"parts": RED, "k": 10**400},
        {"parts": RED, "k": True},
        {"parts": RED, "k": "24"},
        {"parts": RED * 17},
        {"parts": []},
        {"parts": {}},
        {"parts": [{}]},
        {"parts": [{"text": "a", "id": 1}]},
        {"parts": [{"text": ""}]},
        {"parts": [{"text": "  "}]},
        {"parts": [{"text": "a" * 1001}]},
        {"parts": [{"text": "a", "weight": 1e300}]},
        {"parts": [{"text": "a", "weight": 0}]},
        {"parts": [{"text": "a"}, {"text": "a", "weight": -1}]},
        {"parts": [{"text": "a", "crop": [0, 0, 1, 1]}]},
        {"parts": [{"id": 10**6}]},
        {"parts": [{"id": -1}]},
        {"parts": [{"id": 2**63}]},
        {"parts": [{"image": "!!!"}]},
        {"parts": RED, "where": "a" * 2001},
        {"parts": RED, "where": "regexp_matches(caption, '(a+)+$')" + " or true" * 300},
        {"parts": RED, "where": "1=1; drop table columns"},
        {"parts": RED, "where": "(select count(*) from range(1000000000)) > 0"},
        {"parts": RED, "where": "(" * 900 + "1" + ")" * 900},
        {"parts": RED, "more": list(range(201))},
        {"parts": RED, "more": [1], "less": [1]},
        {"parts": RED, "min_confidence": 2},
        {"parts": RED, "min_confidence": "nan"},
        {"parts": RED, "nprobe": 10**9},
        {"parts": RED, "offset": 10**9},
        [],
        "text",
        1,
        None,
    ],
    ids=lambda body: json.dumps(body)[:60],
)
def test_what_is_beyond_the_bounds(server: Client, body: object):
    started = time.monotonic()
    answer = server.post("/search", json.dumps(body).encode(), Content_Type="application/json")
    assert answer.status == 422, answer.body
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b'{"parts": [{"text": "\\ud800"}]}',
        b'{"parts": [{"text": "a", "weight": NaN}]}',
        b'{"parts": [{"text": "a", "weight": Infinity}]}',
        b'{"parts": [{"text": "a", "weight": 1e999}]}',
        b"[" * 100_000,
        b'{"parts":' * 100_000,
        b'{"parts": [{"text": "a"}], "k": ' + b"9" * 100_000 + b"}",
        b"\x00",
        b'{"parts": [{"text": "a\x00"}]}',
    ],
    ids=lambda raw: repr(raw[:40]),
)
def test_what_is_no_json(server: Client, raw: bytes):
    assert server.post("/search", raw, Content_Type="application/json").status == 422


def test_deep_json_in_an_ignored_place(server: Client):
    deep = b'{"parts": [{"text": "a"}], "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    assert server.post("/search", deep, Content_Type="application/json").status == 422


@pytest.mark.parametrize("labels", [[], ["one"], ["a", ""], ["a", "a" * 1001], [str(n) for n in range(101)], "labels"])
def test_labels(server: Client, labels: object):
    assert server.post("/classify", {"labels": labels, "ids": [1]}).status == 422


@pytest.mark.parametrize("asked", [{}, {"ids": []}, {"ids": [1], "image": encoded(b"x")}, {"ids": list(range(201))}])
def test_what_is_classified(server: Client, asked: dict[str, object]):
    assert server.post("/classify", {"labels": ["a", "b"], **asked}).status == 422


@pytest.mark.parametrize(
    "query", ["k=0", "k=201", "k=x", "k=1&k=2", "x=1", "k=1e3", "where=", "cursor=" + "a" * 101, "collection=../x"]
)
def test_parameters(server: Client, query: str):
    assert server.get(f"/similar/1?{query}").status == 422


def test_a_cursor_of_nobody(server: Client):
    for cursor in ("a", "a.1", ".", "a.b", "1.99999999999999999999"):
        assert server.post("/search", {"cursor": cursor}).kind == "CursorExpired"


def test_scrolling_ends(server: Client):
    """A cursor gives its page again, then only the next one; the last page has none."""
    first = server.search(parts=RED, k=20)
    second = server.search(cursor=first["cursor"])
    assert server.search(cursor=first["cursor"])["hits"] == second["hits"]
    third = server.search(cursor=second["cursor"])
    assert (len(third["hits"]), third["cursor"]) == (8, None)
    assert server.post("/search", {"cursor": first["cursor"]}).kind == "CursorExpired"
    assert len({hit["id"] for page in (first, second, third) for hit in page["hits"]}) == 48


def test_what_takes_too_long_is_given_up():
    """503 after the limit, and the thread that is still busy counts until it is done."""
    work, released = Work(Limits(threads=1, work_seconds=0.01)), threading.Event()
    with pytest.raises(Refused) as told:
        asyncio.run(work.do(released.wait))
    assert (told.value.status, told.value.kind) == (503, "Busy")
    assert work.in_flight == 1
    released.set()
    work.close()
    assert work.in_flight == 0
