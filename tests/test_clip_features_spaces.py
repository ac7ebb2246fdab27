"""From ``mini`` to every family of CLIP and back: pictures embedded anew, and what answers."""

import shutil

import numpy as np
import pytest
from clip_truth import KINDS, Truth, close

import vsearch
from vsearch.embed import load_encoder
from vsearch.search import Request

pytestmark = pytest.mark.usefixtures("float32")

CAPTIONS = [f"number {number} of the {name} things" for number, name in enumerate("abcdefgh")]
WORDS = ("a red thing", "night", "green")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder of eight pictures, and a closed index of it, made with ``mini``; to be copied."""
    from PIL import Image

    place = tmp_path_factory.mktemp("made")
    (place / "pictures").mkdir()
    for number, grain in enumerate(np.random.default_rng(3).integers(0, 256, (8, 6, 6, 3), dtype=np.uint8)):
        Image.fromarray(grain).resize((60, 60)).save(place / "pictures" / f"{number}.png")
        (place / "pictures" / f"{number}.txt").write_text(CAPTIONS[number])
    with vsearch.create(place / "x.vsearch", encoder="mini") as index:
        assert index.add(vsearch.folder(place / "pictures")).added == 8
    return place


def stored(index) -> tuple[list[str], np.ndarray]:
    """Names of the pictures, sorted, and their vectors in the space that answers."""
    with index.store.snapshot() as snapshot:
        paths = {record.path: id for id, record in snapshot.items()}
        return sorted(map(bytes.decode, paths)), np.concatenate(
            [snapshot.vectors(np.array([paths[path]])) for path in sorted(paths)]
        )


def answers(index):
    """Ids and scores of the pictures that words find, and the captions that they find, with their scores."""
    pictures = [[(hit.id, hit.score) for hit in index.search(text, k=8)] for text in WORDS]
    captions = [{hit.caption: hit.score for hit in index.search(text, k=8, target="captions")} for text in WORDS]
    return pictures, captions


@pytest.mark.parametrize("family", KINDS)
def test_an_index_goes_from_mini_to_clip_and_back(family, clip_models, made, tmp_path):
    shutil.copytree(made / "x.vsearch", tmp_path / "x.vsearch")
    with vsearch.open(tmp_path / "x.vsearch", write=True) as index:
        before, first = answers(index), stored(index)
        report = index.change_encoder(str(clip_models[family]))
        assert report.embedded == 8 and index.encoder_info.name == f"local-dir:{clip_models[family]}"
        paths, rows = stored(index)
        truth = Truth(clip_models[family], paths)
        close(rows, truth.xi)
        for xq, pictures, captions in zip(truth.texts(WORDS), *answers(index), strict=True):
            np.testing.assert_allclose([score for _, score in pictures], np.sort(truth.xi @ xq)[::-1], atol=2e-3)
            np.testing.assert_allclose([captions[text] for text in CAPTIONS], truth.texts(CAPTIONS) @ xq, atol=2e-3)
        assert index.use_space("mini").embedded == 0
        assert answers(index) == before
        np.testing.assert_array_equal(stored(index)[1], first[1])
        # and there again: nothing is embedded twice, and the index opens with it
        assert index.use_space(f"local-dir:{clip_models[family]}").embedded == 0
    with vsearch.open(tmp_path / "x.vsearch") as index:
        np.testing.assert_array_equal(stored(index)[1], rows)


def test_an_index_of_clip_goes_to_mini(clip_models, made, tmp_path):
    with vsearch.create(tmp_path / "x.vsearch", encoder=str(clip_models["SigLIP"])) as index:
        index.add(vsearch.folder(made / "pictures"))
        index.change_encoder("mini")
        with vsearch.open(made / "x.vsearch") as other:
            np.testing.assert_allclose(stored(index)[1], stored(other)[1], atol=1e-3)


def test_captions_for_a_query_from_before_the_change_are_those_of_its_own_space(clip_models, made, tmp_path):
    shutil.copytree(made / "x.vsearch", tmp_path / "x.vsearch")
    with vsearch.open(tmp_path / "x.vsearch", write=True) as index:
        xq, space = index._searcher.vector(Request("night"))
        index.change_encoder(str(clip_models["CLIP"]))
        late = {hit.caption: hit.score for hit in index._captions(xq, space, 8)}
    rows = load_encoder("mini").encode_texts(CAPTIONS)
    np.testing.assert_allclose([late[text] for text in CAPTIONS], rows @ xq[0], atol=2e-3)
    # and what was embedded for it is not taken for vectors of the space that answers now
    with vsearch.open(tmp_path / "x.vsearch") as index:
        truth = Truth(clip_models["CLIP"], stored(index)[0])
        found = {hit.caption: hit.score for hit in index.search("night", k=8, target="captions")}
    np.testing.assert_allclose(
        [found[text] for text in CAPTIONS], truth.texts(CAPTIONS) @ truth.texts(["night"])[0], atol=2e-3
    )
