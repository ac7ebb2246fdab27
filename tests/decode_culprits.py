"""A decoding server whose decoder misbehaves when the file says so; everything else is the real one.

Run as the pool's command.  It does what a broken C library does: crashes, hangs, eats memory, prints.
"""

import os
import signal
import sys
from dataclasses import replace

from vsearch.decode import server
from vsearch.decode.picture import decode


def segfault(_):
    os.kill(os.getpid(), signal.SIGSEGV)


def killed(_):
    os.kill(os.getpid(), signal.SIGKILL)


def exits(_):
    os._exit(0)


def hangs(_):
    while True:
        pass


def eats(_):
    hoard = []
    while True:
        hoard.append(bytearray(2**26))


def segfaults_once(marker):
    try:
        os.mkdir(marker)
    except FileExistsError:
        return
    segfault(marker)


def prints(_):
    for fd in (1, 2):
        os.write(fd, b"a decoder that prints\n" * 1000)
    print("on stdout too", flush=True)


def babbles(_):
    """Write rubbish into every descriptor there is."""
    for fd in range(16):
        try:
            os.write(fd, b"\xff" * 5000)
        except OSError:
            continue


CULPRITS = {f.__name__: f for f in (segfault, killed, exits, hangs, eats, segfaults_once, prints, babbles)}


def decode_or_misbehave(data, spec, limits):
    if data.startswith(b"CULPRIT\n"):
        _, what, argument, data = data.split(b"\n", 3)
        if what == b"lies":
            return lies(argument.decode(), *decode(data, spec, limits))
        CULPRITS[what.decode()](argument)
    return decode(data, spec, limits)


def lies(what, picture, pixels):
    """Send a value that no record has room for; a decoder that was taken over may."""
    if what in ("width", "height"):
        setattr(picture, what, 2**40)
    elif what == "columns":
        picture.details = replace(picture.details, columns={"id": 7})
    else:
        picture.details = replace(picture.details, **{what: 2**60})
    return picture, pixels


if __name__ == "__main__":
    server.main(sys.argv, decode_or_misbehave)
