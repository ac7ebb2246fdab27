"""What each part of the training of the bundled encoder gives: heads trained without it, one seed each.

flickr8k: recall@1, @5 and @10 of the 5,000 captions of `$VSEARCH_EVAL_DATA/flickr8k/dev.tsv` among their 1,000
pictures.  gallery: recall@10 among the demo's captioned pictures in ./photos.  unseen: pictures of the 20 classes of
Caltech-101 that training never saw, the share whose class is the nearest of all 100.  names: pictures of Flickr8k for
which the name of the class that the classifier holds for likeliest is among the nearest ten of ImageNet's 1,000.
spread: the standard deviation of three seeds.  Training (tools/train_mini.py) keeps features in .bench/mini, so that a
second run is shorter.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
from numpy.typing import NDArray

import vsearch
from vsearch.decode import Decoded, DecodePool, Job
from vsearch.embed.classnames import imagenet_classnames
from vsearch.embed.heads import BUNDLED_HEADS, MiniHeads
from vsearch.embed.load import HEADS_FILE
from vsearch.embed.mini import Mini

Matrix = NDArray[np.float32]
Both = tuple[Matrix, Matrix]
ROOT = Path(__file__).resolve().parent.parent.parent
SEEDS = 3
WITHOUT = {
    "things": ("--things", "0"),
    "names and words": ("--names", "0", "--words", "0"),
    "the gate": ("--gate", "0"),
    "views of a picture": ("--views", "1"),
    "a share": ("--share", "1"),
}
MEASURES = ("flickr8k_recall@1", "flickr8k_recall@5", "flickr8k_recall@10", "gallery_recall@10", "unseen", "names")


def run(quick: bool) -> dict[str, Any]:
    """Measure.  quick: two epochs, which say nothing but that it runs."""
    place = os.environ.get("VSEARCH_EVAL_DATA")
    if not place:
        raise SystemExit("mini: set VSEARCH_EVAL_DATA to the folder that holds flickr8k and caltech101")
    questions = Questions(Path(place), Mini())
    with tempfile.TemporaryDirectory(prefix="mini-") as name:

        def trained(*words: str) -> dict[str, float]:
            told = ["--out", name, *words, *(("--epochs", "2") if quick else ())]
            subprocess.run([sys.executable, str(ROOT / "tools" / "train_mini.py"), *told], check=True)
            return questions.put(Path(name))

        ones = [trained("--seeds", "1", "--first", str(seed)) for seed in range(SEEDS)]
        figures: dict[str, Any] = {
            "bundled": questions.put(BUNDLED_HEADS),
            "mean": {key: round(mean(one[key] for one in ones), 4) for key in ones[0]},
            "spread": {key: round(stdev(one[key] for one in ones), 4) for key in ones[0]},
        }
        without = {f"without {what}": trained("--seeds", "1", *words) for what, words in WITHOUT.items()}
        return figures | {"seed 0": ones[0]} | without


class Questions:
    """What is asked of heads, as the towers see it: computed once."""

    def __init__(self, data: Path, towers: Mini) -> None:
        captions: dict[Path, list[str]] = {}
        for row in _rows(data / "flickr8k" / "dev.tsv"):
            captions.setdefault(data / "flickr8k" / row["filepath"], []).append(row["title"])
        self.sets = {"flickr8k": _seen(towers, captions)}
        photos = Path("photos")
        found = vsearch.folder(photos) if photos.is_dir() else []
        own = {Path(os.fsdecode(i.path)): [i.caption] for i in found if isinstance(i, vsearch.Item) and i.caption}
        if own:
            self.sets["gallery"] = _seen(towers, own)
        unseen = json.loads((BUNDLED_HEADS / HEADS_FILE).read_text("utf-8"))["training"]["unseen"]
        of = {row["filepath"]: row["title"] for row in _rows(data / "caltech101" / "labels.tsv")}
        classes = sorted(set(map(_class, of)) - {"background google"})
        pictures = [name for name in of if _class(name) in unseen]
        self.things = towers.look(_pixels([data / "caltech101" / name for name in pictures]))
        self.things_own = np.array([classes.index(_class(name)) for name in pictures])
        self.classes = towers.read([f"a photo of a {name}" for name in classes])
        self.names = towers.read([f"a photo of a {name}" for name in imagenet_classnames()])
        self.likeliest = _likeliest(self.sets["flickr8k"][0])

    def put(self, folder: Path) -> dict[str, float]:
        """The measures of the heads in a folder."""
        heads = MiniHeads(folder)
        told: dict[str, float] = {}
        for name, (images, texts, own) in self.sets.items():
            ranks = _ranks(heads.joined("text", *texts), heads.joined("image", *images), own)
            told |= {f"{name}_recall@{k}": round(float((ranks <= k).mean()), 4) for k in (1, 5, 10)}
        nearest = (heads.joined("image", *self.things) @ heads.joined("text", *self.classes).T).argmax(axis=1)
        told["unseen"] = round(float((nearest == self.things_own).mean()), 4)
        pictures = heads.joined("image", *self.sets["flickr8k"][0])
        ranks = _ranks(pictures, heads.joined("text", *self.names), self.likeliest)
        told["names"] = round(float((ranks <= 10).mean()), 4)
        return told


def _ranks(queries: Matrix, rows: Matrix, own: NDArray[np.int64]) -> NDArray[np.int64]:
    scores = queries @ rows.T
    ranks: NDArray[np.int64] = 1 + (scores > scores[np.arange(len(own)), own][:, None]).sum(axis=1)
    return ranks


def _seen(towers: Mini, captions: dict[Path, list[str]]) -> tuple[Both, Both, NDArray[np.int64]]:
    own = np.repeat(np.arange(len(captions)), [len(texts) for texts in captions.values()])
    texts = towers.read([text for texts in captions.values() for text in texts])
    return towers.look(_pixels(list(captions))), texts, own


def _likeliest(images: Both) -> NDArray[np.int64]:
    import torch

    from vsearch.embed.lite2 import FEATURES, load_network

    with torch.inference_mode():
        logits = load_network().classifier(torch.from_numpy(images[0][:, :FEATURES]))  # type: ignore[operator]
    likeliest: NDArray[np.int64] = logits.argmax(dim=1).numpy()
    return likeliest


def _pixels(paths: list[Path]) -> NDArray[np.uint8]:
    with DecodePool(Mini.preprocess) as pool:
        decoded = list(pool.map(Job(os.fsencode(path)) for path in paths))
    assert all(isinstance(one, Decoded) for one in decoded)
    return np.stack([one.pixels for one in decoded if isinstance(one, Decoded)])


def _rows(table: Path) -> list[dict[str, str]]:
    with table.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def _class(filepath: str) -> str:
    return filepath.split("/")[0].replace("_", " ").lower()


def tables(figures: dict[str, Any]) -> list[str]:
    """A row for each training."""
    lines = ["| heads | " + " | ".join(MEASURES) + " |", "|---|" + "---:|" * len(MEASURES)]
    for name, told in figures.items():
        lines.append(f"| {name} | " + " | ".join(str(told.get(key, "")) for key in MEASURES) + " |")
    return [*lines, ""]
