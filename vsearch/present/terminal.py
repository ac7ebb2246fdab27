"""Which way of showing pictures a terminal knows, by what it answers."""

from __future__ import annotations

import os
import re
import select
import time
from collections.abc import Mapping
from enum import Enum


class Protocol(Enum):
    """Ways to show a picture in a terminal, best first."""

    KITTY = "kitty"
    ITERM2 = "iterm2"
    SIXEL = "sixel"
    BLOCKS = "blocks"


# A one-pixel picture that Kitty's protocol only checks; the terminal's name and version (XTVERSION); its
# abilities (DA1), which every terminal answers, so that the answer to it ends the wait.
QUESTION = b"\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\\x1b[>0q\x1b[c"
_ABILITIES = re.compile(rb"\x1b\[\?([0-9;]*)c")
_SIXEL = b"4"


def detect(terminal: int | None, env: Mapping[str, str], timeout: float = 0.4) -> Protocol:
    """Choose the way to show pictures.

    terminal: file descriptor of a terminal to ask, open for reading and writing; None when there is none.
    env: the environment, for terminals that do not answer.  timeout in seconds.
    """
    if terminal is None or not os.isatty(terminal) or env.get("TERM") == "dumb":
        return Protocol.BLOCKS
    answer = ask(terminal, timeout)
    if b"_Gi=31;OK" in answer:
        return Protocol.KITTY
    if b"iTerm2" in answer or (_says_iterm2(env) and "TMUX" not in env):
        return Protocol.ITERM2
    told = _ABILITIES.search(answer)
    return Protocol.SIXEL if told and _SIXEL in told[1].split(b";") else Protocol.BLOCKS


def _says_iterm2(env: Mapping[str, str]) -> bool:
    return env.get("TERM_PROGRAM") == "iTerm.app" or env.get("LC_TERMINAL") == "iTerm2"


def ask(terminal: int, timeout: float) -> bytes:
    """Send the question and collect the answer until the abilities are told or the time is over.

    The terminal is put into raw mode meanwhile, so that the answer is neither echoed nor held back until Enter.
    """
    import termios
    import tty

    try:
        before = termios.tcgetattr(terminal)
    except termios.error:
        return b""
    answer = b""
    try:
        tty.setcbreak(terminal, termios.TCSANOW)
        os.write(terminal, QUESTION)
        deadline = time.monotonic() + timeout
        while not _ABILITIES.search(answer) and (left := deadline - time.monotonic()) > 0:
            if select.select([terminal], [], [], left)[0]:
                answer += os.read(terminal, 1024)
    except OSError:
        return b""
    finally:
        termios.tcsetattr(terminal, termios.TCSANOW, before)
    return answer
