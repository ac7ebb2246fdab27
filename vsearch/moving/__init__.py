"""Move pictures into a folder that the user names, and back.  The only code that touches folders of pictures.

A move is a rename on the same disk, never a copy; what is there is never overwritten; and before each move a line in a
journal says what is about to happen, so that all of it can be undone, whatever came in between.
"""

from __future__ import annotations

from vsearch.moving.back import Undone, undo
from vsearch.moving.content import Expected
from vsearch.moving.mover import Moved, Mover

__all__ = ["Expected", "Moved", "Mover", "Undone", "undo"]
