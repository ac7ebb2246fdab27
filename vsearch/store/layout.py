"""Names of what lies on disk, and the line that says which format it is."""

from __future__ import annotations

import errno
import os
import re
import uuid
from dataclasses import dataclass
from pathlib import Path

from vsearch import files
from vsearch.errors import FormatTooNew, IndexNotFound

FORMAT_VERSION = 1
META = "meta"
SPACES = "spaces"
COLUMNS = "columns"
VECTORS = "vectors"
ANN = "ann"
DERIVED = "derived"

# The only names that are ever written, believed when the metadata give them, or deleted.  None of them leads anywhere
# else: no slash, no dot at the start.
SPACE_NAME = re.compile(r"(?:[^\W_]|-){1,120}")
SEGMENT_FILE = re.compile(r"[0-9]{8,10}\.(?:f16|ids)")
GENERATION_NAME = re.compile(r"[0-9]{4,10}-[0-9a-f]{8}")
DERIVED_FILE = re.compile(r"[a-z]+(?:-[0-9a-f]{32})?-[0-9a-f]{32}")
COLUMN_FILE = re.compile(r"[0-9]{8,10}-[0-9a-f]{2,64}\.[0-9]+\.arrow")
TEMPORARY_FILE = re.compile(re.escape(files.TEMPORARY) + r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything of one index is."""

    root: Path

    @property
    def format(self) -> Path:
        """One line: the word vsearch, the format version, a uuid.  Written once."""
        return self.root / "FORMAT"

    @property
    def lock(self) -> Path:
        """The writer's lock."""
        return self.root / "LOCK"

    @property
    def meta(self) -> Path:
        """The LMDB environment."""
        return self.root / META

    @property
    def data(self) -> Path:
        """LMDB's data file."""
        return self.meta / "data.mdb"

    @property
    def spaces(self) -> Path:
        """A folder for each joint space."""
        return self.root / SPACES

    @property
    def columns(self) -> Path:
        """What filters read, derived from LMDB."""
        return self.root / COLUMNS

    @property
    def uploads(self) -> Path:
        """Pictures that a server was given, beside the index."""
        root = Path(os.path.abspath(self.root))
        return root.with_name(root.name.removesuffix(".vsearch") + ".uploads")

    @property
    def kept_uploads(self) -> Path:
        """The same pictures in a backup."""
        return self.root / "uploads"

    @property
    def origins(self) -> Path:
        """Of a backup: the folders, NUL between them, where the metadata say that those pictures are."""
        return self.root / "uploads-of"

    def space(self, name: str) -> Path:
        """All of one joint space."""
        return self.spaces / name

    def vectors(self, space: str) -> Path:
        """The vector segments of a space."""
        return self.space(space) / VECTORS

    def ann(self, space: str) -> Path:
        """The FAISS generations of a space."""
        return self.space(space) / ANN

    def derived(self, space: str) -> Path:
        """What else was made from a space and can be made again; may not be there."""
        return self.space(space) / DERIVED


def format_line(identity: str) -> bytes:
    """The content of FORMAT."""
    return f"vsearch {FORMAT_VERSION} {identity}\n".encode()


def _why(error: OSError) -> str:
    return "" if error.errno == errno.ENOENT else f" ({error.strerror})"


def read_format(root: Path) -> str:
    """The uuid of the index at ``root``.  Raises IndexNotFound, IndexNotReadable, FormatTooNew."""
    try:
        with files.reading(root):
            os.stat(root)
    except OSError as error:  # its name may be one that no file system takes
        raise IndexNotFound(
            f"{root}: no such index{_why(error)}; make one with: vsearch index FOLDER --index {root}"
        ) from error
    try:
        with files.reading(Layout(root).format), open(Layout(root).format, "rb", opener=files.plain) as file:
            line = file.read(200).decode("ascii").split()
        word, version, identity = line[0], int(line[1]), str(uuid.UUID(line[2]))
    except (OSError, ValueError, IndexError):
        word, version, identity = "", 0, ""
    if word != "vsearch" or version < 1:
        raise IndexNotFound(
            f"{root}: this is not a vsearch index (its FORMAT line is missing or damaged); "
            f"name another place, or make one with: vsearch index FOLDER --index NEW.vsearch"
        )
    if version > FORMAT_VERSION:
        raise FormatTooNew(
            f"{root}: format {version}, but this vsearch reads up to {FORMAT_VERSION}; "
            f"upgrade with: pip install --upgrade vsearch-engine"
        )
    return identity
