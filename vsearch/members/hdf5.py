"""Pictures in the datasets of an HDF5 file, by h5py (extra ``hdf5``)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

from vsearch.bounds import valid
from vsearch.errors import SourceError
from vsearch.members.entry import Fault, Member, Row
from vsearch.members.rows import why_no_pictures
from vsearch.members.zip import MOST_RATIO

_DAMAGE = (OSError, RuntimeError, ValueError, KeyError, TypeError)


def scan(file: BinaryIO, length: int) -> Iterator[Member | Fault]:
    """Each picture of each dataset of pictures, named ``group/dataset/17``.

    Links are not followed.  Datasets of pictures that cannot be read are faults; those of something else only where
    there are no pictures.  Raises SourceError.
    """
    try:
        import h5py
    except ModuleNotFoundError as error:
        raise SourceError("reading HDF5 needs h5py; type: pip install 'vsearch-engine[hdf5]'") from error
    datasets: list[tuple[str, Any]] = []

    def visit(name: str, found: Any) -> None:
        if isinstance(found, h5py.Dataset):
            datasets.append((name, found))

    try:
        with h5py.File(f"/proc/self/fd/{file.fileno()}", "r") as opened:
            opened.visititems(visit)
            looks = [(name, *_look(name, dataset)) for name, dataset in datasets]
    except _DAMAGE as error:
        raise SourceError("not an HDF5 file that can be read") from error
    good = [(name, shape) for name, shape, other, why in looks if other is None and why is None]
    for name, shape in good:
        for index in range(shape[0]):
            yield Member(f"{name}/{index}".encode(), Row("hdf5", name, index))
    for name, _, other, why in looks:
        reason = why if other is None else None if good else other
        if reason is not None:
            yield Fault(name.encode("utf-8", "surrogateescape"), reason)


def _look(name: str, dataset: Any) -> tuple[tuple[int, ...], str | None, str | None]:
    """Its shape, why it is no dataset of pictures, and why it cannot be read."""
    try:
        shape = dataset.shape or ()
        other = "it is empty" if dataset.shape is None else why_no_pictures(shape, dataset.dtype)
        return shape, other, _problem(name, dataset)
    except _DAMAGE as error:
        return (), None, f"it cannot be read: {' '.join(str(error).split())[:100]}"


def _problem(name: str, dataset: Any) -> str | None:
    """Why a dataset cannot be read."""
    if dataset.is_virtual or dataset.external:
        return "its numbers lie in another file, which is not opened"
    packed = dataset.chunks is not None
    if dataset.shape and dataset.id.get_storage_size() * (MOST_RATIO if packed else 1) < dataset.nbytes:
        return "its shape is not that of the bytes it has"
    return None if name == valid(name) else "its name is not UTF-8"
