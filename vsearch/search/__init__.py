"""The road of a query: parts, one vector, candidates, exact scores, hits.

``searcher`` walks it: ``query`` embeds, ``candidates`` finds the nearest pictures, ``ranking`` folds copies into hits.
"""

from vsearch.search.candidates import nearest
from vsearch.search.searcher import Request, Searcher

__all__ = ["Request", "Searcher", "nearest"]
