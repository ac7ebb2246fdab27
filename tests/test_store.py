"""The store by value: what was committed is what is read, and nothing else."""

from __future__ import annotations

import gc
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from vsearch.errors import (
    DimensionMismatch,
    FormatTooNew,
    IndexClosed,
    IndexCorrupt,
    IndexExists,
    IndexLocked,
    IndexNotFound,
    IndexNotWritable,
)
from vsearch.store import Addition, Batch, Record, Store, environment, maintain
from vsearch.store import live as live_ids
from vsearch.store.check import check
from vsearch.store.records import MISSING
from vsearch.types import EncoderInfo, Failure, PixelSpec

DIM = 16
INFO = EncoderInfo("model", "0" * 64, DIM, PixelSpec(8))


def record(n: int, flags: int = 0, content: int | None = None) -> Record:
    digest = (n if content is None else content).to_bytes(16, "big")
    return Record(b"/photos/%06d.jpg" % n, digest, 10 + n, n, -n, 7, 640, 480, f"número {n}", flags)


def vectors(n: int, seed: int = 0) -> np.ndarray:
    made = np.random.default_rng(seed).standard_normal((n, DIM)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def batch(first: int, n: int) -> Batch:
    return Batch([Addition(record(i), v) for i, v in zip(range(first, first + n), vectors(n, first), strict=True)])


@pytest.fixture
def store(tmp_path):
    store = Store.create(tmp_path / "a.vsearch", INFO)
    yield store
    store.close()


def test_records_come_back_as_they_were_written():
    for told in (record(1), record(2, MISSING), Record(b"\xff/\n", bytes(16), 0, -1, -1, 0, 1, 1, None)):
        assert Record.unpack(told.pack()) == told


def test_every_flipped_bit_of_a_record_is_noticed():
    raw = record(3).pack()
    for at in range(len(raw) * 8):
        bad = bytearray(raw)
        bad[at // 8] ^= 1 << at % 8
        with pytest.raises(IndexCorrupt):
            Record.unpack(bytes(bad))


def test_live_bitmap_equals_a_set(store):
    chosen = np.random.default_rng(0)
    truth: set[int] = set()
    with store._env.write() as txn:
        for _ in range(20):
            on = set(chosen.integers(0, 30_000, 300).tolist())
            off = set(chosen.integers(0, 30_000, 300).tolist()) - on
            live_ids.store(txn, store._env.tables[b"live"], on, off)
            truth = (truth - off) | on
        bitmap = live_ids.load(txn, store._env.tables[b"live"], 30_000)
    assert live_ids.ids(bitmap).tolist() == sorted(truth)
    asked = np.array([-1, 0, 1, 29_999, 10**9])
    assert live_ids.test(bitmap, asked).tolist() == [int(i) in truth for i in asked]


def test_vectors_and_records_survive_reopening(tmp_path):
    root = tmp_path / "a.vsearch"
    store = Store.create(root, INFO)
    ids = [id for first, n in ((0, 300), (300, 1), (300, 2)) for id in store.commit(batch(first, n))]
    store.close()
    assert ids == list(range(303))
    reopened = Store.open(root)
    assert reopened.encoder_info == INFO
    with reopened.snapshot() as snapshot:
        assert len(snapshot) == 302  # The picture at number 300 was written twice: the second replaced the first.
        assert snapshot.live_ids().tolist() == [*range(300), 301, 302]
        truth = np.concatenate([vectors(300, 0), vectors(1, 300), vectors(2, 300)])
        kept = snapshot.live_ids()
        np.testing.assert_allclose(snapshot.vectors(kept), truth[kept], atol=1e-3)
        assert snapshot.record(5) == record(5)
        assert snapshot.at_path(record(300).path) == 301
    reopened.close()


def test_a_changed_picture_gets_a_new_id_and_a_moved_one_keeps_its_own(store):
    store.commit(batch(0, 3))
    (new,) = store.commit(Batch([Addition(record(1, content=99), vectors(1, 9)[0])]))
    assert new == 3
    moved = record(2)
    moved.path = b"/photos/elsewhere.jpg"
    store.commit(Batch(updates={2: moved}))
    with store.snapshot() as snapshot:
        assert snapshot.live_ids().tolist() == [0, 2, 3]
        assert snapshot.record(1) is None
        assert snapshot.at_path(moved.path) == 2
        assert snapshot.at_path(record(2).path) is None
        assert snapshot.with_content(bytes(15) + b"\x63") == [3]
    assert check(store).problems == []


def test_missing_pictures_are_kept_but_not_live(store):
    store.commit(batch(0, 3))
    store.commit(Batch(updates={1: record(1, MISSING)}))
    with store.snapshot() as snapshot:
        assert snapshot.live_ids().tolist() == [0, 2]
        assert snapshot.kept_ids().tolist() == [0, 1, 2]
        assert (snapshot.head.images, snapshot.head.missing) == (3, 1)
        assert snapshot.vectors(np.array([1])).shape == (1, DIM)
    store.commit(Batch(updates={1: record(1)}))
    with store.snapshot() as snapshot:
        assert snapshot.live_ids().tolist() == [0, 1, 2]


def test_compaction_keeps_ids_and_vectors_and_gives_room_back(store):
    for first in range(0, 2000, 250):
        store.commit(batch(first, 250))
    truth = np.concatenate([vectors(250, f) for f in range(0, 2000, 250)])
    dropped = [i for i in range(2000) if i % 3 == 0]
    store.commit(Batch(dropped=dropped))
    before = maintain.size_on_disk(store.layout.vectors(INFO.space))
    assert maintain.compact(store) == len(dropped)
    assert maintain.size_on_disk(store.layout.vectors(INFO.space)) < 0.95 * before
    assert maintain.compact(store) == 0
    store.commit(batch(5000, 10))
    with store.snapshot() as snapshot:
        kept = np.setdiff1d(np.arange(2000), dropped)
        assert snapshot.live_ids().tolist() == [*kept.tolist(), *range(2000, 2010)]
        np.testing.assert_allclose(snapshot.vectors(kept), truth[kept], atol=1e-3)
        rows = np.concatenate([ids for ids, _ in snapshot.blocks(1500)])
        assert rows.tolist() == [*kept[kept >= 1500].tolist(), *range(2000, 2010)]
    assert check(store).problems == []


def test_failures_are_remembered_and_healed(store):
    failure = Failure(b"/photos/\xff.jpg", "decode", "cut off", 3, 4)
    store.commit(Batch(failures=[failure]))
    with store.snapshot() as snapshot:
        assert list(snapshot.failures()) == [failure]
        assert snapshot.failure_at(failure.path) == failure
    store.commit(Batch(healed=[failure.path]))
    with store.snapshot() as snapshot:
        assert list(snapshot.failures()) == []


def test_metadata_costs_at_most_300_bytes_an_image(tmp_path, store):
    for first in range(0, 60_000, 1000):
        made = [
            Record(b"/home/anna/photos/2024/summer/IMG_%08d.jpg" % n, os.urandom(16), n, n, n, n, 4000, 3000)
            for n in range(first, first + 1000)
        ]
        store.commit(Batch([Addition(r, v) for r, v in zip(made, vectors(1000), strict=True)]))
    # Pages that wait to be used again do not count: they are bounded by what one commit touches, not by the images.
    (tmp_path / "copy").mkdir()
    store._env.env.copy(str(tmp_path / "copy"), compact=True)
    assert os.stat(tmp_path / "copy" / "data.mdb").st_size / 60_000 <= 300


def test_wrong_vectors_are_refused_and_nothing_is_stored(store):
    for bad in (np.zeros(DIM + 1, np.float32), np.full(DIM, np.nan, np.float32)):
        with pytest.raises(DimensionMismatch):
            store.commit(Batch([Addition(record(1), bad)]))
    with store.snapshot() as snapshot:
        assert len(snapshot) == 0
    assert store.commit(batch(0, 1)) == [0]


def test_P8_a_second_writer_is_refused_with_the_first_ones_pid_and_readers_are_not(tmp_path, store):
    root = store.layout.root
    with pytest.raises(IndexLocked) as refused:
        Store.open(root, write=True)
    assert refused.value.pid == os.getpid()
    told = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from pathlib import Path; from vsearch.store import Store\n"
            "try: Store.open(Path(sys.argv[1]), write=True)\n"
            "except Exception as e: print(type(e).__name__, e.pid)\n"
            "print(len(Store.open(Path(sys.argv[1])).snapshot().__enter__()))",
            str(root),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.split() == ["IndexLocked", str(os.getpid()), "0"]


def test_P8_a_dead_writer_is_followed_at_once(tmp_path):
    root = tmp_path / "a.vsearch"
    Store.create(root, INFO).close()
    dead = subprocess.run(
        [
            sys.executable,
            "-c",
            "import os, signal, sys; from pathlib import Path; from vsearch.store import Store\n"
            "s = Store.open(Path(sys.argv[1]), write=True); t = s._env.env.begin(write=True)\n"
            "os.kill(os.getpid(), signal.SIGKILL)",
            str(root),
        ],
        check=False,
    )
    assert dead.returncode == -9
    store = Store.open(root, write=True)
    assert store.commit(batch(0, 2)) == [0, 1]
    store.close()


def test_a_process_opens_an_index_twice_and_both_see_each_commit(store):
    other = Store.open(store.layout.root)
    store.commit(batch(0, 5))
    with other.snapshot() as snapshot:
        assert len(snapshot) == 5
    other.close()
    with store.snapshot() as snapshot:
        assert len(snapshot) == 5


def test_a_snapshot_does_not_change_while_it_is_open(store):
    store.commit(batch(0, 5))
    with store.snapshot() as snapshot:
        writer = threading.Thread(target=lambda: store.commit(batch(100, 5)))
        writer.start()
        writer.join()
        assert len(snapshot.live_ids()) == 5
        assert sum(len(ids) for ids, _ in snapshot.blocks()) == 5
    with store.snapshot() as snapshot:
        assert len(snapshot.live_ids()) == 10


class OvertakenLmdb:
    """LMDB whose next reader takes its number two commits before it copies the roots, as it may on a busy machine."""

    def __init__(self, env, meanwhile):
        self._env, self._meanwhile = env, meanwhile

    def __getattr__(self, name):
        return getattr(self._env, name)

    def begin(self, **options):
        if options or self._meanwhile is None:
            return self._env.begin(**options)
        meanwhile, self._meanwhile = self._meanwhile, None
        number = self._env.info()["last_txnid"]
        meanwhile()
        return Mislabelled(self._env.begin(), number)


class Mislabelled:
    """A read transaction under an older number than that of what it holds."""

    def __init__(self, txn, number):
        self._txn, self.id = txn, lambda: number

    def __getattr__(self, name):
        return getattr(self._txn, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._txn.abort()


@pytest.mark.parametrize("sound", [True, False], ids=["as it is", "planted: the number is believed"])
def test_a_reader_that_two_commits_overtake_sees_one_moment(store, monkeypatch, sound):
    """Found by the race of readers and a writer: live ids of one moment beside the records of another."""
    store.commit(batch(0, 4))
    with store.snapshot() as snapshot:
        assert len(snapshot.live_ids()) == 4

    def meanwhile():
        for first in (4, 8):
            store.commit(batch(first, 4))

    environment = store._env
    monkeypatch.setattr(environment, "env", OvertakenLmdb(environment.env, meanwhile))
    if not sound:
        monkeypatch.setattr(type(environment), "_begin", type(environment)._begun)
    with store.snapshot() as snapshot:
        assert len(list(snapshot.items())) == 12
        assert (len(snapshot.live_ids()) == 12) == sound


def test_a_thread_at_an_older_moment_maps_fewer_rows_of_the_same_file(store):
    """Found by 64 clients of a server: a thread that began before a commit maps after one that began behind it."""
    store.commit(batch(0, 4))
    with store.read() as txn:
        older = store._state_in(txn)
    store.commit(batch(4, 4))
    with store.snapshot() as snapshot:
        assert len(snapshot.vectors(np.arange(8))) == 8
    (reader,) = store._readers(older)
    assert (reader.segment.rows, len(reader.checked)) == (4, 4)
    with store.snapshot() as snapshot:
        assert len(snapshot.vectors(np.arange(8))) == 8


def test_use_after_close_and_writing_a_reader_are_refused(tmp_path):
    root = tmp_path / "a.vsearch"
    store = Store.create(root, INFO)
    store.close()
    store.close()
    with pytest.raises(IndexClosed), store.snapshot():
        pass
    reader = Store.open(root)
    with pytest.raises(IndexNotWritable):
        reader.commit(batch(0, 1))
    reader.close()


def in_fork(job):
    """What a function returns, or the error that it raises, as text, in a forked process."""
    read, write = os.pipe()
    if (pid := os.fork()) == 0:
        try:
            signal.alarm(20)  # one that waits for ever ends
            os.write(write, str(job()).encode())
        except Exception as error:
            os.write(write, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(0)
    os.close(write)
    with open(read, encoding="utf-8") as answer:
        text = answer.read()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    return text


def live(root):
    """How many items a store has; a function that other processes can be told to run."""
    with closing(Store.open(root)) as opened, opened.snapshot() as snapshot:
        return len(snapshot.live_ids())


def test_a_forked_child_is_refused(store):
    """Neither what it inherited nor the same index opened anew; its parent goes on."""
    store.commit(batch(0, 1))

    def inherited():
        with store.snapshot():
            return "read"

    def closed_and_opened():
        store.close()
        return live(store.layout.root)

    lock = (store.layout.root / "LOCK").read_bytes()
    for job in (inherited, lambda: live(store.layout.root), closed_and_opened):
        assert re.match("IndexClosed: .*forked.* close it before forking .*'spawn'", in_fork(job))
    assert (store.layout.root / "LOCK").read_bytes() == lock == b"%d\n" % os.getpid()
    store.commit(batch(1, 1))
    with store.snapshot() as snapshot:
        assert len(snapshot.live_ids()) == 2


@pytest.mark.filterwarnings("ignore:.*multi-threaded")
def test_a_fork_is_refused_at_once_while_other_threads_use_the_index(store):
    """One writes, one reads, one holds the registry: the child waits for none of them and ends none of their work."""
    store.commit(batch(0, 3))
    begun, over = threading.Barrier(4), threading.Event()

    def hold(context):
        with context:
            begun.wait()
            over.wait()

    held = (store._env.write(), store._env.read(), environment._registry_lock)
    threads = [threading.Thread(target=hold, args=(context,)) for context in held]
    for thread in threads:
        thread.start()
    begun.wait()
    readers = store._env.env.readers()

    def closed_and_opened():
        store.close()
        gc.collect()
        return live(store.layout.root)

    try:
        assert in_fork(closed_and_opened).startswith("IndexClosed: ")
        assert store._env.env.readers() == readers  # the reader has its place still
    finally:
        over.set()
        for thread in threads:
            thread.join()
    store.commit(batch(3, 1))
    assert live(store.layout.root) == 4


def test_what_the_refusal_advises_works(store):
    """Processes that are spawned, or come from a fork server, open what is open here; forks open what was closed."""
    store.commit(batch(0, 3))
    for method in ("spawn", "forkserver"):
        with multiprocessing.get_context(method).Pool(1) as pool:
            assert pool.apply(live, (store.layout.root,)) == 3
    root = store.layout.root
    store.close()
    assert in_fork(lambda: live(root)) == "3"
    assert live(root) == 3


def test_what_is_not_an_index_says_so(tmp_path):
    with pytest.raises(IndexNotFound, match="no such index"):
        Store.open(tmp_path / "nothing.vsearch")
    (tmp_path / "folder").mkdir()
    with pytest.raises(IndexNotFound, match="not a vsearch index"):
        Store.open(tmp_path / "folder")
    (tmp_path / "folder" / "x").write_text("x")
    with pytest.raises(IndexExists):
        Store.create(tmp_path / "folder", INFO)


def test_a_newer_format_says_how_to_upgrade(store):
    root = store.layout.root
    store.close()
    root.joinpath("FORMAT").write_text("vsearch 99 7b6b0c0e-0000-4000-8000-000000000000\n")
    with pytest.raises(FormatTooNew, match="pip install --upgrade"):
        Store.open(root)


def test_P21_a_backup_taken_while_writing_is_a_consistent_index(tmp_path, store):
    stop = threading.Event()
    done: list[int] = []

    def write() -> None:
        for first in range(0, 100_000, 7):
            if stop.is_set():
                return
            done.extend(store.commit(batch(first, 7)))
            if first % 49 == 0:
                store.commit(Batch(dropped=done[-3:]))
                maintain.compact(store)

    writer = threading.Thread(target=write)
    writer.start()
    copies = [tmp_path / f"backup{n}.vsearch" for n in range(8)]
    try:
        for copy in copies:
            maintain.backup(store, copy)
    finally:
        stop.set()
        writer.join()
    sizes = []
    for copy in copies:
        backup = Store.open(copy, write=True)
        assert check(backup).problems == []
        with backup.snapshot() as snapshot:
            sizes.append(snapshot.head.next_id)
        backup.commit(batch(900_000, 3))
        assert check(backup).problems == []
        backup.close()
    assert sizes == sorted(sizes)
    assert check(store).problems == []
    with pytest.raises(IndexExists):
        maintain.backup(store, copies[0])


def test_a_read_only_folder_is_searched_through_a_private_copy(tmp_path, store, monkeypatch):
    store.commit(batch(0, 4))
    root = store.layout.root
    store.close()
    # Permissions do not bind root, so the question itself is answered: may this be written?
    monkeypatch.setattr("vsearch.store.environment._lockable", lambda meta: False)
    reader = Store.open(Path(root))
    with reader.snapshot() as snapshot:
        assert len(snapshot) == 4
    reader.close()


def test_P5_damaged_metadata_is_refused_again_after_a_writer_was_refused(store):
    store.commit(batch(0, 300))
    root = store.layout.root
    store.close()
    raw = bytearray(store.layout.data.read_bytes())
    for page in range(2, len(raw) // 4096):
        raw[page * 4096 + 23] ^= 16  # An entry of the page points outside of it.
    store.layout.data.write_bytes(raw)
    for write in (False, True, False, True, False):
        with pytest.raises(IndexCorrupt, match="structural problems"):
            Store.open(root, write=write)


def creations(root: Path) -> list[str]:
    """What eight processes that make one index at once say."""
    code = (
        "import sys; from pathlib import Path; from vsearch.store import Store\n"
        "from vsearch.errors import VsearchError\n"
        "from tests.test_store import INFO\n"
        "sys.stdin.read(1)\n"
        "try: Store.create(Path(sys.argv[1]), INFO).close(); print('made')\n"
        "except VsearchError as error: print(type(error).__name__, error)"
    )
    program = [sys.executable, "-c", code, str(root)]
    at_work = [subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(8)]
    for one in at_work:
        one.stdin.write("x")
        one.stdin.flush()
    return [one.communicate()[0].strip() for one in at_work]


def test_of_processes_that_make_one_index_at_once_one_makes_it_and_the_others_are_told(tmp_path):
    told = creations(tmp_path / "i.vsearch")
    assert told.count("made") == 1, told
    others = [said for said in told if said != "made"]
    assert all(said.startswith("IndexExists") and "there is something already" in said for said in others), told
    assert os.listdir(tmp_path) == ["i.vsearch"]
