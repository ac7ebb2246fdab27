"""Follow folders: an index that is kept in line with them as they change."""

from __future__ import annotations

from vsearch.following.run import watch

__all__ = ["watch"]
