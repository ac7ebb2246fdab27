"""What a picture costs as the collection grows: memory of the run that adds them, and time of each tenth of it.

The pictures are 8x8 PNG files, all of them different, in folders of a thousand, embedded by `toy`: what is measured is
everything but the encoder.  peak: the highest proportional set size of the process and all its decoders, over a whole
run that adds so many pictures to a new index; anonymous: the same without mapped files, whose pages the system takes
back when others need memory.  tenths: microseconds a picture in each tenth of a long run; drift: the
slowest of the last five tenths to the median of the first five.  again: the seconds of a second run that finds nothing
new.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from memory import peak_of
from PIL import Image

SIDE, EACH = 8, 1000
ADDING = """
import json, sys, vsearch
photos, place, told, count = *sys.argv[1:4], int(sys.argv[4])
marks, tenth = [], count // 10
def note(now):
    while len(marks) < 10 and now.done >= (len(marks) + 1) * tenth:
        marks.append((now.done, now.seconds))
with vsearch.create(place, encoder="toy") as index:
    report = index.add(vsearch.folder(photos), progress=note)
    assert (report.added, report.failed) == (count, 0), report
    again = index.add(vsearch.folder(photos))
    assert again.unchanged == count
    json.dump({"marks": marks, "seconds": report.seconds, "again": again.seconds}, open(told, "w"))
"""


def run(quick: bool, size: int | None = None) -> dict[str, Any]:
    """Measure.  size: pictures of the long run, a million unless told (20,000 in the short form)."""
    longest = size or (20_000 if quick else 1_000_000)
    with tempfile.TemporaryDirectory(prefix="growth-") as name:
        scratch = Path(name)
        made = 0
        figures: dict[str, Any] = {}
        for count in sorted({1_000, 10_000, longest} if quick else {10_000, 100_000, longest}):
            _draw(scratch / "photos", made, count)
            made = count
            place, told = scratch / f"{count}.vsearch", scratch / "told.json"
            peak = peak_of([sys.executable, "-c", ADDING, str(scratch / "photos"), str(place), str(told), str(count)])
            figures |= {f"peak MB, {count:,} pictures": peak.whole}
            figures |= {f"anonymous MB, {count:,} pictures": peak.anonymous}
            timed = json.loads(told.read_text())
            figures |= {f"seconds, {count:,} pictures": timed["seconds"], f"again, {count:,} pictures": timed["again"]}
            print(count, peak, timed, file=sys.stderr, flush=True)
        tenths = _tenths(timed["marks"])
        figures |= {"pictures a second": longest / timed["seconds"], "drift": max(tenths[5:]) / median(tenths[:5])}
        return figures | {"microseconds a picture, by tenths": tenths}


def _draw(folder: Path, first: int, last: int) -> None:
    """Pictures ``first`` to ``last``; the pixels are random bytes of the picture's number."""
    for number in range(first, last):
        pixels = np.random.default_rng(number).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "PNG", compress_level=1)
        target = folder / f"{number // EACH:04}" / f"{number:07}.png"
        if number % EACH == 0:
            target.parent.mkdir(parents=True)
        target.write_bytes(stream.getvalue())


def _tenths(marks: list[tuple[int, float]]) -> list[float]:
    """Microseconds a picture between the marks."""
    ends = [(0, 0.0), *marks]
    return [1e6 * (b[1] - a[1]) / (b[0] - a[0]) for a, b in zip(ends, ends[1:], strict=False)]


def tables(figures: dict[str, Any]) -> list[str]:
    """The tenths side by side."""
    tenths = figures["microseconds a picture, by tenths"]
    return [
        "Microseconds a picture in each tenth of the longest run: " + ", ".join(f"{told:.0f}" for told in tenths) + ".",
        "",
    ]
