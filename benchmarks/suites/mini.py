"""What each part of the training of the bundled encoder gives: heads trained without it, one seed each.

flickr8k: recall@1, @5 and @10 of the 5,000 captions of `$VSEARCH_EVAL_DATA/flickr8k/dev.tsv` among their 1,000
pictures.  gallery: recall@10 among the demo's captioned pictures in ./photos.  unseen: pictures of the 20 classes of
Caltech-101 that training never saw, the share whose class is the nearest of all 100.  names: pictures of Flickr8k for
which the name of the class that the classifier holds for likeliest is among the nearest ten of ImageNet's 1,000.
spread: the standard deviation of three seeds.  Training (tools/train_mini.py) keeps features in .bench/mini, so that a
second run is shorter.
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
    if not captioned.flickr8k():
        raise SystemExit("mini: set VSEARCH_EVAL_DATA to the folder that holds flickr8k and caltech101")
    questions = Questions(Mini())
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

    def __init__(self, towers: Mini) -> None:
        asked = {name: given for name, given in _captions().items() if given}
        self.sets = {name: _seen(towers, given) for name, given in asked.items()}
        unseen = json.loads((BUNDLED_HEADS / HEADS_FILE).read_text("utf-8"))["training"]["unseen"]
        things = captioned.caltech101()
        classes = sorted(things)
        self.things = towers.look(captioned.pixels([path for name in unseen for path in things[name]]))
        self.things_own = np.repeat([classes.index(name) for name in unseen], [len(things[name]) for name in unseen])
        self.classes = towers.read([f"a photo of a {name}" for name in classes])
        self.names = towers.read([f"a photo of a {name}" for name in imagenet_classnames()])
        self.likeliest = _likeliest(self.sets["flickr8k"][0])

    def put(self, folder: Path) -> dict[str, float]:
        """The measures of the heads in a folder."""
        heads = MiniHeads(folder)
        told: dict[str, float] = {}
        for name, (images, texts, own) in self.sets.items():
            ranks = captioned.ranks(heads.joined("text", *texts), heads.joined("image", *images), own)
            told |= {f"{name}_recall@{k}": round(float((ranks <= k).mean()), 4) for k in (1, 5, 10)}
        nearest = (heads.joined("image", *self.things) @ heads.joined("text", *self.classes).T).argmax(axis=1)
        told["unseen"] = round(float((nearest == self.things_own).mean()), 4)
        pictures = heads.joined("image", *self.sets["flickr8k"][0])
        ranks = captioned.ranks(pictures, heads.joined("text", *self.names), self.likeliest)
        told["names"] = round(float((ranks <= 10).mean()), 4)
        return told


def _captions() -> dict[str, captioned.Captions]:
    return {"flickr8k": captioned.flickr8k(), "gallery": captioned.gallery()}


def _seen(towers: Mini, captions: captioned.Captions) -> tuple[Both, Both, NDArray[np.int64]]:
    texts = towers.read([text for texts in captions.values() for text in texts])
    return towers.look(captioned.pixels(list(captions))), texts, captioned.owners(captions)


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
