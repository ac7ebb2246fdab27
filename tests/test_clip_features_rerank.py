"""A re-ranker over the towers of every family of CLIP: trained, kept, loaded, and used with stored patches."""

import numpy as np
import pytest
from clip_families import FAMILIES
from PIL import Image

import vsearch
from vsearch.decode import decode_one
from vsearch.embed.patches import load_patches
from vsearch.evaluate import read_pairs
from vsearch.rerank import MatchTraining, Reranker, fit_reranker, known_patches, save_matcher, store_patches
from vsearch.rerank import fit as fitting
from vsearch.rerank.tokens import Tokens
from vsearch.sources import source_for

pytestmark = pytest.mark.usefixtures("float32")


@pytest.fixture(scope="module")
def composed(tmp_path_factory):
    """Twelve pictures of two colours with two captions each, and a table of them."""
    place = tmp_path_factory.mktemp("composed")
    names = {"red": (255, 0, 0), "green": (0, 160, 0), "blue": (0, 0, 255), "white": (255, 255, 255)}
    lines = ["filepath\ttitle"]
    for n, (left, right) in enumerate((a, b) for a in names for b in names if a != b):
        picture = Image.new("RGB", (40, 40), names[left])
        picture.paste(names[right], (20, 0, 40, 40))
        picture.save(place / f"{n:02}.png")
        lines += [f"{n:02}.png\t{left} beside {right}", f"{n:02}.png\t{right} on the right of {left}"]
    (place / "pairs.tsv").write_text("\n".join(lines) + "\n")
    return place


@pytest.mark.parametrize("family", FAMILIES)
def test_a_reranker_is_trained_kept_loaded_and_used(family, clip_models, composed, tmp_path):
    pairs = read_pairs(source_for(str(composed / "pairs.tsv")))
    reranker = fit_reranker(pairs, str(clip_models[family]), MatchTraining(epochs=1, nearest=4))
    assert reranker.model.config.base == f"local-dir:{clip_models[family]}"
    save_matcher(reranker.model, tmp_path / "matcher")
    loaded = Reranker.load(tmp_path / "matcher")
    assert loaded.digest == reranker.digest
    with vsearch.create(tmp_path / "x.vsearch", encoder="toy") as index:
        index.add(vsearch.folder(composed))
        hits = index.search("red beside blue", k=12)
        fresh = loaded.rerank("red beside blue", hits)
        assert sorted(hit.id for hit in fresh) == sorted(hit.id for hit in hits)
        assert store_patches(index.store, loaded.towers) == (12, [])
        known = known_patches(index.store, loaded.towers, [hit.id for hit in hits])
        assert len(known) == 12
        stored = loaded.rerank(
            "red beside blue",
            hits,
            known=known,
            read=lambda paths: (Tokens.joined([]), []) if not paths else pytest.fail("read"),
        )
    assert [hit.id for hit in stored] == [hit.id for hit in fresh]
    patches = known[hits[0].id].widen()
    own = loaded.towers.encode_patches(pixels_of(hits[0].raw_path, loaded.towers)[None])
    assert np.abs(patches - own).max() <= np.abs(own).max() / 254 + 1e-5  # int8 with a scale


def pixels_of(path, towers):
    return decode_one(path, towers.preprocess).pixels


def test_a_text_is_embedded_once_however_many_pictures_it_is_compared_with(clip_models, composed, monkeypatch):
    pairs = read_pairs(source_for(str(composed / "pairs.tsv")))
    reranker = fit_reranker(pairs, str(clip_models["CLIP"]), MatchTraining(epochs=1, nearest=4))
    patches = fitting.read_patches(pairs.paths, reranker.towers)[0]
    texts = ["red beside blue", "a dog", "red beside blue"] * 4
    alone = np.concatenate([reranker.score(patches[[n]], [text]) for n, text in enumerate(texts)])
    asked = []
    encode = reranker.towers.encode_tokens
    monkeypatch.setattr(reranker.towers, "encode_tokens", lambda t: asked.append(t) or encode(t))
    np.testing.assert_allclose(reranker.score(patches, texts), alone, atol=1e-5)
    assert asked == [["red beside blue", "a dog"]]


def test_captions_are_read_in_parts(clip_models, composed, monkeypatch):
    pairs = read_pairs(source_for(str(composed / "pairs.tsv")))
    towers = load_patches(str(clip_models["CLIP"]))
    at_once = fitting.read_examples(pairs, towers)
    monkeypatch.setattr(fitting, "CAPTIONS", 5)
    in_parts = fitting.read_examples(pairs, towers)
    np.testing.assert_array_equal(in_parts.there, at_once.there)
    np.testing.assert_allclose(in_parts.tokens.astype(np.float32), at_once.tokens.astype(np.float32), atol=2e-3)
    np.testing.assert_allclose(in_parts.vectors, at_once.vectors, atol=1e-5)
