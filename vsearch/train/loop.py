"""The training loop: batch, loss, gradient, step; now and then an evaluation and a checkpoint."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from vsearch.errors import LossNotFinite
from vsearch.evaluate.retrieval import recall_at
from vsearch.train import checkpoint
from vsearch.train.config import MAX_SCALE, TrainConfig
from vsearch.train.gradcache import Batch, backward, gradients_of
from vsearch.train.sampler import Sampler
from vsearch.train.schedule import Average, factor
from vsearch.train.trainee import Inputs, Trainee, Weights, restore, snapshot, trained
from vsearch.train.world import World

BETAS = (0.9, 0.98)  # CLIP's: the usual 0.999 remembers gradients of a thousand steps ago
EPSILON = 1e-6
AHEAD = 2  # batches prepared while one is computed


@dataclass(frozen=True)
class Moment:
    """Where training is.  loss: of the last step.  pairs_per_second: since the start.  figures: of an evaluation."""

    step: int
    steps: int
    loss: float
    pairs_per_second: float
    seconds_left: float
    figures: dict[str, float] | None = None


@dataclass(frozen=True)
class Data:
    """What is trained on, validated with and measured elsewhere, prepared; and the order of the first."""

    train: Inputs
    held: Inputs
    general: Inputs | None
    sampler: Sampler

    def close(self) -> None:
        """Let go of all of it."""
        for inputs in (self.train, self.held, self.general):
            if inputs is not None:
                inputs.close()


def recall(trainee: Trainee, inputs: Inputs) -> dict[str, float]:
    """Retrieval figures of the encoder as it stands; ``mean_recall`` is the mean of the six recalls."""
    figures = recall_at(*trainee.vectors(inputs))
    recalls = [value for name, value in figures.items() if "recall@" in name]
    return {**figures, "mean_recall": sum(recalls) / len(recalls)}


class Loop:
    """One run, from its first step or from a checkpoint."""

    def __init__(
        self,
        trainee: Trainee,
        data: Data,
        config: TrainConfig,
        root: Path,
        identity: dict[str, Any],
        world: World,
        tell: Callable[[Moment], None],
    ) -> None:
        self._trainee, self._data, self._config, self._root = trainee, data, config, root
        self._world, self._tell = world, tell
        self._parameters = list(trained(trainee.module).values())
        self._optimizer = torch.optim.AdamW(_groups(trainee, config.weight_decay), betas=BETAS, eps=EPSILON)
        self._average = Average(trainee.module, config.ema) if config.ema else None
        self.steps = config.epochs * data.sampler.steps_per_epoch
        self._every = config.evaluate_every or data.sampler.steps_per_epoch
        self._identity = identity
        now = snapshot(trainee.module)
        self.state = checkpoint.State(0, now, {}, now, None, identity)

    def resume(self, state: checkpoint.State) -> None:
        """Go on from a checkpoint."""
        restore(self._trainee.module, state.weights)
        checkpoint.unpack(self._optimizer, state.optimizer)
        if self._average is not None and state.average is not None:
            self._average.weights = state.average
        self.state = state

    def run(self) -> checkpoint.State:
        """Train to the end, or until recall no longer rises.

        Raises LossNotFinite, DiskFull; what the last checkpoint holds is intact then.
        """
        begun, first, seen = time.monotonic(), self.state.step, 0
        if first == 0:
            self._evaluate(0, math.nan)
        for step, batch in self._batches(first):
            if self.stopped:
                break
            loss = self._step(step, batch)
            seen += len(batch) * self._world.size
            done = step + 1
            figures = None
            if done % self._every == 0 or done == self.steps:
                figures = self._evaluate(done, loss)
                self._write(done)
            seconds = time.monotonic() - begun
            left = seconds / (done - first) * (self.steps - done)
            self._tell(Moment(done, self.steps, loss, seen / max(seconds, 1e-9), left, figures))
        return self.state

    @property
    def stopped(self) -> bool:
        """Whether recall has not risen for as many evaluations as the patience allows."""
        return bool(self._config.patience) and self.state.stale >= self._config.patience

    def _step(self, step: int, batch: Batch) -> float:
        config = self._config
        rate = factor(step, self.steps, config.warmup)
        for group in self._optimizer.param_groups:
            group["lr"] = group["base"] * rate
        self._optimizer.zero_grad()
        loss = backward(self._trainee, batch, config, self._world, _seed(config.seed, step, self._world.rank))
        self._world.add(gradients_of(self._parameters))
        norm = torch.nn.utils.clip_grad_norm_(self._parameters, config.clip)
        if not (math.isfinite(loss) and math.isfinite(float(norm))):
            raise self._not_finite(step, batch, loss)
        self._optimizer.step()
        with torch.no_grad():
            self._trainee.scale.clamp_(max=math.log(MAX_SCALE))
        if self._average is not None:
            self._average.update(step)
        return loss

    def _batches(self, first: int) -> Iterator[tuple[int, Batch]]:
        """The batches from a step on, made while others are used.  Each process takes its own share of each."""
        sampler, world = self._data.sampler, self._world

        def made(step: int) -> Batch:
            pictures, captions = (ids[world.rank :: world.size] for ids in sampler.rows(step))
            return self._data.train.batch(pictures, captions, _seed(self._config.seed, step, world.rank))

        with ThreadPoolExecutor(1, "vsearch-batches") as thread:
            waiting = [thread.submit(made, step) for step in range(first, min(first + AHEAD, self.steps))]
            for step in range(first, self.steps):
                if step + AHEAD < self.steps:
                    waiting.append(thread.submit(made, step + AHEAD))
                try:
                    yield step, waiting.pop(0).result()
                except GeneratorExit:
                    thread.shutdown(cancel_futures=True)
                    raise

    def _evaluate(self, done: int, loss: float) -> dict[str, float]:
        """Measure, and keep the weights when they are the best so far."""
        weights = self._average.weights if self._average else snapshot(self._trainee.module)
        figures: dict[str, float] = {}
        if self._world.first:
            figures = self._measured(weights)
        figures = self._world.agree(figures)
        state = self.state
        better = figures["mean_recall"] > state.best_score
        entry = {"step": float(done), "loss": loss, **figures}
        self.state = replace(
            state,
            step=done,
            best={name: tensor.clone() for name, tensor in weights.items()} if better else state.best,
            best_step=done if better else state.best_step,
            best_score=figures["mean_recall"] if better else state.best_score,
            stale=0 if better else state.stale + 1,
            history=[*state.history, entry],
        )
        return figures

    def _measured(self, weights: Weights) -> dict[str, float]:
        if self._average is None:
            return recall(self._trainee, self._data.held)
        own = snapshot(self._trainee.module)
        restore(self._trainee.module, weights)
        figures = recall(self._trainee, self._data.held)
        restore(self._trainee.module, own)
        return figures

    def _write(self, done: int) -> None:
        self.state = replace(
            self.state,
            step=done,
            weights=snapshot(self._trainee.module),
            optimizer=checkpoint.packed(self._optimizer),
            average=self._average.weights if self._average else None,
        )
        if self._world.first:
            checkpoint.write(self._root, self.state)

    def _not_finite(self, step: int, batch: Batch, loss: float) -> LossNotFinite:
        items = self._data.train.pairs.items
        names = ", ".join(os.fsdecode(items[int(n)].path) for n in batch.pictures[:3])
        return LossNotFinite(
            f"The loss of batch {step:,} is {loss} or its gradient not finite; its pictures begin with {names}. "
            f"The last checkpoint in {self._root} is whole. Look at those pictures, or take a lower learning rate.",
            step,
        )


def _groups(trainee: Trainee, decay: float) -> list[dict[str, Any]]:
    """Parameters by learning rate, and by whether they shrink: biases, norms and the temperature do not."""
    found: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
    named: dict[str, Any] = trained(trainee.module)
    for name, rate in trainee.rates():
        parameter = named[name]
        found.setdefault((rate, decay if parameter.ndim > 1 else 0.0), []).append(parameter)
    return [
        {"params": parameters, "base": rate, "lr": rate, "weight_decay": shrink}
        for (rate, shrink), parameters in found.items()
    ]


def _seed(seed: int, step: int, rank: int) -> int:
    """A number for each step and process, far from those of their neighbours."""
    return (seed << 40) + (step << 12) + rank
