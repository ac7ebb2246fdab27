"""`vsearch` as a user types it, with one encoder, an index and a cache of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from measured import Usage, measure, measure_all, user_environment
from peer import PEERS

Figures = dict[str, Any]


class Commands:
    """The commands of one encoder.  Paths of pictures end in ``.jpg``."""

    def __init__(self, encoder: str, photos: Path, scratch: Path) -> None:
        """encoder: its name.  photos: the folder to index.  scratch: an empty folder."""
        scratch.mkdir()
        self.index_path = scratch / "bench.vsearch"
        self._encoder = encoder
        self.photos = photos
        self._figures = scratch / "figures.json"
        self.environment = {
            "VSEARCH_CACHE": str(scratch / "cache"),
            "VSEARCH_DATA": str(scratch / "data"),
            "HF_HUB_OFFLINE": "1",
        }

    def index(self) -> Figures:
        """Index all pictures, with a model that is used for the first time."""
        usage, peak = measure_all(
            self._command("index", str(self.photos), "--encoder", self._encoder), **self.environment
        )
        pictures = sum(1 for _ in self.photos.rglob("*.jpg"))
        return {
            "pictures": pictures,
            "CPU s": usage.cpu,
            "CPU ms a picture": 1000 * usage.cpu / pictures,
            "pictures/s": pictures / usage.wall,
            "MB": usage.peak_mb,
            "MB, all processes": peak.whole,
        }

    def sentence(self, text: str) -> Usage:
        """Search with a sentence."""
        return self._measure("query", text)

    def image(self) -> Usage:
        """Search with a picture."""
        return self._measure("query", "--image", str(min(self.photos.rglob("*.jpg"))))

    def index_again(self) -> Usage:
        """Index the folder again, for what is new in it."""
        return self._measure("index", str(self.photos))

    def stages(self, text: str) -> Figures:
        """CPU seconds of a sentence, and the share of each stage."""
        program = [sys.executable, str(PEERS / "run_stages.py"), str(self.index_path), text, str(self._figures)]
        subprocess.run(
            program, env=user_environment(**self.environment), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        ).check_returncode()
        figures: Figures = json.loads(self._figures.read_text(encoding="ascii"))
        return figures

    def _measure(self, *words: str) -> Usage:
        return measure(self._command(*words), **self.environment)

    def _command(self, command: str, *words: str) -> list[str]:
        return [sys.executable, "-m", "vsearch", command, *words, "--index", str(self.index_path)]
