"""What the pages of a web server link to, below one address: each folder once, and never out of it.

fsspec joins an address and a link with a slash, so that a page that links to ``./`` would hold itself for ever.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

MOST_DEPTH = 32  # folders below the address
MOST_FOLDERS = 20_000
MOST_LINKS = 1_000_000


@dataclass
class Linked:
    """What there is.  files: address → what the server says of it.  failures: what was left out, and why."""

    files: dict[str, Any] = field(default_factory=dict)
    failures: list[tuple[str, str]] = field(default_factory=list)


def linked(store: Any, root: str) -> Linked:
    """The files below ``root``, an http:// or https:// address, as the pages of its folders link to them.

    Links that lead out of it, and those with a query, are not followed.  Raises what the store raises for the page of
    ``root``; a page below it that cannot be read costs only what it links to.
    """
    walk = _Walk(store, root.rstrip("/"))
    while walk.queue:
        walk.look(walk.queue.popleft())
    return walk.links


class _Walk:
    """The state of one walk.  queue: folders to be looked at, by their place below the root; that of the root is ""."""

    def __init__(self, store: Any, base: str) -> None:
        self._store, self._base = store, base
        self._known = {""}
        self._folders = 1
        self.queue = deque([""])
        self.links = Linked()

    def look(self, folder: str) -> None:
        """Take in what the page of a folder links to."""
        for inside, info in _below(self._base, self._page(folder)):
            key = unquote(inside, errors="surrogateescape")
            if key in self._known:
                continue
            if len(self._known) > MOST_LINKS:
                self._leave_out(folder, f"more than {MOST_LINKS:,} links; the rest is left out")
                self.queue.clear()
                return
            self._known.add(key)
            if inside.endswith("/"):
                self._follow(inside)
            else:
                self.links.files[f"{self._base}/{inside}"] = info

    def _page(self, folder: str) -> list[dict[str, Any]]:
        try:
            return list(self._store.ls(f"{self._base}/{folder}", detail=True))
        except FileNotFoundError:
            if folder:
                self._leave_out(folder, "there is no such page")
        except Exception as error:  # each store has errors of its own
            if not folder:
                raise
            self._leave_out(folder, " ".join(str(error).split()) or type(error).__name__)
        return []

    def _follow(self, folder: str) -> None:
        if folder.count("/") > MOST_DEPTH:
            self._leave_out(folder, f"more than {MOST_DEPTH} folders deep; not followed")
        elif self._folders == MOST_FOLDERS:
            self._leave_out(folder, f"behind the first {MOST_FOLDERS:,} folders; not followed")
        else:
            self._folders += 1
            self.queue.append(folder)

    def _leave_out(self, place: str, why: str) -> None:
        self.links.failures.append((unquote(place), why))


def _below(base: str, listing: Iterable[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """What a page links to, in order, by its place below ``base``: ``trips/`` and ``trips/rome%201.jpg``."""
    for info in sorted(listing, key=lambda info: str(info["name"])):
        inside = _inside(base, str(info["name"]))
        if inside is not None:
            yield inside, info


def _inside(base: str, address: str) -> str | None:
    """The place of an address below ``base``, with a slash at the end of a folder's; None for one that is elsewhere."""
    try:
        there, here = urlsplit(address), urlsplit(base)
    except ValueError:  # no address at all
        return None
    if there.netloc != here.netloc or there.query or there.path.startswith("//"):
        return None
    path, start = _steps(there.path), _steps(here.path)
    if path is None or start is None or [*map(unquote, path[: len(start)])] != [*map(unquote, start)]:
        return None
    ends = there.path.rpartition("/")[2] in ("", ".", "..")
    rest = path[len(start) :]
    return "/".join(rest) + "/" if rest and ends else "/".join(rest)


def _steps(path: str) -> list[str] | None:
    """The names on the way, without ``.`` and ``..``; None for a way that leads above the server's root."""
    steps: list[str] = []
    for name in path.split("/"):
        if unquote(name) == "..":
            if not steps:
                return None
            steps.pop()
        elif unquote(name) not in ("", "."):
            steps.append(name)
    return steps
