"""What vectors of pictures are made with is decided once, kept with the index, and told when it differs."""

import numpy as np
import pytest
import torch

import vsearch
from tests.small_clip import save_model
from vsearch.embed import precision
from vsearch.embed.openclip import OpenClip
from vsearch.embed.precision import place
from vsearch.errors import IndexCorrupt
from vsearch.index import open_index
from vsearch.types import MadeWith


@pytest.fixture
def alone(tmp_path, monkeypatch):
    """A machine on which nothing was decided yet, with bf16."""
    monkeypatch.setenv("VSEARCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)
    return monkeypatch


def networks():
    while True:
        network = torch.nn.Sequential()
        network.visual = torch.nn.Linear(8, 4)
        yield network


def placed(monkeypatch, fast, **options):
    """Where a network is placed when ``fast`` wins the race; None for no race."""
    network = next(networks())

    def race(network, towers, encode):
        assert fast is not None, "there is no race"
        told = {dtype: torch.ones(1, 4) for dtype in towers}
        return told, {dtype: 1.0 if dtype == fast else 2.0 for dtype in towers}

    monkeypatch.setattr(precision, "race", race)
    placement = place(network, torch.device("cpu"), lambda dtype: torch.ones(1, 4), **options)
    assert network.visual.weight.dtype == placement.dtype
    return placement.dtype


def test_a_race_is_run_once_for_some_weights_on_a_machine(alone):
    assert placed(alone, torch.bfloat16, key="a") == torch.bfloat16
    assert placed(alone, None, key="a") == torch.bfloat16
    assert placed(alone, torch.float32, key="b") == torch.float32
    assert placed(alone, None, key="b") == torch.float32


def test_what_decides_again_is_another_processor_or_another_torch(alone):
    assert placed(alone, torch.bfloat16, key="a") == torch.bfloat16
    alone.setattr(torch, "__version__", "0.0")
    assert placed(alone, torch.float32, key="a") == torch.float32
    alone.setattr(precision, "processor", lambda device: "another")
    assert placed(alone, torch.bfloat16, key="a") == torch.bfloat16


def test_what_an_index_was_made_with_goes_before_all(alone):
    here = precision.processor(torch.device("cpu"))
    assert placed(alone, None, key="a", before=MadeWith("bfloat16", here)) == torch.bfloat16
    assert placed(alone, None, key="a", before=MadeWith("float32", here)) == torch.float32
    assert placed(alone, torch.bfloat16, key="a", before=MadeWith("float32", "another")) == torch.bfloat16


def test_a_cache_of_rubbish_costs_a_race(alone, tmp_path):
    placed(alone, torch.bfloat16, key="a")
    (entry,) = (tmp_path / "cache" / precision.KIND).iterdir()
    entry.write_bytes(b"\xff rubbish")
    assert placed(alone, torch.float32, key="a") == torch.float32


@pytest.fixture
def clip(tmp_path, photos):
    """An index made with a small CLIP, closed."""
    name = f"local-dir:{save_model(tmp_path / 'model')}"
    with vsearch.create(tmp_path / "x.vsearch", encoder=name) as index:
        assert index.add(vsearch.folder(photos)).added == 6
    return tmp_path / "x.vsearch"


def test_the_index_says_what_its_vectors_were_made_with(clip):
    with open_index(clip) as index:
        (space,) = index.spaces()
        assert space.made_with == MadeWith("float32", precision.processor(torch.device("cpu")))


def test_the_same_machine_goes_on_as_it_began(clip, photos, monkeypatch):
    seen = []
    monkeypatch.setattr("vsearch.embed.clip.pictures.place", lambda *given: seen.append(given[-1]) or place(*given))
    (photos / "more.png").write_bytes((photos / "red.png").read_bytes() + b"\0")
    with open_index(clip, write=True) as index:
        index.add(vsearch.folder(photos))
        assert seen == [index.spaces()[0].made_with]


def test_another_machine_is_told_of(clip, photos, monkeypatch):
    monkeypatch.setattr(precision, "processor", lambda device: "a newer one")
    said = []
    (photos / "more.png").write_bytes((photos / "red.png").read_bytes() + b"\0")
    with open_index(clip, write=True, on_notice=said.append) as index:
        before = index.spaces()[0].made_with
        index.add(vsearch.folder(photos))
        assert index.spaces()[0].made_with == before, "the first ones count"
    (line,) = [line for line in said if "a newer one" in line]
    assert before.processor in line and "float32" in line


def test_encoders_that_have_one_precision_say_nothing(index):
    assert index.spaces()[0].made_with is None


def test_a_damaged_note_is_told(clip):
    with open_index(clip, write=True) as index:
        with index.store.edit() as (txn, tables):
            key = b"made/" + index.spaces()[0].name.encode()
            txn.put(key, b"rubbish", db=tables[b"state"])
        with pytest.raises(IndexCorrupt, match="what vectors were made with"):
            index.spaces()


def test_a_sentence_tries_no_pictures(clip, monkeypatch):
    monkeypatch.setattr("vsearch.embed.clip.pictures.place", lambda *_: pytest.fail("a trial of pictures"))
    with open_index(clip) as index:
        assert len(index.search("red")) == 6


def test_the_two_ways_to_embed_pictures_agree(tmp_path, photos):
    encoder = OpenClip(f"local-dir:{save_model(tmp_path / 'model')}")
    pixels = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    own = encoder.encode_images(pixels)
    whole = encoder.loaded.pictures.encode(pixels)
    whole /= np.linalg.norm(whole, axis=1, keepdims=True)
    np.testing.assert_allclose((own * whole).sum(axis=1), 1, atol=1e-5)
