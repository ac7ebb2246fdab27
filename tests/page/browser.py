"""Chromium with a witness: whatever goes wrong in a page is written down, and is a failure."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page, Playwright, Request, Response

# Noted before the page's own scripts run; a refusal of the policy is an event, even where the console is silent.
WATCH_POLICY = """
document.addEventListener("securitypolicyviolation",
    (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`));
"""


def chromium() -> str | None:
    """Where a Chromium is, or None."""
    named = os.environ.get("VSEARCH_CHROMIUM")
    found = (named, *(shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")))
    return next((path for path in found if path), None)


def launch(playwright: Playwright, path: str) -> Browser:
    # In a container there is neither a user namespace for the sandbox nor much shared memory.
    return playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])


@dataclass
class Witness:
    """faults: console errors, script errors, refusals of the policy, dialogs, requests to other places."""

    host: str
    faults: list[str] = field(default_factory=list)
    excused: list[str] = field(default_factory=list)  # parts of console lines that a test means to cause

    def watch(self, page: Page) -> None:
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.faults.append(f"script: {error}"))
        page.on("dialog", self._dialog)
        page.on("request", self._request)
        page.on("response", self._response)
        page.add_init_script(WATCH_POLICY)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not any(part in message.text for part in self.excused):
            self.faults.append(f"console: {message.text}")

    def _dialog(self, dialog: Dialog) -> None:
        self.faults.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _request(self, request: Request) -> None:
        place = urlsplit(request.url)
        if place.scheme != "blob" and place.netloc != self.host:
            self.faults.append(f"outside: {request.url}")

    def _response(self, response: Response) -> None:
        if response.status >= 500:
            self.faults.append(f"{response.status}: {response.url}")


@contextmanager
def served(*indexes: Path, options: tuple[str, ...] = ()) -> Iterator[str]:
    """The real program on a free port, in a process of its own; gives the address that it prints, with its token."""
    command = [sys.executable, "-m", "vsearch", "serve", *map(str, indexes), "--port", "0", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            told: list[str] = []
            while not (found := re.search(r"serving at (http://\S+)", told[-1] if told else "")):
                told.append(process.stderr.readline())
                assert told[-1], f"vsearch serve did not start: {''.join(told)}"
            yield found[1]
        finally:
            process.terminate()
            process.communicate(timeout=30)
