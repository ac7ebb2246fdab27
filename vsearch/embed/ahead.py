"""Fetching an encoder before it is needed."""

from __future__ import annotations

from dataclasses import dataclass

from vsearch.embed.auto import preferred
from vsearch.embed.download.notice import Report, current, report_downloads
from vsearch.embed.load import BUNDLED, has_heads, resolve


@dataclass(frozen=True)
class Fetched:
    """encoder: full name.  came: whether anything had to be fetched.  damaged: because what was here was damaged."""

    encoder: str
    came: bool
    damaged: bool = False


def fetch_encoder(name: str, *, report: Report | None = None) -> Fetched:
    """Bring all that an encoder needs onto this machine, so that it works without a network.

    name: as for ``load_encoder``; ``auto`` stands for what it takes where it can.  What is here is compared with its
    checksum, and fetched again if it is damaged.  report: is told how far the download is.
    Raises EncoderError, EncoderUnavailable.
    """
    full = resolve(name)[0]
    if name == "auto" and full in BUNDLED:  # what it takes while nothing else can be had
        full = preferred().full_name
    if full in (*BUNDLED, "toy") or full.startswith("external:") or has_heads(full):
        return Fetched(full, False)
    from vsearch.embed.clip.source import bring, find_source
    from vsearch.embed.download.fetch import drop_damaged

    source = find_source(full)
    damaged = source.repo is not None and drop_damaged(source.repo, source.weight_files)
    with report_downloads(report or current()):
        return Fetched(full, bring(source), damaged)
