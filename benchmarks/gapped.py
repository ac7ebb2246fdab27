"""Vectors as a cross-modal encoder makes them, from a seed: pictures in one cone, texts in another.

Contrastive training leaves a gap between the modalities: each lies in a narrow cone of its own, and a text is nearer
to every other text than to the picture that it describes (Liang et al. 2022, "Mind the Gap").  An index that was
tuned with pictures meets queries from outside of its data when it is asked with texts.  These vectors have that
property and need no model and no data, in any number.

In the joint space of ``dim`` dimensions, B holds ``content`` orthonormal rows, and a, b are two more unit vectors with
a.b = 0.3.  Contents are drawn in the coordinates of B, with s_j proportional to (1 + j)^-0.35 and |s| = 1:

    theme      u = s * n                               40 of them; n: standard normal, anew each time
    topic      v = 0.75 u + 0.35 s * n                 25 of each theme, with shares proportional to (1 + rank)^-0.6
    content    c = v + w P(l * n)                      w in [0.7, 1.2], one for each topic; P: 40 orthonormal rows, one
                                                       set for each theme; l_j proportional to (1 + j)^-0.4, |l| = 1
    picture    x = unit(1.15 a + c B + 0.35 e)         e: normal in all dimensions, of expected length 1
    gist       g = 0.75 u + r (c - 0.75 u)             r in [0.2, 1]: a caption tells the theme and some of the detail
    text       t = unit(1.25 b + (0.4 g + 0.9 s * n) B + 0.75 e)

Text queries describe contents of their own, drawn as those of the pictures are.  Each block of 8,192 rows has its own
random stream and is drawn whole, so n rows are the first n of any larger number, and memory does not grow with it.

gapped.py COUNT FOLDER [--seed N]     writes images.npy, image_queries.npy, text_queries.npy and text_sample.npy
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]
BLOCK = 8192
STREAMS = {"world": 0, "images": 1, "image queries": 2, "text queries": 3, "text sample": 4}


@dataclass(frozen=True)
class Shape:
    """The numbers of the formula above."""

    dim: int = 512
    content: int = 192
    themes: int = 40
    topics: int = 25  # of each theme
    local: int = 40
    image_cone: float = 1.15
    image_noise: float = 0.35
    text_cone: float = 1.25
    text_noise: float = 0.75
    text_content: float = 0.4
    text_wander: float = 0.9
    between_cones: float = 0.3
    theme_share: float = 0.75
    topic_share: float = 0.35


class Gapped:
    """A joint space of pictures and texts.  The same seed gives the same vectors, on every machine of one numpy."""

    def __init__(self, seed: int = 0, shape: Shape | None = None) -> None:
        self.seed = seed
        self.shape = s = shape or Shape()
        rng = self._stream("world", 0)
        frame = _orthonormal(rng, s.dim)
        self._basis = frame[: s.content]
        self._image_axis = frame[s.content]
        across = np.sqrt(1 - s.between_cones**2)
        self._text_axis = (s.between_cones * frame[s.content] + across * frame[s.content + 1]).astype(np.float32)
        self._spectrum = _power_law(s.content, 0.35)
        self._themes = s.theme_share * _normal(rng, s.themes, s.content) * self._spectrum
        inner = s.topic_share * _normal(rng, s.themes * s.topics, s.content) * self._spectrum
        self._topics = np.repeat(self._themes, s.topics, axis=0) + inner
        self._local = np.stack([_orthonormal(rng, s.content)[: s.local] for _ in range(s.themes)])
        self._local *= _power_law(s.local, 0.4)[:, None]
        self._widths = rng.uniform(0.7, 1.2, len(self._topics)).astype(np.float32)
        shares = rng.permutation((1.0 + np.arange(len(self._topics))) ** -0.6)
        self._shares = shares / shares.sum()

    def image_blocks(self, count: int) -> Iterator[Matrix]:
        """The pictures in blocks of at most 8,192 rows: (n, dim) float32 of unit length."""
        return self._blocks("images", self._images, count)

    def images(self, count: int) -> Matrix:
        """The pictures at once: (count, dim) float32."""
        return np.concatenate(list(self.image_blocks(count)))

    def image_queries(self, count: int) -> Matrix:
        """Pictures that are not among ``images``: (count, dim) float32."""
        return np.concatenate(list(self._blocks("image queries", self._images, count)))

    def text_queries(self, count: int) -> Matrix:
        """Texts to ask with: (count, dim) float32."""
        return np.concatenate(list(self._blocks("text queries", self._texts, count)))

    def text_sample(self, count: int) -> Matrix:
        """Texts to learn from, none of them among ``text_queries``: (count, dim) float32."""
        return np.concatenate(list(self._blocks("text sample", self._texts, count)))

    def _stream(self, name: str, block: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, STREAMS[name], block))

    def _blocks(self, name: str, make: Callable[[np.random.Generator], Matrix], count: int) -> Iterator[Matrix]:
        for block, first in enumerate(range(0, count, BLOCK)):
            yield make(self._stream(name, block))[: count - first]

    def _contents(self, rng: np.random.Generator) -> tuple[Matrix, Matrix]:
        """A block of contents and the themes they belong to: each (BLOCK, content)."""
        topic = rng.choice(len(self._topics), BLOCK, p=self._shares)
        theme = topic // self.shape.topics
        detail = self._widths[topic, None] * _normal(rng, BLOCK, self.shape.local)
        made = self._topics[topic]
        for one in np.unique(theme):
            mine = theme == one
            made[mine] += detail[mine] @ self._local[one]
        return made, self._themes[theme]

    def _images(self, rng: np.random.Generator) -> Matrix:
        made = self._contents(rng)[0] @ self._basis + self._noise(rng, self.shape.image_noise)
        return _unit(made + self.shape.image_cone * self._image_axis)

    def _texts(self, rng: np.random.Generator) -> Matrix:
        s = self.shape
        content, theme = self._contents(rng)
        told = rng.uniform(0.2, 1.0, (BLOCK, 1)).astype(np.float32)
        gist = theme + told * (content - theme)
        meant = s.text_content * gist + s.text_wander * self._spectrum * _normal(rng, BLOCK, s.content)
        return _unit(meant @ self._basis + self._noise(rng, s.text_noise) + s.text_cone * self._text_axis)

    def _noise(self, rng: np.random.Generator, length: float) -> Matrix:
        return np.float32(length / np.sqrt(self.shape.dim)) * _normal(rng, BLOCK, self.shape.dim)


def _normal(rng: np.random.Generator, *shape: int) -> Matrix:
    return rng.standard_normal(shape, np.float32)


def _orthonormal(rng: np.random.Generator, dim: int) -> Matrix:
    """A random orthogonal matrix (dim, dim)."""
    made: Matrix = np.linalg.qr(rng.standard_normal((dim, dim)))[0].T.astype(np.float32)
    return made


def _power_law(length: int, exponent: float) -> Matrix:
    """(1 + j) ** -exponent for j below ``length``, scaled to unit length."""
    falling = (1.0 + np.arange(length)) ** -exponent
    scaled: Matrix = (falling / np.linalg.norm(falling)).astype(np.float32)
    return scaled


def _unit(rows: Matrix) -> Matrix:
    scaled: Matrix = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return scaled


def write(folder: Path, count: int, seed: int, queries: int = 1000, sample: int = 20_000) -> None:
    """Write images.npy, image_queries.npy, text_queries.npy and text_sample.npy, the first one block by block."""
    made = Gapped(seed)
    folder.mkdir(parents=True, exist_ok=True)
    images = np.lib.format.open_memmap(folder / "images.npy", "w+", np.float32, (count, made.shape.dim))
    for block, rows in enumerate(made.image_blocks(count)):
        images[block * BLOCK : block * BLOCK + len(rows)] = rows
    images.flush()
    np.save(folder / "image_queries.npy", made.image_queries(queries))
    np.save(folder / "text_queries.npy", made.text_queries(queries))
    np.save(folder / "text_sample.npy", made.text_sample(sample))


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", metavar="COUNT", type=int, help="how many pictures: 10,000 to 10,000,000")
    parser.add_argument("folder", metavar="FOLDER", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    write(args.folder, args.count, args.seed)


if __name__ == "__main__":
    main()
