"""A collection laid out on a plane: what is alike lies near, in groups that have names."""

from vsearch.projection.naming import named
from vsearch.projection.project import Group, Projection, project

__all__ = ["Group", "Projection", "named", "project"]
