"""The model disk and its crash states, proved on a store so small that its defects are plain to see."""

import os
import sys
from pathlib import Path

import pytest

from tests.durability import tinystore
from tests.durability.crash import KINDS, crashes, materialise, read_tree
from tests.durability.disk import Disk, File, Resize, Write
from tests.durability.replay import Replay
from tests.durability.trace import Event, TraceError, read_trace, record

pytestmark = [pytest.mark.torture, pytest.mark.usefixtures("strace")]


def traced(tmp_path: Path, script: str, *args: str) -> list[Event]:
    process = record([sys.executable, "-S", "-E", script, *args], tmp_path / "trace")
    assert process.wait() == 0
    return read_trace(tmp_path / "trace")


def bad_states(tmp_path: Path, defect: str) -> tuple[int, int]:
    folder, acks = tmp_path / "store", tmp_path / "acks"
    folder.mkdir()
    events = traced(tmp_path, tinystore.__file__, str(folder), str(acks), defect)
    replay, acked, bad, states = Replay(folder), 0, 0, 0
    for at, event in enumerate(replay.run(events)):
        if event.name == "write" and event.data(1).startswith(b"ack"):
            acked = int(event.data(1).split()[1])
        for _, tree in crashes(replay.disk, str(at)):
            found = tree.get(b"value", b"")
            allowed = [tinystore.text(v) for v in (acked, acked + 1)] if acked else [b"", tinystore.text(1)]
            bad += found not in allowed
            states += 1
    assert replay.disk.tree() == read_tree(folder)
    return bad, states


def test_a_sound_store_has_no_bad_state(tmp_path: Path) -> None:
    bad, states = bad_states(tmp_path, "")
    assert bad == 0
    assert states > 100


@pytest.mark.parametrize("defect", tinystore.DEFECTS[:5])
def test_each_planted_defect_shows(tmp_path: Path, defect: str) -> None:
    bad, _ = bad_states(tmp_path, defect)
    assert bad > 0


CALLS = """
import os, sys, threading
root = os.fsencode(sys.argv[1]) + b"/n\\xff \\n"
os.mkdir(root)
fd = os.open(root + b"/a", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
os.write(fd, b"hello\\0\\xff"); os.pwritev(fd, [b"a", b"bcd"], 100); os.writev(fd, [b"x", b"yz"])
os.ftruncate(fd, 60); os.posix_fallocate(fd, 0, 80); os.lseek(fd, -1, os.SEEK_END); os.write(fd, b"end")
other = os.dup(fd); os.close(fd); os.write(other, b"more")
os.rename(root + b"/a", root + b"/b"); os.link(root + b"/b", root + b"/c"); os.unlink(root + b"/b")
at = os.open(root, os.O_DIRECTORY)
os.mkdir(b"sub", dir_fd=at); os.rename(b"c", b"sub/d", src_dir_fd=at, dst_dir_fd=at); os.fsync(at)
log = os.open(root + b"/log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
threads = [threading.Thread(target=lambda: [os.write(log, b"line\\n") or os.fdatasync(log) for _ in range(20)])
           for _ in range(2)]
[t.start() for t in threads]; [t.join() for t in threads]
os.mkdir(root + b"/gone"); os.rename(root + b"/sub", root + b"/gone/sub2"); os.mkdir(root + b"/e")
os.rmdir(root + b"/e")
os.truncate(root + b"/log", 7)
"""


def test_the_model_ends_as_the_real_folder_does(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    script = tmp_path / "calls.py"
    script.write_text(CALLS)
    replay = Replay(root)
    for _ in replay.run(traced(tmp_path, str(script), str(root))):
        pass
    assert replay.disk.tree() == read_tree(root)


@pytest.mark.parametrize(
    "call",
    [
        "import mmap; mmap.mmap(fd, 4096)",
        "os.sendfile(os.open(sys.argv[1] + '/g', os.O_WRONLY | os.O_CREAT), fd, 0, 10)",
        "os.symlink('f', sys.argv[1] + '/s')",
    ],
)
def test_a_call_that_the_model_does_not_know_is_refused(tmp_path: Path, call: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    script = tmp_path / "call.py"
    opening = "fd = os.open(sys.argv[1] + '/f', os.O_RDWR | os.O_CREAT); os.ftruncate(fd, 4096)"
    script.write_text(f"import os, sys\n{opening}\n{call}\n")
    replay = Replay(root)
    with pytest.raises(TraceError, match="does not know|memory map"):
        for _ in replay.run(traced(tmp_path, str(script), str(root))):
            pass


def test_synchronous_write_makes_only_itself_durable() -> None:
    file = File(b"....", [Write(0, b"a"), Write(3, b"d")])
    file.sync_last()
    assert (file.durable, file.current()) == (b"...d", b"a..d")


def test_crash_states_by_hand(tmp_path: Path) -> None:
    disk = Disk()
    old, new = File(b"o" * 8192), File(b"", [Write(0, b"n" * 8192), Resize(8000)])
    disk.root.durable[b"old"] = old
    disk.name(b"new", new)
    disk.name(b"old", None)
    seen: dict[str, set[tuple[bool, bool, int]]] = {kind.name: set() for kind in KINDS}
    for seed in range(200):
        for kind, tree in crashes(disk, str(seed)):
            seen[kind].add((b"old" in tree, b"new" in tree, len(tree.get(b"new") or b"")))
    assert seen["all lost"] == {(True, False, 0)}
    assert seen["all kept"] == {(False, True, 8000)}
    assert seen["names kept, data lost"] == {(False, True, 0), (False, True, 8000)}
    assert {(a, b) for a, b, _ in seen["random pages"]} == {(a, b) for a in (True, False) for b in (True, False)}
    assert {n for _, _, n in seen["random pages"]} >= {0, 4096, 8000, 8192}
    assert {n % 512 for _, _, n in seen["mostly written, torn"]} == {0, 8000 % 512}
    materialise({b"d": None, b"d/x": b"1"}, tmp_path / "made")
    assert read_tree(tmp_path / "made") == {b"d": None, b"d/x": b"1"}
    assert os.listdir(tmp_path) == ["made"]
