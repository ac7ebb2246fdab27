"""Run a benchmark suite, keep its figures in results/, and make README.md from all that is kept.

benchmarks/run.py ingest --quick     a short form, kept as results/ingest-quick.json
benchmarks/run.py ingest --json      the full form; prints one JSON object and nothing else
benchmarks/run.py ann --size 200000 --peers hnswlib,scann     vectors, and libraries beside vsearch
benchmarks/run.py report             writes benchmarks/README.md, and blocks of other pages, from results/*.json
"""

from __future__ import annotations

import argparse
import importlib
import json
from pathlib import Path
from typing import Any

from machine import describe
from pages import filled

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
SUITES = sorted(path.stem for path in (HERE / "suites").glob("*.py") if not path.stem.startswith("_"))

Figures = dict[str, Any]


def measure(suite: str, quick: bool, **options: Any) -> Figures:
    """Run a suite and keep what it measured together with the machine it ran on, and a plot where it has one."""
    module = importlib.import_module(f"suites.{suite}")
    figures: Figures = module.run(quick=quick, **options)
    RESULTS.mkdir(exist_ok=True)
    kept = {"suite": suite, "quick": quick, "figures": figures, "machine": describe()}
    target = RESULTS / f"{suite}{'-quick' if quick else ''}.json"
    target.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    if hasattr(module, "plot"):
        module.plot(figures, target.with_suffix(".svg"))
    return figures


def shown(value: Any) -> str:
    """A figure as people write it: four significant digits, thousands separated."""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def table(figures: Figures) -> list[str]:
    """A Markdown table of names and values; what is nested is for the suite's own tables."""
    rows = [f"| {name} | {shown(value)} |" for name, value in plain(figures).items()]
    return ["| figure | value |", "|---|---:|", *rows]


def plain(figures: Figures) -> Figures:
    """The figures that are one value each."""
    return {name: value for name, value in figures.items() if not isinstance(value, dict | list)}


def own_tables(suite: str, figures: Figures) -> list[str]:
    """What a suite makes of its figures besides."""
    module = importlib.import_module(f"suites.{suite}") if suite in SUITES else None
    return module.tables(figures) if module is not None and hasattr(module, "tables") else []


def report() -> str:
    """The page: for each result, what it measures, the figures, and the machine."""
    lines = ["# Benchmarks", "", "Made by `benchmarks/run.py report` from `results/*.json`; do not edit.", ""]
    for path in sorted(RESULTS.glob("*.json")):
        kept = json.loads(path.read_text(encoding="utf-8"))
        if not {"suite", "figures", "machine"} <= kept.keys():
            continue
        lines += [f"## {path.stem}", "", _about(kept["suite"]), "", *table(kept["figures"]), ""]
        lines += own_tables(kept["suite"], kept["figures"])
        if path.with_suffix(".svg").is_file():
            lines += [f"![recall and throughput](results/{path.stem}.svg)", ""]
        lines += ["Machine: " + ", ".join(f"{k} {v}" for k, v in kept["machine"].items()) + ".", ""]
    return "\n".join(lines)


def fill_pages(root: Path) -> None:
    """Write what suites want of their full results on other pages; root: the folder that those are named from."""
    for suite in SUITES:
        module, path = importlib.import_module(f"suites.{suite}"), RESULTS / f"{suite}.json"
        if hasattr(module, "pages") and path.is_file():
            for name, lines in module.pages(json.loads(path.read_text(encoding="utf-8"))["figures"]).items():
                page = root / name
                page.write_text(filled(page.read_text(encoding="utf-8"), suite, lines), encoding="utf-8")


def _about(suite: str) -> str:
    """The suite's own words on what it measures; a result may come from a tool that is not a suite."""
    return (importlib.import_module(f"suites.{suite}").__doc__ or "").strip() if suite in SUITES else ""


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", choices=[*SUITES, "report"])
    parser.add_argument("--quick", action="store_true", help="a short form: minutes, not more")
    parser.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    parser.add_argument("--size", type=int, metavar="N", help="ann: how many vectors; clip: how many pictures")
    parser.add_argument("--peers", metavar="A,B", help="ann: of faiss, hnswlib, usearch, scann, autofaiss")
    parser.add_argument("--recipe", metavar="NAME", help="ann: how vsearch builds; default: opq-ivf-pq")
    parser.add_argument("--encoder", metavar="PATH", help="confidence, feedback: instead of mini")
    args = parser.parse_args()
    if args.suite == "report":
        (HERE / "README.md").write_text(report(), encoding="utf-8")
        fill_pages(HERE.parent)
        return
    options = {"size": args.size, "peers": args.peers.split(",") if args.peers else None, "recipe": args.recipe}
    options["encoder"] = args.encoder
    figures = measure(args.suite, args.quick, **{name: value for name, value in options.items() if value is not None})
    if args.json:
        print(json.dumps(figures))
    else:
        print("\n".join(f"{name:32} {shown(value)}" for name, value in plain(figures).items()))
        print("\n".join(own_tables(args.suite, figures)))


if __name__ == "__main__":
    main()
