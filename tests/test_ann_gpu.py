"""Batches on a GPU, where there is one: the same answers as without, and no way around what it cannot do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import vsearch
from tests.gapped_space import COUNT, DIM, space
from vsearch.ann import gpu
from vsearch.ann.library import faiss
from vsearch.errors import MemoryBudgetTooSmall


@pytest.fixture(scope="module")
def lists():
    index = faiss().index_factory(DIM, "IVF32,SQfp16", faiss().METRIC_INNER_PRODUCT)
    index.train(space().images)
    index.add(space().images)
    return index


def test_without_a_gpu_and_for_few_queries_the_index_is_asked_itself(lists):
    xq = space().queries["text"]
    assert gpu.GpuCopy().search(lists, xq[: gpu.FEWEST - 1], 10, 8) is None
    if not faiss().get_num_gpus():
        assert gpu.GpuCopy().search(lists, xq, 10, 8) is None


@pytest.mark.gpu
@pytest.mark.skipif("not __import__('faiss').get_num_gpus()", reason="there is no GPU")
def test_a_gpu_finds_what_the_cpu_finds(lists):
    xq = space().queries["text"]
    found = gpu.GpuCopy().search(lists, xq, 10, 8)
    exact = lists.search(xq, 10, params=faiss().SearchParametersIVF(nprobe=8))[1]
    scores = [np.sort(np.einsum("qkd,qd->qk", space().images[ids], xq), axis=1) for ids in (found, exact)]
    np.testing.assert_allclose(*scores, atol=2e-3)
    assert COUNT == lists.ntotal


@pytest.mark.gpu
@pytest.mark.skipif("not __import__('faiss').get_num_gpus()", reason="there is no GPU")
def test_a_kind_without_a_form_on_the_gpu_is_left_where_it_is():
    index = faiss().index_factory(DIM, "IVF32,PQ16x4fs", faiss().METRIC_INNER_PRODUCT)
    index.train(space().images)
    index.add(space().images)
    assert gpu.GpuCopy().search(index, space().queries["text"], 10, 8) is None


@pytest.mark.parametrize("gpus", [0, 1])
def test_a_build_of_a_kind_for_gpus_says_when_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpus: int):
    """Once, also when it then fails; kinds for the CPU say nothing of it."""
    monkeypatch.setattr(faiss(), "get_num_gpus", lambda: gpus)
    notices: list[str] = []
    with vsearch.create(tmp_path / "x.vsearch", "external:e:8", on_notice=notices.append) as index:
        index.add_vectors([f"u{n}" for n in range(4)], np.eye(4, 8, dtype=np.float32))
        for recipe in ("gpu-ivf-fp16", "ivf-sq8"):
            with pytest.raises(MemoryBudgetTooSmall):
                index.build(recipe, memory=1)
    told = [notice for notice in notices if "GPU" in notice]
    line = "no GPU that FAISS can use is here: gpu-ivf-fp16 is built and searched on the CPU instead"
    assert told == ([] if gpus else [line])
