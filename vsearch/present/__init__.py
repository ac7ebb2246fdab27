"""Hits to text: a table, JSON Lines, CSV, paths, an HTML contact sheet, pictures in the terminal."""

from __future__ import annotations

from vsearch.bounds import valid
from vsearch.present.names import printable, printable_lines
from vsearch.present.preview import preview
from vsearch.present.records import csv, json_line, json_lines, nul, path_fields, paths
from vsearch.present.sheet import Section, Thumbnails, html
from vsearch.present.table import table
from vsearch.present.terminal import Protocol, detect

__all__ = [
    "Protocol",
    "Section",
    "Thumbnails",
    "csv",
    "detect",
    "html",
    "json_line",
    "json_lines",
    "nul",
    "path_fields",
    "paths",
    "preview",
    "printable",
    "printable_lines",
    "table",
    "valid",
]
