"""Right values that a small mistake would change without a word: each trial passes, and fails with its mistake planted.

What the harnesses of ``tests/durability`` catch is planted there; these need no kill, no fault and no second process.
"""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from test_spaces import Turned
from test_watch import SETTLE, Script

import vsearch
from tests.planting import Trials, planted
from vsearch.errors import IndexCorrupt, IndexNotWritable, QueryError, VsearchError
from vsearch.following.looks import Looks
from vsearch.store import Batch, segments, spaces
from vsearch.types import Failure, Item

DIM = 4
DEFECTS = Trials()
catches = DEFECTS.catches


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


@catches(
    "the oldest failure is remembered",
    "vsearch.store.joining:_failures",
    "known.mtime_ns <= failure.mtime_ns",
    "known.mtime_ns >= failure.mtime_ns",
)
def a_file_that_failed_twice_is_remembered_as_it_was_last(place: Path) -> None:
    shards = [imported(place, "a", 1), imported(place, "b", 1), imported(place, "c", 1)]
    for shard, reason, time_ns in zip(shards, ("first", "last", "second"), (1, 3, 2), strict=True):
        with vsearch.open(shard, write=True) as index:
            index.store.commit(Batch(failures=[Failure(b"/x.jpg", "decode", reason, 9, time_ns)]))
    vsearch.merge(place / "out.vsearch", shards)
    with vsearch.open(place / "out.vsearch") as index:
        assert [failure.reason for failure in index.errors()] == ["last"]


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


@catches(
    "a picture whose place another takes stays live",
    "vsearch.store.changes:Changes.update",
    "self.drop(key_id(at))",
    "self._remove(key_id(at))",
)
def a_picture_moved_over_another_leaves_nothing_of_that_one(place: Path) -> None:
    with vsearch.open(imported(place, "a", 3, price=[1, 2, 3]), write=True) as index:
        with index.store.snapshot() as snapshot:
            moved = replace(snapshot.record(0), path=b"a1")
        index.store.commit(Batch(updates={0: moved}))
        with index.store.snapshot() as snapshot:
            assert snapshot.live_ids().tolist() == [0, 2]
            assert (snapshot.at_path(b"a1"), snapshot.at_path(b"a0"), snapshot.shown) == (0, None, 2)
            assert [snapshot.details(id).columns for id in range(3)] == [{"price": 1}, {}, {"price": 3}]
        assert index.check().problems == ()


@catches(
    "compaction verifies the rows where it begins to read",
    "vsearch.store.maintain:_rewrite",
    "int(mine[-1]) + 1)",
    "int(mine[0]) + 1)",
)
def compaction_carries_no_damaged_row_on(place: Path) -> None:
    with vsearch.open(damaged(place, 450), write=True) as index:
        # So that the second chunk of checksums lies within 256 rows that are read at once.
        index.remove([*range(200), *range(256, 401)])
        with pytest.raises(IndexCorrupt) as refused:
            index.compact()
    assert refused.value.ids == (450,)


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


@catches(
    "a picture that moved keeps what the table said before",
    "vsearch.ingest.pipeline:Ingestion._recognise",
    "self._describe(snapshot, old, item)",
    "pass",
)
def a_picture_that_moved_gets_the_columns_of_its_new_place(place: Path) -> None:
    photos, table = drawn(place / "photos", old="red"), place / "photos" / "t.csv"
    with vsearch.create(place / "x.vsearch", encoder="toy") as index:
        index.add(vsearch.folder(photos))
        table.write_text("filepath,title,price\nold.bmp,t,1\n")
        index.add(vsearch.table(table))
        (photos / "old.bmp").rename(photos / "new.bmp")
        table.write_text("filepath,title,price\nnew.bmp,t,2\n")
        report = index.add(vsearch.sources.Chain((vsearch.table(table), vsearch.folder(photos))))
        with index.store.snapshot() as snapshot:
            columns = snapshot.details(0).columns
    assert (report.moved, report.added, columns) == (1, 0, {"price": 2})


@catches(
    "a copy has the columns of the other",
    "vsearch.ingest.pipeline:Ingestion._add",
    "Addition(record, vector, with_columns(details, item.columns))",
    "Addition(record, vector, details)",
)
def files_with_the_same_bytes_have_columns_of_their_own(place: Path) -> None:
    table = drawn(place / "photos", one="red", two="red") / "t.csv"
    with vsearch.create(place / "x.vsearch", encoder="toy") as index:
        for name, price in (("one", 1), ("two", 2)):
            table.write_text(f"filepath,title,price\n{name}.bmp,t,{price}\n")
            index.add(vsearch.table(table))
        with index.store.snapshot() as snapshot:
            assert [snapshot.details(id).columns for id in range(2)] == [{"price": 1}, {"price": 2}]


@catches(
    "a picture that moved to where another failed stays a failure",
    "vsearch.ingest.pipeline:Ingestion._recognise",
    "self._describe(snapshot, old, item)\n            self._batch.healed.append(item.path)",
    "self._describe(snapshot, old, item)",
)
def a_picture_moved_to_where_one_failed_is_no_failure(place: Path) -> None:
    photos = drawn(place / "photos", good="red", other="blue")
    (photos / "bad.bmp").write_bytes(b"no picture")
    with vsearch.create(place / "x.vsearch", encoder="toy") as index:
        assert index.add(vsearch.folder(photos)).failed == 1
        (photos / "good.bmp").replace(photos / "bad.bmp")
        assert (index.add(vsearch.folder(photos)).moved, index.errors()) == (1, [])


@catches(
    "prune forgets what is gone below other folders",
    "vsearch.ingest.pipeline:_is_covered",
    "any(address.covers(prefix, record.path) for prefix in prefixes)",
    "bool(prefixes)",
)
def prune_forgets_nothing_of_another_folder(place: Path) -> None:
    here, there = drawn(place / "here", red="red"), drawn(place / "there", blue="blue", green="lime")
    with vsearch.create(place / "x.vsearch", encoder="toy") as index:
        index.add(vsearch.folder(here))
        index.add(vsearch.folder(there))
        (there / "blue.bmp").unlink()
        index.add(vsearch.folder(there))
        index.add(vsearch.folder(here), prune=True, yes=True)
        with index.store.snapshot() as snapshot:
            assert snapshot.kept_ids().tolist() == [0, 1, 2]


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


@catches("an incomplete space becomes the live one", "vsearch.store.spaces:switch", "if left:", "if False:")
def a_space_that_lacks_a_picture_does_not_answer(place: Path) -> None:
    with vsearch.create(place / "x.vsearch", encoder="toy") as index:
        index.add(vsearch.folder(drawn(place / "photos", red="red", blue="blue")))
        name = spaces.begin(index.store, Turned().info)
        spaces.extend(index.store, name, {0: np.eye(Turned().info.dim, dtype=np.float32)[0]})
        with pytest.raises(QueryError, match="not complete"):
            spaces.switch(index.store, name)
        assert index.encoder_info.name == "toy"


@pytest.mark.parametrize("name", DEFECTS)
def test_it_is_right(name: str, tmp_path: Path) -> None:
    DEFECTS[name][0](tmp_path)


@pytest.mark.parametrize("name", DEFECTS)
def test_the_planted_defect_shows(name: str, tmp_path: Path) -> None:
    trial, defect = DEFECTS[name]
    with planted(defect), pytest.raises((AssertionError, pytest.fail.Exception, VsearchError)):
        trial(tmp_path)
