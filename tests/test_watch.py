"""Following folders: changes and time come from a script, the folder and the index are real."""

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from threading import Event

import pytest
from drawn_pictures import drawn
from test_cli import PROGRAM, environment

import vsearch
from vsearch.embed.toy import Toy
from vsearch.errors import SourceError
from vsearch.following import loop, pending, run
from vsearch.following.events import system_events
from vsearch.sources import folder
from vsearch.store import Batch

SETTLE = 2.0


class Counting(Toy):
    """The toy, which counts what it embeds."""

    def __init__(self):
        super().__init__()
        self.embedded = 0

    def encode_images(self, pixels):
        self.embedded += len(pixels)
        return super().encode_images(pixels)


class Script:
    """Steps of (seconds since the last one, what to do): what it returns are the paths that the system tells of.

    ``follow`` plays them and returns (time, report) of every run.
    """

    def __init__(self, place: Path):
        self.photos = place / "photos"
        self.index = place / "photos.vsearch"
        self.encoder = Counting()
        self.now = 1000.0
        self.notices: list[str] = []
        self.followed: list[list[bytes]] = []
        self.photos.mkdir()
        for seed in range(4):
            drawn(seed, (48, 36)).save(self.photos / f"{seed}.png")

    def follow(self, *steps: tuple[float, Callable[[], object]], **options):
        reports, start = [], self.now
        left = iter(steps)

        def events(roots) -> Iterator[set[bytes]]:
            self.followed.append(list(roots))
            yield set()
            for seconds, act in left:
                self.now += seconds
                told = act() or ()
                yield {os.fsencode(path) for path in ([told] if isinstance(told, str | Path) else told)}

        vsearch.watch(
            self.index,
            [self.photos],
            encoder=self.encoder,
            settle=SETTLE,
            events=events,
            clock=lambda: self.now,
            on_report=lambda report: reports.append((self.now - start, report)),
            on_notice=self.notices.append,
            workers=1,
            **options,
        )
        return reports

    def ids(self) -> dict[str, int]:
        with vsearch.open(self.index) as index, index.store.snapshot() as snapshot:
            return {os.path.basename(r.path.decode()): id for id, r in snapshot.items() if not r.missing}


def nothing() -> None:
    """Time goes by."""


def counts(report) -> tuple[int, int, int, int]:
    return report.added, report.moved, report.removed, report.failed


@pytest.fixture
def script(tmp_path: Path) -> Script:
    return Script(tmp_path)


# ---------------------------------------------------------------- what comes, goes and moves


def test_first_everything_then_what_is_new_once_it_has_settled(script):
    def draw():
        drawn(9, (48, 36)).save(script.photos / "new.png")
        return script.photos / "new.png"

    reports = script.follow((1, draw), (1, nothing), (0.9, nothing), (0.2, nothing), (5, nothing))
    assert [(at, counts(report)) for at, report in reports] == [(0, (4, 0, 0, 0)), (pytest.approx(3.1), (1, 0, 0, 0))]
    assert sorted(script.ids()) == ["0.png", "1.png", "2.png", "3.png", "new.png"]
    assert script.encoder.embedded == 5


def test_a_file_that_grows_is_not_read_until_it_stands_still(script):
    whole = script.photos.parent / "whole.png"
    drawn(9, (48, 36)).save(whole)
    raw = whole.read_bytes()
    new = script.photos / "new.png"

    def write(count):
        new.write_bytes(raw[:count])
        return new

    reports = script.follow(
        (1, lambda: write(100)),
        (1.5, lambda: write(200)),
        (1.5, nothing),
        (0.5, lambda: write(300) and None),  # without being told
        (1, nothing),
        (1, lambda: write(len(raw))),
        (1.9, nothing),
        (0.2, nothing),
    )
    assert [counts(report) for _, report in reports if counts(report) != (0, 0, 0, 0)] == [(4, 0, 0, 0), (1, 0, 0, 0)]
    assert reports[-1][0] == pytest.approx(8.6)
    with vsearch.open(script.index) as index:
        assert index.errors() == []


def test_a_moved_picture_keeps_its_id_and_tags_and_is_not_embedded_again(script):
    def tag():
        with vsearch.open(script.index, write=True) as index:  # another writer, between two runs
            index.store.commit(Batch(tags={script.ids()["1.png"]: (("mine", 1.0),)}))

    def move():
        (script.photos / "sub").mkdir()
        (script.photos / "1.png").rename(script.photos / "sub/one.png")
        return [script.photos / "1.png", script.photos / "sub"]

    reports = script.follow((1, tag), (1, move), (2, nothing), (2, nothing))
    before = 1
    assert [counts(report) for _, report in reports] == [(4, 0, 0, 0), (0, 0, 0, 0), (0, 1, 0, 0)]
    assert script.ids()["one.png"] == before and "1.png" not in script.ids() and script.encoder.embedded == 4
    with vsearch.open(script.index) as index, index.store.snapshot() as snapshot:
        assert snapshot.tags(before) == (("mine", 1.0),)


def test_a_folder_that_is_renamed_or_removed_takes_its_pictures_along(script):
    def fill():
        (script.photos / "a").mkdir()
        for seed in (10, 11):
            drawn(seed, (48, 36)).save(script.photos / "a" / f"{seed}.png")
        return script.photos / "a"

    def rename():
        (script.photos / "a").rename(script.photos / "b")
        return [script.photos / "a", script.photos / "b"]

    def remove():
        (script.photos / "b/10.png").unlink()
        (script.photos / "b/11.png").unlink()
        (script.photos / "b").rmdir()
        return script.photos / "b"

    wait = [(2.1, nothing)] * 2
    reports = script.follow((1, fill), *wait, (1, rename), *wait, (1, remove), *wait)
    done = [counts(report) for _, report in reports if counts(report) != (0, 0, 0, 0)]
    assert done == [(4, 0, 0, 0), (2, 0, 0, 0), (0, 2, 0, 0), (0, 0, 2, 0)]
    assert script.encoder.embedded == 6 and len(script.ids()) == 4


def test_deletions_wait_for_a_file_that_may_be_the_same_picture_on_its_way(script):
    raw = (script.photos / "2.png").read_bytes()
    new = script.photos / "copy.png"

    def begin():
        new.write_bytes(raw[:50])
        (script.photos / "2.png").unlink()
        return [new, script.photos / "2.png"]

    reports = script.follow(
        (1, begin), (2, lambda: new.write_bytes(raw) and None), (0, nothing), (2, nothing), (2, nothing)
    )
    assert [counts(report) for _, report in reports if report.removed or report.moved] == [(0, 1, 0, 0)]
    assert script.ids()["copy.png"] == 2 and script.encoder.embedded == 4


def test_a_file_that_never_stands_still_does_not_hold_up_deletions_for_ever(script):
    new = script.photos / "log.png"

    def grow():
        with open(new, "ab") as file:
            file.write(b"more")
        return new

    def remove():
        (script.photos / "0.png").unlink()
        return script.photos / "0.png"

    reports = script.follow((1, remove), *[(1.0, grow)] * 70)
    removed = [at for at, report in reports if report.removed]
    assert len(removed) == 1 and loop.LONGEST_WAIT <= removed[0] <= 2 * loop.LONGEST_WAIT + 5
    assert not any(report.failed for _, report in reports)


def test_a_caption_is_taken_over_without_embedding(script):
    def write():
        (script.photos / "3.txt").write_text("the fourth\n")
        return script.photos / "3.txt"

    script.follow((1, write), (2, nothing))
    with vsearch.open(script.index) as index, index.store.snapshot() as snapshot:
        assert snapshot.record(3).caption == "the fourth"
    assert script.encoder.embedded == 4


def test_what_no_walk_would_find_is_not_looked_at(script):
    (script.photos / ".hidden").mkdir()
    (script.photos / "x.vsearch").mkdir()
    (script.photos.parent / "elsewhere").mkdir()
    (script.photos / "link").symlink_to(script.photos.parent / "elsewhere")
    paths = [".hidden/a.png", ".b.png", "x.vsearch/c.png", "d.part", "link/e.png"]

    def draw():
        for name in paths:
            drawn(9, (48, 36)).save(script.photos / name, "PNG")
        return [script.photos / name for name in paths] + [script.index / "LOCK", script.photos.parent / "other.png"]

    assert len(script.follow((1, draw), (3, nothing))) == 1


# ---------------------------------------------------------------- floods, and what the system does not tell


def test_a_flood_is_one_survey(script, monkeypatch):
    sources = []
    add = run._Writer.add
    monkeypatch.setattr(run._Writer, "add", lambda *given: (sources.append(given[1]), add(*given))[1])

    def flood():
        for seed in range(20, 26):
            drawn(seed, (48, 36)).save(script.photos / f"{seed}.png")
        made = [script.photos / f"{seed}.png" for seed in range(20, 26)]
        return [*made, *(script.photos / f"gone-{n}.png" for n in range(10_000))]

    reports = script.follow((1, flood), (0.5, flood), (2, nothing), (2, nothing))
    assert [counts(report) for _, report in reports] == [(4, 0, 0, 0), (6, 0, 0, 0)]
    assert sources[1] == folder(script.photos)


def test_the_memory_of_a_flood_is_bounded():
    job, root = pending.Job(), b"/photos"
    job.listed.update(b"/photos/%d" % n for n in range(10))
    job.gone.update((b"/photos/x.png", b"/other/y.png"))
    job.survey(root)
    assert (job.whole, job.trees, job.listed, job.gone) == ({root}, set(), set(), {b"/other/y.png"})
    later = pending.Job(gone={b"/photos/z.png", b"/other/z.png"})
    later.take_over(job)
    assert (later.whole, later.gone) == ({root}, {b"/other/y.png", b"/other/z.png"})


def test_what_was_not_told_is_found_by_the_next_survey(script):
    def quietly():
        drawn(9, (48, 36)).save(script.photos / "new.png")

    reports = script.follow((1, quietly), (60, nothing), (loop.RESCAN, nothing), (3, nothing), (3, nothing))
    assert [report.added for _, report in reports if report.added] == [4, 1]


def test_changes_that_never_pause_are_indexed_all_the_same(script):
    def draw():
        drawn(9, (48, 36)).save(script.photos / "new.png")
        return script.photos / "new.png"

    busy = script.photos / "busy.txt"
    reports = script.follow((1, draw), *[(1.0, lambda: busy)] * 40)
    assert [report.added for at, report in reports if at < loop.LONGEST_WAIT + 5] == [4, 1]


# ---------------------------------------------------------------- disks that come and go


def test_an_emptied_folder_is_not_taken_for_a_deletion(script):
    def empty():
        for path in (gone := sorted(script.photos.iterdir())):
            path.unlink()
        return gone

    reports = script.follow((1, empty), (3, nothing))
    assert [counts(report) for _, report in reports] == [(4, 0, 0, 0), (0, 0, 0, 0)]
    assert "taken for a disk that is not there" in reports[-1][1].warnings[0]
    assert len(script.ids()) == 4


def test_a_disk_that_goes_and_comes_back_is_followed_again(script):
    aside = script.photos.with_name("aside")

    def mount_back():
        drawn(9, (48, 36)).save(aside / "new.png")
        aside.rename(script.photos)

    def unmounted():  # the folder that a disk was mounted on, as it is without the disk
        script.photos.rename(aside)
        script.photos.mkdir()

    def back():
        script.photos.rmdir()
        aside.rename(script.photos)

    wait = [(2.1, nothing)] * 2
    reports = script.follow(
        (1, lambda: script.photos.rename(aside) and None),
        *wait,
        (1, mount_back),
        *wait,
        (1, unmounted),
        *wait,
        (1, back),
    )
    assert [counts(report) for _, report in reports if counts(report) != (0, 0, 0, 0)] == [(4, 0, 0, 0), (1, 0, 0, 0)]
    root = os.fsencode(script.photos)
    assert script.followed == [[root], [], [root], [root], [root]]
    assert "is not there" in script.notices[0] and "another folder" in script.notices[1]
    assert len(script.ids()) == 5


# ---------------------------------------------------------------- other writers


def test_while_another_writes_it_waits_and_tells_so_once(script):
    held = []

    def take():
        held.append(vsearch.open(script.index, write=True))
        drawn(9, (48, 36)).save(script.photos / "new.png")
        return script.photos / "new.png"

    reports = script.follow((1, take), *[(2.1, nothing)] * 4, (0.1, lambda: held[0].close()), (2.1, nothing))
    assert [report.added for _, report in reports] == [4, 1]
    assert len([told for told in script.notices if "trying again" in told]) == 1


def test_nothing_to_follow_is_said(tmp_path):
    with pytest.raises(SourceError, match="name a folder"):
        vsearch.watch(tmp_path / "x.vsearch", [])
    with pytest.raises(SourceError, match="no folder"):
        vsearch.watch(tmp_path / "x.vsearch", [tmp_path / "nowhere"])


# ---------------------------------------------------------------- the real program, told by the real system


class Following:
    """The command in a process of its own."""

    def __init__(self, place: Path, *words: str):
        self.running = subprocess.Popen(
            [*PROGRAM, "watch", "photos", "--encoder", "toy", "--settle", "0.2", "--json", *words],
            cwd=place,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
        )

    def next_report(self) -> dict:
        """Wait for the next line, at most a minute."""
        line, until = b"", time.monotonic() + 60
        while not line.endswith(b"\n"):
            assert select.select([self.running.stdout], [], [], until - time.monotonic())[0], "no report came"
            line += (read := os.read(self.running.stdout.fileno(), 1))
            assert read, self.running.communicate()[1].decode()
        return json.loads(line)

    def stop(self, how: signal.Signals) -> tuple[int, str]:
        self.running.send_signal(how)
        _, said = self.running.communicate(timeout=60)
        return self.running.returncode, said.decode()


@pytest.fixture
def started(tmp_path) -> Iterator[Callable[..., Following]]:
    """Starts the command on a folder of one picture, and waits for its first report."""
    (tmp_path / "photos").mkdir()
    drawn(1, (48, 36)).save(tmp_path / "photos/first.png")
    programs = []

    def start(*words: str) -> Following:
        programs.append(Following(tmp_path, *words))
        assert programs[-1].next_report()["added"] == 1
        return programs[-1]

    yield start
    for program in programs:
        program.running.kill()
        program.running.communicate()


def test_the_program_follows_a_real_folder_until_it_is_interrupted(tmp_path, started):
    following = started()
    (tmp_path / "photos/trip").mkdir()
    drawn(2, (48, 36)).save(tmp_path / "photos/trip/second.png")
    assert following.next_report()["added"] == 1
    (tmp_path / "photos/first.png").rename(tmp_path / "photos/trip/1.png")
    assert following.next_report()["moved"] == 1
    (tmp_path / "photos/trip/second.png").unlink()
    assert following.next_report()["removed"] == 1
    check_undecodable_names(tmp_path / "photos", following)
    code, said = following.stop(signal.SIGINT)
    assert code == 0 and "Traceback" not in said
    assert said.endswith("vsearch: stopped; everything indexed is in photos.vsearch\n")
    with vsearch.open(tmp_path / "photos.vsearch") as index:
        assert len(index) == 1 and index.check().problems == ()


def test_the_program_polls_until_it_is_terminated(tmp_path, started):
    following = started("--poll")
    drawn(2, (48, 36)).save(tmp_path / "photos/second.png")
    assert following.next_report()["added"] == 1
    check_undecodable_names(tmp_path / "photos", following)
    code, said = following.stop(signal.SIGTERM)
    assert code == 0 and "Traceback" not in said


def check_undecodable_names(photos: Path, following: Following) -> None:
    """Names that are not UTF-8, of a picture and of something else, made and removed, end nothing and hide nothing."""
    strange, other = (photos / os.fsdecode(name) for name in (b"caf\xe9.png", b"note\xe9.doc"))
    other.write_bytes(b"x")
    drawn(3, (48, 36)).save(photos / "beside.png")
    assert following.next_report()["added"] == 1
    drawn(4, (48, 36)).save(photos / "drawn.png")
    (photos / "drawn.png").rename(strange)
    other.unlink()
    assert following.next_report()["added"] == 1
    strange.unlink()
    (photos / "beside.png").unlink()
    assert following.next_report()["removed"] == 2


@pytest.mark.parametrize("poll", [False, True])
def test_a_folder_whose_name_is_not_utf8_is_followed(tmp_path, poll):
    root = os.fsencode(tmp_path) + b"/caf\xe9"
    os.mkdir(root)
    changes = system_events(Event(), poll)([root])
    assert next(changes) == set()
    wanted = root + b"/a.png"
    Path(os.fsdecode(wanted)).touch()
    assert wanted in set().union(*islice(until(changes, wanted), 30))
    changes.close()


def until(changes: Iterator[set[bytes]], wanted: bytes) -> Iterator[set[bytes]]:
    """Sets of changes up to the one that has a path."""
    for told in changes:
        yield told
        if wanted in told:
            return
