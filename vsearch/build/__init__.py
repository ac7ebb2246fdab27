"""Build a FAISS generation from the store: choose, sample, train, add, tune, publish; and keep it fresh."""

from vsearch.build.goal import Goal
from vsearch.build.make import build
from vsearch.build.merge import drift, merge
from vsearch.build.predict import predict
from vsearch.build.rows import training_ids
from vsearch.build.upkeep import Upkeep

__all__ = ["Goal", "Upkeep", "build", "drift", "merge", "predict", "training_ids"]
