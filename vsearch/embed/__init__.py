"""Encoders: pictures and texts to unit vectors of one joint space."""

from __future__ import annotations

from vsearch.embed.load import load_encoder, resolve
from vsearch.embed.protocol import Encoder

__all__ = ["Encoder", "load_encoder", "resolve"]
