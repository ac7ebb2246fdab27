"""Compose pictures of coloured things with captions that are exactly true, to train on and to measure with.

Cut-out pictures of a gallery (tools/gallery.py) are tinted and set side by side on drawn grounds.  Written are:

  train.tsv   pairs to train with; column `foil` has the caption of the twin, which is false of the picture
  val.tsv     pairs to measure retrieval with, no two of them twins
  swaps.tsv   pictures and their twins, for `vsearch eval compositional`; columns filepath, title, foil, kind
  unseen.tsv  the same of things that stand together in no picture of the other tables

No composition of one table, nor its twin, is in another.  The same gallery and seed give the same pictures.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Callable, Iterator
from functools import cache
from itertools import islice
from pathlib import Path

import numpy as np
from compositions import COLOURS, Composition, Group, Thing, capacity, compositions, meetings, read_things
from drawn import round_thing
from PIL import Image
from textures import GROUNDS

SIDE = 288
BACKDROPS = 24  # grounds drawn of each kind; each picture shows a part of one
QUALITY = 88
DRAWN = """
apple | apples | red-apple
ball  | balls  | red-ball
lemon | lemons | lemon
egg   | eggs   | egg
"""

CutOut = Callable[[str], Image.Image | None]


def tinted(cut_out: Image.Image, colour: tuple[int, int, int]) -> Image.Image:
    """The thing in another colour: its lightness, spread around the middle, shades the colour from dark to pale."""
    pixels = np.asarray(cut_out.convert("RGBA"), np.float32)
    light, opaque = pixels[..., :3] @ np.array([0.299, 0.587, 0.114], np.float32) / 255, pixels[..., 3:]
    solid = opaque[..., 0] > 128
    if solid.any():
        middle, spread = float(np.median(light[solid])), float(light[solid].std()) + 0.05
        light = np.clip(0.5 + 0.16 * (light - middle) / spread, 0.08, 0.95)
    dark, pale = np.minimum(light * 2, 1)[..., None], np.maximum(light * 2 - 1, 0)[..., None] * 0.8
    shaded = np.array(colour, np.float32) * dark
    return Image.fromarray(np.concatenate([shaded + (255 - shaded) * pale, opaque], axis=2).astype(np.uint8))


@cache
def backdrop(ground: str, number: int) -> Image.Image:
    """One of the drawn grounds, larger than a picture."""
    rng = np.random.default_rng([len(ground), number])
    return GROUNDS[ground](rng, (SIDE + 64, SIDE + 64))


def _spots(rng: np.random.Generator, count: int, left: bool) -> list[tuple[float, float, float]]:
    """Middle x, middle y and size of each thing of a group, as shares of the side, in its half of the picture."""
    grid = {1: [(0.5, 0.5)], 2: [(0.5, 0.27), (0.5, 0.75)], 3: [(0.5, 0.2), (0.28, 0.72), (0.74, 0.72)]}
    places = grid.get(count, [(0.27, 0.27), (0.74, 0.27), (0.27, 0.74), (0.74, 0.74)])
    size = {1: 0.42, 2: 0.34}.get(count, 0.205) * rng.uniform(0.86, 1.06)
    wander = 0.06 if count == 1 else 0.02
    half = 0.01 if left else 0.51
    middle = rng.uniform(0.5, 0.62)
    return [
        (half + 0.48 * x + rng.uniform(-wander, wander), middle + 0.8 * (y - 0.5) + rng.uniform(-wander, wander), size)
        for x, y in places
    ]


def _paste(rng: np.random.Generator, canvas: Image.Image, group: Group, left: bool, cut_out: CutOut) -> None:
    found = cut_out(group.thing.cut_out)
    if found is None:
        raise SystemExit(f"compose: no cut-out {group.thing.cut_out!r}; gather the gallery with tools/gallery.py")
    thing = tinted(found, COLOURS[group.colour])
    for x, y, size in _spots(rng, group.count, left):
        scale = size * SIDE / max(thing.size)
        sized = thing.resize([max(1, round(side * scale)) for side in thing.size], Image.Resampling.BILINEAR)
        canvas.paste(sized, (round(x * SIDE - sized.width / 2), round(y * SIDE - sized.height / 2)), sized)


def draw(made: Composition, seed: tuple[int, int], cut_out: CutOut) -> Image.Image:
    """Draw a composition, (SIDE, SIDE) RGB; equal seeds give equal pixels."""
    rng = np.random.default_rng(seed)
    x, y = map(int, rng.integers(0, 64, 2))
    canvas = backdrop(made.ground, int(rng.integers(BACKDROPS))).crop((x, y, x + SIDE, y + SIDE))
    _paste(rng, canvas, made.first, not made.mirrored, cut_out)
    _paste(rng, canvas, made.second, made.mirrored, cut_out)
    noise = rng.normal(0, 3, (SIDE, SIDE, 1))
    return Image.fromarray(np.clip(np.asarray(canvas, np.float32) + noise, 0, 255).astype(np.uint8))


def write(name: str, rows: Iterator[Composition], out: Path, seed: int, cut_out: CutOut) -> int:
    """Draw the pictures of one table into a folder of its name, and write the table; returns how many."""
    (out / name).mkdir(parents=True, exist_ok=True)
    count = 0
    with (out / f"{name}.tsv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, delimiter="\t", lineterminator="\n")
        table.writerow(("filepath", "title", "foil", "kind"))
        for made in rows:
            place = f"{name}/{count:05d}.jpg"
            draw(made, (seed, len(name), count), cut_out).save(out / place, quality=QUALITY, subsampling=0)
            table.writerow((place, made.caption, made.twin.caption, made.kind))
            count += 1
    return count


def with_twins(rows: Iterator[Composition], count: int) -> Iterator[Composition]:
    """``count`` compositions, each followed by its twin."""
    for made in islice(rows, (count + 1) // 2):
        yield made
        yield made.twin


def cut_outs(gallery: Path | None) -> tuple[list[Thing], CutOut]:
    """The things to draw, and where their pictures come from; drawn fruit and balls without a gallery."""
    if gallery is None:
        return read_things(DRAWN), cache(round_thing)
    table = Path(__file__).with_name("compose_things.txt").read_text(encoding="utf-8")

    @cache
    def cut_out(name: str) -> Image.Image | None:
        path = gallery / f"{name}.png"
        if not path.is_file():
            return None
        picture = Image.open(path).convert("RGBA")
        picture.thumbnail((SIDE, SIDE))
        return picture.crop(picture.getchannel("A").getbbox())

    return read_things(table), cut_out


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("composed"), help="the folder to fill (default: composed)")
    parser.add_argument("--gallery", type=Path, help="the folder that tools/gallery.py filled (default: drawn things)")
    parser.add_argument("--pairs", type=int, default=20_000, help="pairs to train with (default: 20000)")
    parser.add_argument("--val", type=int, default=1_000, help="pairs to measure with, of each kind (default: 1000)")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    things, cut_out = cut_outs(args.gallery)
    together, apart = meetings(things)
    if 2 * args.val + args.pairs > capacity(together) // 2 or args.val > capacity(apart) // 2:
        parser.error(f"{len(things)} things make too few different compositions; ask for fewer pairs")
    rows, strangers = compositions(together, args.seed), compositions(apart, args.seed)
    counts = {
        "val": write("val", islice(rows, args.val), args.out, args.seed, cut_out),
        "swaps": write("swaps", with_twins(rows, args.val), args.out, args.seed, cut_out),
        "train": write("train", with_twins(rows, args.pairs), args.out, args.seed, cut_out),
        "unseen": write("unseen", with_twins(strangers, args.val), args.out, args.seed, cut_out),
    }
    print(f"compose: {', '.join(f'{count} {name}' for name, count in counts.items())} in {args.out}", file=sys.stderr)


if __name__ == "__main__":
    main()
