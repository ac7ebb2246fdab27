"""Names of members, which may be anything, as names that can be shown and looked up again."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator

from vsearch.members.entry import Fault, Member

MOST_BYTES = 3000  # together with its archive's path a member's must fit the 4,096 bytes of any other path
_SHOWN, _SHOWN_SUFFIX = 200, 16


def cleaned(name: bytes) -> bytes:
    """A name without the ``./`` that tar puts before it."""
    while name.startswith(b"./"):
        name = name[2:].lstrip(b"/")
    return name


def problem(name: bytes) -> str | None:
    """Why no member may have this name; None when it may."""
    if len(name) > MOST_BYTES:
        return f"its name has {len(name):,} bytes, more than {MOST_BYTES:,}"
    if b"\0" in name:
        return "its name contains a zero byte"
    if name.startswith(b"/") or b".." in name.split(b"/"):
        return "its name leads out of the archive"
    return None


def shown(name: bytes) -> bytes:
    """A bad name in an address: short, without zero bytes, and with its suffix, which tells what it is the name of."""
    if len(name) > _SHOWN:
        _, dot, ending = name[-_SHOWN_SUFFIX:].rpartition(b".")
        name = name[:_SHOWN] + b"\xe2\x80\xa6" + dot + ending if dot else name[:_SHOWN]
    return name.replace(b"\0", b"\xef\xbf\xbd")


def unique(found: Iterable[Member | Fault]) -> tuple[dict[bytes, Member], tuple[Fault, ...]]:
    """Members by name.  Of several with one name the last is taken, which unpacking would leave; the others are told.

    Their addresses get their number behind a ``#``; so do those of faults with one name, so that none hides another.
    """
    members: dict[bytes, Member] = {}
    faults: list[Fault] = []
    again: dict[bytes, int] = {}
    for one in found:
        if isinstance(one, Fault):
            faults.append(one)
            continue
        if members.pop(one.name, None) is not None:  # popped, so that the order stays that of the bytes
            again[one.name] = again.get(one.name, 0) + 1
            reason = "another member of this name comes later in the archive and is taken"
            faults.append(Fault(b"%s#%d" % (one.name, again[one.name]), reason))
        members[one.name] = one
    return members, tuple(_numbered(faults, members))


def _numbered(faults: Iterable[Fault], members: Container[bytes]) -> Iterator[Fault]:
    """Faults under names that no other fault and no member has; those of no name are told together."""
    taken: set[bytes] = set()
    last: dict[bytes, int] = {}
    for fault in faults:
        name, number = fault.name, last.get(fault.name, 0)
        while name and (name in taken or name in members):
            number += 1
            name = b"%s#%d" % (fault.name, number)
        taken.add(name)
        last[fault.name] = number
        yield Fault(name, fault.reason)


def checked(found: Iterator[Member | Fault]) -> Iterator[Member | Fault]:
    """Members with cleaned names; those of impossible names become faults."""
    for one in found:
        name = cleaned(one.name)
        if why := problem(name):
            yield Fault(shown(name), why)
        elif isinstance(one, Fault):
            yield Fault(name, one.reason)
        elif name:
            yield one._replace(name=name)
        else:
            yield Fault(b"", "a member without a name")
