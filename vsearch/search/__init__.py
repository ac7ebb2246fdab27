"""The one search path: exact or by an index, over all pictures or those that a filter lets through."""

from vsearch.search.path import search

__all__ = ["search"]
