"""Scoring pictures against a text with a matcher, and putting the best results of a search in its order."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from vsearch.decode import Decoded, DecodePool, Job
from vsearch.embed import known
from vsearch.embed.network import torch_errors
from vsearch.embed.openclip import state_hash
from vsearch.embed.patches import PatchEncoder, load_patches
from vsearch.rerank.model import Matcher
from vsearch.rerank.saved import load_matcher
from vsearch.rerank.tokens import Tokens, narrow
from vsearch.types import Failure, Hit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]

Read = Callable[[Sequence[bytes]], tuple[Tokens, list[Failure]]]
"""Patches of the picture files that can be read, in order, and the others."""

BATCH = 64
DEPTH = 50


class Reranker:
    """A matcher and the frozen towers that it reads.  Loaded by the first use of each."""

    def __init__(self, model: Matcher, towers: PatchEncoder) -> None:
        self.model = model
        self.towers = towers

    @classmethod
    def load(cls, folder: str | os.PathLike[str], device: str | None = None) -> Reranker:
        """The re-ranker that ``save_matcher`` wrote.

        Raises EncoderUnavailable, EncoderError; EncoderUnknown where only the re-ranker names its encoder.
        """
        model = load_matcher(folder)
        known.check(model.config.base, os.fspath(folder))
        return cls(model, load_patches(model.config.base, device))

    @property
    def digest(self) -> str:
        """SHA-256, hex, over the weights."""
        return state_hash(self.model)

    def score(self, patches: Tokens, texts: Sequence[str]) -> Matrix:
        """Logits of pairs: n pictures and n texts to (n,) float32; above 0 is likelier a match than not.

        A text that comes several times is embedded once.  Raises EncoderError, EncoderUnavailable.
        """
        place = {text: row for row, text in enumerate(dict.fromkeys(texts))}
        tokens, there = self.towers.encode_tokens(list(place))
        rows = np.array([place[text] for text in texts], np.int64)
        out = [np.zeros(0, np.float32)]
        with torch_errors(), torch.inference_mode():
            for first in range(0, len(patches), BATCH):
                part = slice(first, first + BATCH)
                pair = patches[part].widen(), tokens[rows[part]], there[rows[part]]
                out.append(self.model(*map(torch.from_numpy, pair)).numpy())
        return np.concatenate(out)

    def rerank(
        self,
        text: str,
        hits: Sequence[Hit],
        depth: int = DEPTH,
        known: Mapping[int, Tokens] | None = None,
        read: Read | None = None,
    ) -> list[Hit]:
        """The first ``depth`` hits in the order of the matcher, the others behind them as they were.

        known: patches by id, as ``known_patches`` finds them.  Other pictures are read from where they are, with
        ``read`` instead of ``read_patches`` if given; one that cannot be read any more comes after those that can.
        The scores stay cosines, since a logit cannot be compared with them; ranks are counted anew.
        Raises EncoderError, EncoderUnavailable.
        """
        first, rest = list(hits[:depth]), list(hits[depth:])
        known = known or {}
        unknown = [hit for hit in first if hit.id not in known]
        paths = [hit.raw_path for hit in unknown]
        tokens, failures = read(paths) if read is not None else read_patches(paths, self.towers)
        lost = {failure.path for failure in failures}
        seen = [hit for hit in unknown if hit.raw_path not in lost]
        stored = [hit for hit in first if hit.id in known]
        there = [*stored, *seen]
        scores = self.score(Tokens.joined([*(known[hit.id] for hit in stored), tokens]), [text] * len(there))
        order = [there[at] for at in sorted(range(len(there)), key=lambda at: (-scores[at], there[at].rank))]
        found = [*order, *(hit for hit in unknown if hit.raw_path in lost), *rest]
        return [replace(hit, rank=rank) for rank, hit in enumerate(found, 1)]


def patches_of(pixels: NDArray[np.uint8], towers: PatchEncoder) -> Tokens:
    """Patches of (n, size, size, 3) pictures, embedded a batch at a time."""
    batches = range(0, len(pixels), BATCH)
    return Tokens.joined([narrow(towers.encode_patches(pixels[at : at + BATCH])) for at in batches])


def read_patches(paths: Sequence[bytes], towers: PatchEncoder) -> tuple[Tokens, list[Failure]]:
    """Patches of picture files, decoded ahead: those of the ones that can be read, in order, and the others."""
    failures: list[Failure] = []
    parts: list[Tokens] = []
    waiting: list[NDArray[np.uint8]] = []
    with DecodePool(towers.preprocess) as pool:
        for outcome in pool.map(map(Job, paths)):
            if isinstance(outcome, Failure):
                failures.append(outcome)
            elif isinstance(outcome, Decoded):
                waiting.append(outcome.pixels)
            if len(waiting) == BATCH:
                parts.append(narrow(towers.encode_patches(np.stack(waiting))))
                waiting = []
    if waiting:
        parts.append(narrow(towers.encode_patches(np.stack(waiting))))
    return Tokens.joined(parts), failures
