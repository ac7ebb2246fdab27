"""One cold `vsearch query TEXT`, and which part of its CPU time went where.

run_stages.py INDEX TEXT FIGURES.json     the index is one of a model of open_clip whose text tower runs in numpy
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from stages import Stages  # noqa: E402


def main() -> int:
    """Run from the command line."""
    place, text, figures = sys.argv[1:]
    interpreter = time.process_time()
    stages = Stages()
    stages.watch_imports("imports")
    _watch(stages)
    from vsearch.cli import main as command

    code = command(["query", "--index", place, text])
    shares = stages.shares()
    whole = sum(stages.seconds.values()) + interpreter
    shares = {"interpreter": interpreter / whole} | {
        name: share * (1 - interpreter / whole) for name, share in shares.items()
    }
    Path(figures).write_text(json.dumps({"CPU s": whole, "shares": shares}), encoding="ascii")
    return code


def _watch(stages: Stages) -> None:
    """What the command imports in any case is imported here, so that it can be watched."""
    import vsearch.index
    from vsearch.embed import openclip
    from vsearch.embed.clip.hub_tokens import HubTokens
    from vsearch.embed.clip.text_tower import TextTower
    from vsearch.embed.clip.tokens import ClipTokens
    from vsearch.index import Index

    for owner, attribute, name in (
        (vsearch.index, "open_index", "opening the index"),
        (Index, "search", "search"),
        (openclip, "find", "opening weights"),
        (openclip, "open_weights", "opening weights"),
        (openclip, "weights_hash", "opening weights"),
        (TextTower, "__init__", "opening weights"),
        (openclip, "tokens_of", "tokens"),
        (HubTokens, "__call__", "tokens"),
        (ClipTokens, "__init__", "tokens"),
        (ClipTokens, "__call__", "tokens"),
        (TextTower, "encode", "tower"),
    ):
        stages.watch(owner, attribute, name)


if __name__ == "__main__":
    sys.exit(main())
