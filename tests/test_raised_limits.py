"""A limit that a failure names, raised, lets the picture in: no other option is needed."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from PIL import Image

import vsearch
from vsearch import Failure, Limits
from vsearch.index import Index
from vsearch.ingest.raised import is_raised
from vsearch.store.snapshot import pack_failure, unpack_failure


@pytest.fixture
def empty(tmp_path):
    with vsearch.create(tmp_path / "i.vsearch", "toy") as index:
        yield index


@pytest.fixture
def large(tmp_path) -> Path:
    (tmp_path / "photos").mkdir()
    Image.new("L", (100, 90)).save(tmp_path / "photos" / "a.png")
    return tmp_path / "photos"


@pytest.mark.parametrize(
    "low, high, reason",
    [
        (Limits(max_pixels=8_999), Limits(max_pixels=9_000), "--max-pixels"),
        (Limits(max_bytes=10), Limits(max_bytes=1 << 20), "--max-bytes"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_limit_that_is_raised_lets_the_picture_in(empty: Index, large, tmp_path, low, high, reason, packed):
    source = vsearch.folder(large)
    if packed:
        with zipfile.ZipFile(tmp_path / "x.zip", "w") as made:
            made.write(large / "a.png", "a.png")
        source = vsearch.archive(tmp_path / "x.zip")
    first = empty.add(source, limits=low)
    assert first.failed == 1 and reason in first.failures[0].reason
    again = empty.add(source, limits=low)
    assert (again.failed, again.known_failures, again.added) == (0, 1, 0)
    raised = empty.add(source, limits=high)
    assert (raised.failed, raised.known_failures, raised.added) == (0, 0, 1)
    assert empty.errors() == []


def test_a_lower_limit_and_other_failures_stay_as_they_are(empty: Index, large):
    (large / "b.png").write_bytes(b"no picture")
    empty.add(vsearch.folder(large), limits=Limits(max_pixels=8_999))
    for limits in (Limits(max_pixels=8_999), Limits(max_pixels=10), Limits(max_pixels=8_999, max_bytes=1 << 40)):
        report = empty.add(vsearch.folder(large), limits=limits)
        assert (report.failed, report.known_failures) == (0, 2)


def test_failures_of_older_indexes_met_the_defaults():
    old = Failure(b"a", "decode", "too many; raise the limit with --max-pixels", 5, 6)
    assert not is_raised(old, Limits())
    assert is_raised(old, Limits(max_pixels=Limits().max_pixels + 1))
    assert is_raised(Failure(b"a", "decode", "raise the limit with --decode-seconds", limits=(1.0,)), Limits(seconds=2))


def test_what_an_index_of_before_holds_is_read():
    import msgspec

    from vsearch.store.records import seal

    raw = seal(msgspec.msgpack.encode([b"a", "decode", "why", 5, 6]))
    assert unpack_failure(raw) == Failure(b"a", "decode", "why", 5, 6)
    new = Failure(b"a", "decode", "why", 5, 6, (1.0, 2.5))
    assert unpack_failure(seal(pack_failure(new))) == new
