"""What the operating system says of changes below folders, through watchfiles."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from threading import Event
from typing import Any

from vsearch.errors import SourceError

TICK = 1.0  # seconds after which an empty set comes when nothing changes
UNDECODABLE = "Unable to decode path"  # how watchfiles begins its error for a name that is not UTF-8
Changes = set[bytes]
Events = Callable[[Sequence[bytes]], Generator[Changes, None, None]]


def system_events(stop: Event, poll: bool) -> Events:
    """Changes as the system reports them, until ``stop`` is set.

    poll: look at every file again and again instead, for disks whose changes the system is not told of.
    """

    def events(roots: Sequence[bytes]) -> Generator[Changes, None, None]:
        """Absolute paths of what was made, changed or removed below the roots, in sets, some of them empty.

        A change that comes while nobody asks is kept until the next one.  watchfiles knows names of UTF-8 alone and
        ends at any other: then it is started again, and the roots themselves come as changed, since what happened
        in between is not known.  Raises SourceError.
        """
        watch = _watch()
        with _utf8_names(roots) as names:
            unknown: Changes | None = set()
            while unknown is not None:
                watching = watch(
                    *names,
                    watch_filter=None,
                    stop_event=stop,
                    rust_timeout=int(TICK * 1000),
                    yield_on_timeout=True,
                    force_polling=poll or None,
                    ignore_permission_denied=True,
                )
                undecodable = yield from _until_undecodable(watching, names, unknown)
                unknown = set(roots) if undecodable else None

    return events


def _until_undecodable(
    watching: Iterator[Any], names: dict[str, bytes], unknown: Changes
) -> Generator[Changes, None, bool]:
    """Changes up to a name that is not UTF-8; return True for that, False at the end.  Raises SourceError.

    unknown: come with the first ones, when the system is being listened to again.
    """
    try:
        for changes in watching:
            yield {_real(os.fsencode(path), names) for _, path in changes} | unknown
            unknown = set()
    except OSError as error:
        raise SourceError(
            f"the folders cannot be followed: {error}. If there are too many of them, raise the limit with: "
            f"sysctl fs.inotify.max_user_watches=1000000; or add --poll, which looks at every file again and again"
        ) from error
    except RuntimeError as error:  # what watchfiles' own error is
        if not str(error).startswith(UNDECODABLE):
            raise SourceError(
                f"the folders cannot be followed: {error}. Add --poll, which looks at every file again and again"
            ) from error
        return True
    return False


@contextmanager
def _utf8_names(roots: Sequence[bytes]) -> Iterator[dict[str, bytes]]:
    """A name of UTF-8 for each root, and the root: its own, or a link to it in a folder that is removed at the end."""
    with TemporaryDirectory(prefix="vsearch-watch-") as folder:
        names = {}
        for number, root in enumerate(roots):
            try:
                name = root.decode()
            except UnicodeDecodeError:
                name = os.path.join(folder, str(number))
                os.symlink(root, name)
            names[name] = root
        yield names


def _real(path: bytes, names: dict[str, bytes]) -> bytes:
    """A path below a name that was given to watchfiles, below the root that it stands for."""
    for name, root in names.items():
        given = os.fsencode(name)
        if given != root and (path == given or path.startswith(given + b"/")):
            return root + path[len(given) :]
    return path


def _watch() -> Any:
    try:
        from watchfiles import watch
    except ImportError as error:
        raise SourceError(
            f"following folders needs watchfiles; type: {sys.executable} -m pip install 'vsearch-engine[watch]'"
        ) from error
    return watch
