"""Indexes that somebody else made: links, foreign names and other types in place of each file, folder and value.

Whatever is typed about such an index, nothing outside it may be opened for writing, renamed or removed, and the
program must end, in time, with an exit code of its own.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import secrets
import shutil
import socket
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import lmdb
import msgspec
import numpy as np
from PIL import Image

import vsearch
from tests.durability import mutants
from tests.durability.escapes import escapes, removals, strace
from tests.durability.zygote import Ended, Zygote
from vsearch.store.environment import LATER, MAP_SIZE, TABLES

MODULES = ("tests.forked", "torch", "vsearch.cli.app", "vsearch.index", "vsearch.present", "vsearch.build")
KINDS = ("link", "link", "new link", "other file", "name", "value", "value", "value")
# What must be caught, and the kind of change that shows it soonest.
DEFECTS = {"links are followed": "link", "any name is believed": "name", "a reader tidies up": "new link"}
MOST_MEMORY = 2500  # MB of a command, of which 400 are what it imports
LEFT_OUT = {b"home", b"partner"}
NEW = "new.vsearch"
READING = (
    ("query", "red", "-k", "3", "--json"),
    ("query", "--like", "1", "--where", "width > 3"),
    ("query", "--target", "captions", "red"),
    ("describe", "../photos/red.png"),
    ("info",),
    ("errors",),
    ("check",),
    ("spaces",),
    ("dups", "--identical"),
    ("explain", "red", "--id", "1"),
)
WRITING = (
    ("index", "../photos"),
    ("index", "../photos", "--prune", "--yes", "--retry-failed"),
    ("compact",),
    ("build", "--recipe", "ivf-flat"),
    ("repair",),
    ("tag", "--labels", "red,blue"),
    ("backup", NEW),
    ("merge", NEW),
)
_TEXTS = (
    *("", ".", "..", "/", "../../outside/x.vsearch", "../../../outside/x.vsearch/spaces", "a/b", "nul\0l", "x" * 5000),
    *("toy-../..", "é", "\N{SMILING FACE WITH OPEN MOUTH}", "local-dir:../outside", "local-dir:/", "hf-hub:x/y"),
    *("openclip:ViT-B-32/laion2b_s34b_b79k", "external:x:64", "mini", "toy"),
)
_NUMBERS = (-1, 0, 1, 255, 2**16, 2**31, 2**32 - 1, 2**32, 2**33, 2**40, 2**63 - 1, 2**63, 2**64 - 1, -(2**63))
_NAMES = (
    *("spaces/toy-0123456789ab", "spaces/*/ann/9999-00000000", "spaces/*/vectors/99999999.f16", "columns/00000009-ab"),
    *("spaces/*/derived/captions-" + 32 * "0", "spaces/*/vectors/.tmp-" + 32 * "0", "columns/00000000-ab.1.arrow"),
)


@dataclass
class Place:
    """A sound index in a folder of its own, and around it what must stay as it is.

    ``outside`` holds a second index with the same files, so that what follows a link finds what it looks for.
    """

    folder: Path
    before: dict[bytes, Any] = field(default_factory=dict)

    @property
    def sound(self) -> Path:
        """The index that is copied for each change."""
        return self.folder / "sound" / "x.vsearch"

    @property
    def outside(self) -> Path:
        """What nobody may touch."""
        return self.folder / "outside"

    @property
    def home(self) -> Path:
        """Where a changed copy is put: its folder may be written."""
        return self.folder / "home"

    def make(self) -> None:
        """Draw pictures, index them, and copy the index to the outside."""
        photos = self.folder / "photos"
        photos.mkdir()
        for number, name in enumerate(("red", "green", "blue", "grey", "black")):
            Image.new("RGB", (40 + number, 30), name).save(photos / f"{name}.png")
            (photos / f"{name}.txt").write_text(f"a {name} square\n")
        (photos / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
        self.sound.parent.mkdir()
        with vsearch.create(self.sound, encoder="toy") as index:
            index.add(vsearch.folder(photos))
            index.remove([3])
            index.compact()
            rows = np.random.default_rng(0).standard_normal((300, index.encoder_info.dim)).astype(np.float32)
            index.add_vectors([f"x:{n}" for n in range(300)], rows)
            index.build("ivf-flat")
            index.tag(["red", "blue"])
            index.describe(photos / "red.png")
        self.outside.mkdir()
        shutil.copytree(self.sound, self.outside / "x.vsearch")
        shutil.copytree(self.sound, self.folder / "partner" / "x.vsearch")
        (self.outside / "victim").write_text("mine")
        self.before = tree(self.folder, leave_out=LEFT_OUT)

    def untouched(self) -> list[str]:
        """What is not as it was."""
        now = tree(self.folder, leave_out=LEFT_OUT)
        changed = [path for path in {*self.before, *now} if self.before.get(path) != now.get(path)]
        return [f"{os.fsdecode(path)} changed" for path in sorted(changed)]


def tree(folder: Path, leave_out: set[bytes]) -> dict[bytes, Any]:
    """Mode, inode, size, times and content of everything below a folder."""
    found: dict[bytes, Any] = {}
    for place, folders, names in os.walk(os.fsencode(folder)):
        folders[:] = [name for name in folders if name not in leave_out]
        for name in (*folders, *(name for name in names if name not in leave_out)):
            path = os.path.join(place, name)
            status = os.lstat(path)
            content = hashlib.sha256(Path(os.fsdecode(path)).read_bytes()).digest() if name not in folders else b""
            times = () if name in folders else (status.st_mtime_ns,)
            found[path] = status.st_mode, status.st_ino, status.st_size, *times, content
    return found


# Changes


@dataclass(frozen=True)
class Change:
    """What is done to a copy of the index: in words, and a function of its folder that returns planted links."""

    how: str
    do: Callable[[Path], dict[bytes, bytes]]


def changes(place: Place, random: Random, kinds: Sequence[str] = KINDS) -> Iterator[Change]:
    """Changes without end, of some kinds."""
    files = sorted(path.relative_to(place.sound) for path in place.sound.rglob("*"))
    values = list(_values(place.sound))
    spaces = [value for value in values if value[1].startswith((b"space/", b"derived/"))]
    while True:
        kind = random.choice(kinds)
        if kind == "link":
            yield _linked(place, random.choice(files), random)
        elif kind == "new link":
            yield _planted(place, random.choice(_NAMES), random)
        elif kind == "other file":
            yield _special(random.choice(files), random)
        elif kind == "name":
            yield _other_name(*random.choice(spaces), place, random)
        else:
            yield _other_value(*random.choice(values), random)


def _targets(place: Place, path: Path, random: Random) -> str:
    """Where a link leads: to the same in the other index, to something else outside, or nowhere yet."""
    return random.choice(
        [
            str(place.outside / "x.vsearch" / path),
            os.path.relpath(place.outside / "x.vsearch" / path, (place.home / "x.vsearch" / path).parent),
            str(place.outside),
            str(place.outside / "x.vsearch"),
            str(place.outside / "victim"),
            str(place.outside / "not-yet"),
        ]
    )


def _link(at: Path, target: str) -> dict[bytes, bytes]:
    at.symlink_to(target)
    return {os.fsencode(at): os.path.normpath(os.path.join(os.fsencode(at.parent), os.fsencode(target)))}


def _linked(place: Place, path: Path, random: Random) -> Change:
    target = _targets(place, path, random)

    def do(root: Path) -> dict[bytes, bytes]:
        _remove(root / path)
        return _link(root / path, target)

    return Change(f"{path} is a link to {target}", do)


def _planted(place: Place, name: str, random: Random) -> Change:
    """A link under a name that no file has yet, or beside the index where creations leave theirs."""
    target = _targets(place, Path(name), random)

    def do(root: Path) -> dict[bytes, bytes]:
        folder, _, last = name.rpartition("/")
        links = {}
        for at in root.glob(folder):
            links |= _link(at / last, target)
        return links | _link(root.with_name(f".{NEW}.new-{secrets.token_hex(16)}"), str(place.outside))

    return Change(f"{name} is a link to {target}", do)


def _special(path: Path, random: Random) -> Change:
    kind = random.choice(["pipe", "socket", "folder", "file", "empty", "nothing"])

    def do(root: Path) -> dict[bytes, bytes]:
        at = root / path
        _remove(at)
        if kind == "pipe":
            os.mkfifo(at)
        elif kind == "socket":
            with socket.socket(socket.AF_UNIX) as made:
                here = os.open(at.parent, os.O_RDONLY)  # a path of a socket has 107 bytes at most
                made.bind(f"/proc/self/fd/{here}/{at.name}")
                os.close(here)
        elif kind == "folder":
            at.mkdir()
        elif kind != "nothing":
            at.write_bytes(b"rubbish" * 100 if kind == "file" else b"")
        return {}

    return Change(f"{path} is a {kind}", do)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _values(sound: Path) -> Iterator[tuple[bytes, bytes, bytes]]:
    with lmdb.open(str(sound / "meta"), readonly=True, max_dbs=20, lock=False, lib_version=0) as env:
        for table in (*TABLES, *LATER):
            handle = env.open_db(table, create=False)
            with env.begin() as txn, txn.cursor(handle) as cursor:
                for at, (key, value) in enumerate(cursor):
                    # most pictures are alike; those of the state are not
                    if at < 6 or table == b"state":
                        yield table, key, value


def _other_value(table: bytes, key: bytes, value: bytes, random: Random) -> Change:
    new_key, new_value = key, value
    how = random.choice(["value", "value", "value", "value", "raw", "key", "gone"])
    if how == "value":
        new_value = _sealed(_other(value[:-4], random))
    elif how == "raw":
        new_value = random.choice([b"", b"\0", value[:-1], _sealed(b""), _sealed(random.randbytes(200)), value * 50])
    elif how == "key":
        new_key = random.choice([b"\0", b"\xff" * 8, key[:-1] or b"x", key + b"\0", b"space/../../outside", b"x" * 400])
    told = f"{table.decode()} {key!r}: {how} {new_key[:50]!r} {new_value[:200]!r}"
    return _written(table, key, new_key, None if how == "gone" else new_value, told)


def _other_name(table: bytes, key: bytes, value: bytes, place: Place, random: Random) -> Change:
    """A space, generation or derived file whose name leads to the other index."""
    body = msgspec.msgpack.decode(value[:-4])
    space = next((place.outside / "x.vsearch" / "spaces").iterdir())
    target = random.choice([space, space / "ann", space.parent, place.outside])
    name = os.path.relpath(target, place.home / "x.vsearch" / "spaces") if random.random() < 0.7 else str(target)
    if isinstance(body, list):
        body[0] = os.path.join("..", name)
    elif random.random() < 0.7:
        body["name"] = name
    else:
        body["generation"] = [os.path.join("..", "..", name), *(body["generation"] or [""])[1:]]
    return _written(table, key, key, _sealed(msgspec.msgpack.encode(body)), f"{key!r} is named {name}")


def _written(table: bytes, key: bytes, new_key: bytes, value: bytes | None, how: str) -> Change:
    """Another entry in the metadata; None for none."""

    def do(root: Path) -> dict[bytes, bytes]:
        with lmdb.open(str(root / "meta"), max_dbs=20, lib_version=0, map_size=MAP_SIZE) as env:
            handle = env.open_db(table, create=False)
            with env.begin(write=True, db=handle) as txn:
                txn.delete(key)
                if value is not None:
                    with suppress(lmdb.Error):
                        txn.put(new_key, value)
        return {}

    return Change(how, do)


def _sealed(body: bytes) -> bytes:
    return body + zlib.crc32(body).to_bytes(4, "little")


def _other(body: bytes, random: Random) -> bytes:
    """A value of which one leaf is something else."""
    try:
        value = msgspec.msgpack.decode(body)
    except (msgspec.DecodeError, ValueError):
        at = random.randrange(max(1, len(body)))
        return body[:at] + random.choice([b"\xff" * 8, b"\0" * 8, b"../../x"]) + body[at + 8 :]
    return msgspec.msgpack.encode(_leaf(value, random))


def _leaf(value: Any, random: Random) -> Any:
    if isinstance(value, dict) and value and random.random() < 0.95:
        key = random.choice(list(value))
        return {**value, key: _leaf(value[key], random)}
    if isinstance(value, list) and value and random.random() < 0.9:
        at = random.randrange(len(value))
        return [*value[:at], _leaf(value[at], random), *value[at + 1 :]]
    if isinstance(value, bytes) and value.startswith(b"{") and random.random() < 0.9:
        with suppress(ValueError):
            return json.dumps(_leaf(json.loads(value), random)).encode()
    return _something(value, random)


def _something(value: Any, random: Random) -> Any:
    if isinstance(value, str) and random.random() < 0.8:
        return random.choice(_TEXTS)
    if isinstance(value, int) and random.random() < 0.8:
        return random.choice(_NUMBERS)
    if isinstance(value, bytes) and random.random() < 0.8:
        return random.choice([b"", b"/", b"../../outside/", b"\0", b"x" * 5000, b"/etc/", random.randbytes(16)])
    return random.choice([None, True, 0.5, float("nan"), "x", b"x", 7, [], [1, [2, [3]]], {}, {"a": {"b": 1}}])


# Trying


def typed(words: list[str], cwd: str, defect: str) -> tuple[int, int]:
    """Run a command in this process; returns its exit code, and the megabytes that it had at most."""
    from tests.forked import environment
    from tests.forked import typed as run

    mutants.apply(defect)
    code = run(words, cwd, environment(TMPDIR=f"{cwd}/tmp"), os.devnull, f"{cwd}/stdout", f"{cwd}/stderr")
    return code, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


@dataclass
class Trial:
    """What was tried, what of it was wrong, and how the commands ended."""

    indexes: int = 0
    commands: int = 0
    failures: list[str] = field(default_factory=list)
    exits: dict[int, int] = field(default_factory=dict)
    most_memory: int = 0

    def __add__(self, other: Trial) -> Trial:
        exits = {code: self.exits.get(code, 0) + other.exits.get(code, 0) for code in {*self.exits, *other.exits}}
        return Trial(
            self.indexes + other.indexes,
            self.commands + other.commands,
            self.failures + other.failures,
            exits,
            max(self.most_memory, other.most_memory),
        )

    def told(self) -> dict[str, Any]:
        """As figures."""
        return {
            "indexes": self.indexes,
            "commands": self.commands,
            "exit_codes": dict(sorted(self.exits.items())),
            "most_megabytes": self.most_memory,
        }


class Watched:
    """A process to fork commands from, all of whose system calls that change files are recorded."""

    def __init__(self, folder: Path) -> None:
        """folder: where the record is written."""
        out = folder / "trace"
        out.touch()
        self._zygote = Zygote(modules=MODULES, under=strace(out))
        self._log = open(out, encoding="ascii")  # noqa: SIM115

    def __enter__(self) -> Watched:
        return self

    def __exit__(self, *_: object) -> None:
        self._zygote.__exit__()
        self._log.close()

    def run(self, words: list[str], home: Path, defect: str) -> tuple[Ended, list[str]]:
        """How a command ended, and the system calls that it made."""
        self._log.readlines()
        ended = self._zygote.call("tests.durability.foreign:typed", words=words, cwd=str(home), defect=defect)
        return ended, self._log.readlines()


def trial(watched: Watched, folder: Path, count: int, seed: int, defect: str = "") -> Trial:
    """Try ``count`` changed indexes, each with five commands; with a planted defect only until it is caught."""
    place, random, done = Place(folder), Random(seed), Trial()
    place.make()
    stream = changes(place, random, [DEFECTS[defect]] if defect else KINDS)
    while done.indexes < count and not (defect and done.failures):
        _try(watched, place, next(stream), random, defect, done)
    return done


def _try(watched: Watched, place: Place, change: Change, random: Random, defect: str, done: Trial) -> None:
    """One changed index, and what becomes of it."""
    (place.home / "tmp").mkdir(parents=True)
    for stream in ("stdout", "stderr"):
        (place.home / stream).touch()
    root = place.home / "x.vsearch"
    shutil.copytree(place.sound, root)
    links = change.do(root)
    done.indexes += 1
    for words in (*random.sample(READING, 3), *random.sample(WRITING, 2)):
        ended, lines = watched.run(_words(words), place.home, defect)
        wrong = escapes(lines, [place.home, place.folder / "partner"], links)
        if words in READING:
            wrong += [f"a reader removes {call!r}" for call in removals(lines) if call.startswith(bytes(root))]
        wrong += _outcome(ended, place.home / "stderr", done)
        done.failures += [f"{change.how}: vsearch {' '.join(words)}: {one}"[:1500] for one in wrong]
    if touched := place.untouched():
        done.failures += [f"{change.how}: {one}" for one in touched]
        place.before = tree(place.folder, leave_out=LEFT_OUT)  # the next ones must not be blamed for it
    shutil.rmtree(place.home)


def _outcome(ended: Ended, stderr: Path, done: Trial) -> Iterator[str]:
    """How a command ended, where that is wrong."""
    done.commands += 1
    if not ended.ok:
        yield f"signal {ended.signal}, status {ended.status}, {ended.error[-900:]}"
        return
    code, memory = ended.value
    done.exits[code] = done.exits.get(code, 0) + 1
    done.most_memory = max(done.most_memory, memory)
    if code not in (0, 1, 2, 3) or memory > MOST_MEMORY:
        yield f"exit code {code} with {memory} MB"
    if "Traceback" in stderr.read_text("utf-8", "replace"):
        yield "a traceback"


def _words(words: tuple[str, ...]) -> list[str]:
    if words[0] == "merge":
        return ["merge", NEW, "x.vsearch", "../partner/x.vsearch"]
    return [*words, "--index", "x.vsearch"]
