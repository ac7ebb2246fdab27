"""Ask the server what its description allows, and what it forbids, and check every answer (Schemathesis).

A server that may also change its index is started over a small one, and asked until the wanted number of cases is
reached: no answer is 5xx, each has a status and a body that the description names, and what the
description forbids is refused.  (That nothing works without a token is tested elsewhere: many wrong ones in a
row are slowed down, which Schemathesis takes for a fault.)

tools/fuzz_server.py              20,000 cases or more, some minutes
tools/fuzz_server.py --quick      a short form, without the systematic phases
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

import vsearch
from vsearch.server import Settings, running
from vsearch.server.tokens import make_token

OPERATIONS = 8  # of 15: those with few parameters are soon tried out
# What the description forbids may also be refused for its length.
CONFIG = """
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 409, 410, 413, 415, 422, 429]
"""
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,negative_data_rejection,missing_required_header,unsupported_method"
)


def make(place: Path) -> Path:
    """An index of 24 pictures with captions."""
    folder = place / "pictures"
    for number in range(24):
        (folder / f"f{number % 3}").mkdir(parents=True, exist_ok=True)
        name = folder / f"f{number % 3}" / f"{number}.png"
        Image.new("RGB", (40 + number, 30), (number * 10, 255 - number * 9, number * 37 % 256)).save(name)
        name.with_suffix(".txt").write_text(f"picture {number}\n", encoding="utf-8")
    with vsearch.create(place / "fuzz.vsearch", encoder="toy") as made:
        made.add(vsearch.folder(folder))
    return place / "fuzz.vsearch"


def fuzz(cases: int, phases: str, seed: int) -> tuple[int, int]:
    """Run; returns the exit code of Schemathesis and how many cases it tried."""
    token = make_token()
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(port=0, token=token, writable=True)
        with running([make(Path(folder))], settings) as address:
            base = address.partition("#")[0].rstrip("/")
            Path(folder, "schemathesis.toml").write_text(CONFIG, encoding="utf-8")
            command = [sys.executable, "-m", "schemathesis.cli", "run", f"{base}/openapi.json"]
            command += ["-H", f"Authorization: Bearer {token}", "-c", CHECKS, "-n", str(-(-cases // OPERATIONS))]
            command += ["--seed", str(seed), "--suppress-health-check", "all", "--request-timeout", "30"]
            command += ["--continue-on-failure", "--warnings", "off", "--phases", phases, "-w", "2"]
            told = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    print(told.stdout[-20000:], told.stderr[-3000:], sep="\n")
    found = re.search(r"([\d,]+) generated", told.stdout)
    return told.returncode, int(found[1].replace(",", "")) if found else 0


def main() -> int:
    """Fuzz, and fail when a check failed or too few cases were tried."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=20_000, help="how many, at least (default: 20000)")
    parser.add_argument("--quick", action="store_true", help="a few for each route")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    cases, phases = (100, "examples,fuzzing") if asked.quick else (asked.cases, "examples,coverage,fuzzing,stateful")
    code, tried = fuzz(cases, phases, asked.seed)
    print(f"fuzz_server: {tried:,} cases, " + ("no failure" if code == 0 else "FAILURES, see above"))
    return code or int(tried < cases and not asked.quick)


if __name__ == "__main__":
    sys.exit(main())
