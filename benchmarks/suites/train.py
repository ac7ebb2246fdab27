"""The trainer beside open_clip's own loop, the memory of cached gradients, and what heads over `mini` learn.

pairs_per_second: a step of forward, loss, backward and AdamW over batches in memory, the same small vision transformer,
batch and precision, the loops of both taking turns in one process; the median over the turns, and their ratio.
open_clip's loop is `open_clip_train.train.train_one_epoch`.  peak_mb: highest resident memory of a process that takes
two steps, of which the second finds the optimiser's moments there; 4,096 pairs go through in chunks of 256, against a
plain batch of 256.  flickr8k: heads over the frozen towers of `mini`, trained on the 6,000 training pictures in
`$VSEARCH_EVAL_DATA/flickr8k` and measured on the 1,000 development pictures, five captions each; cpu_seconds is of all
processes, decoding and the frozen towers included.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import torch

from vsearch.train import TrainConfig, read_pairs, train
from vsearch.train.gradcache import Batch, backward
from vsearch.train.loop import BETAS, EPSILON
from vsearch.train.world import World

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import open_clip

MODEL = {
    "embed_dim": 128,
    "vision_cfg": {"image_size": 64, "layers": 4, "width": 192, "patch_size": 8},
    "text_cfg": {"context_length": 32, "vocab_size": 4096, "width": 128, "heads": 4, "layers": 4},
}
RATE, DECAY, CHUNK = 1e-4, 0.1, 256


def run(quick: bool) -> dict[str, Any]:
    """Measure; quick takes fewer and smaller turns, and leaves Flickr8k out."""
    figures = _race(batch=64 if quick else 128, steps=2, turns=3 if quick else 7)
    figures |= _memory(large=1024 if quick else 4096)
    data = os.environ.get("VSEARCH_EVAL_DATA")
    if data and not quick:
        figures |= {f"flickr8k_{name}": value for name, value in _flickr(Path(data) / "flickr8k").items()}
    return figures


def _network() -> Any:
    torch.manual_seed(0)
    return open_clip.model.CLIP(**MODEL, output_dict=True)


def _batches(size: int, count: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    torch.manual_seed(1)
    side, length = MODEL["vision_cfg"]["image_size"], MODEL["text_cfg"]["context_length"]
    return [(torch.randn(size, 3, side, side), torch.randint(1, 4096, (size, length))) for _ in range(count)]


class _Ours:
    """The step of vsearch's loop over tensors."""

    def __init__(self, network: Any) -> None:
        self.network = network
        self.encode_images, self.encode_texts = network.encode_image, network.encode_text
        self.scale, self.bias = network.logit_scale, None
        self._parameters = list(network.parameters())
        self._optimizer = torch.optim.AdamW(self._parameters, RATE, BETAS, EPSILON, DECAY)
        self._world = World(0, 1, torch.device("cpu"))

    def step(self, images: torch.Tensor, texts: torch.Tensor, chunk: int = 0) -> None:
        ids = torch.arange(len(images))
        self._optimizer.zero_grad()
        backward(self, Batch(images, texts, ids, ids), TrainConfig(chunk=chunk), self._world, 0)
        torch.nn.utils.clip_grad_norm_(self._parameters, 1.0)
        self._optimizer.step()


class _Theirs:
    """One epoch of open_clip's loop over the same tensors."""

    def __init__(self, network: Any, batch: int) -> None:
        self._network, self._batch = network, batch
        self._loss = open_clip.ClipLoss()
        self._optimizer = torch.optim.AdamW(network.parameters(), RATE, BETAS, EPSILON, DECAY)

    def epoch(self, batches: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
        from open_clip_train.train import train_one_epoch

        told = {"device": "cpu", "precision": "fp32", "distill": False, "accum_freq": 1, "skip_scheduler": True}
        told |= {"horovod": False, "grad_clip_norm": 1.0, "rank": 0, "local_rank": 0, "log_every_n_steps": 10**9}
        told |= {"batch_size": self._batch, "world_size": 1, "wandb": False, "log_local": False}
        data = {"train": _Data(batches, self._batch)}
        nothing = argparse.Namespace(**told)
        train_one_epoch(self._network, data, self._loss, 0, self._optimizer, None, None, None, nothing)


class _Data:
    """Batches as open_clip's loop wants them."""

    def __init__(self, batches: list[tuple[torch.Tensor, torch.Tensor]], size: int) -> None:
        self._batches = batches
        self.num_batches, self.num_samples = len(batches), len(batches) * size
        self.dataloader = self

    def set_epoch(self, epoch: int) -> None:
        """Nothing to shuffle."""

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        return iter(self._batches)


def _race(batch: int, steps: int, turns: int) -> dict[str, Any]:
    batches = _batches(batch, steps)
    ours, theirs = _Ours(_network()), _Theirs(_network(), batch)
    seconds: dict[str, list[float]] = {"vsearch": [], "open_clip": []}
    for turn in range(turns + 1):
        order = ("vsearch", "open_clip") if turn % 2 else ("open_clip", "vsearch")
        for name in order:
            begun = time.perf_counter()
            if name == "vsearch":
                for images, texts in batches:
                    ours.step(images, texts)
            else:
                theirs.epoch(batches)
            if turn:  # the first one warms up
                seconds[name].append(time.perf_counter() - begun)
    rates = {name: steps * batch / median(taken) for name, taken in seconds.items()}
    ratios = [b / a for a, b in zip(seconds["vsearch"], seconds["open_clip"], strict=True)]
    return {
        "batch": batch,
        "pairs_per_second_vsearch": round(rates["vsearch"], 2),
        "pairs_per_second_open_clip": round(rates["open_clip"], 2),
        "speed_ratio": round(median(ratios), 3),
    }


def _memory(large: int) -> dict[str, Any]:
    peaks = {}
    for size in (CHUNK, large):
        code = f"import suites.train as t; t.steps({size}, {CHUNK if size > CHUNK else 0})"
        done = subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=Path(__file__).parents[1]
        )
        peaks[size] = json.loads(done.stdout)
    return {
        f"peak_mb_batch_{CHUNK}": peaks[CHUNK],
        f"peak_mb_batch_{large}_in_chunks": peaks[large],
        "memory_ratio": round(peaks[large] / peaks[CHUNK], 3),
    }


def steps(size: int, chunk: int) -> None:
    """Take two steps and print the highest resident memory of this process in MB."""
    ours = _Ours(_network())
    for images, texts in _batches(size, 1) * 2:
        ours.step(images, texts, chunk)
    print(round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6, 1))


def _flickr(folder: Path) -> dict[str, Any]:
    begun, spent = time.perf_counter(), _cpu()
    with tempfile.TemporaryDirectory(prefix="vsearch-train-") as out:
        report = train(
            read_pairs(folder / "train.tsv"),
            Path(out),
            encoder="mini:untrained",
            validation=read_pairs(folder / "dev.tsv"),
        )
    kept = ("image_retrieval_recall@1", "image_retrieval_recall@5", "image_retrieval_recall@10")
    kept += ("image_retrieval_median_rank", "text_retrieval_recall@10")
    told = {f"before_{name}": round(report.before[name], 4) for name in kept}
    told |= {f"after_{name}": round(report.after[name], 4) for name in kept}
    return {
        **told,
        "steps": report.steps,
        "alpha": report.alpha,
        "seconds": round(time.perf_counter() - begun, 1),
        "cpu_seconds": round(_cpu() - spent, 1),
    }


def _cpu() -> float:
    return sum(
        u.ru_utime + u.ru_stime for u in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )
