"""Where pictures come from: folders, single files, lists and tables, as a stream of items."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from vsearch.arguments import written
from vsearch.errors import SourceError
from vsearch.members.address import kind_of, resolve
from vsearch.sources.archive import Archive, archive, is_compressed_tar
from vsearch.sources.chain import Chain, chain, walk
from vsearch.sources.clip_retrieval import ClipRetrieval, clip_retrieval
from vsearch.sources.embedded import EmbeddedSource
from vsearch.sources.files import Files, files, listing
from vsearch.sources.folder import Folder, folder
from vsearch.sources.img2dataset import Img2dataset, has_tables, img2dataset
from vsearch.sources.missing import Missing, missing
from vsearch.sources.protocol import AnyPath, Source, absolute, check_no_address
from vsearch.sources.suffixes import PICTURE_SUFFIXES
from vsearch.sources.table import Table, table
from vsearch.sources.vector_file import VectorFile, vector_file

__all__ = [
    "PICTURE_SUFFIXES",
    "AnyPath",
    "Archive",
    "Chain",
    "ClipRetrieval",
    "EmbeddedSource",
    "Files",
    "Folder",
    "Img2dataset",
    "Missing",
    "Source",
    "Table",
    "VectorFile",
    "archive",
    "as_source",
    "chain",
    "clip_retrieval",
    "files",
    "folder",
    "img2dataset",
    "listing",
    "missing",
    "source_for",
    "table",
    "vector_file",
    "walk",
]


def as_source(given: Source | AnyPath | Iterable[AnyPath]) -> Source:
    """A source as it is, and for a path or a list of paths the source for what each is.

    Raises SourceError for anything else, and when nothing is there.
    """
    if isinstance(given, Source):
        return given
    if isinstance(given, (str, bytes, os.PathLike)):
        return source_for(given)
    try:
        paths = list(given)
    except TypeError:
        paths = []
    if paths and all(isinstance(path, (str, bytes, os.PathLike)) for path in paths):
        return chain(*map(source_for, paths))
    raise SourceError(
        f'pictures are given as a source, as vsearch.folder("./photos"), a path or a list of paths, and this is '
        f"{written(given)}"
    )


def source_for(
    path: AnyPath,
    *,
    follow_links: bool | None = None,
    hidden: bool | None = None,
    archives: bool | None = None,
    every: float | None = None,
    raw: bool | None = None,
    exclude: Sequence[str] | None = None,
    path_column: str = "filepath",
    caption_column: str = "title",
) -> Source:
    """Choose the source for what a path is: a folder, a table, an archive, a member of one, or a picture.

    archives: of a folder, also the pictures inside the archives in it.  every: also frames of videos and animations, so
    many seconds apart.  raw: of a folder, also RAW files.  hidden, exclude: which names in folders and archives.
    None: see ``folder``.
    A folder that img2dataset wrote (``00000/`` beside ``00000.parquet``) is read with its tables.
    Raises SourceError when nothing is there.
    """
    absolute(path)
    check_no_address(path)
    if os.path.isdir(path):
        walked = {"follow_links": follow_links, "hidden": hidden, "archives": archives, "raw": raw}
        found = folder(path, every=every, exclude=exclude, **walked)
        return Img2dataset(found) if has_tables(path) else found
    if os.fsencode(path).lower().endswith((b".csv", b".tsv")):
        return table(path, path_column=path_column, caption_column=caption_column)
    where = os.fsencode(path)
    if os.path.isfile(where) and (kind_of(where) or is_compressed_tar(where)):
        if kind_of(where) != "animation":
            return archive(path, every=every or None, hidden=bool(hidden), exclude=exclude or ())
        if every:
            return chain(files([path]), archive(path, every=every))
    if not os.path.lexists(path) and resolve(where) is None:
        shown = os.fsdecode(path)
        raise SourceError(f"there is no folder or file {shown!r}. Check the name, and that the disk is there.")
    return files([path])
