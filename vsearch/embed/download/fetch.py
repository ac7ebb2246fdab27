"""Files of a repository of the hub, all of one version, in the hub's cache."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from vsearch.embed import hub
from vsearch.embed.download.failures import ADVICE, HubError, client_errors, disk_errors
from vsearch.embed.download.notice import Report, current
from vsearch.embed.download.patience import Patience
from vsearch.embed.download.remote import BRANCH, RemoteFile, describe, has_checksum
from vsearch.embed.download.transfer import transfer
from vsearch.embed.download.tries import Tries
from vsearch.errors import EncoderError, EncoderUnavailable


def fetch_files(
    repo: str, names: Sequence[str], *, report: Report | None = None, patience: Patience | None = None
) -> list[Path]:
    """Bring files of a repository (ORG/NAME) into the cache, where every program of the hub finds them.

    When all are here, the network is not touched.  Otherwise they are brought to the newest version together; content
    that is here is not fetched again, nor are the bytes of a download that was interrupted.
    report: is told how far each file is; None for whoever ``report_downloads`` names.  Returns the paths.
    Raises EncoderUnavailable, and EncoderError where the disk or the content is at fault.
    """
    here = [hub.cached(repo, name) for name in names]
    missing = [name for name, path in zip(names, here, strict=True) if path is None]
    if not missing:
        return [path for path in here if path is not None]
    need_network(f"{' and '.join(missing)} of {repo}:")
    patience, report = patience or Patience(), report or current()
    remote: list[RemoteFile] = []
    for name in names:
        remote.append(_described(repo, name, remote[0].commit if remote else BRANCH, patience))
    with disk_errors():
        pending = [file for file in remote if not file.here]
    _check_room(repo, pending)
    for file in pending:
        transfer(file, report, patience)
    with disk_errors():
        _place(remote)
    return [file.pointer for file in remote]


def list_files(repo: str, patience: Patience | None = None) -> set[str]:
    """Names of all files of a repository, asked of the hub.  Raises EncoderUnavailable."""
    from huggingface_hub import HfApi

    need_network(f"{repo}:")
    patience = patience or Patience()
    tries = Tries(repo, "", patience, underway=False)
    while True:
        try:
            with hub.online(), client_errors():
                info = HfApi(endpoint=hub.endpoint()).model_info(repo, timeout=patience.seconds)
            return {sibling.rfilename for sibling in info.siblings or ()}
        except HubError as error:
            tries.fail(error)


def drop_damaged(repo: str, names: Sequence[str]) -> bool:
    """Remove files of the cache whose content is not what their checksum says; return whether there were any.

    Raises EncoderUnavailable, and keeps them, when they could not be fetched again.
    """
    damaged = [path for name in names if (path := hub.cached(repo, name)) and not _is_whole(path)]
    for path in damaged:
        need_network(f"{path.name} of {repo} is damaged. A whole one is")
        with disk_errors():
            path.resolve().unlink()
            path.unlink()
    return bool(damaged)


def _is_whole(path: Path) -> bool:
    """Compare what a link of the cache leads to with its name, which is a checksum; other files are believed."""
    return not path.is_symlink() or has_checksum(path.resolve(), path.resolve().name)


def need_network(what: str) -> None:
    """Raise EncoderUnavailable when the user asked for no network.  what: is missing."""
    if hub.offline():
        raise EncoderUnavailable(
            f"{what} not on this machine, and the network is switched off by request (HF_HUB_OFFLINE or "
            f"VSEARCH_OFFLINE is set). {ADVICE}."
        )


def _described(repo: str, name: str, revision: str, patience: Patience) -> RemoteFile:
    tries = Tries(repo, name, patience, underway=False)
    while True:
        try:
            return describe(repo, name, revision, patience.seconds)
        except HubError as error:
            tries.fail(error)


def _check_room(repo: str, pending: list[RemoteFile]) -> None:
    """Raise EncoderError unless the disk has room for all that is still to come."""
    with disk_errors():
        need = sum(file.missing for file in pending)
        free = hub.free_bytes()
    if need > free:
        raise EncoderError(
            f"{repo} needs {need / 1e6:,.0f} MB more, and the disk with {hub.cache_folder()} has "
            f"{free / 1e6:,.0f} MB free. Make room, or move the cache: HF_HOME=FOLDER. {ADVICE}."
        )


def _place(remote: list[RemoteFile]) -> None:
    """Make the snapshot of this version, and let the branch name it.  Raises OSError."""
    for file in remote:
        file.pointer.parent.mkdir(parents=True, exist_ok=True)
        if not file.pointer.exists():
            _link(file)
    branch = remote[0].folder / "refs" / BRANCH
    branch.parent.mkdir(parents=True, exist_ok=True)
    written = branch.with_name(f"{BRANCH}.{os.getpid()}.tmp")
    written.write_text(remote[0].commit)
    os.replace(written, branch)


def _link(file: RemoteFile) -> None:
    try:
        file.pointer.symlink_to(os.path.relpath(file.blob, file.pointer.parent))
    except FileExistsError:  # of another process, or to content that was gone
        return
    except OSError:  # a disk without symbolic links: there the hub's client puts the content itself
        os.replace(file.blob, file.pointer)
