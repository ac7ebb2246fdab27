"""Duplicates: pairs against a plain loop, groups without chains, and the whole way over drawn pictures."""

import json
import shutil

import numpy as np
import pytest
from drawn_pictures import draw, drawn
from forked import run
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from test_promises import tree

import vsearch
from vsearch.decode import fit
from vsearch.duplicates import Keep, calibrate, colours, hashes
from vsearch.duplicates.groups import groups
from vsearch.duplicates.neighbours import pairs
from vsearch.duplicates.plan import Picture
from vsearch.embed import load_encoder
from vsearch.errors import QueryError
from vsearch.store import Addition, Batch, Record, Store

# Pairs


def test_pairs_are_those_of_a_plain_loop_also_where_a_picture_has_many_neighbours(tmp_path):
    rng = np.random.default_rng(4)
    rows = rng.normal(size=(1500, 64))
    rows[40:80] = rows[40] + rng.normal(size=(40, 64)) * 0.05  # forty alike: more than are asked for at first
    rows[1400] = rows[3] + 0.02
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    store = Store.create(tmp_path / "x", load_encoder("toy").info)
    store.commit(Batch([_row(n, row) for n, row in enumerate(rows)]))
    with store.snapshot() as snapshot:
        ids = snapshot.kept_ids()
        stored = snapshot.vectors(ids)
        stored /= np.linalg.norm(stored, axis=1, keepdims=True)
        cosines = stored @ stored.T

        def find(xq, k):
            scores = xq @ stored.T
            order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
            return np.take_along_axis(scores, order, 1), order

        found = {}
        for both, scores in pairs(snapshot, ids, 0.8, find):
            found |= dict(zip(map(tuple, both.tolist()), scores.tolist(), strict=True))
    store.close()
    wanted = {(a, b): cosines[a, b] for a, b in np.argwhere(np.triu(cosines >= 0.8, 1)).tolist()}
    assert len(wanted) == 40 * 39 / 2 + 1
    assert found == pytest.approx(wanted, abs=1e-5)


def _row(number, vector):
    record = Record(b"/p/%05d" % number, number.to_bytes(16, "big"), 1, 1, 1, 1, 1, 1)
    return Addition(record, vector)


# Groups


def picture(number, *, content=None, width=10, height=10, size=100, mtime=0, folder=b"/p"):
    kind = content if content is not None else number
    return Picture(number, b"%s/%02d.png" % (folder, number), kind.to_bytes(16, "big"), width, height, size, mtime)


def linked(*edges):
    """Contents that are near each other, from pairs of their numbers."""
    near = {}
    for a, b in edges:
        for x, y in ((a, b), (b, a)):
            near.setdefault(x.to_bytes(16, "big"), {})[y.to_bytes(16, "big")] = (0.97, 5)
    return near


def shape(found):
    return [(group.kept.id, [other.id for other in group.others]) for group in found]


def test_a_chain_never_loses_its_end_to_its_start():
    five = [picture(n, size=100 - n) for n in range(5)]
    assert shape(groups(five, linked((0, 1), (1, 2), (2, 3), (3, 4)), Keep())) == [(0, [1]), (2, [3])]


def test_identical_files_and_near_ones_are_one_group():
    same = [picture(1, content=7, mtime=5), picture(2, content=7, mtime=4), picture(3, size=90), picture(4)]
    (group,) = groups(same, linked((7, 3)), Keep())
    assert (group.kept.id, [(p.id, p.identical, p.bits) for p in group.others]) == (
        2,
        [(1, True, 0), (3, False, 5)],
    )


@pytest.mark.parametrize(
    ("rule", "kept"),
    [("largest", 1), ("oldest", 2), ("newest", 3), ("folder:/q", 4), ("folder:/q/", 4), ("folder:/none", 1)],
)
def test_which_is_kept(rule, kept):
    four = [
        picture(1, width=20, mtime=50),
        picture(2, mtime=10),
        picture(3, mtime=90),
        picture(4, width=2, mtime=50, folder=b"/q"),
    ]
    near = linked((1, 2), (1, 3), (1, 4), (2, 3), (2, 4), (3, 4))
    (group,) = groups(four, near, Keep(rule))
    assert group.kept.id == kept and len(group.others) == 3


def test_of_equal_pixels_the_most_bytes_then_the_older_is_kept():
    near = linked((1, 2), (1, 3), (2, 3))
    (group,) = groups([picture(1, size=5), picture(2, size=6, mtime=9), picture(3, size=6, mtime=8)], near, Keep())
    assert (group.kept.id, [p.id for p in group.others]) == (3, [2, 1])


@pytest.mark.parametrize("rule", ["best", "folder:", "folder", ""])
def test_a_rule_that_there_is_not(rule):
    with pytest.raises(QueryError, match="largest, oldest, newest or folder:PATH"):
        Keep(rule)


@settings(max_examples=60, deadline=None)
@given(st.sets(st.tuples(st.integers(0, 11), st.integers(0, 11)).filter(lambda e: e[0] < e[1])), st.data())
def test_whatever_is_near_each_is_in_one_group_and_near_the_one_that_is_kept(edges, data):
    sizes = data.draw(st.lists(st.integers(1, 3), min_size=12, max_size=12))
    contents = data.draw(st.lists(st.integers(0, 11), min_size=12, max_size=12))
    pictures = [picture(n, content=c, size=s) for n, (c, s) in enumerate(zip(contents, sizes, strict=True))]
    there = {(a, b) for a, b in edges if {a, b} <= set(contents)}
    found = groups(pictures, linked(*there), Keep())
    members = [p.id for group in found for p in (group.kept, *group.others)]
    assert len(members) == len(set(members))
    for group in found:
        for other in group.others:
            pair = tuple(sorted((contents[group.kept.id], contents[other.id])))
            assert pair[0] == pair[1] or pair in there
            assert Keep().order(group.kept) <= Keep().order(other)
    left = [n for n in range(12) if n not in members]
    assert not any(contents[a] == contents[b] for a in left for b in left if a < b), "no identical files are left over"


# Perceptual hashes


def hashed(image):
    return hashes.of(fit(image, hashes.SPEC))


@pytest.mark.parametrize("change", calibrate.CHANGES, ids=lambda change: change.__name__)
def test_changed_pictures_keep_their_hash_and_others_have_another(change):
    originals = [drawn(seed) for seed in range(12)]
    bits = [hashed(image) for image in originals]
    changed = [hashed(change(image)) for image in originals]
    apart = np.array([[hashes.differing(a, b) for b in changed] for a in bits])
    assert (np.diag(apart) <= hashes.MOST_BITS).all()
    assert apart[~np.eye(12, dtype=bool)].min() > hashes.MOST_BITS
    assert apart[0, 1] == hashes.differing(changed[1], bits[0]), "the order does not matter"


def test_a_crop_at_one_corner_is_recognised():
    image = drawn(3)
    corner = image.crop((16, 12, 320, 240))
    assert hashes.differing(hashed(image), hashed(corner)) <= hashes.MOST_BITS
    assert (hashed(image).bits[0] != hashed(corner).bits[0]).sum() > hashes.MOST_BITS, "which takes the hashes of crops"


def turned(image, degrees):
    """Every hue turned; greys stay."""
    hsv = np.array(image.convert("HSV"))
    hsv[..., 0] = (hsv[..., 0].astype(int) + degrees * 256 // 360) % 256
    return Image.fromarray(hsv, "HSV").convert("RGB")


def on_white(image, share):
    """A product that fills a share of the width and height of a white picture."""
    white = Image.new("RGB", image.size, "white")
    small = image.resize((round(image.width * share), round(image.height * share)))
    white.paste(small, ((image.width - small.width) // 2, (image.height - small.height) // 2))
    return white


@pytest.mark.parametrize("share", [1.0, 0.6, 0.35])
@pytest.mark.parametrize("degrees", [60, 120, 180, 300])
def test_the_same_picture_in_other_colours_is_another(degrees, share):
    for seed in range(8):
        image = on_white(drawn(seed), share)
        assert not hashes.same_colours(hashed(image), hashed(on_white(turned(drawn(seed), degrees), share)))
        for change in calibrate.CHANGES:
            assert hashes.same_colours(hashed(image), hashed(change(image)))


def test_grey_pictures_have_the_same_colours():
    grey = drawn(2).convert("L").convert("RGB")
    for change in (*calibrate.CHANGES, lambda image: image.resize((90, 60))):
        assert hashes.same_colours(hashed(grey), hashed(change(grey)))


def test_the_distance_of_colours_is_that_of_a_plain_loop():
    rng = np.random.default_rng(7)
    a, b = rng.normal(0, 40, (256, 2)), rng.normal(0, 40, (3, 256, 2))
    expected = []
    for other in b:
        cells = [(np.hypot(*(p - q)), max(np.hypot(*p), np.hypot(*q))) for p, q in zip(a, other, strict=True)]
        cells = sorted(cells, reverse=True)[:16]
        expected.append(sum(d for d, _ in cells) / sum(c + 8 for _, c in cells))
    assert colours.distance(a.astype(np.float32), b.astype(np.float32)) == pytest.approx(min(expected), rel=1e-4)
    red = np.asarray(colours.of(Image.new("RGB", (128, 128), (255, 0, 0))))
    truth = np.array(Image.new("RGB", (1, 1), (255, 0, 0)).convert("YCbCr"))[0, 0, 1:] - 128.0
    assert np.abs(red - truth).max() < 1


# The threshold


def test_the_threshold_is_the_quantile_of_cosines_with_changed_pictures(tmp_path):
    folder = draw(tmp_path / "photos", 10)
    encoder = load_encoder("toy")
    with vsearch.create(tmp_path / "x.vsearch", encoder="toy") as index:
        index.add(vsearch.folder(folder))
        with index.store.snapshot() as snapshot:
            found, words = calibrate.threshold(snapshot, encoder, snapshot.kept_ids())
    cosines = []
    for seed in range(10):
        (original,) = encoder.encode_images(fit(drawn(seed), encoder.preprocess)[None])
        for change in calibrate.CHANGES:
            (changed,) = encoder.encode_images(fit(change(drawn(seed)), encoder.preprocess)[None])
            cosines.append(float(original @ changed))
    assert found == pytest.approx(min(cosines), abs=2e-3)
    assert "10 pictures" in words


def test_with_too_few_readable_pictures_the_threshold_is_a_stated_one(tmp_path, index, photos):
    shutil.rmtree(photos)
    plan = index.duplicates()
    assert plan.threshold == calibrate.FALLBACK and "too few pictures" in plan.origin


def test_vectors_made_elsewhere_get_the_stated_threshold_too(tmp_path):
    folder = draw(tmp_path / "photos", 9)
    drawn(1).resize((160, 120)).save(folder / "small.png")
    uris = sorted(folder.iterdir())
    rows = np.eye(10, 12) + 1e-3
    rows[9] = rows[1]
    with vsearch.create(tmp_path / "x.vsearch", encoder="external:mine:12") as index:
        index.add_vectors(uris, rows)
        plan = index.duplicates()
    assert plan.threshold == calibrate.FALLBACK and "embedded here" in plan.origin
    assert [{p.path.name for p in (g.kept, *g.others)} for g in plan.groups] == [{"01.png", "small.png"}]


# The whole way


@pytest.fixture(scope="module")
def changed(tmp_path_factory):
    """Ten drawn pictures; number 0 also identical, 1 to 4 also changed, 5 turned on its head; and a broken file."""
    folder = draw(tmp_path_factory.mktemp("dups") / "photos", 10)
    shutil.copy(folder / "00.png", folder / "00-again.png")
    for number, change in enumerate(calibrate.CHANGES, 1):
        change(drawn(number)).save(folder / f"{number:02d}-{change.__name__}.png")
    drawn(5).rotate(180).save(folder / "05-turned.png")
    (folder / "broken.jpg").write_text("no picture")
    with vsearch.create(folder.parent / "photos.vsearch", encoder="toy") as index:
        index.add(vsearch.folder(folder))
    return folder


def test_variants_of_a_picture_in_other_colours_are_no_duplicates(tmp_path):
    folder = draw(tmp_path / "photos", 8)
    for degrees in (60, 120, 180):
        turned(drawn(3), degrees).save(folder / f"03-{degrees}.png")
    drawn(3).resize((160, 120)).save(folder / "03-half.png")
    with vsearch.create(tmp_path / "x.vsearch", encoder="toy") as index:
        index.add(vsearch.folder(folder))
        assert names(index.duplicates(threshold=0.3)) == {"03.png": ["03-half.png"]}


def names(plan):
    return {group.kept.path.name: sorted(p.path.name for p in group.others) for group in plan.groups}


def test_changed_pictures_are_found_and_others_are_not(changed):
    with vsearch.open(changed.parent / "photos.vsearch") as index:
        plan = index.duplicates()
    found = names(plan)
    sets = {frozenset([kept, *others]) for kept, others in found.items()}
    assert sets == {
        frozenset(s)
        for s in (
            ["00.png", "00-again.png"],
            ["01.png", "01-half.png"],
            ["02.png", "02-recompressed.png"],
            ["03.png", "03-cropped.png"],
            ["04.png", "04-brightened.png"],
        )
    }
    assert found["01.png"] == ["01-half.png"] and found["03.png"] == ["03-cropped.png"], "the largest is kept"
    assert (plan.pictures, plan.others, plan.unread) == (16, 5, 0)


def test_copies_that_were_changed_in_different_ways_are_one_group(tmp_path):
    folder = draw(tmp_path / "photos", 10)
    image = drawn(9)
    for change in calibrate.CHANGES:
        change(image).save(folder / f"09-{change.__name__}.png")
    image.crop((16, 12, 320, 240)).save(folder / "09-corner.png")
    centre, corner = (hashed(picture) for picture in (calibrate.cropped(image), image.crop((16, 12, 320, 240))))
    assert hashes.MOST_BITS < hashes.differing(centre, corner) <= hashes.MOST_BITS_APART
    with vsearch.create(tmp_path / "x.vsearch", encoder="toy") as index:
        index.add(vsearch.folder(folder))
        for keep in ("largest", "newest", "oldest"):
            (group,) = index.duplicates(keep=keep).groups
            assert len(group.others) == 5


def test_identical_files_alone_need_no_picture(changed, tmp_path):
    shutil.copytree(changed.parent / "photos.vsearch", tmp_path / "x.vsearch")
    with vsearch.open(tmp_path / "x.vsearch", write=True) as index:
        plan = index.duplicates(near=False)
        assert [len(group.others) for group in plan.groups] == [1] and plan.groups[0].others[0].identical
        assert plan.threshold is None


def test_the_faiss_index_finds_the_same(tmp_path):
    rng = np.random.default_rng(6)
    folder = draw(tmp_path / "photos", 10)
    drawn(1).resize((160, 120)).save(folder / "small.png")
    with vsearch.create(tmp_path / "x.vsearch", encoder="toy") as index:
        index.add(vsearch.folder(folder))
        many = rng.normal(size=(4000, 64))
        index.add_vectors([f"v{n}" for n in range(4000)], many)
        exact = index.duplicates(threshold=0.95)
        index.build("ivf-sq8", recall=0.9)
        assert index.info()["index"] != "exact"
        assert names(index.duplicates(threshold=0.95)) == names(exact) == {"01.png": ["small.png"]}


def test_pictures_that_cannot_be_read_are_counted_and_in_no_group(changed, tmp_path):
    shutil.copytree(changed, tmp_path / "photos")
    with vsearch.create(tmp_path / "x.vsearch", encoder="toy") as index:
        index.add(vsearch.folder(tmp_path / "photos"))
        (tmp_path / "photos/01-half.png").write_text("now broken")
        plan = index.duplicates(threshold=0.95)
    assert plan.unread == 1 and "01.png" not in names(plan)


def test_an_empty_index_and_values_out_of_range(tmp_path, index):
    with vsearch.create(tmp_path / "empty.vsearch", encoder="toy") as empty:
        assert empty.duplicates().groups == ()
    with pytest.raises(QueryError, match="threshold"):
        index.duplicates(threshold=2)
    with pytest.raises(QueryError, match="no rule 'x'"):
        index.duplicates(keep="x")


# The program


def test_dups_golden_and_the_pictures_are_as_before(changed):
    here = changed.parent
    before = tree(changed)
    code, out, err = run("dups", "--identical", cwd=here)
    assert (code, err) == (0, "vsearch: 1 of 16 pictures of photos.vsearch are duplicates, in 1 groups\n")
    size = f"{(changed / '00.png').stat().st_size:,}"
    kept, other = sorted(("00.png", "00-again.png"), key=lambda name: ((changed / name).stat().st_mtime_ns, name))
    assert [line.split() for line in out.splitlines()[2:]] == [
        ["keep", "320x240", size, f"photos/{kept}"],
        ["same", "bytes", "320x240", size, f"photos/{other}"],
    ]
    code, out, err = run("dups", "--json", "--keep", "newest", cwd=here)
    groups = list(map(json.loads, out.splitlines()))
    assert (code, len(groups)) == (0, 5)
    assert list(groups[0]) == ["keep", "others"]
    assert list(groups[0]["keep"]) == ["id", "uri", "path", "width", "height", "size"]
    assert list(groups[0]["others"][0])[-3:] == ["identical", "score", "bits"]
    assert "measured with 15 pictures of the collection" in err
    assert tree(changed) == before


def test_no_duplicates_is_exit_1(tmp_path, photos):
    run("index", "photos", "--encoder", "toy", cwd=tmp_path)
    code, out, err = run("dups", "--identical", cwd=tmp_path)
    assert (code, out) == (1, "") and "0 of 6 pictures" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--apply"], "--apply and --move-to FOLDER belong together"),
        (["--move-to", "x"], "--apply and --move-to FOLDER belong together"),
        (["--keep", "best"], "no rule 'best'"),
        (["--threshold", "3"], "--threshold"),
        (["--undo", "none.jsonl"], "no journal of moved pictures"),
        (["--apply", "--move-to", "photos/sub", "--identical"], "whose pictures are indexed"),
        (["--apply", "--move-to", "photos.vsearch/x", "--identical"], "lies in the index"),
        (["--apply", "--move-to", "no/such/folder", "--identical"], "whose parent is there"),
    ],
)
def test_bad_use_of_dups(tmp_path, photos, words, message):
    shutil.copy(photos / "red.png", photos / "again.png")
    run("index", "photos", "--encoder", "toy", cwd=tmp_path)
    before = tree(photos)
    code, out, err = run("dups", *words, cwd=tmp_path)
    assert (code, out) == (2, "") and message in err
    assert tree(photos) == before
