"""A file of a hub repository: what the hub says of it, and its places in the cache.

The layout of the cache is the hub's (https://huggingface.co/docs/huggingface_hub/guides/manage-cache): blobs by the
checksum of their content, snapshots with links to them by commit, and branches that name a commit.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from vsearch.embed import hub
from vsearch.embed.download.failures import HubAnswerError, client_errors

BRANCH = "main"
_COMMIT = re.compile(r"[0-9a-f]{40}")
_ETAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True)
class RemoteFile:
    """One version of a file.

    commit: of the repository, 40 hex digits.  etag: SHA-256 of a large file, Git's SHA-1 of a small one, as the hub
    gives it.  size: bytes; None where the hub does not tell.
    """

    repo: str
    name: str
    commit: str
    etag: str
    size: int | None

    @property
    def folder(self) -> Path:
        """The repository's folder in the cache."""
        return repository_folder(self.repo)

    @property
    def blob(self) -> Path:
        """The content, when all of it is here."""
        return self.folder / "blobs" / self.etag

    @property
    def partial(self) -> Path:
        """The first bytes of the content; no other program writes a file of that name."""
        return self.folder / "blobs" / f"{self.etag}.vsearch.incomplete"

    @property
    def lock(self) -> Path:
        """Held while the content is fetched, by all programs of the hub."""
        return hub.cache_folder() / ".locks" / self.folder.name / f"{self.etag}.lock"

    @property
    def pointer(self) -> Path:
        """Where programs look for the file."""
        return self.folder / "snapshots" / self.commit / self.name

    @property
    def here(self) -> bool:
        """Whether all of the content is in the cache."""
        return self.blob.exists() or self.pointer.exists()

    @property
    def url(self) -> str:
        """Where its bytes are."""
        return _url(self.repo, self.name, self.commit)

    @property
    def missing(self) -> int:
        """Bytes of it that are still to be fetched, as far as is known."""
        return 0 if self.size is None else max(self.size - length(self.partial), 0)


def has_checksum(path: Path, etag: str) -> bool:
    """Whether a file has the content that the hub calls by this name: SHA-256, or Git's SHA-1 for small files.

    True also for a name of another kind, as mirrors may give.
    """
    if len(etag) == 64:
        checksum = hashlib.sha256()
    elif len(etag) == 40:
        checksum = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    else:
        return True
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            checksum.update(block)
    return checksum.hexdigest() == etag


def repository_folder(repo: str) -> Path:
    """A repository's folder in the cache."""
    from huggingface_hub.file_download import repo_folder_name

    return hub.cache_folder() / repo_folder_name(repo_id=repo, repo_type="model")


def length(path: Path) -> int:
    """Bytes of a file, 0 where there is none."""
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def describe(repo: str, name: str, revision: str, seconds: float) -> RemoteFile:
    """Ask the hub for a file's version, checksum and size.

    Raises HubError, HubAnswerError for an answer that is not a hub's.
    """
    from huggingface_hub import get_hf_file_metadata

    with hub.online(), client_errors():
        told = get_hf_file_metadata(_url(repo, name, revision), timeout=seconds)
    stranger = f"what answers at {hub.endpoint()} is no model hub"
    if told.commit_hash is None or not _COMMIT.fullmatch(told.commit_hash):
        raise HubAnswerError(f"{stranger}: it names no commit of {repo}")
    if told.etag is None or not _ETAG.fullmatch(told.etag):
        raise HubAnswerError(f"{stranger}: it gives no checksum of {name}")
    return RemoteFile(repo, name, told.commit_hash, told.etag, told.size)


def _url(repo: str, name: str, revision: str) -> str:
    from huggingface_hub import hf_hub_url

    return hf_hub_url(repo, name, revision=revision, endpoint=hub.endpoint())
