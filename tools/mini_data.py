"""What `mini` is trained on: captioned pictures, pictures of things, the names of ImageNet, and phrases."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from mini_texts import Texts, read
from mini_views import seen
from torch import Tensor
from torch.nn import functional

from vsearch import phrases
from vsearch.embed.classnames import imagenet_classnames
from vsearch.embed.lite2 import FEATURES, load_network
from vsearch.embed.mini import Mini
from vsearch.train.pairs import Pairs

THING_VIEWS = 2
# Ways to put a name, and what stands around half of the phrases: so that "a photo of" says nothing of its own.
NAMED = ("{}", "a {}", "a photo of a {}", "a picture of a {}", "a drawing of a {}", "a {} in a photo")
FRAMES = ("a photo of {}", "a picture of {}", "an image of {}", "a drawing of {}", "{} in a photo", "a photo of a {}")


@dataclass(frozen=True)
class Data:
    """What is learned from.

    pictures, things: features, (views, n, inputs).  teacher, taught: what the classifier says of them,
    (views, n, 1000).  own: the captions of each picture, by number.  names: of ImageNet, all in one way before the
    next.  words: phrases as they are, then all of them again, each in a frame.
    """

    pictures: Tensor
    teacher: Tensor
    things: Tensor
    taught: Tensor
    captions: Texts
    own: list[list[int]]
    names: Texts
    words: Texts


def gather(pairs: Pairs, things: list[Path], towers: Mini, views: int, cache: Path) -> Data:
    """What the towers see in pictures, in their views, and in texts."""
    paths = [Path(os.fsdecode(item.path)) for item in pairs.items]
    pictures, teacher = _views(towers, "train", paths, views, cache)
    others, taught = _views(towers, "things", things, THING_VIEWS, cache)
    own: list[list[int]] = [[] for _ in paths]
    for caption, picture in enumerate(pairs.owner):
        own[picture].append(caption)
    words = [*phrases.load(), *sorted({word.lower() for p in phrases.load() for word in p.split() if word.isalpha()})]
    framed = [
        f.format(word) for f, word in zip(np.random.default_rng(0).choice(FRAMES, len(words)), words, strict=True)
    ]
    return Data(
        pictures,
        teacher,
        others,
        taught,
        read(towers, "captions", pairs.texts, cache),
        own,
        read(towers, "names", [way.format(name) for way in NAMED for name in imagenet_classnames()], cache),
        read(towers, "words", words + framed, cache),
    )


def _views(towers: Mini, name: str, paths: list[Path], views: int, cache: Path) -> tuple[Tensor, Tensor]:
    features = torch.stack([torch.from_numpy(seen(towers, name, paths, view, cache)) for view in range(views)])
    classifier = load_network().classifier
    with torch.inference_mode():
        logits: Tensor = classifier(features[..., :FEATURES])  # type: ignore[operator]
    return features, functional.softmax(logits, dim=-1)
