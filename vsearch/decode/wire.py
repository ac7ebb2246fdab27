"""Messages between the pool and a worker: four bytes of length, MessagePack, and pixels as plain bytes.

Nothing is pickled: a worker that a hostile picture has taken over can send wrong pixels, but not code.
"""

from __future__ import annotations

import socket
import struct
import time
from typing import Annotated, Literal

import msgspec

from vsearch.bounds import LEAST, MOST
from vsearch.decode.exif import is_possible
from vsearch.members.entry import Part
from vsearch.types import Box, Details

Code = Literal[
    "unreadable", "not_an_image", "too_large", "truncated", "damaged", "memory", "timeout", "crash", "outside"
]

# From the pool to the forking server: an operation and, to end a worker, its process id.  Back: a process id
# or a wait status.
REQUEST = struct.Struct("<ci")
REPLY = struct.Struct("<i")
SPAWN, END = b"S", b"E"
READY = b"ready"
UNKNOWN = -1

# What a record has room for: a worker that a hostile picture has taken over may send any number.
Side = Annotated[int, msgspec.Meta(ge=0, le=(1 << 32) - 1)]
Size = Annotated[int, msgspec.Meta(ge=0, le=MOST)]
Nanoseconds = Annotated[int, msgspec.Meta(ge=LEAST, le=MOST)]
Digest = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]

_LENGTH = struct.Struct("<I")
_MOST = 64 * 1024  # a path has at most 4,096 bytes and a reason one line


class Ask(msgspec.Struct, tag=True):
    """Decode this file, or a member of it.

    pause: after reading it, wait for ``Go``.  box: the part that is wanted.  part: where in the file the picture lies.
    """

    path: bytes
    pause: bool = False
    box: Box | None = None
    part: Part | None = None


class Go(msgspec.Struct, tag=True):
    """decode: whether a file that was read is to be decoded."""

    decode: bool


class Seen(msgspec.Struct, tag=True):
    """The file was read."""

    content: Digest
    size: Size
    mtime_ns: Nanoseconds
    ctime_ns: Nanoseconds


class Picture(msgspec.Struct, tag=True):
    """The file was decoded; (size, size, 3) bytes of pixels follow."""

    width: Side
    height: Side
    format: str
    details: Details


class Problem(msgspec.Struct, tag=True):
    """The file was not decoded."""

    code: Code
    reason: str
    stage: Literal["read", "decode"] = "read"
    size: int = -1
    mtime_ns: int = -1


class Trouble(Exception):
    """Carries a Problem to the border of the worker."""

    def __init__(self, code: Code, reason: str, size: int = -1, mtime_ns: int = -1) -> None:
        super().__init__(reason)
        self.problem = Problem(code, reason, size=size, mtime_ns=mtime_ns)


class WorkerLost(Exception):
    """The other end is gone."""


class Garbled(Exception):
    """The other end sends what is no message, or not one that may come now."""


class Late(Exception):
    """The deadline has passed."""


Message = Ask | Go | Seen | Picture | Problem
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Message).decode


def send(sock: socket.socket, message: Message, pixels: bytes | memoryview = b"") -> None:
    """Write one message.  Raises WorkerLost, or Late when the socket has a time limit."""
    body = _encode(message)
    try:
        sock.sendall(_LENGTH.pack(len(body)) + body)
        if pixels:
            sock.sendall(pixels)
    except TimeoutError as error:
        raise Late from error
    except OSError as error:
        raise WorkerLost from error


def receive(sock: socket.socket, deadline: float | None = None) -> Message:
    """Read one message.  deadline: on the monotonic clock.  Raises WorkerLost, Garbled, Late."""
    header = bytearray(_LENGTH.size)
    receive_into(sock, memoryview(header), deadline)
    (length,) = _LENGTH.unpack(header)
    if length > _MOST:
        raise Garbled
    body = bytearray(length)
    receive_into(sock, memoryview(body), deadline)
    try:
        message: Message = _decode(body)
    except msgspec.MsgspecError as error:
        raise Garbled from error
    if isinstance(message, Picture) and not is_possible(message.details):
        raise Garbled
    return message


def receive_into(sock: socket.socket, view: memoryview, deadline: float | None = None) -> None:
    """Fill the view of bytes.  Raises WorkerLost, Late."""
    while view:
        if deadline is not None:
            sock.settimeout(max(deadline - time.monotonic(), 1e-3))
        try:
            n = sock.recv_into(view)
        except TimeoutError as error:
            raise Late from error
        except OSError as error:
            raise WorkerLost from error
        if n == 0:
            raise WorkerLost
        view = view[n:]
