"""The demo: gather the gallery, index it, ask three questions, and lay the answers out as one page, demo.html.

Every command is shown as you would type it.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image

import vsearch
from vsearch.present import Section, html

QUERIES = ("red apple on a wooden table", "camel in the desert", "musical instrument")
TOOLS = Path(__file__).parent


def show(*words: str) -> None:
    """Print a vsearch command as typed, run it, and stop when it fails (3 is: done, but some files failed)."""
    print(f"\n$ vsearch {shlex.join(words)}", flush=True)
    status = subprocess.run([sys.executable, "-m", "vsearch", *words], check=False).returncode
    if status not in (0, 3):
        sys.exit(status)


def small(paths: Sequence[bytes], side: int) -> Iterator[Image.Image]:
    """Thumbnails, opened here without a guard since the gallery is our own."""
    for path in paths:
        with Image.open(path) as picture:
            picture.thumbnail((side, side))
            yield picture


def write_page(index: Path, page: Path) -> None:
    """One contact sheet with the first twelve hits of every question."""
    with vsearch.open(index) as opened:
        sections = [Section(query, opened.search(query, k=12)) for query in QUERIES]
    page.write_text(html(sections, small, title="vsearch: the demo"), encoding="utf-8")


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, default=Path("photos"), help="the gallery (default: photos)")
    parser.add_argument("--page", type=Path, default=Path("demo.html"), help="the page to write (default: demo.html)")
    args = parser.parse_args()
    index = args.photos.with_name(args.photos.name + ".vsearch")
    gallery = [sys.executable, str(TOOLS / "gallery.py"), "--out", str(args.photos)]
    subprocess.run(gallery, check=True)
    show("index", f"{os.curdir}/{args.photos}" if not args.photos.is_absolute() else str(args.photos))
    for query in QUERIES:
        show("query", query, "--index", str(index), "-k", "5")
    write_page(index, args.page)
    print(f"\nAll three with pictures: {args.page.resolve().as_uri()}")


if __name__ == "__main__":
    main()
