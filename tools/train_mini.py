"""Train the bundled encoder `mini` and write it into the package (docs/mini.md is its model card).

Of the towers, EfficientNet-Lite2 and MiniLM, the last two layers of MiniLM learn too; the rest stays as it is. They and
two heads over the towers learn four things at once:

  captions  symmetric InfoNCE on the pairs of $VSEARCH_EVAL_DATA/flickr8k/train.tsv, one caption and one view of each
            picture at a time
  names     what the classifier sees in each picture, as probabilities of the 1,000 class names of ImageNet, stays what
            the trained vectors say: the names, put in one of several ways, go through tower and head as texts do
  things    the same of pictures of things: those of $VSEARCH_EVAL_DATA/caltech101/labels.tsv, without their labels,
            and without the classes that `things.py` keeps out
  words     phrases of English keep their places: cosine to what MiniLM says of them, also where words around them
            only say that they are about a picture

A gate, a logistic regression that tells the captioned pictures from those of things, is put before the picture's head
at the end: of a picture that it takes for no captioned scene, less is added to what the towers say.

Heads of several seeds are trained over one text tower, and averaged: side by side they are one wider head.  What the
towers see is kept in a folder, so that a second run takes minutes.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from mini_data import Data, gather
from mini_student import Recipe, Student, train
from safetensors.torch import save
from things import pictures_of_things
from torch import Tensor, nn
from torch.nn import functional

from vsearch.embed.heads import BUNDLED_HEADS, TOWER, WEIGHTS_FILE, configuration
from vsearch.embed.load import HEADS_FILE
from vsearch.embed.mini import LABEL_TEMPERATURE, Mini
from vsearch.train import read_pairs
from vsearch.train.heads import STRENGTH

GATE_STEPS, GATE_BATCH, GATE_RATE, GATE_DECAY = 400, 256, 1e-3, 0.1
# A picture counts as one of a thing only if it surely is: the threshold is that much lower.
GATE_START = 2.45
GATE_LEAST = 0.25


def gate(data: Data) -> dict[str, Tensor]:
    """What tells captioned pictures from those of things, and how much counts of the head for those at least."""
    captioned, things = data.pictures.flatten(0, 1), data.things.flatten(0, 1)
    deviation, mean = torch.std_mean(captioned, dim=0)
    deviation = deviation + 1e-3
    torch.manual_seed(0)
    found = nn.Linear(captioned.shape[1], 1)
    optimiser = torch.optim.AdamW(found.parameters(), lr=GATE_RATE, weight_decay=GATE_DECAY)
    answer = torch.cat([torch.ones(GATE_BATCH), torch.zeros(GATE_BATCH)])
    for _ in range(GATE_STEPS):
        rows = [some[torch.randint(len(some), (GATE_BATCH,))] for some in (captioned, things)]
        optimiser.zero_grad()
        said = found((torch.cat(rows) - mean) / deviation)[:, 0]
        functional.binary_cross_entropy_with_logits(said, answer).backward()
        optimiser.step()
    with torch.inference_mode():
        weight = found.weight / deviation
        bias = found.bias + GATE_START - weight @ mean
        return {"gate.weight": weight, "gate.bias": bias, "gate.least": torch.tensor([GATE_LEAST])}


def averaged(heads: Sequence[nn.Module]) -> dict[str, Tensor]:
    """One head that adds the mean of what several add: their hidden units side by side."""
    parts = [head.state_dict() for head in heads]
    return {
        "0.weight": torch.cat([part["0.weight"] for part in parts]),
        "0.bias": torch.cat([part["0.bias"] for part in parts]),
        "1.weight": torch.cat([part["1.weight"] for part in parts], dim=1) / len(parts),
        "1.bias": torch.stack([part["1.bias"] for part in parts]).mean(dim=0),
    }


def write(student: Student, data: Data, recipe: Recipe, told: dict[str, object], out: Path) -> None:
    """The folder that is an encoder, in fp16."""
    tower = student.tower.named() if student.tower else {}
    learned = {f"{TOWER}{name}": weight for name, weight in tower.items()}
    for side, heads in (("image", student.image), ("text", student.text)):
        learned |= {f"{side}.{name}": weight for name, weight in averaged(list(heads)).items()}
    if recipe.gate:
        learned |= {f"image.{name}": weight for name, weight in gate(data).items()}
    weights = save({name: weight.half().contiguous() for name, weight in learned.items()})
    out.mkdir(parents=True, exist_ok=True)
    (out / WEIGHTS_FILE).write_bytes(weights)
    (out / HEADS_FILE).write_bytes(configuration(weights, STRENGTH, told, LABEL_TEMPERATURE))


def main() -> None:
    """Train as asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=BUNDLED_HEADS, help="the folder to write (default: the package's)")
    parser.add_argument("--cache", type=Path, default=Path(".bench/mini"), help="features (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default: %(default)s)")
    for name, value in asdict(Recipe()).items():
        parser.add_argument(f"--{name}", type=type(value), default=value, help="default: %(default)s")
    told = vars(parser.parse_args())
    recipe = Recipe(**{name: told[name] for name in asdict(Recipe())})
    folder = os.environ.get("VSEARCH_EVAL_DATA")
    if not folder:
        parser.error("set VSEARCH_EVAL_DATA to the folder that has flickr8k/train.tsv and caltech101/labels.tsv in it")
    pairs = read_pairs(Path(folder) / "flickr8k" / "train.tsv")
    things, unseen = pictures_of_things(Path(folder))
    data = gather(pairs, things, Mini(), recipe.views, told["cache"])
    student = train(data, recipe, told["first"])
    used = (
        f"Flickr8k, {len(pairs)} pictures, {len(pairs.texts)} captions; Caltech-101, {len(things)} pictures, no labels"
    )
    write(student, data, recipe, {"recipe": asdict(recipe), "data": used, "unseen": unseen}, told["out"])
    print(f"written to {told['out']}")


if __name__ == "__main__":
    main()
