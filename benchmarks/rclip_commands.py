"""rclip as a user types it, with the towers of `random_clip` and a database of its own."""

from __future__ import annotations

from pathlib import Path

import random_clip
from measured import Usage, measure
from venvs import python_of

MODEL = "ViT-B-32-256"  # the architecture of its model


class Rclip:
    """The command, in a folder of pictures.  Raises CannotInstall."""

    def __init__(self, photos: Path, scratch: Path) -> None:
        """Index the pictures.  scratch: where its data goes."""
        self._program = python_of("rclip").with_name("rclip")
        self._photos = photos
        self._data = scratch / "rclip"
        self._data.mkdir()
        for part in random_clip.rclip_folder(MODEL).iterdir():
            if part.is_dir():
                (self._data / part.name).symlink_to(part)
        self._run("a photo")

    def query(self, what: str) -> Usage:
        """Search with a sentence, or the path of a picture, without a look at the folder."""
        return self._run("--no-indexing", what)

    def _run(self, *words: str) -> Usage:
        return measure([str(self._program), *words], self._photos, RCLIP_DATADIR=str(self._data))
