"""Numbers of file systems, tables and servers, through every place that packs them or writes them as a time."""

from datetime import datetime, timedelta
from types import SimpleNamespace

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsearch.bounds import size_and_times
from vsearch.cli.downloads import state
from vsearch.cli.progress import line
from vsearch.cli.units import DURATION, SIZE, time_left
from vsearch.ingest.border import bounded
from vsearch.ingest.columns import with_columns
from vsearch.store import Record
from vsearch.store.described import pack_details, unpack_details
from vsearch.store.records import seal
from vsearch.store.snapshot import pack_failure, unpack_failure
from vsearch.types import Details, Failure, Item, Progress

ANY = st.integers(-(2**80), 2**80) | st.sampled_from([-(2**63), 2**63 - 1, 2**63, 2**64 - 1, 2**64])
COUNTS = st.integers(1, 2**80)
SIGNED = (-(2**63), 2**63 - 1)


def nearest(number: int, least: int, most: int) -> int:
    return sorted([least, number, most])[1]


@given(ANY, ANY, ANY)
def test_any_number_is_packed_as_the_nearest_that_is_kept(size, mtime_ns, ctime_ns):
    item = bounded(Item(b"/a.png", size, mtime_ns, ctime_ns))
    assert isinstance(item, Item)
    kept = Record.unpack(Record(b"/a.png", bytes(16), item.size, item.mtime_ns, item.ctime_ns, 0, 1, 1).pack())
    times = (nearest(mtime_ns, *SIGNED), nearest(ctime_ns, *SIGNED))
    assert (kept.size, kept.mtime_ns, kept.ctime_ns) == (nearest(size, 0, 2**63 - 1), *times)
    status = SimpleNamespace(st_size=size, st_mtime_ns=mtime_ns, st_ctime_ns=ctime_ns)
    assert size_and_times(status) == (nearest(size, *SIGNED), *times)
    failure = unpack_failure(seal(pack_failure(Failure(b"/a.png", "scan", "why", size, mtime_ns))))
    assert (failure.size, failure.mtime_ns) == (nearest(size, *SIGNED), times[0])


@given(st.datetimes(timezones=st.timezones() | st.none()))
def test_any_time_of_a_table_is_kept_as_the_hands_of_its_clock(taken):
    details = with_columns(Details(), {"taken": taken.isoformat()})
    kept = unpack_details(pack_details(details)).taken
    assert kept is not None
    assert datetime(1970, 1, 1) + timedelta(microseconds=kept) == taken.replace(tzinfo=None)


@given(st.text() | st.integers() | st.floats() | st.dates() | st.sampled_from(["0000-00-00", "9999-12-31T24:00"]))
def test_what_is_no_time_stays_a_column(value):
    details = with_columns(Details(), {"taken": value, "iso": value, "latitude": value})
    assert unpack_details(pack_details(details)).columns == details.columns


@given(st.floats(allow_nan=False))
def test_time_left_is_that_of_datetime_where_it_has_one(seconds):
    try:
        wanted = str(timedelta(seconds=round(max(seconds, 0))))
    except OverflowError:
        wanted = str(timedelta.max).partition(".")[0]
    assert time_left(seconds) == wanted


@given(COUNTS, COUNTS, st.floats(1e-9, 1e9))
def test_progress_of_any_size_that_a_server_tells(done, more, seconds):
    assert state("x", done, done + more, 0, seconds).endswith(" left")
    assert line(Progress(done, done + more, 0, 0, seconds)).endswith(" left")


@pytest.mark.parametrize("kind", [SIZE, DURATION])
def test_an_amount_of_400_digits_is_refused(kind):
    with pytest.raises(click.BadParameter, match="write it as"):
        kind.convert("9" * 400, None, None)
