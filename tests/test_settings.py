"""The options of a root, which stay until others are given; and what is left out, by a plain count."""

import os
import zipfile
from pathlib import Path

import pytest
from drawn_pictures import drawn
from test_cli import run
from test_watch import Script

import vsearch
from vsearch.cli.index import left_out
from vsearch.embed.toy import Toy
from vsearch.sources import chain, folder


@pytest.fixture
def photos(tmp_path) -> Path:
    """Two pictures, a hidden one, one in an archive, an animation of two frames, and a linked folder of one."""
    root = tmp_path / "photos"
    (root / "trip").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    names = ("a.png", "trip/b.png", ".hidden.png", "../elsewhere/c.png", "../in.png")
    for number, name in enumerate(names):
        drawn(number, (40, 30)).save(root / name)
    with zipfile.ZipFile(root / "x.zip", "w") as made:
        made.write(tmp_path / "in.png", "in.png")
    first, second = (drawn(number, (40, 30)) for number in (7, 8))
    first.save(root / "moving.gif", save_all=True, append_images=[second], duration=1000)
    (root / "link").symlink_to(tmp_path / "elsewhere")
    return root


OPTIONS = {"hidden": True, "archives": True, "every": 1.0, "follow_links": True}


def shown(index: vsearch.Index) -> set[bytes]:
    with index.store.snapshot() as snapshot:
        return {record.path for _, record in snapshot.items() if not record.missing}


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_stays_until_another_is_given(tmp_path, photos, name):
    with vsearch.create(tmp_path / "x.vsearch", Toy()) as index:
        add = lambda **options: index.add(folder(photos, **options), workers=1)  # noqa: E731
        add(**{name: OPTIONS[name]})
        wanted = {item.path for item in folder(photos, **{name: OPTIONS[name]})}
        assert shown(index) == wanted > {item.path for item in folder(photos)}
        add()
        assert shown(index) == wanted
        assert [root.settings for root in index.roots()] == [{name: OPTIONS[name]}]
        index.add(folder(photos / "trip"), workers=1)
        assert [root.path for root in index.roots()] == [os.fsencode(photos)]
        add(**{name: 0.0 if name == "every" else False})
        stays = name in ("archives", "every")  # what is not opened may be there still
        assert shown(index) == (wanted if stays else {item.path for item in folder(photos)})
        assert [root.settings for root in index.roots()] == [{}]


def test_a_root_inside_another_keeps_its_own_options(tmp_path, photos):
    drawn(5, (40, 30)).save(photos / "trip/.secret.png")
    with vsearch.create(tmp_path / "x.vsearch", Toy()) as index:
        index.add(folder(photos / "trip", hidden=True), workers=1)
        index.add(folder(photos), workers=1)
        assert shown(index) == {i.path for i in chain(folder(photos), folder(photos / "trip", hidden=True))}
        index.add(folder(photos / "trip", hidden=False), workers=1)
        assert shown(index) == {item.path for item in folder(photos)}


def test_the_time_between_frames_of_a_named_animation_stays(tmp_path, photos):
    from vsearch.sources import archive

    with vsearch.create(tmp_path / "x.vsearch", Toy()) as index:
        index.add(archive(photos / "moving.gif", every=1.0), workers=1)
        before = shown(index)
        index.add(archive(photos / "moving.gif"), workers=1)
        assert shown(index) == before == {item.path for item in archive(photos / "moving.gif", every=1.0)}


def test_watch_keeps_options_and_follows_what_they_take_in(tmp_path):
    script = Script(tmp_path)
    drawn(8, (48, 36)).save(script.photos / ".hidden.png")
    with vsearch.create(script.index, Toy()) as index:
        index.add(folder(script.photos, hidden=True), workers=1)
    other = script.photos / ".other.png"
    script.follow((1, lambda: drawn(9, (48, 36)).save(other) or other), (3, lambda: other), (3, lambda: ()), (3, list))
    assert {".hidden.png", ".other.png"} < script.ids().keys()


def test_patterns_stay_until_others_are_given(tmp_path, photos):
    for words, left in (("--exclude trip/", 3), ("", 3), ("--exclude a.png", 3), ("--exclude ''", 4)):
        given = [word.strip("'") for word in words.split()]
        assert run("index", "photos", "--encoder", "toy", "--hidden", *given, cwd=tmp_path)[0] == 0
        with vsearch.open(tmp_path / "photos.vsearch") as index:
            assert len(shown(index)) == left, words
            names = {os.path.basename(path) for path in shown(index)}
            assert (b"b.png" in names) == (words in ("--exclude a.png", "--exclude ''"))


def test_watch_keeps_patterns(tmp_path):
    script = Script(tmp_path)
    with vsearch.create(script.index, Toy()) as index:
        index.add(folder(script.photos, exclude=["new*"]), workers=1)
    new, other = script.photos / "new.png", script.photos / "other.png"
    script.follow(
        (1, lambda: [drawn(9, (48, 36)).save(path) for path in (new, other)] and other), (3, lambda: other), (3, list)
    )
    assert "other.png" in script.ids() and "new.png" not in script.ids()


def test_an_index_without_settings_has_the_defaults(tmp_path, photos):
    with vsearch.create(tmp_path / "x.vsearch", Toy()) as index:
        index.add(folder(photos), workers=1)
        with index.store.edit() as (txn, tables):
            with txn.cursor(tables[b"state"]) as cursor:
                assert cursor.set_range(b"settings:") and cursor.delete()
        assert [(root.path, root.settings) for root in index.roots()] == [(os.fsencode(photos), {})]
        assert index.add(folder(photos), workers=1).removed == 0


def test_what_is_left_out_is_counted_and_named(tmp_path, photos):
    (photos / "trip/clip.MP4").write_bytes(b"x")
    for name in ("1.NEF", "2.cr2", "trip/3.dng", "x.xmp", ".bashrc"):
        (photos / name).write_bytes(b"x")
    (photos / "dangling.txt").symlink_to("nowhere")
    code, out, said = run("index", "photos", "--encoder", "toy", "--json", cwd=tmp_path)
    counts = {"RAW files": 3, "videos": 1, "archives": 1, "hidden files": 1, "links": 1}
    assert code == 0 and all(f'"{kind}":{count}' in out.replace('": ', '":') for kind, count in counts.items())
    assert said.splitlines()[-1] == (
        "vsearch: left out: 3 RAW files, 1 video, 1 archive, 1 hidden file, 1 link; "
        "--raw, --frames 10, --archives, --hidden, --follow-links"
    )
    taken = ("--archives", "--hidden", "--follow-links")
    _, _, said = run("index", "photos", *taken, cwd=tmp_path)
    assert said.splitlines()[-1] == "vsearch: left out: 3 RAW files, 1 video; --raw, --frames 10"
    assert left_out({"videos": 1200}) == "left out: 1,200 videos; --frames 10"
    _, out, _ = run("roots", cwd=tmp_path)
    assert out.splitlines()[2].split()[2:] == ["--archives", "--hidden", "--follow-links"]


def test_members_of_one_archive_are_duplicates_of_others_alone(tmp_path, photos):
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as made:
        for name in ("1.png", "2.png"):
            made.write(photos / "a.png", name)
        made.write(photos / "trip/b.png", "3.png")
    (tmp_path / "photos/trip/a copy.png").write_bytes((photos / "a.png").read_bytes())
    with vsearch.create(tmp_path / "x.vsearch", Toy()) as index:
        from vsearch.sources import archive

        index.add(archive(tmp_path / "two.zip"), workers=1)

        def named(**options):
            found = index.duplicates(near=False, **options).groups
            return [{os.path.basename(p.raw_path) for p in (g.kept, *g.others)} for g in found]

        assert named() == []
        assert named(within=True) == [{b"two.zip#1.png", b"two.zip#2.png"}]
        index.add(folder(photos), workers=1)
        groups = index.duplicates(near=False).groups
        names = [{p.raw_path for p in (group.kept, *group.others)} for group in groups]
        assert sum(map(len, names)) >= 4
        for group in groups:
            inside = b".zip#" in group.kept.raw_path
            assert not (inside and any(b".zip#" in other.raw_path for other in group.others))
