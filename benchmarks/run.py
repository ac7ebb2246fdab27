"""Run a benchmark suite, keep its figures in results/, and make README.md from all that is kept.

benchmarks/run.py ingest --quick     a short form, kept as results/ingest-quick.json
benchmarks/run.py ingest --json      the full form; prints one JSON object and nothing else
benchmarks/run.py report             writes benchmarks/README.md from results/*.json
"""

from __future__ import annotations

import argparse
import importlib
import json
from pathlib import Path
from typing import Any

from machine import describe

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
SUITES = sorted(path.stem for path in (HERE / "suites").glob("*.py") if not path.stem.startswith("_"))

Figures = dict[str, Any]


def measure(suite: str, quick: bool) -> Figures:
    """Run a suite and keep what it measured together with the machine it ran on."""
    figures: Figures = importlib.import_module(f"suites.{suite}").run(quick=quick)
    RESULTS.mkdir(exist_ok=True)
    kept = {"suite": suite, "quick": quick, "figures": figures, "machine": describe()}
    target = RESULTS / f"{suite}{'-quick' if quick else ''}.json"
    target.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    return figures


def shown(value: Any) -> str:
    """A figure as people write it: four significant digits, thousands separated."""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def table(figures: Figures) -> list[str]:
    """A Markdown table of names and values."""
    rows = [f"| {name} | {shown(value)} |" for name, value in figures.items()]
    return ["| figure | value |", "|---|---:|", *rows]


def report() -> str:
    """The page: for each result, what it measures, the figures, and the machine."""
    lines = ["# Benchmarks", "", "Made by `benchmarks/run.py report` from `results/*.json`; do not edit.", ""]
    for path in sorted(RESULTS.glob("*.json")):
        kept = json.loads(path.read_text(encoding="utf-8"))
        if not {"suite", "figures", "machine"} <= kept.keys():
            continue
        lines += [f"## {path.stem}", "", _about(kept["suite"]), "", *table(kept["figures"]), ""]
        lines += ["Machine: " + ", ".join(f"{k} {v}" for k, v in kept["machine"].items()) + ".", ""]
    return "\n".join(lines)


def _about(suite: str) -> str:
    """The suite's own words on what it measures; a result may come from a tool that is not a suite."""
    return (importlib.import_module(f"suites.{suite}").__doc__ or "").strip() if suite in SUITES else ""


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", choices=[*SUITES, "report"])
    parser.add_argument("--quick", action="store_true", help="a short form: minutes, not more")
    parser.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    args = parser.parse_args()
    if args.suite == "report":
        (HERE / "README.md").write_text(report(), encoding="utf-8")
        return
    figures = measure(args.suite, args.quick)
    print(json.dumps(figures) if args.json else "\n".join(f"{k:32} {shown(v)}" for k, v in figures.items()))


if __name__ == "__main__":
    main()
