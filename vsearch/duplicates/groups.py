"""From pairs to groups around the picture that is kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from vsearch.arguments import written
from vsearch.duplicates.plan import Group, Picture
from vsearch.errors import QueryError
from vsearch.members import address
from vsearch.sources.protocol import absolute

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
            folder = absolute(self.rule.removeprefix(FOLDER)).rstrip(b"/") + b"/"
            return (not picture.raw_path.startswith(folder), *largest)
        return largest


def groups(
    pictures: Iterable[Picture],
    near: Mapping[bytes, Mapping[bytes, tuple[float, int]]],
    keep: Keep,
    *,
    within: bool = True,
) -> tuple[Group, ...]:
    """Groups of pictures, best first; none is in two.

    within: also frames of one video, and members of one archive, as duplicates of each other.
    near: content → contents that are the same picture, with cosine and bits that differ.
    The best picture of all takes what is near to it, then the best that is left, and so on.  So every picture of a
    group was compared with the one that is kept, and a chain, where each picture is near the next and the first is far
    from the last, never loses one to another that does not resemble it.
    """
    by_content: dict[bytes, list[Picture]] = {}
    for picture in sorted(pictures, key=keep.order):
        by_content.setdefault(picture.content, []).append(picture)
    taken: set[int] = set()
    found = []
    for content, same in by_content.items():
        kept = next((picture for picture in same if picture.id not in taken), None)
        if kept is None:
            continue
        others = [picture for picture in same if picture is not kept]
        for other, (score, bits) in near.get(content, {}).items():
            others += [replace(p, score=score, bits=bits, identical=False) for p in by_content.get(other, ())]
        others = [picture for picture in others if picture.id not in taken]
        if others and not within:
            inside = container(kept)
            others = [picture for picture in others if container(picture) != inside]
        taken |= {kept.id, *(picture.id for picture in others)}
        if others:
            found.append(Group(kept, tuple(sorted(others, key=keep.order))))
    return tuple(found)


def container(picture: Picture) -> bytes:
    """The archive or video that a picture is in; of any other its own path, so that an animation holds its frames."""
    pair = address.resolve(picture.raw_path)
    return picture.raw_path if pair is None else pair[0]
