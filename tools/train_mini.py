"""Train the heads of the bundled encoder `mini` and write them into the package (docs/mini.md is their model card).

The towers, EfficientNet-Lite2 and MiniLM, stay as they are. Two heads over them learn four things at once:

  captions  symmetric InfoNCE on the pairs of $VSEARCH_EVAL_DATA/flickr8k/train.tsv, one caption and one view of each
            picture at a time
  names     what the classifier sees in each picture, as probabilities of the 1,000 class names of ImageNet, stays what
            the trained vectors say: the names are put through the text head
  things    the same of pictures of things: those of $VSEARCH_EVAL_DATA/caltech101/labels.tsv, without their labels,
            and without the classes that `things.py` keeps out
  words     phrases of English keep their places: cosine to what MiniLM says of them

A gate, a logistic regression that tells the captioned pictures from those of things, is learned first: of a picture
that it takes for no captioned scene, little is added to what the towers say.

Several seeds are trained, and their heads averaged: side by side they are one wider head.  Features of pictures are
kept in a folder, so that a second run takes minutes.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from mini_views import Matrix, seen
from safetensors.torch import save
from things import pictures_of_things
from torch import Tensor, nn
from torch.nn import functional

from vsearch import phrases
from vsearch.embed.classnames import imagenet_classnames
from vsearch.embed.heads import BUNDLED_HEADS, INPUTS, WEIGHTS_FILE, configuration
from vsearch.embed.lite2 import FEATURES, load_network
from vsearch.embed.load import HEADS_FILE
from vsearch.embed.mini import TEMPERATURE, Mini
from vsearch.embed.minilm import DIM
from vsearch.train import read_pairs
from vsearch.train.adapters import Adapter, Shape, made
from vsearch.train.heads import STRENGTH
from vsearch.train.pairs import Pairs

RATE, DECAY, DROPOUT, WARM_UP, CLIP = 1e-3, 0.1, 0.4, 30, 5.0
SHARPNESS = 30.0  # what cosines are multiplied by where names are compared
WORDS_AT_ONCE = 256
THINGS_AT_ONCE = 128
THING_VIEWS = 2
GATE_STEPS, GATE_BATCH = 400, 256
# A regression of so few steps says too little: its logits are doubled.  Where it does not know, the heads count.
GATE_SLOPE, GATE_START = 2.0, 0.9
# Of pictures of 100 classes of Caltech-101 the likelihood of the right label is highest near this.
LABEL_TEMPERATURE = 0.03


@dataclass(frozen=True)
class Recipe:
    """How to train.

    views: of each picture.  names, things, words: weights of the losses that keep what the towers know.  gate: 0 for
    none.  share: of what the heads learned, how much is added to what the towers say.
    """

    seeds: int = 3
    epochs: int = 20
    batch: int = 500
    hidden: int = 1024
    views: int = 3
    names: float = 1.0
    things: float = 1.0
    words: float = 2.0
    gate: int = 1
    share: float = 0.9


@dataclass(frozen=True)
class Data:
    """What is learned from.

    pictures, things: features, (views, n, inputs).  teacher, taught: what the classifier says of them,
    (views, n, 1000).  own: the captions of each picture, by number.
    """

    pictures: Tensor
    teacher: Tensor
    things: Tensor
    taught: Tensor
    texts: Tensor
    own: list[list[int]]
    names: Tensor
    words: Tensor


def gather(pairs: Pairs, things: list[Path], towers: Mini, views: int, cache: Path) -> Data:
    """Features of pictures in their views, and of texts."""
    paths = [Path(os.fsdecode(item.path)) for item in pairs.items]
    pictures, teacher = _views(towers, "train", paths, views, cache)
    others, taught = _views(towers, "things", things, THING_VIEWS, cache)
    own: list[list[int]] = [[] for _ in paths]
    for caption, picture in enumerate(pairs.owner):
        own[picture].append(caption)
    words = sorted({word.lower() for phrase in phrases.load() for word in phrase.split() if word.isalpha()})
    return Data(
        pictures,
        teacher,
        others,
        taught,
        _texts(towers, "train", pairs.texts, cache),
        own,
        _texts(towers, "names", [f"a photo of a {name}" for name in imagenet_classnames()], cache),
        _texts(towers, "words", [*phrases.load(), *words], cache),
    )


def _views(towers: Mini, name: str, paths: list[Path], views: int, cache: Path) -> tuple[Tensor, Tensor]:
    features = torch.stack([torch.from_numpy(seen(towers, name, paths, view, cache)) for view in range(views)])
    classifier = load_network().classifier
    with torch.inference_mode():
        logits: Tensor = classifier(features[..., :FEATURES])  # type: ignore[operator]
    return features, functional.softmax(logits / TEMPERATURE, dim=-1)


def _texts(towers: Mini, name: str, texts: list[str], cache: Path) -> Tensor:
    kept = cache / f"{name}.texts.npz"
    if not kept.is_file():
        np.savez(kept, both=np.concatenate(towers.read(texts), axis=1))
    with np.load(kept) as told:
        both = torch.from_numpy(told["both"])
    if len(both) != len(texts):
        raise SystemExit(f"{kept} holds {len(both):,} texts, not {len(texts):,}: it is of other data; remove it")
    return both


def gate(data: Data) -> tuple[Tensor, Tensor]:
    """Weight (1, inputs) and bias (1) of what tells captioned pictures from those of things."""
    captioned, things = data.pictures.flatten(0, 1), data.things.flatten(0, 1)
    deviation, mean = torch.std_mean(captioned, dim=0)
    deviation = deviation + 1e-3
    torch.manual_seed(0)
    found = nn.Linear(captioned.shape[1], 1)
    optimiser = torch.optim.AdamW(found.parameters(), lr=RATE, weight_decay=DECAY)
    answer = torch.cat([torch.ones(GATE_BATCH), torch.zeros(GATE_BATCH)])
    for _ in range(GATE_STEPS):
        rows = [some[torch.randint(len(some), (GATE_BATCH,))] for some in (captioned, things)]
        optimiser.zero_grad()
        said = found((torch.cat(rows) - mean) / deviation)[:, 0]
        functional.binary_cross_entropy_with_logits(said, answer).backward()
        optimiser.step()
    with torch.inference_mode():
        weight = GATE_SLOPE * found.weight / deviation
        return weight, GATE_SLOPE * found.bias + GATE_START - weight @ mean


def train(data: Data, recipe: Recipe, seed: int) -> tuple[Adapter, Adapter]:
    """The heads of one seed: for pictures, for texts."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    shapes: list[Shape] = [
        (INPUTS[side], DIM, "mlp", recipe.hidden, DROPOUT, gated)
        for side, gated in (("image", bool(recipe.gate)), ("text", False))
    ]
    image, text = made(seed, *shapes)
    if image.gate is not None:
        weight, bias = gate(data)
        image.gate.load_state_dict({"weight": weight, "bias": bias})
        image.gate.requires_grad_(False)
    image.strength, text.strength = STRENGTH["image"], STRENGTH["text"]
    scale = nn.Parameter(torch.tensor(float(np.log(1 / 0.07))))
    learned = [weight for weight in (*image.parameters(), *text.parameters(), scale) if weight.requires_grad]
    optimiser = torch.optim.AdamW(learned, lr=RATE, weight_decay=DECAY)
    count = len(data.own)
    steps = recipe.epochs * (count // recipe.batch)
    for step in range(steps):
        if step % (count // recipe.batch) == 0:
            order = rng.permutation(count)
        for group in optimiser.param_groups:
            group["lr"] = RATE * min(1, (step + 1) / WARM_UP) * 0.5 * (1 + np.cos(np.pi * step / steps))
        at = step % (count // recipe.batch) * recipe.batch
        optimiser.zero_grad()
        _loss(data, recipe, rng, order[at : at + recipe.batch], image, text, scale).backward()
        nn.utils.clip_grad_norm_(learned, CLIP)
        optimiser.step()
        print(f"seed {seed}, step {step + 1} of {steps}", end="\r", file=sys.stderr)
    return image.eval(), text.eval()


def _loss(
    data: Data, recipe: Recipe, rng: np.random.Generator, ids: Matrix, image: Adapter, text: Adapter, scale: Tensor
) -> Tensor:
    view = rng.integers(recipe.views, size=len(ids))
    captions = [data.own[i][rng.integers(len(data.own[i]))] for i in ids]
    pictures, texts = through(image, data.pictures[view, ids]), through(text, data.texts[captions])
    scores = scale.exp().clamp(max=100) * pictures @ texts.T
    diagonal = torch.arange(len(ids))
    loss = (functional.cross_entropy(scores, diagonal) + functional.cross_entropy(scores.T, diagonal)) / 2
    names = through(text, data.names)
    loss = loss + recipe.names * functional.cross_entropy(SHARPNESS * pictures @ names.T, data.teacher[view, ids])
    view, ids = rng.integers(THING_VIEWS, size=THINGS_AT_ONCE), rng.choice(data.things.shape[1], THINGS_AT_ONCE)
    things = through(image, data.things[view, ids])
    loss = loss + recipe.things * functional.cross_entropy(SHARPNESS * things @ names.T, data.taught[view, ids])
    words = data.words[rng.choice(len(data.words), WORDS_AT_ONCE)]
    return loss + recipe.words * (1 - (through(text, words) * words[:, -DIM:]).sum(dim=1)).mean()


def through(head: Adapter, x: Tensor) -> Tensor:
    """Unit vectors of features, (n, inputs) to (n, 384)."""
    return functional.normalize(head(x[:, -DIM:], x), dim=1)


def averaged(heads: list[Adapter], share: float) -> dict[str, Tensor]:
    """One head that adds ``share`` of the mean of what several add: their hidden units side by side.  fp16.

    The gate is the same in all of them.
    """
    parts = [head.state_dict() for head in heads]
    weight = share / len(parts)
    gates = {name: w.half() for name, w in parts[0].items() if name.startswith("gate.")}
    return gates | {
        "0.weight": torch.cat([part["0.weight"] for part in parts]).half(),
        "0.bias": torch.cat([part["0.bias"] for part in parts]).half(),
        "1.weight": (weight * torch.cat([part["1.weight"] for part in parts], dim=1)).half(),
        "1.bias": (weight * torch.stack([part["1.bias"] for part in parts]).sum(dim=0)).half(),
    }


def write(heads: list[tuple[Adapter, Adapter]], share: float, told: dict[str, object], out: Path) -> None:
    """The folder that is an encoder."""
    sides = {"image": [image for image, _ in heads], "text": [text for _, text in heads]}
    weights = save({f"{side}.{name}": w for side, of in sides.items() for name, w in averaged(of, share).items()})
    out.mkdir(parents=True, exist_ok=True)
    (out / WEIGHTS_FILE).write_bytes(weights)
    (out / HEADS_FILE).write_bytes(configuration(weights, STRENGTH, told, LABEL_TEMPERATURE, unframed=True))


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
    heads = [train(data, recipe, told["first"] + more) for more in range(recipe.seeds)]
    used = (
        f"Flickr8k, {len(pairs)} pictures, {len(pairs.texts)} captions; Caltech-101, {len(things)} pictures, no labels"
    )
    write(heads, recipe.share, {"recipe": asdict(recipe), "data": used, "unseen": unseen}, told["out"])
    print(f"{recipe.seeds} heads averaged into {told['out']}")


if __name__ == "__main__":
    main()
