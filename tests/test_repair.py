"""P20: ``check`` names what is wrong, and ``repair`` mends what can be mended."""

from __future__ import annotations

import os

import numpy as np
import pytest

import vsearch
from vsearch.store.batch import path_key
from vsearch.store.records import id_key


def segment_of(index):
    return next((index.path / "spaces").glob("*/vectors/*.f16"))


def flip(path, at):
    raw = bytearray(path.read_bytes())
    raw[at] ^= 0x10
    path.write_bytes(raw)


def answers(index):
    return {h.path.name: round(h.score, 3) for h in index.search("red", k=10)}


def test_P20_damaged_rows_are_named_and_embedded_again_from_their_pictures(photos, index):
    before = answers(index)
    victim = index.search("red", k=1)[0]
    path = segment_of(index)
    index.close()
    flip(path, 64 + victim.id * 128 + 5)
    with vsearch.open(index.path, write=True) as opened:
        report = opened.check()
        assert [str(victim.id) in p and path.name in p for p in report.problems] == [True]
        with pytest.raises(vsearch.VsearchError, match=rf"ids {victim.id}\); embed just those again"):
            opened.search("red")
        assert any("1 damaged" in action for action in opened.repair().actions)
        assert opened.check().problems == ()
        assert answers(opened) == before
        assert opened.repair().actions == ()


def test_P20_a_cut_off_segment_loses_only_what_was_cut_and_gets_it_back(photos, index):
    before = answers(index)
    path = segment_of(index)
    index.close()
    os.truncate(path, 64 + 3 * 128 + 11)
    (photos / "green.png").unlink()
    with vsearch.open(index.path, write=True) as opened:
        assert "cut off" in " ".join(opened.check().problems)
        opened.repair()
        assert opened.check().problems == ()
        after = answers(opened)
    kept = {name for name in before if name != "green.png"}
    assert {name: before[name] for name in kept} == {n: s for n, s in after.items() if n in kept}


def test_P20_a_cut_off_compacted_segment_is_mended_too(photos, index):
    index.remove([0])
    index.compact()
    before = answers(index)
    path = segment_of(index)
    index.close()
    os.truncate(path, 64 + 2 * 128)
    with vsearch.open(index.path, write=True) as opened:
        assert opened.check().problems
        opened.repair()
        assert opened.check().problems == ()
        assert answers(opened) == before


def test_P20_lists_that_disagree_with_the_records_are_made_again(photos, index):
    before = answers(index)
    store = index._store
    with store._env.write() as txn:
        txn.delete(path_key(os.fsencode(photos / "red.png")), db=store._env.tables[b"path"])
        txn.put(bytes(16), id_key(3), db=store._env.tables[b"content"])
        txn.delete((0).to_bytes(4, "big"), db=store._env.tables[b"live"])
    said = " ".join(index.check().problems)
    assert "paths" in said
    assert "content hashes" in said
    assert "live ids" in said
    assert index.repair().actions
    assert index.check().problems == ()
    assert answers(index) == before


def test_P20_a_damaged_record_is_dropped_and_the_next_run_adds_its_picture(photos, index):
    before = answers(index)
    store = index._store
    with store._env.write() as txn:
        raw = bytearray(txn.get(id_key(2), db=store._env.tables[b"item"]))
        raw[70] ^= 1
        txn.put(id_key(2), bytes(raw), db=store._env.tables[b"item"])
    assert "records of 1 pictures are damaged (first id 2)" in " ".join(index.check().problems)
    assert any("dropped 1" in action for action in index.repair().actions)
    assert index.check().problems == ()
    assert index.add(vsearch.folder(photos)).added == 1
    assert answers(index) == before


def test_P20_a_damaged_faiss_file_is_searched_around_and_built_again(tmp_path, photos):
    rng = np.random.default_rng(0)
    from PIL import Image

    for n in range(300):
        Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(photos / f"{n}.png")
    notices: list[str] = []
    with vsearch.create(tmp_path / "x.vsearch", encoder="toy") as index:
        index.add(vsearch.folder(photos))
        truth = [h.id for h in index.search("red", k=5)]
        index.build("ivf-pq")
    path = next((tmp_path / "x.vsearch").glob("spaces/*/ann/*/index.faiss"))
    flip(path, path.stat().st_size // 2)
    with vsearch.open(tmp_path / "x.vsearch", write=True, on_notice=notices.append) as opened:
        assert [h.id for h in opened.search("red", k=5)] == truth
        assert ["does not match its checksum" in n and "vsearch repair" in n for n in notices] == [True]
        assert "index.faiss" in opened.check().problems[0]
        assert any("built the FAISS index again" in action for action in opened.repair().actions)
        assert opened.check().problems == ()
        assert opened.info()["index"] == "ivf-pq"
