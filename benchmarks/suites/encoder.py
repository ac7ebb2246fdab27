"""How well the bundled encoder finds a picture by its caption, and how long a first query takes.

text_to_image: each caption is a query among all pictures of its set; recall@k is the share of captions whose picture is
among the first k, median_rank counts from 1.  flickr8k: the 1,000 development pictures in
`$VSEARCH_EVAL_DATA/flickr8k/dev.tsv`, five captions each.  gallery: the captioned pictures of the demo in ./photos.
caltech101: pictures of `$VSEARCH_EVAL_DATA/caltech101`, at most ten of each of 100 classes, of which `mini` saw 80 in
training, without their names; top1 is the share whose class name, as "a photo of a NAME", is nearest.  untrained:
`mini` without its heads; without_colours: without the colour term as well.  gallery_colour_swaps: of captions with one
colour word in them, and of the ten others put in its place, how often the true one is nearer to the picture.
images_per_second: the development pictures, from their files into an index, everything included.  cold_query_seconds,
cold_image_query_seconds: `vsearch query` with a sentence or a picture, from process start to printed hits over the
gallery, the median of five runs.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import captioned
import numpy as np
from captioned import Captions
from numpy.typing import NDArray

import vsearch
from vsearch.embed import colours
from vsearch.embed.heads import BUNDLED_HEADS, MiniHeads
from vsearch.embed.mini import Mini

EACH = 10
Matrix = NDArray[np.float32]
Texts = Callable[[list[str]], Matrix]


def run(quick: bool) -> dict[str, Any]:
    """Measure on what data there is; quick takes 200 pictures of each set."""
    sets = {name: dict(list(pairs.items())[: 200 if quick else None]) for name, pairs in _sets().items() if pairs}
    figures: dict[str, Any] = {"encoder": "mini"}
    heads = MiniHeads(BUNDLED_HEADS)
    for name, pairs in sets.items():
        pixels, asked = captioned.pixels(list(pairs)), _zero_shot if name == "caltech101" else _retrieval
        seen, plain = heads.base.look(pixels), _without_colours(heads.base, pixels)
        ways: dict[str, tuple[Matrix, Texts]] = {
            "": (heads.joined("image", *seen), heads.encode_texts),
            "_untrained": (seen[1], heads.base.encode_texts),
            "_untrained_without_colours": (plain, heads.base.encode_texts),
        }
        for label, (vectors, encode) in ways.items():
            figures |= {f"{name}{label}_{k}": v for k, v in asked(pairs, vectors, encode).items()}
        if name == "gallery":
            figures["gallery_colour_swaps"] = _swaps(pairs, heads.joined("image", *seen), heads.encode_texts)
            figures["gallery_untrained_colour_swaps"] = _swaps(pairs, seen[1], heads.base.encode_texts)
    if "flickr8k" in sets:
        figures["images_per_second"] = _indexed(list(sets["flickr8k"]))
    if "gallery" in sets:
        figures |= _cold_queries(next(iter(sets["gallery"])))
    return figures


def _sets() -> dict[str, Captions]:
    things = {path: [name] for name, mine in captioned.caltech101().items() for path in mine[:EACH]}
    return {"flickr8k": captioned.flickr8k(), "gallery": captioned.gallery(), "caltech101": things}


def _without_colours(towers: Mini, pixels: NDArray[np.uint8]) -> Matrix:
    usual, colours.STRENGTH = colours.STRENGTH, 0.0
    try:
        return towers.encode_images(pixels)
    finally:
        colours.STRENGTH = usual


def _zero_shot(pairs: Captions, images: Matrix, encode: Texts) -> dict[str, float]:
    own = [names[0] for names in pairs.values()]
    classes = sorted(set(own))
    texts = encode([f"a photo of a {name}" for name in classes])
    nearest = (images @ texts.T).argmax(axis=1)
    right = np.mean([classes[at] == name for at, name in zip(nearest, own, strict=True)])
    return {"pictures": len(own), "classes": len(classes), "top1": round(float(right), 4)}


def _retrieval(pairs: Captions, images: Matrix, encode: Texts) -> dict[str, float]:
    texts = encode([text for captions in pairs.values() for text in captions])
    ranks = captioned.ranks(texts, images, captioned.owners(pairs))
    told = {f"recall@{k}": round(float((ranks <= k).mean()), 4) for k in (1, 5, 10)}
    return {"pictures": len(pairs), **told, "median_rank": float(np.median(ranks))}


def _swaps(pairs: Captions, images: Matrix, encode: Texts) -> float:
    word = re.compile(rf"\b({'|'.join(colours.PALETTE)})\b", re.IGNORECASE)
    right = []
    for (caption,), image in zip(pairs.values(), images, strict=True):
        if len(found := word.findall(caption)) == 1:
            others = [word.sub(other, caption) for other in colours.PALETTE if other != found[0].lower()]
            scores = encode([caption, *others]) @ image
            right += (scores[0] > scores[1:]).tolist()
    return round(float(np.mean(right)), 4)


def _indexed(paths: list[Path]) -> float:
    with tempfile.TemporaryDirectory(prefix="vsearch-speed-") as name:
        with vsearch.create(Path(name) / "x.vsearch", encoder="mini") as index:
            return round(index.add(vsearch.pictures(paths)).images_per_second, 1)


def _cold_queries(picture: Path) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="vsearch-cold-") as name:
        place = Path(name) / "x.vsearch"
        with vsearch.create(place, encoder="mini") as index:
            index.add(vsearch.folder("photos"))

        def cold(*asked: str) -> float:
            command = [sys.executable, "-m", "vsearch", "query", *asked, "--index", str(place)]
            return round(median(_seconds(command) for _ in range(5)), 3)

        return {"cold_query_seconds": cold("a red apple"), "cold_image_query_seconds": cold("--image", str(picture))}


def _seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started
