"""The maintainers' scripts: each explains itself, and does its work in small."""

import csv
import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent
TOOLS = ROOT / "tools"
RUN = ROOT / "benchmarks" / "run.py"
NAMES = ("val", "swaps", "train", "unseen")  # tables of compose.py
# what is imported by its neighbours only, and is no command
PARTS = {
    f"{name}.py"
    for name in ("stamps", "scenes", "drawn", "textures", "compositions", "things", "text_tower", "hostile_attacks")
} | {f"mini_{name}.py" for name in ("views", "texts", "data", "student")}
COMMANDS = [*sorted(path for path in TOOLS.glob("*.py") if path.name not in PARTS), TOOLS / "bootstrap.sh", RUN]


def run(script: Path, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    program = ["bash"] if script.suffix == ".sh" else [sys.executable]
    return subprocess.run([*program, str(script), *words], capture_output=True, text=True, cwd=cwd)


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scripts' own folder on the import path, as it is when they run."""
    monkeypatch.syspath_prepend(str(TOOLS))


@pytest.fixture
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(RUN.parent))


@pytest.mark.parametrize("script", COMMANDS, ids=lambda path: path.name)
def test_each_command_explains_itself_and_refuses_nonsense(script: Path, tmp_path: Path):
    told = run(script, "--help", cwd=tmp_path)
    assert told.returncode == 0 and script.stem in told.stdout
    assert run(script, "--no-such-option", cwd=tmp_path).returncode == 2
    assert list(tmp_path.iterdir()) == []


def test_gallery_without_apt_makes_captioned_scenes_and_then_rests(tmp_path: Path):
    first = run(TOOLS / "gallery.py", "--offline", cwd=tmp_path)
    assert first.returncode == 0 and "without the stamps" in first.stdout
    apple = tmp_path / "photos" / "scenes" / "a-red-apple-on-a-wooden-table.jpg"
    assert apple.with_suffix(".txt").read_text() == "A red apple on a wooden table.\n"
    with Image.open(apple) as picture:
        assert picture.size == (640, 480)
        red, green, blue = np.moveaxis(np.asarray(picture.crop((160, 160, 480, 420))), 2, 0)
    assert np.count_nonzero((red > 120) & (green < 60) & (blue < 70)) > 2000, "where is the apple?"
    before = apple.stat().st_mtime_ns
    again = run(TOOLS / "gallery.py", "--offline", cwd=tmp_path)
    assert "already has" in again.stdout and apple.stat().st_mtime_ns == before
    apple.unlink()
    assert run(TOOLS / "gallery.py", "--offline", cwd=tmp_path).returncode == 0
    assert apple.is_file(), "a gallery with a hole is made again"


@pytest.mark.usefixtures("tools")
def test_scenes_are_the_same_every_time():
    import drawn
    import scenes

    scene = scenes.read_scenes("grass | A red ball on the grass. | red-ball 0.3")[0]
    first, second = (scenes.draw(scene, 7, drawn.round_thing) for _ in range(2))
    assert first.tobytes() == second.tobytes()
    assert scenes.draw(scene, 8, drawn.round_thing).tobytes() != first.tobytes()
    assert scenes.draw(scene, 7, lambda name: None) is None


@pytest.mark.usefixtures("tools")
def test_every_drawn_scene_can_be_drawn():
    import drawn
    import scenes

    table = scenes.read_scenes(drawn.SCENES)
    assert {name for scene in table for name, _ in scene.things} <= set(drawn.ROUND_THINGS)
    assert {scene.ground for scene in table} == {"wood", "grass", "sand", "sky"}


@pytest.mark.usefixtures("tools")
def test_stamps_are_copied_unchanged_with_the_english_caption(tmp_path: Path):
    import stamps

    source, out = tmp_path / "stamps", tmp_path / "out"
    for folder in ("food", "symbols"):
        (source / folder).mkdir(parents=True)
        Image.new("RGBA", (4, 4), (9, 8, 7, 0)).save(source / folder / "x.png")
        (source / folder / "x.txt").write_text("A “Fuji” apple.\nde.utf8=Ein Apfel.\n", encoding="utf-8")
    Image.new("L", (4, 4)).save(source / "food" / "untold.png")
    (source / "food" / "drawn.svg").write_text("<svg/>")
    assert stamps.copy_captioned(source, out) == [out / "food" / "x.png"]
    assert sorted(p.name for p in out.rglob("*.*")) == ["x.png", "x.txt"]
    assert (out / "food" / "x.png").read_bytes() == (source / "food" / "x.png").read_bytes()
    assert (out / "food" / "x.txt").read_text(encoding="utf-8") == "A “Fuji” apple.\n"


@pytest.mark.usefixtures("tools")
def test_another_package_than_the_pinned_one_is_refused(tmp_path: Path):
    import stamps

    pinned = next(iter(stamps.PINS))
    assert stamps._choose(["9.9", pinned]) == pinned
    with pytest.raises(stamps.StampsUnavailable, match="offers .* 9.9"):
        stamps._choose(["9.9"])
    with pytest.raises(stamps.StampsUnavailable, match="offers .* nothing"):
        stamps._choose([])
    forged = tmp_path / "x.deb"
    forged.write_bytes(b"not what was pinned")
    with pytest.raises(stamps.StampsUnavailable, match="SHA-256"):
        stamps._checked(forged, pinned)


@pytest.mark.usefixtures("benchmarks")
def test_pictures_to_measure_with_differ_in_bytes_but_not_in_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import pictures

    data = tmp_path / "data" / "flickr8k"
    data.mkdir(parents=True)
    noise = random.Random(1).randbytes(30 * 20 * 3)
    Image.frombytes("RGB", (30, 20), noise).save(data / "one.jpg")
    Image.new("RGB", (30, 20), "red").save(data / "two.jpg", exif=Image.Exif())
    (data / "train.tsv").write_text("filepath\ttitle\none.jpg\ta\none.jpg\tb\ntwo.jpg\tc\n")
    monkeypatch.setenv("VSEARCH_EVAL_DATA", str(data.parent))
    assert pictures.collect(tmp_path / "out", 6) == "Flickr8k"
    files = sorted((tmp_path / "out").rglob("*.jpg"))
    assert len(files) == len({file.read_bytes() for file in files}) == 6
    for file, original in zip(files, ["one.jpg", "two.jpg"] * 3, strict=True):
        with Image.open(file) as copy, Image.open(data / original) as first:
            assert copy.tobytes() == first.tobytes()


HOLD = "held = bytearray(150_000_000); print('ready', flush=True); input()"


def held_mb(program: str) -> tuple[float, float]:
    """What a process tree holds, whole and anonymous, once its last process says that it is ready."""
    import memory

    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        whole, anonymous = memory.held(process.pid)
        process.communicate(b"\n")
    return whole / 1e6, anonymous / 1e6


@pytest.mark.usefixtures("benchmarks")
def test_memory_of_mapped_files_is_told_apart(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"x" * 60_000_000)
    opening = f"import mmap; file = open({str(tmp_path / 'file')!r}, 'rb')"
    reading = f"{opening}; m = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)"
    whole, anonymous = held_mb(f"{reading}; total = sum(m[::4096]); {HOLD}")
    assert 150 < anonymous < 200
    assert whole > anonymous + 60


@pytest.mark.usefixtures("benchmarks")
def test_memory_of_the_children_counts():
    import memory

    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {HOLD!r}], check=True)"
    for program in (HOLD, parent):
        whole, anonymous = held_mb(program)
        assert 150 < anonymous < whole < 200
    with pytest.raises(subprocess.CalledProcessError):
        memory.peak_of([sys.executable, "-c", "import sys; sys.exit(5)"])


@pytest.mark.usefixtures("benchmarks")
def test_report_shows_every_kept_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import run as runner

    kept = {
        "suite": "ingest",
        "figures": {"images_per_second": 1234.5678, "ratio": 0.91234},
        "machine": {"CPU": "abacus"},
    }
    (tmp_path / "ingest.json").write_text(json.dumps(kept))
    monkeypatch.setattr(runner, "RESULTS", tmp_path)
    page = runner.report()
    for line in ("## ingest", "| images_per_second | 1,235 |", "| ratio | 0.9123 |", "Machine: CPU abacus."):
        assert line in page


def read_table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines(), delimiter="\t"))


def words(caption: str) -> list[str]:
    """The words of a caption without number: what a bag of words sees of it."""
    alike = {"an": "a", "one": "a", "right": "left"}
    return sorted(alike.get(word, word.rstrip("s")) for word in caption.split())


@pytest.mark.usefixtures("tools")
def test_twins_have_the_same_words_in_another_order_and_no_composition_comes_twice():
    import compose
    import compositions

    things = compositions.read_things(compose.DRAWN)
    made = [
        m for m, _ in zip(compositions.compositions(compositions.meetings(things)[0], seed=4), range(300), strict=False)
    ]
    assert {m.kind for m in made} == set(compositions.KINDS)
    for one in made:
        assert one.twin.twin == one and one.twin.caption != one.caption and one.twin.key == one.key
        assert words(one.twin.caption) == words(one.caption)
    assert len({m.key for m in made}) == 300
    assert compositions.capacity([(things[0], things[1])]) == 28 * 4 * 8


@pytest.mark.usefixtures("tools")
def test_things_kept_apart_are_each_seen_with_others():
    import compositions

    table = (TOOLS / "compose_things.txt").read_text(encoding="utf-8")
    things = compositions.read_things(table)
    together, apart = compositions.meetings(things)
    assert len(together) + len(apart) == len(things) * (len(things) - 1) // 2
    assert not set(together) & set(apart) and len(apart) == 22
    for thing in things:
        assert sum(thing in pair for pair in together) >= len(things) - 3


@pytest.mark.usefixtures("tools")
def test_a_relation_is_drawn_as_the_caption_says():
    import compose
    from compositions import Composition, Group, Thing

    ball, egg = Thing("ball", "balls", "red-ball"), Thing("egg", "eggs", "egg")
    made = Composition("relation", Group(1, "red", ball), Group(2, "blue", egg), "grass", mirrored=True)
    assert made.caption == "a red ball to the right of two blue eggs on the grass"
    assert made.twin.caption == "a red ball to the left of two blue eggs on the grass"
    for one, side in ((made, slice(144, None)), (made.twin, slice(None, 144))):
        red, green, blue = np.moveaxis(np.asarray(compose.draw(one, (0, 1), compose.round_thing), int), 2, 0)
        is_red = (red > 130) & (green < 90) & (blue < 90)
        assert is_red.sum() > 1500 and is_red[:, side].sum() > 0.95 * is_red.sum()


def test_compose_writes_the_same_disjoint_tables_each_time(tmp_path: Path):
    for out in ("a", "b"):
        assert run(TOOLS / "compose.py", "--out", out, "--pairs", "8", "--val", "4", cwd=tmp_path).returncode == 0
    tables = {name: read_table(tmp_path / "a" / f"{name}.tsv") for name in NAMES}
    assert [len(tables[name]) for name in NAMES] == [4, 4, 8, 4]
    for row in (row for rows in tables.values() for row in rows):
        assert (tmp_path / "a" / row["filepath"]).read_bytes() == (tmp_path / "b" / row["filepath"]).read_bytes()
    swaps = tables["swaps"]
    assert [row["title"] for row in swaps[::2]] == [row["foil"] for row in swaps[1::2]]
    captions = [{row["title"] for row in rows} | {row["foil"] for row in rows} for rows in tables.values()]
    assert len(set().union(*captions)) == sum(map(len, captions))
    many = run(TOOLS / "compose.py", "--pairs", "20000", cwd=tmp_path)
    assert many.returncode == 2 and "too few different compositions" in many.stderr
