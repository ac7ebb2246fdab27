"""Any sequence of changes to a folder, runs, builds and reopenings equals a dictionary plus numpy."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from PIL import Image

import vsearch
from vsearch.decode import fit

NAMES = [b"a.png", b"b.png", b"c.png", b"sub/d.png", b"sub/\xff e.png", "sub/ünï\n.png".encode()]
RECIPE = """
name = "tiny"
kind = "faiss"
factory = "IVF{nlist},Flat"
[build]
lists_per_sqrt = 1.0
train_per_list = 10
dims_per_byte = 2
seed = 1
[search.text]
nprobe = 4
rescore = 4
[search.image]
nprobe = 4
rescore = 4
"""
names = st.sampled_from(NAMES)
colours = st.tuples(*[st.sampled_from([0, 90, 180, 255])] * 3)


def picture(colour: tuple[int, int, int]) -> Image.Image:
    """Two tones, so that colours differ in more than one axis."""
    image = Image.new("RGB", (12, 12), colour)
    image.paste((colour[2], colour[0], colour[1]), (0, 0, 6, 5))
    return image


class Collection(RuleBasedStateMachine):
    """The folder on disk, what the index should hold of it, and the index."""

    @initialize()
    def start(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="vsearch-test-"))
        self.photos = self.home / "photos"
        (self.photos / "sub").mkdir(parents=True)
        self.recipe = self.home / "tiny.toml"
        self.recipe.write_text(RECIPE)
        self.encoder = vsearch.load_encoder("toy")
        self.files: dict[bytes, tuple[int, int, int]] = {}
        self.indexed: dict[bytes, tuple[int, int, int]] = {}
        self.index = vsearch.create(self.home / "photos.vsearch", encoder="toy")

    def path(self, name: bytes) -> bytes:
        return os.path.join(os.fsencode(self.photos), name)

    @rule(name=names, colour=colours)
    def write(self, name: bytes, colour: tuple[int, int, int]) -> None:
        picture(colour).save(os.fsdecode(self.path(name)))
        self.files[name] = colour

    @rule(old=names, new=names)
    def move(self, old: bytes, new: bytes) -> None:
        if old in self.files and old != new:
            os.rename(self.path(old), self.path(new))
            self.files[new] = self.files.pop(old)

    @rule(name=names)
    def delete(self, name: bytes) -> None:
        if name in self.files:
            os.unlink(self.path(name))
            del self.files[name]

    @rule(prune=st.booleans())
    def run(self, prune: bool) -> None:
        report = self.index.add(vsearch.folder(self.photos), prune=prune, yes=False)
        assert report.failures == ()
        if self.files or not self.indexed:
            assert report.added + report.unchanged + report.moved == len(self.files)
            self.indexed = dict(self.files)
        else:
            assert len(report.warnings) >= 1, "an emptied folder is taken for an unmounted disk"

    @precondition(lambda self: self.indexed)
    @rule()
    def build(self) -> None:
        self.index.build(self.recipe)

    @rule()
    def compact(self) -> None:
        self.index.compact()

    @rule()
    def reopen(self) -> None:
        self.index.close()
        self.index = vsearch.open(self.home / "photos.vsearch", write=True)

    @rule(colour=colours, k=st.integers(1, 8))
    def search(self, colour: tuple[int, int, int], k: int) -> None:
        xq = self.encoder.encode_images(fit(picture(colour), self.encoder.preprocess)[None])[0]
        hits = self.index.search(picture(colour), k=k)
        spec = self.encoder.preprocess
        truth = {
            self.path(name): float(self.encoder.encode_images(fit(picture(c), spec)[None])[0] @ xq)
            for name, c in self.indexed.items()
        }
        assert len(hits) == min(k, len(truth))
        assert len({h.id for h in hits}) == len(hits)
        best = sorted(truth.values(), reverse=True)[:k]
        np.testing.assert_allclose([h.score for h in hits], best, atol=2e-3)
        for hit in hits:
            assert abs(truth[hit.raw_path] - hit.score) < 2e-3

    @invariant()
    def nothing_dangles(self) -> None:
        if hasattr(self, "index"):
            assert len(self.index) == len(self.indexed)
            assert self.index.check().problems == ()

    def teardown(self) -> None:
        if hasattr(self, "index"):
            self.index.close()
            shutil.rmtree(self.home)


Collection.TestCase.settings = settings(
    max_examples=15, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)
test_P6_any_sequence_equals_a_dictionary_and_numpy = Collection.TestCase
