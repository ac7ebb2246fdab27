"""Photograph the page for the documentation: the demo's gallery, served by vsearch and driven in Chromium.

Writes page.jpg (a search, with one picture's details), and page-map.jpg (the map, dark).  Run tools/demo.py first, or
name another index.
"""

from __future__ import annotations

import argparse
import io
import re
import shutil
import subprocess
import sys
from pathlib import Path

from PIL import Image

MOST_BYTES = 300_000
SIZE = (1440, 900)


def served(index: Path) -> tuple[subprocess.Popen[str], str]:
    """A server on a free port, and the address that it prints."""
    command = [sys.executable, "-m", "vsearch", "serve", str(index), "--port", "0", "--no-token"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(r"http://\S+", line):
            return process, found[0]
    sys.exit("vsearch serve did not start")


def save(png: bytes, path: Path) -> None:
    """As JPEG, as good as the limit of bytes allows."""
    with Image.open(io.BytesIO(png)) as picture:
        for quality in range(90, 40, -5):
            out = io.BytesIO()
            picture.convert("RGB").save(out, "JPEG", quality=quality, optimize=True, progressive=True)
            if out.tell() <= MOST_BYTES:
                break
    path.write_bytes(out.getvalue())
    print(f"{path}: {out.tell():,} bytes")


def photograph(address: str, chromium: str, out: Path) -> None:
    """Open the page, ask, and keep what it looks like."""
    from playwright.sync_api import expect, sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": SIZE[0], "height": SIZE[1]}, reduced_motion="reduce")
        page.goto(f"{address}#q=red+apple+on+a+wooden+table")
        expect(page.locator(".card").first).to_be_visible(timeout=60_000)
        page.reload()  # the first question waited for the encoder to load
        details = page.get_by_role("button", name="Details: A red apple on a wooden table.")
        details.locator("xpath=ancestor::li").hover()
        details.click()
        expect(page.locator("#panel dl")).to_be_visible()
        page.locator("#panel h2").click()
        page.mouse.move(700, 20)
        page.wait_for_load_state("networkidle")
        save(page.screenshot(), out / "page.jpg")
        page.emulate_media(color_scheme="dark")
        page.goto(f"{address}#view=map")
        page.reload()
        expect(page.locator(".legend button").first).to_be_visible(timeout=60_000)
        page.wait_for_load_state("networkidle")
        save(page.screenshot(), out / "page-map.jpg")
        browser.close()


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--index", type=Path, default=Path("photos.vsearch"), help="(default: photos.vsearch)")
    parser.add_argument("--out", type=Path, default=Path("docs"), help="where to write (default: docs)")
    args = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("page_shots: no Chromium is installed; type: apt-get install chromium")
    process, address = served(args.index)
    try:
        photograph(address, chromium, args.out)
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main()
