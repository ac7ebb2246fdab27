"""Patches kept with an index: the same as those of the pictures, found by content, and never believed when damaged."""

import numpy as np
import pytest
import torch
from forked import run
from PIL import Image

import vsearch
from vsearch.embed.patches import MiniPatches
from vsearch.rerank import Reranker, drop_patches, known_patches, save_matcher, store_patches
from vsearch.rerank.model import Matcher, MatcherConfig
from vsearch.rerank.reranker import read_patches
from vsearch.store.check import check

TOWERS = MiniPatches()
SHADES = ((200, 30, 30), (60, 140, 50), (50, 90, 190), (20, 20, 20))


@pytest.fixture
def photos(tmp_path):
    (tmp_path / "photos").mkdir()
    for number, shade in enumerate(SHADES):
        Image.new("RGB", (40, 30), shade).save(tmp_path / "photos" / f"{number}.png")
    return tmp_path / "photos"


@pytest.fixture
def index(photos):
    with vsearch.create(photos.parent / "x.vsearch", encoder="toy") as made:
        made.add(vsearch.folder(photos))
        yield made


@pytest.fixture
def reranker():
    torch.manual_seed(0)
    return Reranker(Matcher(MatcherConfig("mini", 81, 363, 384, width=32)).eval(), TOWERS)


def file_of(index):
    (path,) = (index.store.layout.root / "spaces").glob("*/derived/patches-*")
    return path


def spoil(path, at):
    raw = bytearray(path.read_bytes())
    raw[at] ^= 1
    path.write_bytes(raw)


def test_stored_patches_are_those_of_the_pictures(index):
    told = []
    assert store_patches(index.store, TOWERS, lambda *of: told.append(of)) == (4, []) and told == [(4, 4)]
    hits = index.search("red", k=4)
    known = known_patches(index.store, TOWERS, [hit.id for hit in hits] + [99])
    assert known.keys() == {hit.id for hit in hits}
    with index.store.snapshot() as snapshot:
        hits = sorted(hits, key=lambda hit: snapshot.record(hit.id).content)
    # Read in one batch and in the order of the file: other batches differ in the last bit, which a rounding can show.
    fresh = read_patches([hit.raw_path for hit in hits], TOWERS)[0]
    for row, hit in enumerate(hits):
        np.testing.assert_array_equal(known[hit.id].codes[0], fresh.codes[row])
        np.testing.assert_array_equal(known[hit.id].scales[0], fresh.scales[row])


def test_hits_are_put_in_the_same_order_without_their_pictures(index, photos, reranker):
    hits = index.search("red", k=4)
    usual = reranker.rerank("a red thing", hits)
    store_patches(index.store, TOWERS)
    (photos / "0.png").unlink()
    (photos / "2.png").unlink()
    known = known_patches(index.store, TOWERS, [hit.id for hit in hits])
    assert reranker.rerank("a red thing", hits, known=known) == usual
    gone = {hit.id for hit in hits if hit.path.stem in "02"}
    half = {id: tokens for id, tokens in known.items() if id not in gone}
    told = [hit.id for hit in reranker.rerank("a red thing", hits, known=half)]
    assert told[:2] == [hit.id for hit in usual if hit.id not in gone] and set(told[2:]) == gone


def test_what_is_stored_is_taken_over_and_new_pictures_are_added(index, photos):
    store_patches(index.store, TOWERS)
    before = known_patches(index.store, TOWERS, range(9))
    Image.new("RGB", (40, 30), (245, 245, 245)).save(photos / "new.png")
    index.add(vsearch.folder(photos))
    for number in range(4):
        (photos / f"{number}.png").unlink()  # could not be read again
    assert store_patches(index.store, TOWERS) == (5, [])
    after = known_patches(index.store, TOWERS, range(9))
    assert len(after) == 5
    for id, tokens in before.items():
        np.testing.assert_array_equal(after[id].codes, tokens.codes)
    assert file_of(index).stat().st_size == 5 * (81 * 367 + 4 + 16) + 28


def test_a_picture_that_cannot_be_read_is_told(index, photos):
    (photos / "1.png").unlink()
    count, failures = store_patches(index.store, TOWERS)
    assert count == 3 and [failure.path for failure in failures] == [bytes(photos / "1.png")]
    assert len(known_patches(index.store, TOWERS, range(9))) == 3


def test_damage_costs_what_is_damaged_and_is_found(index):
    store_patches(index.store, TOWERS)
    assert not check(index.store).problems
    path, row = file_of(index), 81 * 367 + 4
    whole = path.read_bytes()
    for at in (0, row - 1):
        path.write_bytes(whole)
        spoil(path, at)
        assert len(known_patches(index.store, TOWERS, range(9))) == 3
    for at in (4 * row, len(whole) - 1, len(whole) - 20):
        path.write_bytes(whole)
        spoil(path, at)
        assert known_patches(index.store, TOWERS, range(9)) == {}
    assert check(index.store).bad_derived
    for length in (0, 10, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert known_patches(index.store, TOWERS, range(9)) == {}
    assert store_patches(index.store, TOWERS) == (4, []) and not check(index.store).problems


def test_patches_are_dropped(index):
    store_patches(index.store, TOWERS)
    path = file_of(index)
    drop_patches(index.store, TOWERS)
    assert not path.exists() and known_patches(index.store, TOWERS, range(9)) == {}


def test_an_index_without_pictures_keeps_none(tmp_path):
    with vsearch.create(tmp_path / "x.vsearch", encoder="toy") as index:
        assert store_patches(index.store, TOWERS) == (0, [])
        assert known_patches(index.store, TOWERS, [0]) == {}


def test_a_query_needs_no_pictures_after_store_patches(tmp_path, photos, index, reranker):
    save_matcher(reranker.model, tmp_path / "m")
    usual = [hit.path.name for hit in reranker.rerank("a red thing", index.search("a red thing", k=4))]
    index.close()
    code, out, _ = run("store-patches", "m", "--index", "x.vsearch", cwd=tmp_path)
    assert code == 0 and out == "patches of 4 pictures are kept with x.vsearch\n"
    for picture in photos.iterdir():
        picture.unlink()
    code, out, _ = run("query", "a red thing", "--index", "x.vsearch", "--rerank", "m", "--paths", cwd=tmp_path)
    assert code == 0 and [line.rpartition("/")[2] for line in out.splitlines()] == usual
