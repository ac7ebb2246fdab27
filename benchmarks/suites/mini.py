"""What each part of the training of the bundled encoder gives: heads trained without it, one seed each.

flickr8k: recall@1, @5 and @10 of the 5,000 captions of `$VSEARCH_EVAL_DATA/flickr8k/dev.tsv` among their 1,000
pictures.  gallery: recall@10 among the demo's captioned pictures in ./photos.  unseen: pictures of the 20 classes of
Caltech-101 that training never saw, the share whose class is the nearest of all 100.  things: at most ten pictures of
each of these 100 classes, the share of "a photo of a CLASS" among the first ten.  names: pictures of Flickr8k for
which the name of the class that the classifier holds for likeliest is among the nearest ten of ImageNet's 1,000.
All but the bundled heads leave the text tower as it is.  spread: the standard deviation of three seeds.  Training
(tools/train_mini.py) keeps features in .bench/mini, so that a second run is shorter.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import captioned
import numpy as np
from numpy.typing import NDArray
from tables import table

from vsearch.embed.classnames import imagenet_classnames
from vsearch.embed.heads import BUNDLED_HEADS, TOWER, MiniHeads
from vsearch.embed.load import HEADS_FILE
from vsearch.embed.mini import Mini

Matrix = NDArray[np.float32]
Both = tuple[Matrix, Matrix]
ROOT = Path(__file__).resolve().parent.parent.parent
SEEDS = 3
EACH = 10
FIRST = 10
FROZEN = ("--tower", "0")
WITHOUT = {
    "things": ("--things", "0"),
    "names and words": ("--names", "0", "--words", "0"),
    "the gate": ("--gate", "0"),
    "views of a picture": ("--views", "1"),
}
MEASURES = (
    *(f"flickr8k_recall@{k}" for k in (1, 5, 10)),
    "gallery_recall@10",
    "unseen",
    "things",
    "names",
)


def run(quick: bool) -> dict[str, Any]:
    """Measure.  quick: two epochs, which say nothing but that it runs."""
    if not captioned.flickr8k():
        raise SystemExit("mini: set VSEARCH_EVAL_DATA to the folder that holds flickr8k and caltech101")
    questions = Questions(Mini())
    with tempfile.TemporaryDirectory(prefix="mini-") as name:

        def trained(*words: str) -> dict[str, float]:
            told = ["--out", name, *(("--epochs", "2") if quick else ()), *words]
            subprocess.run([sys.executable, str(ROOT / "tools" / "train_mini.py"), *told], check=True)
            return questions.put(Path(name))

        ones = [trained(*FROZEN, "--seeds", "1", "--first", str(seed)) for seed in range(SEEDS)]
        figures: dict[str, Any] = {
            "bundled": questions.put(BUNDLED_HEADS),
            "untrained": trained(*FROZEN, "--seeds", "1", "--epochs", "0"),
            "frozen text tower": trained(*FROZEN),
            "mean": {key: round(mean(one[key] for one in ones), 4) for key in ones[0]},
            "spread": {key: round(stdev(one[key] for one in ones), 4) for key in ones[0]},
        }
        without = {f"without {what}": trained(*FROZEN, "--seeds", "1", *words) for what, words in WITHOUT.items()}
        return figures | {"seed 0": ones[0]} | without


class Questions:
    """What is asked of heads, as the towers see it: computed once, but for texts that another text tower reads."""

    def __init__(self, towers: Mini) -> None:
        self.towers = towers
        self.read: dict[str, Both] = {}
        asked = {name: given for name, given in _captions().items() if given}
        self.sets = {name: towers.look(captioned.pixels(list(given))) for name, given in asked.items()}
        self.own = {name: captioned.owners(given) for name, given in asked.items()}
        unseen = json.loads((BUNDLED_HEADS / HEADS_FILE).read_text("utf-8"))["training"]["unseen"]
        things = captioned.caltech101()
        classes = sorted(things)
        self.unseen = towers.look(captioned.pixels([path for name in unseen for path in things[name]]))
        self.unseen_own = np.repeat([classes.index(name) for name in unseen], [len(things[name]) for name in unseen])
        some = [things[name][:EACH] for name in classes]
        self.things = towers.look(captioned.pixels([path for paths in some for path in paths]))
        self.things_own = np.repeat(np.arange(len(classes)), [len(paths) for paths in some])
        self.likeliest = _likeliest(self.sets["flickr8k"])
        self.texts = {name: [text for texts in given.values() for text in texts] for name, given in asked.items()} | {
            "classes": [f"a photo of a {name}" for name in classes],
            "names": [f"a photo of a {name}" for name in imagenet_classnames()],
        }

    def put(self, folder: Path) -> dict[str, float]:
        """The measures of the heads in a folder."""
        heads = MiniHeads(folder)
        texts = {name: heads.joined("text", *self._read(heads, name)) for name in self.texts}
        told: dict[str, float] = {}
        for name, images in self.sets.items():
            ranks = captioned.ranks(texts[name], heads.joined("image", *images), self.own[name])
            told |= {f"{name}_recall@{k}": round(float((ranks <= k).mean()), 4) for k in (1, 5, 10)}
        nearest = (heads.joined("image", *self.unseen) @ texts["classes"].T).argmax(axis=1)
        told["unseen"] = round(float((nearest == self.unseen_own).mean()), 4)
        first = np.argsort(-texts["classes"] @ heads.joined("image", *self.things).T, axis=1)[:, :FIRST]
        told["things"] = round(float((self.things_own[first] == np.arange(len(first))[:, None]).mean()), 4)
        pictures = heads.joined("image", *self.sets["flickr8k"])
        ranks = captioned.ranks(pictures, texts["names"], self.likeliest)
        told["names"] = round(float((ranks <= 10).mean()), 4)
        return told

    def _read(self, heads: MiniHeads, name: str) -> Both:
        if any(weight.startswith(TOWER) for weight in heads.weights):
            return heads.read(self.texts[name])
        if name not in self.read:
            self.read[name] = self.towers.read(self.texts[name])
        return self.read[name]


def _captions() -> dict[str, captioned.Captions]:
    return {"flickr8k": captioned.flickr8k(), "gallery": captioned.gallery()}


def _likeliest(images: Both) -> NDArray[np.int64]:
    import torch

    from vsearch.embed.lite2 import FEATURES, load_network

    with torch.inference_mode():
        logits = load_network().classifier(torch.from_numpy(images[0][:, :FEATURES]))
    likeliest: NDArray[np.int64] = logits.argmax(dim=1).numpy()
    return likeliest


def tables(figures: dict[str, Any]) -> list[str]:
    """A row for each training."""
    return table(figures, MEASURES, "heads")
