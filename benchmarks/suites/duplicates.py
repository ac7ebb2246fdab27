"""How many near duplicates `vsearch dups` finds, and how many distinct pictures it takes for one.

Each set holds originals and changed copies of a seeded sample of them: half as wide and high, written again as JPEG of
quality 60, cropped by 5 % (half of that on each side), and a fifth brighter; all but the second as JPEG of quality 95.
Besides, ``corner`` copies lose 5 % at the left and the top; the threshold is measured without such ones.
found: share of the changed copies that are in one group with their original.  merged: share of all pairs of originals
that are in one group.  gallery: the pictures of the demo in ./photos.  flickr8k: development pictures in
`$VSEARCH_EVAL_DATA`.  caltech101: as many of each class as fit; many classes are of things that look alike.
The encoder is the bundled one, the threshold the one that the command measures by itself.
"""

from __future__ import annotations

import csv
import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

import vsearch
from vsearch.duplicates import Duplicates
from vsearch.duplicates.calibrate import brightened, cropped, half

SEED = 0
Change = Callable[[Image.Image], Image.Image]


def corner(image: Image.Image) -> Image.Image:
    """Without 5 % of its width at the left and of its height at the top."""
    return image.crop((round(image.width * 0.05), round(image.height * 0.05), image.width, image.height))


CHANGES: dict[str, tuple[Change, int]] = {
    "half": (half, 95),
    "quality_60": (lambda image: image, 60),
    "cropped": (cropped, 95),
    "brighter": (brightened, 95),
    "corner": (corner, 95),
}
REQUIRED = ("half", "quality_60", "cropped", "brighter")


def run(quick: bool) -> dict[str, Any]:
    """Measure on what data there is; quick takes 60 originals of each set and changes 15, else 400 and 60."""
    figures: dict[str, Any] = {"encoder": "mini"}
    for name, pictures in _sets().items():
        if pictures:
            chosen = random.Random(SEED).sample(pictures, min(len(pictures), 60 if quick else 400))
            figures |= {f"{name}_{key}": value for key, value in _measure(chosen, 15 if quick else 60).items()}
    return figures


def _sets() -> dict[str, list[Path]]:
    data = Path(os.environ.get("VSEARCH_EVAL_DATA") or "/nonexistent")
    gallery = sorted(p for p in Path("photos").rglob("*") if p.suffix in (".png", ".jpg"))
    return {
        "gallery": gallery,
        "flickr8k": _listed(data / "flickr8k" / "dev.tsv"),
        "caltech101": _listed(data / "caltech101" / "labels.tsv"),
    }


def _listed(table: Path) -> list[Path]:
    if not table.is_file():
        return []
    with table.open(encoding="utf-8", newline="") as file:
        return [
            table.parent / name for name in dict.fromkeys(r["filepath"] for r in csv.DictReader(file, delimiter="\t"))
        ]


def _measure(originals: list[Path], changed: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="vsearch-dups-") as name:
        folder = Path(name) / "photos"
        folder.mkdir()
        for number, path in enumerate(originals):
            shutil.copy(path, folder / f"{number:04d}-original{path.suffix}")
            if number < changed:
                _write_changes(path, folder, number)
        with vsearch.create(Path(name) / "x.vsearch", encoder="mini") as index:
            report = index.add(vsearch.folder(folder))
            assert not report.failures, report.failures[:3]
            started = time.perf_counter()
            plan = index.duplicates()
            seconds = time.perf_counter() - started
    return {
        "originals": len(originals),
        **_figures(plan, len(originals), min(changed, len(originals))),
        "seconds": seconds,
    }


def _write_changes(path: Path, folder: Path, number: int) -> None:
    with Image.open(path) as opened:
        image = ImageOps.exif_transpose(opened).convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    image = Image.alpha_composite(white, image).convert("RGB")
    for kind, (change, quality) in CHANGES.items():
        change(image).save(folder / f"{number:04d}-{kind}.jpg", "JPEG", quality=quality)


def _figures(plan: Duplicates, originals: int, changed: int) -> dict[str, Any]:
    group_of: dict[tuple[int, str], int] = {}
    for at, group in enumerate(plan.groups):
        for picture in (group.kept, *group.others):
            number, kind = picture.path.stem.split("-")
            group_of[int(number), kind] = at
    found = {
        kind: sum((n, kind) in group_of and group_of[n, kind] == group_of.get((n, "original")) for n in range(changed))
        for kind in CHANGES
    }
    together: dict[int, list[int]] = {}
    for (number, kind), at in group_of.items():
        if kind == "original":
            together.setdefault(at, []).append(number)
    merged = sum(1 for numbers in together.values() for _ in combinations(numbers, 2))
    required = sum(found[kind] for kind in REQUIRED) / (changed * len(REQUIRED))
    return {
        "changed_copies": changed * len(CHANGES),
        "threshold": plan.threshold,
        "candidate_pairs": plan.candidates,
        "found": required,
        **{f"found_{kind}": count / changed for kind, count in found.items()},
        "merged_pairs": merged,
        "merged": merged / (originals * (originals - 1) / 2),
    }
