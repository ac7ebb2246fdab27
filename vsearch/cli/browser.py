"""Opening the page in a browser, without the token where other users of the machine can read it.

Everyone sees the command lines of all processes, and whoever starts one sees its environment.  So the browser is given
the name of a file that only its owner may read, and the file leads to the address.
"""

from __future__ import annotations

import html
import os
import re
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click

from vsearch.cli.console import say

_DOOR = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0; url={address}">
<title>vsearch</title>
<p><a href="{address}">Open vsearch</a></p>
"""
_SNAP = re.compile(r"[a-z0-9-]+_[\w.-]+\.desktop")  # how the desktop files of snaps are called


@contextmanager
def opened_page(address: str) -> Iterator[None]:
    """Open a page in the user's browser.  The file that leads there is gone when the block ends."""
    page, _, secret = address.partition("#")
    with ExitStack() as until_end:
        if not secret:
            target = address
        elif _is_snap(_default_browser()):
            say("your browser is a snap and cannot read the token from a file; open the address above instead")
            target = page
        else:
            say("opening it in your browser; if no page shows there, open the address above")
            target = os.fspath(until_end.enter_context(_door(address)))
        if click.launch(target):
            say("no browser could be started; open the address above")
        yield


@contextmanager
def _door(address: str) -> Iterator[Path]:
    """A page of mode 600 that leads to an address."""
    with ExitStack() as until_end:
        folder = _runtime_folder() or until_end.enter_context(tempfile.TemporaryDirectory(prefix="vsearch-"))
        fd, name = tempfile.mkstemp(".html", "vsearch-", folder)
        until_end.callback(Path(name).unlink, missing_ok=True)
        with open(fd, "w", encoding="utf-8") as file:
            file.write(_DOOR.format(address=html.escape(address)))
        yield Path(name)


def _runtime_folder() -> str | None:
    """The user's folder for what lives as long as a session, if there is one and it is the user's alone."""
    folder = os.environ.get("XDG_RUNTIME_DIR", "")
    try:
        status = os.stat(folder)
    except OSError:
        return None
    private = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o077
    return folder if private else None


def _default_browser() -> str:
    """The name of its desktop file; empty where nothing knows it."""
    try:
        command = ["xdg-settings", "get", "default-web-browser"]
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=False).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _is_snap(desktop_file: str) -> bool:
    return _SNAP.fullmatch(desktop_file) is not None
