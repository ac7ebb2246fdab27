"""From pairs to groups around the picture that is kept."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from vsearch.arguments import written
from vsearch.duplicates.plan import Group, Picture
from vsearch.errors import QueryError

RULES = ("largest", "oldest", "newest")
FOLDER = "folder:"


@dataclass(frozen=True)
class Keep:
    """Which picture of a group is kept: ``largest``, ``oldest``, ``newest`` or ``folder:PATH``.

    largest: most pixels, then most bytes, then the older file.  oldest, newest: by the time of the file, then the
    largest.  folder:PATH: one below PATH before any other, then the largest.
    """

    rule: str = "largest"

    def __post_init__(self) -> None:
        if not isinstance(self.rule, str):
            raise QueryError(f"a rule for what to keep is a text, and this is {written(self.rule)}")
        if self.rule not in RULES and not (self.rule.startswith(FOLDER) and len(self.rule) > len(FOLDER)):
            raise QueryError(
                f"there is no rule {self.rule!r} for what to keep; give {', '.join(RULES)} or {FOLDER}PATH"
            )

    def order(self, picture: Picture) -> tuple[float | bytes, ...]:
        """Sorts the best to the front."""
        largest = (-picture.width * picture.height, -picture.size, picture.mtime_ns, picture.raw_path)
        if self.rule == "oldest":
            return (picture.mtime_ns, *largest)
        if self.rule == "newest":
            return (-picture.mtime_ns, *largest)
        if self.rule.startswith(FOLDER):
            folder = os.fsencode(os.path.abspath(self.rule.removeprefix(FOLDER))).rstrip(b"/") + b"/"
            return (not picture.raw_path.startswith(folder), *largest)
        return largest


def groups(
    pictures: Iterable[Picture], near: Mapping[bytes, Mapping[bytes, tuple[float, int]]], keep: Keep
) -> tuple[Group, ...]:
    """Groups of pictures, best first; none is in two.

    near: content → contents that are the same picture, with cosine and bits that differ.
    The best picture of all takes what is near to it, then the best that is left, and so on.  So every picture of a
    group was compared with the one that is kept, and a chain, where each picture is near the next and the first is far
    from the last, never loses one to another that does not resemble it.
    """
    by_content: dict[bytes, list[Picture]] = {}
    for picture in sorted(pictures, key=keep.order):
        by_content.setdefault(picture.content, []).append(picture)
    taken: set[bytes] = set()
    found = []
    for content, same in by_content.items():
        if content in taken:
            continue
        taken.add(content)
        others = same[1:]
        for other, (score, bits) in near.get(content, {}).items():
            if other not in taken:
                taken.add(other)
                others += [replace(p, score=score, bits=bits, identical=False) for p in by_content[other]]
        if others:
            found.append(Group(same[0], tuple(sorted(others, key=keep.order))))
    return tuple(found)
