"""Pictures in the datasets of an HDF5 file, by h5py (extra ``hdf5``)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

from vsearch.errors import SourceError
from vsearch.members.entry import Fault, Member, Row
from vsearch.members.rows import why_no_pictures
from vsearch.members.zip import MOST_RATIO


def scan(file: BinaryIO, length: int) -> Iterator[Member | Fault]:
    """Each picture of each dataset of pictures, named ``group/dataset/17``.

    Links, and datasets whose numbers lie in other files, are not followed.  Other datasets are told as faults only
    where there is none of pictures.  Raises SourceError.
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
            told = [(name, found.shape, _problem(found)) for name, found in datasets]
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise SourceError("not an HDF5 file that can be read") from error
    good = [(name, shape) for name, shape, why in told if why is None]
    for name, shape in good:
        for index in range(shape[0]):
            yield Member(f"{name}/{index}".encode("utf-8", "surrogateescape"), Row("hdf5", name, index))
    if not good:
        yield from (Fault(name.encode("utf-8", "surrogateescape"), why) for name, _, why in told if why is not None)


def _problem(dataset: Any) -> str | None:
    if dataset.is_virtual or dataset.external:
        return "its numbers lie in another file, which is not opened"
    if dataset.shape is None:
        return "it is empty"
    why = why_no_pictures(dataset.shape, dataset.dtype)
    packed = dataset.chunks is not None
    if why is None and dataset.id.get_storage_size() * (MOST_RATIO if packed else 1) < dataset.nbytes:
        return "its shape is not that of the bytes it has"
    return why
