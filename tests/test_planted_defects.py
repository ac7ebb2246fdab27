"""Right values that a small mistake would change without a word: each trial passes, and fails with its mistake planted.

What the harnesses of ``tests/durability`` catch is planted there; these need no kill, no fault and no second process.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from test_spaces import Turned
from test_watch import SETTLE, Script

import vsearch
from tests.planting import Defect, planted
from vsearch.errors import IndexCorrupt, IndexNotWritable, VsearchError
from vsearch.following.looks import Looks
from vsearch.store import segments
from vsearch.types import Item

DIM = 4
DEFECTS: dict[str, tuple[Callable[[Path], None], Defect]] = {}


def catches(name: str, where: str, right: str, wrong: str) -> Callable[[Any], Any]:
    """Note that a trial is to fail with a mistake in the library."""

    def noted(trial: Callable[[Path], None]) -> Callable[[Path], None]:
        DEFECTS[name] = (trial, Defect(where, right, wrong))
        return trial

    return noted


def vectors(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, DIM)).astype(np.float32)


def imported(place: Path, name: str, count: int, **meta: list[Any]) -> Path:
    """An index of vectors under the names ``name0``, ``name1`` and so on."""
    path = place / f"{name}.vsearch"
    with vsearch.create(path, encoder=f"external:v:{DIM}") as index:
        index.add_vectors([f"{name}{number}" for number in range(count)], vectors(count), meta)
    return path


def drawn(folder: Path, **colours: str) -> Path:
    """A folder of pictures of one colour each."""
    folder.mkdir(exist_ok=True)
    for name, colour in colours.items():
        Image.new("RGB", (24, 24), colour).save(folder / f"{name}.bmp")
    return folder


# ---------------------------------------------------------------- joining


@catches(
    "details by the new id",
    "vsearch.store.joining:_write_records",
    "piece.moment.details(old)",
    "piece.moment.details(new)",
)
def merged_pictures_keep_their_columns(place: Path) -> None:
    shards = [imported(place, "a", 3, price=[1, 2, 3]), imported(place, "b", 2, price=[10, 20])]
    vsearch.merge(place / "out.vsearch", shards)
    with vsearch.open(place / "out.vsearch") as index, index.store.snapshot() as snapshot:
        told = {record.path: snapshot.details(id).columns for id, record in snapshot.items()}
    prices = {b"a0": 1, b"a1": 2, b"a2": 3, b"b0": 10, b"b1": 20}
    assert told == {name: {"price": price} for name, price in prices.items()}


# ---------------------------------------------------------------- checksums of rows


def damaged(place: Path, row: int) -> Path:
    """An index of 700 vectors, three chunks of checksums, of which one bit is wrong."""
    path = imported(place, "r", 700)
    damage(path, row)
    return path


def damage(path: Path, row: int) -> None:
    """Turn a bit of a row round, in the file itself, which may be mapped."""
    (segment,) = path.glob("spaces/*/vectors/*.f16")
    with open(segment, "r+b") as file:
        file.seek(segments.HEADER + row * DIM * 2)
        (byte,) = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))


@catches(
    "blocks verify their first chunk",
    "vsearch.store.snapshot:Snapshot.verify",
    "in self.chunks(reader, first, stop):",
    "in list(self.chunks(reader, first, stop))[:1]:",
)
def a_block_with_a_damaged_row_in_its_last_chunk_is_refused(place: Path) -> None:
    with vsearch.open(damaged(place, 600)) as index, index.store.snapshot() as snapshot:
        with pytest.raises(IndexCorrupt) as refused:
            list(snapshot.blocks())
    assert refused.value.ids == (600,)


@catches(
    "reads of rows verify their first chunk",
    "vsearch.store.snapshot:Snapshot.verify_rows",
    "if not start <= row < stop:",
    "if stop and not start <= row < stop:\n            break\n        if not stop:",
)
def a_damaged_row_among_others_is_refused(place: Path) -> None:
    with vsearch.open(damaged(place, 600)) as index, index.store.snapshot() as snapshot:
        with pytest.raises(IndexCorrupt) as refused:
            snapshot.rows(np.array([3, 300, 600]))
    assert refused.value.ids == (600,)


@catches(
    "rows that come count as verified because older ones are",
    "vsearch.store.store:Store._map",
    "reader.checked[: len(known.checked)] = known.checked[: len(reader.checked)]",
    "reader.checked[:] = known.checked.all()",
)
def a_damaged_row_is_refused_by_a_reader_that_verified_those_before_it(place: Path) -> None:
    path = imported(place, "r", 10)
    with vsearch.open(path) as reader:
        with reader.store.snapshot() as snapshot:
            list(snapshot.blocks())
        with vsearch.open(path, write=True) as writer:
            writer.add_vectors(["new"], vectors(1, 1))
        damage(path, 10)
        with reader.store.snapshot() as snapshot, pytest.raises(IndexCorrupt) as refused:
            snapshot.rows(np.array([10]))
    assert refused.value.ids == (10,)


@catches(
    "a write goes on after one that failed",
    "vsearch.store.store:Store.writing",
    "self._broken = True",
    "self._broken = False",
)
def after_a_write_that_failed_nothing_is_written(place: Path) -> None:
    with vsearch.open(imported(place, "r", 10), write=True) as index:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(os, "fdatasync", _no_disk)
            with pytest.raises(IndexNotWritable):
                index.add_vectors(["lost"], vectors(1, 1))
        with pytest.raises(IndexNotWritable, match="earlier write failed"):
            index.add_vectors(["later"], vectors(1, 2))
        assert len(index) == 10


def _no_disk(fd: int) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


# ---------------------------------------------------------------- what is gone, what has changed


@catches(
    "one emptied folder of two is a deletion",
    "vsearch.ingest.survey:_find_vanished",
    "gone[prefix] and not kept[prefix] and",
    "gone[prefix] and not any(kept.values()) and",
)
def a_folder_that_shows_nothing_beside_one_that_does_is_no_deletion(place: Path) -> None:
    here, there = drawn(place / "here", red="red"), drawn(place / "there", blue="blue", green="green")
    both = vsearch.sources.Chain((vsearch.folder(here), vsearch.folder(there)))
    with vsearch.create(place / "x.vsearch", encoder="toy") as index:
        assert index.add(both).added == 3
        for path in there.iterdir():
            path.unlink()
        report = index.add(both)
        assert (report.removed, len(index)) == (0, 3)
        assert [os.fspath(there) in warning for warning in report.warnings] == [True]


@catches(
    "watch compares sizes alone with what is indexed",
    "vsearch.following.loop:Follower._may_grow",
    "(record.size, record.mtime_ns) == (item.size, item.mtime_ns)",
    "record.size == item.size",
)
def a_file_that_is_written_again_at_the_same_size_is_read_once_it_stands_still(place: Path) -> None:
    script = Script(place)
    drawn(script.photos, changing="red")

    def write(colour: str, time_ns: int) -> Path:
        drawn(script.photos, changing=colour)
        os.utime(script.photos / "changing.bmp", ns=(time_ns, time_ns))
        return script.photos / "changing.bmp"

    def written() -> Path:
        return write("green", 10**18)

    def still_written() -> None:
        write("blue", 2 * 10**18)

    late = 1 + SETTLE + 0.5  # just before it is looked at
    reports = script.follow((1, written), (late - 1, still_written), (SETTLE - 0.5, int), (1, int), (SETTLE, int))
    assert [at >= late + SETTLE for at, report in reports if report.added == 1] == [True]
    with vsearch.open(script.index) as index:
        (best,) = index.search("blue", 1)
    assert (best.path.name, round(best.score, 3)) == ("changing.bmp", 1.0)


@catches(
    "looks compare sizes alone",
    "vsearch.following.looks:Looks.settled",
    "if (size, mtime_ns) != (item.size, item.mtime_ns):",
    "if size != item.size:",
)
def a_file_that_is_still_written_at_the_same_size_has_not_settled(place: Path) -> None:
    now = [0.0]
    looks = Looks(SETTLE, lambda: now[0])
    looks.note(b"/x.bmp", 100, 1)
    now[0] = 2 * SETTLE
    assert not looks.settled(Item(b"/x.bmp", 100, 2, 2))
    now[0] = 3 * SETTLE
    assert looks.settled(Item(b"/x.bmp", 100, 2, 2))


# ---------------------------------------------------------------- copies and spaces


@catches(
    "links of a backup are not synced",
    "vsearch.files:link_or_copy",
    "        fsync_dir(new.parent)",
    "        pass",
)
def every_name_of_a_backup_is_durable_before_the_backup_has_its_own(place: Path) -> None:
    """In the model of a disk on which a new name is durable once its folder was synced after it was made."""
    open_names: set[Path] = set()
    link, fsync, rename = os.link, os.fsync, os.rename
    left: list[set[Path]] = []

    def linked(old: Any, new: Any, **options: Any) -> None:
        link(old, new, **options)
        open_names.add(Path(new))

    def synced(fd: int) -> None:
        fsync(fd)
        folder = Path(os.readlink(f"/proc/self/fd/{fd}"))
        open_names.difference_update({path for path in open_names if path.parent == folder})

    def renamed(old: Any, new: Any) -> None:
        if Path(new).name == "copy.vsearch":
            left.append(set(open_names))
        rename(old, new)

    path = imported(place, "r", 300)
    with vsearch.open(path, write=True) as index:
        index.remove([0, 5])
        index.compact()  # segments that will not be written again are linked
        index.build("ivf-flat")
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(os, "link", linked)
            patched.setattr(os, "fsync", synced)
            patched.setattr(os, "rename", renamed)
            index.backup(place / "copy.vsearch")
    names = {path.name for path in (place / "copy.vsearch").rglob("*") if path.stat().st_nlink > 1}
    assert {"index.faiss"} < names and len(names) >= 3
    assert left == [set()]


@catches(
    "respacing ends after its first window",
    "vsearch.ingest.respace:respace",
    "while window := _pending(store, name, WINDOW):",
    "if window := _pending(store, name, WINDOW):",
)
def a_new_space_holds_all_pictures_before_it_answers(place: Path) -> None:
    colours = {f"p{number}": f"#{number:02x}8040" for number in range(10)}
    with vsearch.create(place / "x.vsearch", encoder="toy") as index, pytest.MonkeyPatch.context() as patched:
        index.add(vsearch.folder(drawn(place / "photos", **colours)))
        patched.setattr(import_module("vsearch.ingest.respace"), "WINDOW", 4)
        report = index.change_encoder(Turned())
        assert (report.embedded, len(index)) == (10, 10)
        assert [(space.embedded, space.live) for space in index.spaces()] == [(10, False), (10, True)]


@pytest.mark.parametrize("name", DEFECTS)
def test_it_is_right(name: str, tmp_path: Path) -> None:
    DEFECTS[name][0](tmp_path)


@pytest.mark.parametrize("name", DEFECTS)
def test_the_planted_defect_shows(name: str, tmp_path: Path) -> None:
    trial, defect = DEFECTS[name]
    with planted(defect), pytest.raises((AssertionError, pytest.fail.Exception, VsearchError)):
        trial(tmp_path)
