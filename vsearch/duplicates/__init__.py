"""Pictures that are there more than once: files with the same bytes, and near duplicates."""

from __future__ import annotations

from vsearch.duplicates.apply import move, undo
from vsearch.duplicates.find import Search, find
from vsearch.duplicates.groups import Keep
from vsearch.duplicates.plan import Duplicates, Group, Picture
from vsearch.moving import Moved, Undone

__all__ = ["Duplicates", "Group", "Keep", "Moved", "Picture", "Search", "Undone", "find", "move", "undo"]
