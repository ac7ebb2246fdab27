"""Where pictures come from: folders, single files, lists and tables, as a stream of items."""

from __future__ import annotations

import os

from vsearch.errors import SourceError
from vsearch.sources.chain import Chain, chain
from vsearch.sources.clip_retrieval import ClipRetrieval, clip_retrieval
from vsearch.sources.files import Files, files, listing
from vsearch.sources.folder import Folder, folder
from vsearch.sources.img2dataset import Img2dataset, has_tables, img2dataset
from vsearch.sources.protocol import AnyPath, Source
from vsearch.sources.suffixes import PICTURE_SUFFIXES
from vsearch.sources.table import Table, table

__all__ = [
    "PICTURE_SUFFIXES",
    "AnyPath",
    "Chain",
    "ClipRetrieval",
    "Files",
    "Folder",
    "Img2dataset",
    "Source",
    "Table",
    "chain",
    "clip_retrieval",
    "files",
    "folder",
    "img2dataset",
    "listing",
    "source_for",
    "table",
]


def source_for(
    path: AnyPath,
    *,
    follow_links: bool = False,
    hidden: bool = False,
    path_column: str = "filepath",
    caption_column: str = "title",
) -> Source:
    """Choose the source for what a path is: a folder, a ``.csv`` or ``.tsv`` table, or one picture file.

    A folder that img2dataset wrote (``00000/`` beside ``00000.parquet``) is read with its tables.
    Raises SourceError when nothing is there.
    """
    if os.path.isdir(path):
        found = folder(path, follow_links=follow_links, hidden=hidden)
        return Img2dataset(found) if has_tables(path) else found
    if os.fsencode(path).lower().endswith((b".csv", b".tsv")):
        return table(path, path_column=path_column, caption_column=caption_column)
    if not os.path.lexists(path):
        shown = os.fsdecode(path)
        raise SourceError(f"there is no folder or file {shown!r}. Check the name, and that the disk is there.")
    return files([path])
