"""Gather the gallery of the demo: captioned pictures of real things, and scenes composed from them.

The pictures are Debian's package tuxpaint-stamps-default (GPL-2), fetched with apt-get, checked by SHA-256 and
unpacked without installing it.  Where that cannot be had, photos that installed Python packages carry and
drawn scenes take its place, and the last line says so.  A second run finds its work done and does nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import drawn
import stamps
from PIL import Image
from scenes import read_scenes, write_scenes

MARK = ".gallery.json"  # written last: what was made, so that a half-made gallery is made again
EDITION = 1  # counts up when the gallery changes


def gather(out: Path, offline: bool = False) -> tuple[list[Path], str]:
    """Fill the folder; returns the pictures and what they are."""
    if offline:
        return _without_stamps(out, "as asked")
    try:
        return _with_stamps(out)
    except stamps.StampsUnavailable as reason:
        return _without_stamps(out, str(reason))


def _with_stamps(out: Path) -> tuple[list[Path], str]:
    print(f"gallery: fetching Debian's {stamps.PACKAGE} (up to 161 MB) with apt-get", file=sys.stderr)
    with stamps.unpacked() as folder:
        copies = stamps.copy_captioned(folder, out)

        def cut_out(name: str) -> Image.Image | None:
            stamp = folder / f"{name}.png"
            return Image.open(stamp) if stamp.is_file() else None

        table = Path(__file__).with_name("scenes_of_stamps.txt").read_text(encoding="utf-8")
        composed = write_scenes(read_scenes(table), out / "scenes", cut_out)
    return copies + composed, f"{len(copies)} captioned stamps and {len(composed)} scenes composed of them"


def _without_stamps(out: Path, reason: str) -> tuple[list[Path], str]:
    photos = drawn.copy_photos(out)
    scenes = write_scenes(read_scenes(drawn.SCENES), out / "scenes", drawn.round_thing)
    made = f"{len(photos)} photos of installed packages and {len(scenes)} drawn scenes"
    return photos + scenes, f"{made}, without the stamps ({reason})"


def _done(out: Path, offline: bool) -> str | None:
    """What an earlier run made, when it is all still there; a gallery without stamps is tried again."""
    try:
        mark = json.loads((out / MARK).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if mark.get("edition") != EDITION or (mark["offline"] and not offline):
        return None
    return mark["made"] if all((out / name).is_file() for name in mark["pictures"]) else None


def _write_mark(out: Path, pictures: list[Path], made: str) -> None:
    names = [str(picture.relative_to(out)) for picture in pictures]
    mark = {"edition": EDITION, "made": made, "offline": "without the stamps" in made, "pictures": names}
    (out / MARK).write_text(json.dumps(mark), encoding="utf-8")


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("photos"), help="the folder to fill (default: photos)")
    parser.add_argument("--offline", action="store_true", help="do not try apt: package photos and drawn scenes")
    args = parser.parse_args()
    made = _done(args.out, args.offline)
    if made is not None:
        print(f"gallery: {args.out} already has {made}")
        return
    args.out.mkdir(parents=True, exist_ok=True)
    pictures, made = gather(args.out, args.offline)
    _write_mark(args.out, pictures, made)
    print(f"gallery: {made} in {args.out}")


if __name__ == "__main__":
    main()
