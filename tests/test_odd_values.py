"""Numbers, times, texts and bytes of any kind through each kind of source: none ends a run, and no picture is lost."""

import io
import json
import os
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image
from pyarrow import parquet

import vsearch
from vsearch.errors import SourceError
from vsearch.index import Index
from vsearch.types import AddReport, Item

FEW = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])

LIMITS = [2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 10**400]
INTEGERS = st.integers() | st.sampled_from(LIMITS)
TEXTS = st.text(st.characters() | st.characters(categories=["Cs", "Cc"]), max_size=12)
SCALARS = INTEGERS | st.floats() | TEXTS | st.booleans() | st.none()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3))
KNOWN = st.sampled_from(["caption", "taken", "iso", "latitude", "camera", "width", "id"])
OBJECTS = st.dictionaries(TEXTS | KNOWN, VALUES, max_size=5)

Made = tuple[Any, Iterable[str]]


def picture(number: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8 + number, 8), (40 * number % 256, 90, 7 * number % 256)).save(out, "PNG")
    return out.getvalue()


def names(index: Index) -> set[str]:
    """Paths of all pictures, as seen from the folder of the index."""
    with index.store.snapshot() as snapshot:
        return {os.fsdecode(record.path)[len(str(index.path.parent)) + 1 :] for _, record in snapshot.items()}


def judge(make: Callable[[Path], Made]) -> AddReport:
    """Index what ``make`` puts into a folder: a source, and the names of its whole pictures.  Ask all that is known."""
    with TemporaryDirectory() as place, vsearch.create(Path(place) / "x.vsearch", encoder="toy") as index:
        source, whole = make(Path(place))
        report = index.add(source, workers=1)
        assert set(whole) <= names(index)
        assert report.added == len(names(index))
        # What was stored is what the next look compares with: else each run would begin anew.
        again = index.add(source, workers=1)
        assert (again.added, again.unchanged) == (0, report.added)
        assert index.check().problems == ()
        assert {failure.path for failure in index.errors()} == {failure.path for failure in report.failures}
        assert len(index.search("red", k=100, where="width > 0 and name is not null")) == report.added
        return report


# ---------------------------------------------------------------- folders


def folder_of(place: Path, times: list[tuple[int, int]], captions: list[bytes]) -> Made:
    """Pictures with these times, where the disk takes them, and captions."""
    (place / "p").mkdir()
    for number, (when, caption) in enumerate(zip(times, captions, strict=True)):
        path = place / "p" / f"{number}.png"
        path.write_bytes(picture(number))
        path.with_suffix(".txt").write_bytes(caption)
        try:
            os.utime(path, ns=when)
        except (OSError, OverflowError):  # more than this disk holds
            continue
    return vsearch.folder(place / "p"), [f"p/{number}.png" for number in range(len(times))]


YEAR_2300 = 10_413_792_000 * 10**9
NANOSECONDS = st.integers(-(2**70), 2**70) | st.sampled_from([2**63, 2**63 - 1, -(2**63), YEAR_2300])


@FEW
@given(st.lists(st.tuples(NANOSECONDS, NANOSECONDS, st.binary(max_size=20)), min_size=1, max_size=6))
def test_times_and_captions_of_files(files):
    judge(lambda place: folder_of(place, [file[:2] for file in files], [file[2] for file in files]))


def test_a_time_after_2262_is_kept_as_the_last_that_there_is(tmp_path):
    source, _ = folder_of(tmp_path, [(0, YEAR_2300)], [b"said"])
    if os.stat(tmp_path / "p/0.png").st_mtime_ns < 2**63:
        pytest.skip("this disk holds no time after 2262")
    (item,) = source
    assert (item.mtime_ns, item.caption) == (2**63 - 1, "said")
    assert judge(lambda place: folder_of(place, [(0, YEAR_2300)], [b"said"])).failures == ()


# ---------------------------------------------------------------- archives and tables


def tar_of(place: Path, said: list[bytes]) -> Made:
    with tarfile.open(place / "x.tar", "w") as made:
        for number, raw in enumerate(said):
            for name, content in ((f"{number}.png", picture(number)), (f"{number}.json", raw)):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                made.addfile(info, io.BytesIO(content))
    return vsearch.archive(place / "x.tar"), [f"x.tar#{number}.png" for number in range(len(said))]


def zip_of(place: Path, said: list[bytes]) -> Made:
    with zipfile.ZipFile(place / "x.zip", "w") as made:
        for number, raw in enumerate(said):
            made.writestr(f"{number}.png", picture(number))
            made.writestr(f"{number}.json", raw)
            made.writestr(f"{number}.caption", raw[:50:-1][:50])
    return vsearch.archive(place / "x.zip"), [f"x.zip#{number}.png" for number in range(len(said))]


def shard_of(place: Path, said: list[bytes]) -> Made:
    """A folder as img2dataset leaves it."""
    (place / "out/00000").mkdir(parents=True)
    for number, raw in enumerate(said):
        (place / f"out/00000/{number}.png").write_bytes(picture(number))
        (place / f"out/00000/{number}.json").write_bytes(raw)
    table = {"key": [str(number) for number in range(0, len(said), 2)]}
    parquet.write_table(pa.table(table | {"caption": [raw.hex() for raw in said[::2]]}), place / "out/00000.parquet")
    return vsearch.img2dataset(place / "out"), [f"out/00000/{number}.png" for number in range(len(said))]


JSON = st.builds(lambda values, ascii: json.dumps(values, ensure_ascii=ascii), OBJECTS, st.booleans()).map(
    lambda text: text.encode("utf-8", "surrogatepass")
)


@FEW
@example([b'{"n": 36893488147419103232, "t\\ud800": "\\udfff"}'], tar_of)
@given(st.lists(JSON | st.binary(max_size=20), min_size=3, max_size=8), st.sampled_from([tar_of, zip_of, shard_of]))
def test_json_beside_pictures(said, make):
    judge(lambda place: make(place, said))


@pytest.mark.parametrize("make", [tar_of, zip_of, shard_of])
def test_what_json_says_beyond_what_is_kept_becomes_text_or_nothing(make, tmp_path):
    digits = "9" * 5000  # more than Python reads or writes as a number
    said = f'{{"caption": "sea\\ud800", "n": {digits}, "m": {2**64}, "x": NaN, "y\\udfff": 1e999, "z": [{digits}]}}'
    source, _ = make(tmp_path, [b"{}", said.encode()])
    item = next(one for one in source if isinstance(one, Item) and one.path.endswith(b"1.png"))
    assert item.caption.split("\n")[-1] == "sea\ufffd"
    assert item.columns["n"] == digits and item.columns["m"] == str(2**64)
    assert (item.columns["x"], item.columns["z"]) == (None, json.dumps([digits]))
    assert judge(lambda place: make(place, [b"{}", said.encode()])).failures == ()


@pytest.mark.parametrize("make", [tar_of, zip_of, shard_of])
@pytest.mark.parametrize(
    "said", [b"{cut", b"[" * 100_000, b'{"a": ' + b"[" * 990 + b"]" * 990 + b"}", b"x" * 2_000_000]
)
def test_json_that_cannot_be_read_is_told_and_costs_no_picture(make, said):
    report = judge(lambda place: make(place, [b"{}", said]))
    told = [os.fsdecode(failure.path) for failure in report.failures]
    assert len(told) <= 1 and all(path.endswith("1.json") for path in told)
    assert told or said.endswith(b"}"), "only what nests less deeply than Python reads may pass"


def raw_texts(texts: list[bytes]) -> pa.Array:
    """A column of texts that says of any bytes that they are UTF-8."""
    offsets = np.cumsum([0, *map(len, texts)], dtype=np.int32)
    buffers = [None, pa.py_buffer(offsets.tobytes()), pa.py_buffer(b"".join(texts))]
    return pa.Array.from_buffers(pa.string(), len(texts), buffers)


def parquet_of(place: Path, rows: list[tuple]) -> Made:
    texts, whole, real, times = zip(*rows, strict=True)
    table = {
        "image": pa.array([picture(number) for number in range(len(rows))], pa.binary()),
        "text": raw_texts(list(texts)),
        "other": raw_texts([text[::-1] for text in texts]),
        "whole": pa.array(whole, pa.uint64()),
        "real": pa.array(real, pa.float64()),
        "taken": pa.array(times, pa.timestamp("us")),
        "ns": pa.array(times, pa.timestamp("ns")),
        "ms": pa.array(times, pa.timestamp("ms")),
        "zoned": pa.array(times, pa.timestamp("us", "Europe/Berlin")),
        "day": pa.array([time % 2**31 for time in times], pa.date32()),
        "lasted": pa.array(times, pa.duration("s")),
    }
    parquet.write_table(pa.table(table), place / "x.parquet")
    return vsearch.archive(place / "x.parquet"), [f"x.parquet#{number}" for number in range(len(rows))]


@FEW
@given(
    st.lists(
        st.tuples(st.binary(max_size=9), st.integers(0, 2**64 - 1), st.floats(), st.integers(-(2**63), 2**63 - 1)),
        min_size=1,
        max_size=5,
    )
)
def test_values_of_parquet(rows):
    assert judge(lambda place: parquet_of(place, rows)).failures == ()


def csv_of(place: Path, header: bytes, cells: list[bytes]) -> Made:
    lines = [b"filepath,title," + header]
    for number, cell in enumerate(cells):
        (place / f"{number}.png").write_bytes(picture(number))
        quoted = b'"' + cell.replace(b'"', b'""') + b'"'
        lines.append(b"%d.png,%s,%s" % (number, quoted, quoted))
    (place / "t.csv").write_bytes(b"\n".join(lines) + b"\n")
    return vsearch.table(place / "t.csv"), [f"{number}.png" for number in range(len(cells))]


NUMBERS = st.sampled_from([b"9" * 30, b"-0", b"1e999", b"nan", b"0x10", "٣".encode(), b"\xff\xfe", b"true"])


@FEW
@given(
    st.binary(max_size=12).filter(lambda name: not set(name) & set(b'\r\n",\t;')),
    st.lists(st.binary(max_size=12) | NUMBERS, min_size=1, max_size=5),
)
def test_bytes_of_a_table(header, cells):
    judge(lambda place: csv_of(place, header, cells))


@FEW
# zipfile cuts names at a zero byte when it writes them, and what is left does not name an array.
@given(st.lists(TEXTS.filter(lambda name: not {"/", "\0"} & {*name}), min_size=1, max_size=4, unique=True))
def test_names_of_arrays(texts):
    def make(place: Path) -> Made:
        with zipfile.ZipFile(place / "x.npz", "w") as made:
            for number, text in enumerate(texts):
                content = io.BytesIO()
                np.save(content, np.full((1, 8, 9 + number, 3), 30 * number, np.uint8))
                name = text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
                made.writestr(f"{number}{name}.npy", content.getvalue())
        return vsearch.archive(place / "x.npz"), []

    report = judge(make)
    assert report.added + report.failed == len(texts)


# ---------------------------------------------------------------- the harness itself


def test_the_judge_sees_values_that_are_not_brought_into_bounds(monkeypatch):
    nasty = json.dumps({"n": 2**70, "t": "\ud800"}).encode()
    judge(lambda place: tar_of(place, [nasty]))
    with monkeypatch.context() as broken:
        for module in ("vsearch.sources.sidecars.storable", "vsearch.ingest.columns.storable"):
            broken.setattr(module, lambda value: value)
        with pytest.raises((OverflowError, UnicodeEncodeError)):
            judge(lambda place: tar_of(place, [nasty]))


class Foreign:
    """A source of somebody else, which checks nothing."""

    roots = ()

    def __init__(self, *items: Item) -> None:
        self.items = items

    def __iter__(self):
        return iter(self.items)


def test_a_source_of_somebody_else_is_checked_too(tmp_path, monkeypatch):
    def make(place: Path) -> Made:
        (place / "a.png").write_bytes(picture(1))
        stat = os.stat(place / "a.png")
        path = os.fsencode(place / "a.png")
        columns = {"big": 2**80, "name\ud800": "\udfff", "np": np.str_("x"), "real": np.float64("nan")}
        odd = Item(path, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, "said\ud800", columns)
        return Foreign(odd, Item(b"/" * 70_000, 2**70, 2**70, -(2**70)), Item(b"", 0, 0, 0)), ["a.png"]

    report = judge(make)
    assert [failure.reason.split(";")[0] for failure in report.failures] == [
        "its path has 70,000 bytes",
        "its path has 0 bytes",
    ]
    monkeypatch.setattr("vsearch.ingest.survey.bounded", lambda item: item)
    with pytest.raises((struct.error, OverflowError, UnicodeEncodeError)):
        judge(make)


# ---------------------------------------------------------------- vectors

CELLS = st.lists(
    VALUES | st.binary(max_size=5) | st.dates() | st.just(np.datetime64("NaT")) | st.just(np.arange(3)) | st.decimals(),
    min_size=3,
    max_size=3,
)
URIS = st.lists(TEXTS | st.binary(max_size=9) | st.just(Path("a.png")) | st.just(7), min_size=3, max_size=3)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(URIS | st.just(["u1", "u2", "u3"]), st.dictionaries(TEXTS | KNOWN, CELLS, max_size=3))
def test_vectors_are_stored_whole_or_not_at_all(uris, meta):
    with TemporaryDirectory() as place, vsearch.create(Path(place) / "x.vsearch", encoder="external:a:4") as index:
        try:
            ids = index.add_vectors(uris, np.eye(3, 4, dtype=np.float32), meta)
        except SourceError as error:
            assert "row " in str(error) or "column" in str(error)
            assert len(index) == 0
        else:
            assert len(ids) == 3
            with index.store.snapshot() as snapshot:
                assert all(snapshot.details(id) is not None for id, _ in snapshot.items())
            assert len(index.search(np.ones(4, np.float32), where="id >= 0")) == len(index) > 0
            assert index.check().problems == ()
