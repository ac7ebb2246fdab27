"""Pictures that a server was given: beside an index, inside its backup, and beside what is restored from that."""

from __future__ import annotations

import filecmp
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from vsearch import files

if TYPE_CHECKING:
    from vsearch.store.layout import Layout
    from vsearch.store.store import Store


def origins(layout: Layout) -> list[bytes]:
    """Folders that the metadata may name for uploads: the one beside the index, and those its backup was made from."""
    beside = [os.fsencode(layout.uploads)]
    with suppress(FileNotFoundError):
        return beside + layout.origins.read_bytes().split(b"\0")
    return beside


def listed(layout: Layout) -> dict[str, Path]:
    """Uploaded files by name, of both places.  A name tells the content, so that one of two is enough."""
    found: dict[str, Path] = {}
    for folder in (layout.uploads, layout.kept_uploads):
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
            found |= {
                entry.name: folder / entry.name
                for entry in entries
                if entry.is_file(follow_symlinks=False) and not entry.name.startswith(files.TEMPORARY)
            }
    return found


def keep(store: Store, copied: Store) -> None:
    """Link the uploads into a backup whose metadata are copied already, so that it has all that they name.

    Raises FileNotFoundError when the server forgot one meanwhile, whose backup has to start over.
    """
    given = listed(store.layout)
    if not given:
        return
    to = copied.layout
    files.make_dir(to.kept_uploads)
    for name, path in given.items():
        files.link_or_copy(path, to.kept_uploads / name)
    of = origins(store.layout)
    files.publish(to.origins, lambda sink: sink.put(b"\0".join(of)))
    with copied.snapshot() as then, store.snapshot() as now:
        for _, record in then.items():
            folder, file = os.path.split(record.path)
            if folder in of and os.fsdecode(file) not in given and now.at_path(record.path) is None:
                raise FileNotFoundError(record.path)


def put_beside(given: dict[str, Path], folder: Path) -> None:
    """Link uploads into a folder that is not there.  Its name is only seen with all of them.

    A folder with exactly these files is what a restore left that was killed before the index had its name.
    Raises FileExistsError for any other.
    """
    if folder.is_dir() and _same(given, folder):
        return
    scratch = files.scratch_beside(folder)
    try:
        files.make_dir(scratch)
        for name, path in given.items():
            files.link_or_copy(path, scratch / name)
        files.rename_new(scratch, folder)
    except BaseException:
        files.discard(scratch)
        raise


def _same(given: dict[str, Path], folder: Path) -> bool:
    names = os.listdir(folder)
    return given.keys() == set(names) and all(filecmp.cmp(given[name], folder / name, shallow=False) for name in names)
