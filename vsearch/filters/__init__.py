"""Filters: which pictures a condition holds for, in the words of SQL, over columns derived from the metadata."""

from vsearch.filters.columns import Columns

__all__ = ["Columns"]
