"""torch.compile is kept where it is faster and makes the same vectors, and nowhere else.

The backends of these tests stand for a compiler: they are given what dynamo traced, and return what runs instead.
"""

import numpy as np
import pytest
import torch
from forked import run
from PIL import Image
from torch import nn

from vsearch.embed import load_encoder
from vsearch.embed.compiled import compile_where_it_pays
from vsearch.errors import EncoderError

ROWS = torch.from_numpy(np.random.default_rng(4).normal(size=(8, 16)).astype(np.float32))
TWICE = 400


class Roundabout(nn.Module):
    """Four times its rows, by a long way."""

    def forward(self, x):
        for _ in range(TWICE):
            x = x + 0.0
        return 4 * x


class Network:
    def __init__(self):
        self.visual = Roundabout()

    def encode(self):
        return self.visual(ROWS)


def compiler(answer):
    """A backend that replaces whatever it is given."""
    return lambda graph, inputs: lambda *args: (answer(next(a for a in args if isinstance(a, torch.Tensor))),)


def compiled(answer):
    network = Network()
    plain = network.visual
    told = compile_where_it_pays(network, network.encode, answer)
    return network, plain, told


@pytest.fixture(autouse=True)
def _forget():
    torch.compiler.reset()


def test_what_is_faster_and_the_same_is_kept():
    network, plain, told = compiled(compiler(lambda x: 4 * x))
    assert network.visual is not plain
    assert torch.equal(network.visual(ROWS[:3]), 4 * ROWS[:3])
    assert "times as fast, cosine 1.0000" in told
    assert "left" not in told


def test_what_is_faster_and_another_is_left():
    network, plain, told = compiled(compiler(lambda x: 4 * x + 1))
    assert network.visual is plain
    assert "left as it is" in told


def test_what_is_no_faster_is_left():
    def slow(x):
        for _ in range(3 * TWICE):
            x = x + 0.0
        return 4 * x

    network, plain, told = compiled(compiler(slow))
    assert network.visual is plain
    assert "left as it is" in told


def test_a_compiler_that_fails_is_told_and_nothing_changes():
    def broken(graph, inputs):
        raise RuntimeError("no compiler here")

    network, plain, told = compiled(broken)
    assert network.visual is plain
    assert torch.equal(network.encode(), 4 * ROWS)
    assert "not compiled" in told
    assert "no compiler here" in told


@pytest.mark.parametrize("name", ["mini", "mini:untrained", "toy"])
def test_what_open_clip_did_not_make_is_refused(name):
    with pytest.raises(EncoderError, match="--compile"):
        load_encoder(name, compiled=True)


def test_a_refused_encoder_leaves_no_index(tmp_path):
    (tmp_path / "pictures").mkdir()
    code, _, told = run("index", "pictures", "--encoder", "mini", "--compile", cwd=tmp_path)
    assert code
    assert "mini is none. Leave `--compile` out." in told
    assert [path.name for path in tmp_path.iterdir()] == ["pictures"]


def test_an_index_whose_encoder_cannot_be_compiled_is_left_as_it_is(tmp_path):
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (8, 8), "red").save(tmp_path / "pictures" / "red.png")
    first = run("index", "pictures", "--encoder", "toy", cwd=tmp_path)
    assert "1 added" in first[1]
    code, _, told = run("index", "pictures", "--compile", cwd=tmp_path)
    assert code
    assert "toy is none. Leave `--compile` out." in told
    assert "1 unchanged" in run("index", "pictures", cwd=tmp_path)[1]
