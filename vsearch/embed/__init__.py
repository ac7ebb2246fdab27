"""Encoders: pictures and texts to unit vectors of one joint space.

Importing this room loads neither numpy nor torch; making an encoder loads what that encoder needs.
"""

from __future__ import annotations

from vsearch.embed.ahead import Fetched, fetch_encoder
from vsearch.embed.doctor import check_encoders
from vsearch.embed.download.notice import report_downloads
from vsearch.embed.load import load_encoder, load_pinned, name_encoder, resolve
from vsearch.embed.presets import Preset, presets
from vsearch.embed.protocol import Encoder

__all__ = [
    "Encoder",
    "Fetched",
    "Preset",
    "check_encoders",
    "fetch_encoder",
    "load_encoder",
    "load_pinned",
    "name_encoder",
    "presets",
    "report_downloads",
    "resolve",
]
