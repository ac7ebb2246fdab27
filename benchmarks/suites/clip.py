"""What pretrained CLIPs cost: commands from a cold start, a warm sentence, the server; beside `mini`, rclip, open_clip.

Models of real size with random weights, made in .bench: what they cost does not depend on what the weights are.
Commands are whole processes without the variables that this machine sets for OpenBLAS; their files are in the page
cache.  CPU seconds are user and system time of a process and of those it waited for; commands take turns with those of
the other encoders, and the least of all turns counts.  MB: the most resident memory of the largest process, mapped
weights included.  rclip 3.3 runs towers of the same size, for pictures of 256 pixels, by ONNX Runtime; it does not look
at the folder for a query either.  index: a model that is used for the first time, hashing its weights and choosing a
precision included; all processes: the proportional set size of all together.

warm: CPU milliseconds in one process on one core, tokens included, in turn with open_clip's own; sentence: eight words;
64 texts: captions.  served: texts are new to the server, clients share its cores.  stages: where the CPU time of a cold
sentence goes, as the innermost stage that has begun.  cosines: the least, of 200 texts and 50 pictures, to open_clip in
float32; centred: with the mean of open_clip's vectors subtracted, since those of random weights lie near each other;
cut by each: pictures cut by each library from the file.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import http_client
import random_clip
from captioned import flickr8k
from clip_commands import Commands
from clip_tables import encoder_tables, readme_table
from clip_targets import beside_targets
from measured import Usage, least, user_environment
from peer import PEERS, CannotInstall
from pictures import collect, with_comment
from rclip_commands import Rclip
from servers import serving
from tables import table

MODELS = ("ViT-B-32", "ViT-B-32-SigLIP2-256", "ViT-L-14", "RN50")
QUICK_MODELS = ("ViT-B-32",)
LARGE = ("ViT-L-14",)  # index a tenth of the pictures
SENTENCE = "a red apple on a wooden table"
COMMANDS = ("cold sentence", "cold picture", "one new picture")
PARTS = (*COMMANDS, "index", "warm", "served", "stages", "cosines", "targets")
TEXTS, PICTURES = 200, 50  # for cosines
Figures = dict[str, Any]

_ADJECTIVES = "red blue old small wooden wet bright round soft empty".split()
_NOUNS = "dog cat boat tree house river child bread lamp road".split()


def run(quick: bool, size: int = 1000) -> Figures:
    """Measure; quick takes ViT-B-32 only.  size: pictures to index."""
    folders = {name: str(random_clip.model_folder(name)) for name in (QUICK_MODELS if quick else MODELS)}
    rounds, pictures = (2, 64) if quick else (4, size)
    with tempfile.TemporaryDirectory(prefix="vsearch-clip-") as name:
        scratch = Path(name)
        figures: Figures = {"origin": collect(scratch / "photos", pictures)}
        collect(scratch / "few", pictures // 10)
        commands = {
            model: Commands(
                "mini" if model == "mini" else f"local-dir:{folders[model]}",
                scratch / ("few" if model in LARGE else "photos"),
                scratch / model,
            )
            for model in ("mini", *folders)
        }
        parts: tuple[Callable[[], Figures], ...] = (
            lambda: {"index": {model: of_model.index() for model, of_model in commands.items()}},
            lambda: _commands(commands, scratch, rounds),
            lambda: _in_one_process(folders, scratch, 3 * rounds),
            lambda: {"served": _served(commands, 3.0 if quick else 5.0)},
            lambda: {"stages": _stages(commands, rounds)},
        )
        for part in parts:
            measured = part()
            print(json.dumps(measured), file=sys.stderr, flush=True)
            figures |= measured
    figures["targets"] = beside_targets(figures)
    return figures


def _commands(commands: dict[str, Commands], scratch: Path, rounds: int) -> Figures:
    """Every cold command of every encoder in turn, and those of rclip; the first turn, which writes caches, apart."""
    ways: dict[str, dict[str, Callable[[], Usage]]] = {name: {} for name in COMMANDS}
    for model, of_model in commands.items():
        ways["cold sentence"][model] = lambda of_model=of_model: of_model.sentence(SENTENCE)
        ways["cold picture"][model] = of_model.image
        ways["one new picture"][model] = of_model.index_again
    left_out: Figures = {}
    try:
        rclip = Rclip(scratch / "few", scratch)
        ways["cold sentence"]["rclip"] = lambda: rclip.query(SENTENCE)
        ways["cold picture"]["rclip"] = lambda: rclip.query(str(_a_picture(scratch / "few")))
    except CannotInstall as error:
        left_out["rclip left out"] = str(error)
    usages: dict[tuple[str, str], list[Usage]] = {}
    for number in range(1 + rounds):
        for photos in (scratch / "few", scratch / "photos"):
            _add_picture(photos, number)
        for name, of_name in ways.items():
            for model, command in of_name.items():
                usage = command()
                if number:
                    usages.setdefault((name, model), []).append(usage)
    rows = {name: _beside_mini({model: least(usages[name, model]) for model in of}) for name, of in ways.items()}
    return left_out | rows


def _a_picture(photos: Path) -> Path:
    return min(photos.rglob("*.jpg"))


def _add_picture(photos: Path, number: int) -> None:
    (photos / f"new-{number}.jpg").write_bytes(with_comment(_a_picture(photos).read_bytes(), f"new {number}"))


def _beside_mini(usages: dict[str, Usage]) -> dict[str, Figures]:
    return {
        model: {"CPU s": usage.cpu, "MB": usage.peak_mb, "CPU / mini": usage.cpu / usages["mini"].cpu}
        for model, usage in usages.items()
    }


def _in_one_process(folders: dict[str, str], scratch: Path, rounds: int) -> Figures:
    """Warm texts, and how near vectors are to open_clip's."""
    captions = [text for texts in flickr8k().values() for text in texts] or list(itertools.islice(_sentences(), TEXTS))
    texts, photos = scratch / "texts.json", scratch / "cosines"
    texts.write_text(json.dumps(captions[:TEXTS]), encoding="utf-8")
    collect(photos, PICTURES)
    return {
        "warm": {model: _peer("run_clip.py", folder, texts, rounds) for model, folder in folders.items()},
        "cosines": {model: _peer("run_cosines.py", folder, texts, photos) for model, folder in folders.items()},
    }


def _peer(program: str, *words: object) -> Figures:
    """What a program prints as JSON."""
    command = [sys.executable, str(PEERS / program), *map(str, words)]
    run = subprocess.run(command, env=user_environment(HF_HUB_OFFLINE="1"), stdout=subprocess.PIPE, check=True)
    figures: Figures = json.loads(run.stdout)
    return figures


def _sentences() -> Iterator[str]:
    """10,000 sentences of eight words, no two alike."""
    words = itertools.product(_ADJECTIVES, _NOUNS, _ADJECTIVES, _NOUNS)
    return (f"a {first} {noun} beside a {second} {other} outside" for first, noun, second, other in words)


def _served(commands: dict[str, Commands], seconds: float) -> dict[str, Figures]:
    rows: dict[str, Figures] = {}
    for model, of_model in commands.items():
        requests = (("POST", "/search", {"parts": [{"text": text}], "k": 10}) for text in _sentences())
        with serving(of_model.index_path, user_environment(**of_model.environment)) as (port, _):
            for clients in (1, 8, 64):
                load = http_client.run(port, requests, clients, seconds)
                refused = sum(count for status, count in load.statuses.items() if status != 200)
                rows[f"{model}, {clients} clients"] = load.figures() | {"refused": refused}
    return rows


def _stages(commands: dict[str, Commands], rounds: int) -> dict[str, Figures]:
    """The run of the least CPU time."""
    rows: dict[str, Figures] = {}
    for model, of_model in commands.items():
        if model != "mini":
            best = min((of_model.stages(SENTENCE) for _ in range(1 + rounds)), key=lambda figures: figures["CPU s"])
            rows[model] = {"CPU s": best["CPU s"]} | {name: f"{share:.1%}" for name, share in best["shares"].items()}
    return rows


def tables(figures: Figures) -> list[str]:
    """A table of each part."""
    return [line for part in PARTS if part in figures for line in (f"{part}:", "", *table(figures[part]))]


def pages(figures: Figures) -> dict[str, list[str]]:
    """What the project's pages show of them."""
    return {"README.md": readme_table(figures), "docs/encoders.md": encoder_tables(figures)}
