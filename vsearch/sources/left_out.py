"""What a walk of a folder passes by, and which option would take it in."""

from __future__ import annotations

from vsearch.members.address import RAW, is_archive, kind_of
from vsearch.sources.suffixes import PICTURE_SUFFIXES, suffix

OPTIONS = {
    "RAW files": "--raw",
    "videos": "--frames 10",
    "archives": "--archives",
    "hidden files": "--hidden",
    "links": "--follow-links",
}
"""Kind → what to add on the command line, in the order in which they are named."""


def kind_left_out(name: bytes, *, link: bool) -> str | None:
    """The kind of an entry that was not taken in; None for what no option would take.

    link: it is a symbolic link.  Of hidden names only pictures count: others are settings of programs.
    """
    if link:
        return "links"
    ending = suffix(name)
    if name.startswith(b"."):
        return "hidden files" if ending in PICTURE_SUFFIXES else None
    if ending in RAW:
        return "RAW files"
    if kind_of(name) == "video":
        return "videos"
    return "archives" if is_archive(name) else None
