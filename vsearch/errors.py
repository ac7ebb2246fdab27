"""Every error that vsearch raises on purpose.

::

    VsearchError
    ├─ IndexNotFound · IndexNotReadable · IndexExists · IndexLocked · IndexClosed · FormatTooNew · IndexCorrupt
    ├─ IndexNotWritable ─ DiskFull
    ├─ EncoderError ─ EncoderMismatch · EncoderUnavailable · EncoderUnknown
    ├─ DecodeError ─ NotAnImage · ImageTooLarge · Truncated · DecodeTimeout · DecoderCrashed
    ├─ RecipeError · TooFewVectors · MemoryBudgetTooSmall · DimensionMismatch
    ├─ TrainError ─ LossNotFinite · CheckpointMismatch
    └─ SourceError · ExportError · QueryError · FilterError · ClusterError

A message says what happened, to what, and what to type next.  Errors of other
libraries are translated in the room that calls them, so catching
``VsearchError`` catches everything that a user can mend.
"""

from __future__ import annotations


class VsearchError(Exception):
    """The root of the tree."""


class IndexNotFound(VsearchError):
    """There is no index at that place, or what is there is not one."""


class IndexNotReadable(VsearchError):
    """The index is there, and this user may not read it, or one of its files."""


class IndexExists(VsearchError):
    """An index is already where a new one was to be made."""


class IndexLocked(VsearchError):
    """Another process writes to the index; its process id is in ``pid``."""

    def __init__(self, message: str, pid: int | None = None) -> None:
        super().__init__(message)
        self.pid = pid


class IndexClosed(VsearchError):
    """The index object was closed, or belongs to the process that forked this one."""


class FormatTooNew(VsearchError):
    """The index was written by a newer version of vsearch."""


class IndexCorrupt(VsearchError):
    """Bytes on disk are not those that were committed; ``ids`` names the pictures, when they are known."""

    def __init__(self, message: str, ids: tuple[int, ...] = ()) -> None:
        super().__init__(message)
        self.ids = ids


class IndexNotWritable(VsearchError):
    """The index cannot be written: no permission, a read-only disk, an I/O error."""


class DiskFull(IndexNotWritable):
    """There is no space left; what was committed before is intact."""


class EncoderError(VsearchError):
    """An encoder failed or was named wrongly."""


class EncoderMismatch(EncoderError):
    """The index was made with another encoder."""


class EncoderUnavailable(EncoderError):
    """The encoder's weights are not on this machine and cannot be fetched."""


class EncoderUnknown(EncoderError):
    """A file names an encoder that the user has never named; its full name is in ``name``."""

    def __init__(self, message: str, name: str = "") -> None:
        super().__init__(message)
        self.name = name


class DecodeError(VsearchError):
    """A picture could not be read."""


class NotAnImage(DecodeError):
    """The bytes are of no supported picture format."""


class ImageTooLarge(DecodeError):
    """More pixels or bytes than the limits allow."""


class Truncated(DecodeError):
    """The file ends before the picture does."""


class DecodeTimeout(DecodeError):
    """Decoding took longer than the limit."""


class DecoderCrashed(DecodeError):
    """The decoding process died on this file."""


class RecipeError(VsearchError):
    """A recipe is unknown or has an unknown key or impossible numbers."""


class TooFewVectors(VsearchError):
    """Fewer vectors than the recipe needs for training."""


class MemoryBudgetTooSmall(VsearchError):
    """The work needs more memory than was given: ``need`` and ``given`` in bytes."""

    def __init__(self, message: str, need: int = 0, given: int = 0) -> None:
        super().__init__(message)
        self.need = need
        self.given = given


class DimensionMismatch(VsearchError):
    """Vectors of another dimension than the index holds."""


class TrainError(VsearchError):
    """Training cannot begin or go on: the pairs, the settings or the folder do not allow it."""


class LossNotFinite(TrainError):
    """The loss or its gradient became NaN or infinite; ``step`` is the step whose batch did it."""

    def __init__(self, message: str, step: int = 0) -> None:
        super().__init__(message)
        self.step = step


class CheckpointMismatch(TrainError):
    """The checkpoints are of another encoder, of other pairs or of other settings, or none of them is whole."""


class SourceError(VsearchError):
    """A folder, file or list of pictures cannot be read."""


class ExportError(VsearchError):
    """What an export goes to cannot be reached, refuses it, or is not this index's."""


class QueryError(VsearchError):
    """A query that has no meaning: empty, k out of range, an unknown id."""


class FilterError(VsearchError):
    """A filter expression that cannot be understood; ``position`` is where in it, in characters from 0."""

    def __init__(self, message: str, position: int | None = None) -> None:
        super().__init__(message)
        self.position = position


class ClusterError(VsearchError):
    """A Ray cluster cannot be joined, or its workers cannot do what they are to do."""
