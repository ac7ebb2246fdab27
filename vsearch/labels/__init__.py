"""Zero-shot classification: which of some labels a picture shows, from their vectors in the joint space alone."""

from __future__ import annotations

from vsearch.labels.classifier import Classifier
from vsearch.labels.pictures import classify
from vsearch.labels.reading import read_labels

__all__ = ["Classifier", "classify", "read_labels"]
