"""Torture the store, the trainer and ``dups``: the long form of the durability harnesses, and hostile pictures.

Each harness counts its failures, of which none is allowed, and must catch the defects planted for it.  The figures
go to benchmarks/results/torture.json (or --json FILE) and, in short, to standard output.  Needs Linux, strace, gcc.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
OUT = ROOT / "benchmarks" / "results" / "torture.json"
PORTION = 5000
WORKERS = 2
Figures = dict[str, Any]


@contextmanager
def workshop(at_work: str) -> Iterator[Path]:
    """An empty folder; says what is at work."""
    from tests.durability import place

    print(f"torture: {at_work} …", file=sys.stderr, flush=True)
    with place.workshop() as folder:
        yield folder


def kills(n: int, seed: int) -> Figures:
    """Writers killed with signal 9, half of them by each of two killers."""
    from tests.durability.kills import DEFECTS, Killer, Kills
    from tests.durability.zygote import Zygote

    def one(number: int) -> Kills:
        with Zygote() as zygote, workshop(f"kill -9, {n // WORKERS:,} writers") as folder:
            return Killer(zygote, folder, seed + number).run(n // WORKERS)

    def shows(defect: str) -> bool:
        with Zygote() as zygote, workshop(f"kill -9 with a planted defect: {defect}") as folder:
            return bool(Killer(zygote, folder, seed, defect).run(1000).failures)

    with ThreadPoolExecutor(WORKERS) as pool:
        total = sum(pool.map(one, range(WORKERS)), Kills())
    return {**total.told(), **_verdict(total.failures, DEFECTS, shows)}


def power_cuts(n: int, seed: int) -> Figures:
    """Power cuts in the recordings of as many writers as it takes."""
    from tests.durability.powerloss import DEFECTS, PowerLoss, run
    from tests.durability.zygote import Zygote

    total = PowerLoss()
    with ExitStack() as stack:
        zygotes = [stack.enter_context(Zygote()) for _ in range(WORKERS)]
        while total.states < n and not total.failures:
            with workshop(f"power cuts, {total.states:,} of {n:,} states") as folder:
                total.add(run(zygotes, folder, seed + total.seeds, last=33, most=n - total.states))

        def shows(defect: str) -> bool:
            with workshop(f"power cuts with a planted defect: {defect}") as folder:
                return bool(run(zygotes, folder, seed, DEFECTS[defect], most=10**6, mutant=defect).failures)

        return {**total.told(), **_verdict(total.failures, DEFECTS, shows)}


def faults(every: int, seed: int) -> Figures:
    """Faults at every so many-th file call."""
    from tests.durability.faults import DEFECTS, Faults, Saboteur, compile_shim
    from tests.durability.zygote import Zygote

    with ExitStack() as stack:
        shim = compile_shim(stack.enter_context(workshop("compiling the fault shim")))

        def one(number: int) -> Faults:
            with Zygote(shim) as zygote, workshop("faults at every file call") as folder:
                saboteur = Saboteur(zygote, folder, seed)
                return saboteur.run(f for at, f in enumerate(saboteur.faults(every)) if at % WORKERS == number)

        def shows(defect: str) -> bool:
            with Zygote(shim) as zygote, workshop(f"faults with a planted defect: {defect}") as folder:
                saboteur = Saboteur(zygote, folder, seed, defect)
                aim = DEFECTS[defect]
                return bool(saboteur.run(iter([*saboteur.faults(during=aim.during)][:: aim.step])).failures)

        with ThreadPoolExecutor(WORKERS) as pool:
            total = Faults.total(list(pool.map(one, range(WORKERS))))
        return {**total.told(), **_verdict(total.failures, DEFECTS, shows)}


def move_kills(n: int, seed: int) -> Figures:
    """``dups --apply`` and ``--undo`` killed with signal 9."""
    from tests.durability.move_kills import DEFECTS, MoveKiller, MoveKills

    with _movers() as (zygotes, folder):

        def one(number: int) -> MoveKills:
            return MoveKiller(zygotes[number], folder / str(number), seed + number).run(n // WORKERS)

        def shows(defect: str) -> bool:
            print(f"torture: kill -9 of dups with a planted defect: {defect} …", file=sys.stderr, flush=True)
            return bool(MoveKiller(zygotes[0], folder / "0", seed, defect).run(1000).failures)

        with ThreadPoolExecutor(WORKERS) as pool:
            total = sum(pool.map(one, range(WORKERS)), MoveKills())
        return {**total.told(), **_verdict(total.failures, DEFECTS, shows)}


def move_faults(every: int, seed: int) -> Figures:
    """Faults at every so many-th file call of ``dups --apply`` and ``--undo``."""
    from tests.durability.faults import Faults
    from tests.durability.move_faults import DEFECTS, MODES, MoveSaboteur

    with _movers() as (zygotes, folder):

        def one(number: int) -> list[Faults]:
            saboteurs = [MoveSaboteur(zygotes[number], folder / str(number), mode) for mode in MODES[number::WORKERS]]
            return [saboteur.run(saboteur.faults(every)) for saboteur in saboteurs]

        def shows(defect: str) -> bool:
            command, calls = DEFECTS[defect]
            saboteur = MoveSaboteur(zygotes[0], folder / "0", (command, False), defect)
            return bool(saboteur.run(saboteur.faults(calls=calls)).failures)

        with ThreadPoolExecutor(WORKERS) as pool:
            parts = [part for parts in pool.map(one, range(WORKERS)) for part in parts]
        total = Faults.total(parts)
        total.calls = sum(part.calls for part in parts)
        return {**total.told(), **_verdict(total.failures, DEFECTS, shows)}


def move_power_cuts(n: int, seed: int) -> Figures:
    """Power cuts in recordings of ``dups --apply`` and ``--undo``, half of them where only links help."""
    from tests.durability.move_powerloss import DEFECTS, run
    from tests.durability.powerloss import PowerLoss

    total = PowerLoss()
    with _movers() as (zygotes, folder):
        while total.states < n and not total.failures:
            plain = bool(total.seeds % 2)
            total.add(run(zygotes[0], folder, seed + total.seeds, n - total.states, plain))

        def shows(defect: str) -> bool:
            return bool(run(zygotes[0], folder, seed, 10**6, DEFECTS[defect], defect).failures)

        return {**total.told(), **_verdict(total.failures, DEFECTS, shows)}


@contextmanager
def _movers() -> Iterator[tuple[list[Any], Path]]:
    """Processes that move pictures when they are told to, and a folder."""
    from tests.durability.faults import compile_shim
    from tests.durability.move_trial import MODULES
    from tests.durability.zygote import Zygote

    with ExitStack() as stack:
        folder = stack.enter_context(workshop("moving pictures and moving them back"))
        shim = compile_shim(folder)
        yield [stack.enter_context(Zygote(shim, MODULES)) for _ in range(WORKERS)], folder


def reads(n: int, seed: int) -> Figures:
    """Two readers beside a writer."""
    from tests.durability.readers import DEFECTS, run
    from tests.durability.zygote import Zygote

    with ExitStack() as stack:
        zygotes = [stack.enter_context(Zygote()) for _ in range(1 + WORKERS)]
        with workshop(f"{n:,} reads beside a writer") as folder:
            total = run(zygotes, folder, seed, n)

        def shows(defect: str) -> bool:
            with workshop(f"reads with a planted defect: {defect}") as folder:
                return bool(run(zygotes, folder, seed, n, defect).failures)

        return {**total.told(), **_verdict(total.failures, DEFECTS, shows)}


def trainings(n: int, seed: int) -> Figures:
    """Training runs killed with signal 9 and resumed."""
    from tests.durability.training import DEFECTS, MODULES, TrainingKiller, undisturbed
    from tests.durability.zygote import Zygote

    with Zygote(modules=MODULES) as zygote, workshop("a training run that nobody kills") as usual_folder:
        usual = undisturbed(zygote, usual_folder)
        with workshop(f"kill -9, {n:,} times in training runs") as folder:
            total = TrainingKiller(zygote, folder, usual, seed).run(n)

        def shows(defect: str) -> bool:
            with workshop(f"training with a planted defect: {defect}") as folder:
                return bool(TrainingKiller(zygote, folder, usual, seed, defect).run(100).failures)

        return {**total.told(), **_verdict(total.failures, DEFECTS, shows)}


def hostile(n: int, seed: int) -> Figures:
    """The corpus of hostile pictures, in portions of some thousand files."""
    from hostile_corpus import judge, make

    from vsearch.decode import DecodePool, Job, Limits
    from vsearch.types import PixelSpec

    limits = Limits(max_pixels=40_000_000, max_bytes=20_000_000, seconds=3, memory_mb=96)
    told: Figures = {"files": 0, "decoded": 0, "failed": 0}
    unexplained: list[str] = []
    stages: dict[str, int] = {}
    for at in range(0, n, PORTION):
        with workshop(f"hostile pictures, {at:,} of {n:,}") as folder:
            expected = make(folder, min(PORTION, n - at), seed + at)
            with DecodePool(PixelSpec(32), limits, workers=WORKERS) as pool:
                report = judge(expected, pool.map(Job(path) for path in expected.paths))
            _unlock(folder)
        for name in told:
            told[name] += getattr(report, name)
        for reason, count in report.reasons.items():
            stage = reason.partition(":")[0]
            stages[stage] = stages.get(stage, 0) + count
        unexplained += report.unexplained
    return {**told, "failed_by_stage": stages, **_verdict(unexplained, {}, lambda _: True)}


def _unlock(folder: Path) -> None:
    """Let folders that may not be entered be removed."""
    for above, folders, _ in os.walk(folder):
        for name in folders:
            os.chmod(os.path.join(above, name), 0o700)


def foreign(n: int, seed: int) -> Figures:
    """Indexes that somebody else made: links, foreign names, other types; what commands do outside of them."""
    from tests.durability.foreign import DEFECTS, Trial, Watched, trial

    def one(number: int, count: int, defect: str = "") -> Trial:
        with workshop(f"indexes from elsewhere, {count:,}, {defect or 'as it is'}") as folder:
            (folder / "log").mkdir()
            (folder / "work").mkdir()
            with Watched(folder / "log") as watched:
                return trial(watched, folder / "work", count, seed + number, defect)

    with ThreadPoolExecutor(WORKERS) as pool:
        done = list(pool.map(lambda number: one(number, -(-n // WORKERS)), range(WORKERS)))
    total = sum(done, Trial())
    return {
        **total.told(),
        **_verdict(total.failures, list(DEFECTS), lambda defect: bool(one(7, 200, defect).failures)),
    }


def _verdict(failures: list[str], defects: Any, shows: Callable[[str], bool]) -> Figures:
    missed = [defect for defect in defects if not shows(defect)]
    return {
        "failures": len(failures),
        "first_failures": [failure[-2000:] for failure in failures[:5]],
        "defects_planted": len(defects),
        "defects_missed": missed,
    }


def machine() -> Figures:
    """What it ran on."""
    import faiss
    import lmdb

    return {
        "cores": os.cpu_count(),
        "linux": os.uname().release.split("-")[0],
        "python": sys.version.split()[0],
        "py_lmdb": lmdb.__version__,
        "lmdb": ".".join(map(str, lmdb.version())),
        "faiss": faiss.__version__,
    }


def _every(text: str) -> int:
    """``all``, or a number."""
    if text != "all" and not text.isdigit():
        raise argparse.ArgumentTypeError("is 'all' or a number")
    return 1 if text == "all" else int(text)


def options() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="torture.py", description=__doc__)
    parser.add_argument("--kills", type=int, default=1000, metavar="N", help="writers to kill (default 1000)")
    parser.add_argument("--states", type=int, default=20_000, metavar="N", help="states of a disk (default 20000)")
    parser.add_argument("--reads", type=int, default=50_000, metavar="N", help="reads (default 50000)")
    parser.add_argument(
        "--faults", type=_every, default=1, metavar="all|N", help="fail every file call, or every N-th (default all)"
    )
    parser.add_argument("--move-kills", type=int, default=1000, metavar="N", help="kills of dups (default 1000)")
    parser.add_argument("--move-faults", type=_every, default=1, metavar="all|N", help="the same of dups (default all)")
    parser.add_argument("--move-states", type=int, default=2000, metavar="N", help="states of its disk (default 2000)")
    parser.add_argument("--trainings", type=int, default=50, metavar="N", help="kills of training runs (default 50)")
    parser.add_argument("--hostile", type=int, default=100_000, metavar="N", help="pictures (default 100000)")
    parser.add_argument("--foreign", type=int, default=2000, metavar="N", help="indexes of others (default 2000)")
    parser.add_argument("--quick", action="store_true", help="a minute or three of each: for trying it out")
    parser.add_argument("--seed", type=int, default=1, help="another seed, another run (default 1)")
    parser.add_argument("--json", type=Path, default=OUT, metavar="FILE", help="where the figures go")
    return parser


def main() -> int:
    """Run what was asked for; 0 when nothing failed and every planted defect was caught, else 1."""
    parser = options()
    asked = parser.parse_args()
    if asked.quick:
        asked.kills, asked.states, asked.reads, asked.faults, asked.hostile = 60, 1000, 5000, 5, 2000
        asked.trainings, asked.foreign = 6, 40
        asked.move_kills, asked.move_faults, asked.move_states = 60, 5, 300
    for tool in ("strace", "gcc"):
        if shutil.which(tool) is None:
            parser.error(f"{tool} is not installed; type: apt-get install {tool}")
    harnesses: dict[str, tuple[Callable[[int, int], Figures], int]] = {
        "kills": (kills, asked.kills),
        "power_cuts": (power_cuts, asked.states),
        "faults": (faults, asked.faults),
        "reads": (reads, asked.reads),
        "move_kills": (move_kills, asked.move_kills),
        "move_faults": (move_faults, asked.move_faults),
        "move_power_cuts": (move_power_cuts, asked.move_states),
        "trainings": (trainings, asked.trainings),
        "hostile": (hostile, asked.hostile),
        "foreign": (foreign, asked.foreign),
    }
    figures: Figures = {"machine": machine(), "seed": asked.seed}
    for name, (harness, size) in harnesses.items():
        if size:
            begun = time.monotonic()
            figures[name] = {**harness(size, asked.seed), "seconds": round(time.monotonic() - begun, 1)}
            print(f"{name}: {json.dumps(figures[name])}", flush=True)
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    asked.json.write_text(json.dumps(figures, indent=2) + "\n")
    sound = all(not figures[n]["failures"] and not figures[n]["defects_missed"] for n in harnesses if n in figures)
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
