"""Names for groups: a tag that most of their pictures have, words of their captions, or the text that fits best."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from vsearch.projection.project import Group, Projection
from vsearch.store import Snapshot

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]
    Texts = Callable[[], tuple[Sequence[str], Matrix]]

WORD = re.compile(r"[^\W\d_]{3,}")


def named(projection: Projection, snapshot: Snapshot, texts: Texts | None = None) -> Projection:
    """The same with names for its groups, no two of them alike.

    A group is called by the tag that most of its pictures have; else by the one or two words, of two captions or
    more, that set it apart most; else by the text nearest to it.  texts: gives texts that groups may be called, with
    their unit vectors (n, dim) in the joint space of the pictures; called only when they are needed.
    """
    words = _words_of_groups(projection, snapshot)
    labels = [_common_tag(projection, number) or words[number] for number in range(len(projection.groups))]
    labels = [label if label not in labels[:number] else "" for number, label in enumerate(labels)]
    if "" in labels and texts is not None and len(labels) > 1:
        labels = _with_texts(labels, projection.centres, *texts())
    groups = (
        Group(label or f"group {number}", group.count)
        for number, (label, group) in enumerate(zip(labels, projection.groups, strict=True), 1)
    )
    return replace(projection, groups=tuple(groups))


def _common_tag(projection: Projection, number: int) -> str:
    tags = projection.tag[projection.group == number]
    counts = np.bincount(tags[tags >= 0], minlength=1)
    most = int(counts.argmax())
    return projection.tags[most].label if 2 * counts[most] > len(tags) else ""


def _words_of_groups(projection: Projection, snapshot: Snapshot) -> list[str]:
    """For each group the words that set its captions apart, "" where none does."""
    inside: list[Counter[str]] = [Counter() for _ in projection.groups]
    for id, number in zip(projection.ids.tolist(), projection.group.tolist(), strict=True):
        record = snapshot.record(id)
        inside[number].update(set(WORD.findall((record.caption or "").lower())) if record else ())
    everywhere = sum(inside, Counter())

    def telling(number: int, word: str) -> float:
        """How much a word says for a group: its part of the Kullback-Leibler divergence from all captions."""
        share = inside[number][word] / projection.groups[number].count
        return share * math.log(share * len(projection.ids) / everywhere[word])

    def words(number: int) -> str:
        shared = (word for word, count in inside[number].items() if count > 1 and telling(number, word) > 0)
        return ", ".join(sorted(shared, key=lambda word: (-telling(number, word), word))[:2])

    return [words(number) for number in range(len(inside))]


def _with_texts(labels: list[str], centres: Matrix, texts: Sequence[str], rows: Matrix) -> list[str]:
    """Labels for the groups that have none, the surest first.

    Compared is what a group has beyond all groups together with what a text has beyond all texts: what texts and
    pictures of a space differ in as such, and what all pictures of a collection share, says nothing.
    """
    scores = (centres - centres.mean(axis=0)) @ (rows - rows.mean(axis=0)).T
    found = list(labels)
    for number in np.argsort(-scores.max(axis=1), kind="stable").tolist():
        order = np.argsort(-scores[number], kind="stable").tolist()
        if not found[number]:
            found[number] = next((texts[text] for text in order if texts[text] not in found), "")
    return found
