"""What the operating system says of changes below folders, through watchfiles."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Sequence
from threading import Event
from typing import Any

from vsearch.errors import SourceError

TICK = 1.0  # seconds after which an empty set comes when nothing changes
Changes = set[bytes]
Events = Callable[[Sequence[bytes]], Generator[Changes, None, None]]


def system_events(stop: Event, poll: bool) -> Events:
    """Changes as the system reports them, until ``stop`` is set.

    poll: look at every file again and again instead, for disks whose changes the system is not told of.
    """

    def events(roots: Sequence[bytes]) -> Generator[Changes, None, None]:
        """Absolute paths of what was made, changed or removed below the roots, in sets, some of them empty.

        A change that comes while nobody asks is kept until the next one.  Raises SourceError.
        """
        watch = _watch()
        try:
            found = watch(
                *map(os.fsdecode, roots),
                watch_filter=None,
                stop_event=stop,
                rust_timeout=int(TICK * 1000),
                yield_on_timeout=True,
                force_polling=poll or None,
                ignore_permission_denied=True,
            )
            for changes in found:
                yield {os.fsencode(path) for _, path in changes}
        except OSError as error:
            raise SourceError(
                f"the folders cannot be followed: {error}. If there are too many of them, raise the limit with: "
                f"sysctl fs.inotify.max_user_watches=1000000; or add --poll, which looks at every file again and again"
            ) from error

    return events


def _watch() -> Any:
    try:
        from watchfiles import watch
    except ImportError as error:
        raise SourceError(
            f"following folders needs watchfiles; type: {sys.executable} -m pip install 'vsearch-engine[watch]'"
        ) from error
    return watch
