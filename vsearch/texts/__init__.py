"""Texts as a second set of vectors in the joint space: the captions of a collection, and the bundled phrases."""

from __future__ import annotations

from vsearch.texts.find import captions, phrases
from vsearch.texts.sets import TextSets
from vsearch.texts.textset import TextSet

__all__ = ["TextSet", "TextSets", "captions", "phrases"]
