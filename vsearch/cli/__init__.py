"""The command ``vsearch``: each command opens an index, makes one call of the library and presents what comes back."""

from __future__ import annotations

from vsearch.cli.run import main

__all__ = ["main"]
