"""The content of one file, from the hub into its cache: what is here is not fetched again, only what is whole is used.

The first bytes stand in a file of their own, which outlives errors, Ctrl-C and kills; it becomes the content when its
length and checksum are right.  Every byte is written at its own place, so that two programs on a network disk whose
locks lock nothing write the same bytes to the same places.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from vsearch import files
from vsearch.embed import hub
from vsearch.embed.download.body import open_body
from vsearch.embed.download.failures import CutOff, HubAnswerError, HubError, disk_errors
from vsearch.embed.download.notice import Report
from vsearch.embed.download.patience import Patience
from vsearch.embed.download.remote import RemoteFile, has_checksum, length
from vsearch.embed.download.tries import Tries
from vsearch.errors import EncoderError

MOST_UNANNOUNCED = 64 << 20  # bytes of a file whose length the hub does not tell: a tokenizer, say
NEWS = 1 << 16  # bytes from which on a try has brought something
LOCKED = 1.0  # seconds between two looks at what another process fetches


def transfer(file: RemoteFile, report: Report, patience: Patience) -> None:
    """Bring the content of a file into the cache.  Raises EncoderError, EncoderUnavailable."""
    with disk_errors():
        file.blob.parent.mkdir(parents=True, exist_ok=True)
        file.lock.parent.mkdir(parents=True, exist_ok=True)
    with _locked(file, report):
        if not file.blob.exists():
            try:
                _fetch(file, report, patience)
                with disk_errors():
                    _publish(file)
            except EncoderError:
                report(length(file.partial), file.size, file.name)  # what stays
                raise
        size = length(file.blob)
    report(size, size, file.name)


@contextmanager
def _locked(file: RemoteFile, report: Report) -> Iterator[None]:
    """Hold the hub's own lock for this content; while another process fetches it, tell how far that is."""
    from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]

    while True:
        lock = WeakFileLock(file.lock, timeout=LOCKED)
        try:
            with disk_errors():
                lock.__enter__()
            break
        except TimeoutError:
            report(length(file.partial), file.size, file.name)
    try:
        yield
    finally:
        lock.__exit__(None, None, None)


def _fetch(file: RemoteFile, report: Report, patience: Patience) -> None:
    """Complete the partial file."""
    with disk_errors():
        fd = os.open(file.partial, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        if file.size is None or length(file.partial) > file.size:
            os.ftruncate(fd, 0)
        _complete(file, fd, report, patience)
    finally:
        os.close(fd)


def _complete(file: RemoteFile, fd: int, report: Report, patience: Patience) -> None:
    tries = Tries(file.repo, file.name, patience, underway=True)
    before = done = os.fstat(fd).st_size
    report(done, file.size, file.name)
    while done != file.size:
        try:
            _receive(file, fd, done if file.size is not None else 0, report, patience)
            return
        except HubError as error:
            done = os.fstat(fd).st_size
            if done - before >= NEWS:
                before = done
                tries.succeed()
            tries.fail(error)


def _receive(file: RemoteFile, fd: int, start: int, report: Report, patience: Patience) -> None:
    """Write what the hub sends.  Raises HubError: CutOff when that ends too early, HubAnswerError when too late."""
    most = MOST_UNANNOUNCED if file.size is None else file.size
    with open_body(file, start, patience.seconds) as body:
        at = body.offset
        for block in body.blocks:
            if at + len(block) > most:
                os.ftruncate(fd, 0)
                raise HubAnswerError(f"the hub sends more than the {most:,} bytes that the file may have")
            with disk_errors():
                at = files.write_all(fd, block, at)
            if at != file.size:  # that it is all here is reported when it is known to be right
                report(at, file.size, file.name)
    if file.size is not None and at < file.size:
        raise CutOff(f"{at:,} of {file.size:,} bytes")


def _publish(file: RemoteFile) -> None:
    """Let the partial file be the content, if it is the right one.  Raises EncoderError, OSError."""
    if not has_checksum(file.partial, file.etag):
        file.partial.unlink()
        raise EncoderError(
            f"{file.name} of {file.repo} came from {hub.endpoint()} with other bytes than its checksum "
            f"{file.etag[:12]}… says, and is deleted. Type the same again; if that does not help, something between "
            "here and the hub changes files, or HF_ENDPOINT names a mirror that does."
        )
    with file.partial.open("rb") as partial:
        os.fsync(partial.fileno())
    os.replace(file.partial, file.blob)
