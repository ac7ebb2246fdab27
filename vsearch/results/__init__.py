"""What a search gives: a sequence of hits, which notebooks show as pictures."""

from vsearch.results.hits import Hits

__all__ = ["Hits"]
