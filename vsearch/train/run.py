"""``train``: from pairs to an encoder in a folder."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vsearch import files
from vsearch.errors import TrainError
from vsearch.train import checkpoint, wise
from vsearch.train.alike import look_alikes as mined
from vsearch.train.alike import nearest
from vsearch.train.config import TrainConfig
from vsearch.train.loop import Data, Loop, Moment, recall
from vsearch.train.pairs import Notice, Pairs, hold_out, overlap
from vsearch.train.record import board, write_history
from vsearch.train.sampler import Sampler
from vsearch.train.starting import starting
from vsearch.train.stored import StoredVectors
from vsearch.train.trainee import Ids, Inputs, Trainee, restore, snapshot
from vsearch.train.world import World, join

CHECKPOINTS, BEST, CACHE = "checkpoints", "best", "cache"


@dataclass(frozen=True)
class TrainReport:
    """What came out.

    encoder: the folder that ``--encoder`` takes.  before, after: retrieval figures on the validation pairs;
    general_before and general_after the same on the general pairs, None where there are none.
    alpha: share of the new weights in the encoder.  mixes: what each alpha gives.
    """

    encoder: Path
    steps: int
    best_step: int
    stopped_early: bool
    before: dict[str, float]
    after: dict[str, float]
    general_before: dict[str, float] | None
    general_after: dict[str, float] | None
    alpha: float
    mixes: list[wise.Mix]


def train(
    pairs: Pairs,
    out: Path,
    *,
    encoder: str = "mini",
    validation: Pairs | None = None,
    general: Pairs | None = None,
    config: TrainConfig = TrainConfig(),  # noqa: B008 (frozen)
    look_alikes: Path | None = None,
    resume: bool = False,
    device: str | None = None,
    on_notice: Notice | None = None,
    on_moment: Callable[[Moment], None] | None = None,
    on_features: Callable[[int, int], None] | None = None,
) -> TrainReport:
    """Fine-tune an encoder on pairs; the result is an encoder in ``out/best``.

    validation: pairs to measure with; without, a share of the pictures is held out.  general: pairs of another kind,
    by which WiSE-FT sees what was forgotten.  look_alikes: an index that holds all pictures to train on, of any
    encoder; what is alike in ``config.hard_batches`` is told by its vectors.  resume: go on from the last checkpoint
    in ``out``.
    Under ``torchrun`` every process calls this with the same arguments; the first one writes.
    Raises TrainError, LossNotFinite, CheckpointMismatch, EncoderError, DiskFull.
    """
    if len(pairs) < 2:
        raise TrainError("one picture is too few to train on: there is nothing to tell it from. Give more pairs.")
    if look_alikes is not None and not config.hard_batches:
        raise TrainError("an index of look-alikes is of use for batches of them only; give --hard-batches N as well")
    tell = on_notice or (lambda _: None)
    with join(device) as world:
        trainee = starting(encoder, config, world, out / CACHE, tell, on_features or (lambda *_: None))
        stored = StoredVectors(look_alikes, pairs) if look_alikes is not None else None
        identity = _identity(trainee, pairs, validation, config, world, stored)
        state = _found(out, identity, resume)
        with world.first_goes_first():  # what it computes of frozen towers, the others read
            data = _prepared(trainee, pairs, validation, general, config, stored, tell)
        with closing(data):
            written = board(out) if world.first else None

            def moment(now: Moment) -> None:
                for listener in (written, on_moment):
                    if listener is not None:
                        listener(now)

            loop = Loop(trainee, data, config, out / CHECKPOINTS, identity, world, moment)
            before = snapshot(trainee.module)
            if state is not None:
                loop.resume(state)
            done = loop.run()
            report = _finish(trainee, data, before, done, config, out, tell) if world.first else None
        return world.agree(report)  # type: ignore[no-any-return]


def _identity(
    trainee: Trainee,
    pairs: Pairs,
    validation: Pairs | None,
    config: TrainConfig,
    world: World,
    stored: StoredVectors | None,
) -> dict[str, Any]:
    """What must be the same for a checkpoint to be this run's."""
    return {
        "encoder": trainee.name,
        "fingerprint": trainee.digest,
        "pairs": pairs.digest,
        "validation": validation.digest if validation is not None else None,
        "processes": world.size,
        "look_alikes": stored.digest if stored is not None else None,
        **config.told(),
    }


def _found(out: Path, identity: dict[str, Any], resume: bool) -> checkpoint.State | None:
    root = out / CHECKPOINTS
    with files.storage_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    if resume:
        return checkpoint.read(root, identity)
    if checkpoint.exists(root):
        raise TrainError(f"{out} already holds a training run. Go on with it: --resume; or take another --out.")
    return None


def _prepared(
    trainee: Trainee,
    pairs: Pairs,
    validation: Pairs | None,
    general: Pairs | None,
    config: TrainConfig,
    stored: StoredVectors | None,
    tell: Notice,
) -> Data:
    own, held = hold_out(pairs, config.hold_out, config.seed) if validation is None else (pairs, validation)
    if validation is not None and (shared := overlap(pairs, validation)):
        tell(f"{shared:,} of {len(validation):,} validation pictures are also trained on: their recall flatters")
    inputs = trainee.inputs(own)
    if len(inputs.pairs) < 2:
        raise TrainError(
            f"{len(inputs.pairs)} of {len(pairs)} pictures are left to train on, after those held out for validation "
            "and those that cannot be decoded: too few to tell from each other. Give more pairs."
        )
    sampler = Sampler(inputs.pairs, config, _alike(trainee, inputs, config.hard_batches, stored))
    if sampler.batch < config.batch:
        tell(f"a batch of {config.batch:,} is more than there is; each step takes all {sampler.batch:,}")
    elsewhere = trainee.inputs(general) if general is not None else None
    return Data(inputs, trainee.inputs(held), elsewhere, sampler)


def _alike(trainee: Trainee, inputs: Inputs, count: int, stored: StoredVectors | None) -> Ids | None:
    if not count:
        return None
    return mined(trainee, inputs, count) if stored is None else nearest(stored.of(inputs.pairs), count)


def _finish(
    trainee: Trainee,
    data: Data,
    before: dict[str, Any],
    done: checkpoint.State,
    config: TrainConfig,
    out: Path,
    tell: Notice,
) -> TrainReport:
    """Mix old and new weights, write the encoder and what is to be told of it."""
    held, general = data.held, data.general

    def figures(weights: dict[str, Any], inputs: Inputs) -> dict[str, float]:
        restore(trainee.module, weights)
        return recall(trainee, inputs)

    mixes: list[wise.Mix] = []
    alpha = 1.0
    if config.wise:
        mixes = wise.search(
            before,
            done.best,
            lambda weights: restore(trainee.module, weights),
            lambda: recall(trainee, held)["mean_recall"],
            (lambda: recall(trainee, general)["mean_recall"]) if general is not None else None,
        )
        alpha = wise.best(mixes, config.wise_floor).alpha
        if general is None:
            tell("no general pairs given: what the encoder forgot elsewhere is not measured; give --general PAIRS")
    kept = wise.mixed(before, done.best, alpha)
    report = TrainReport(
        encoder=out / BEST,
        steps=done.step,
        best_step=done.best_step,
        stopped_early=bool(config.patience) and done.stale >= config.patience,
        before=figures(before, held),
        after=figures(kept, held),
        general_before=figures(before, general) if general is not None else None,
        general_after=figures(kept, general) if general is not None else None,
        alpha=alpha,
        mixes=mixes,
    )
    restore(trainee.module, kept)
    told = {"encoder": trainee.name, "fingerprint": trainee.digest, "alpha": alpha, "config": config.told()}
    with files.storage_errors(out):
        _replace(out / BEST, lambda folder: trainee.save(folder, {**told, "figures": report.after}))
        write_history(out, done.history)
    return report


def _replace(folder: Path, fill: Callable[[Path], None]) -> None:
    """Write a folder so that its name never stands for half of it; the one before it goes."""
    temporary = folder.with_name(f"{files.TEMPORARY}{folder.name}")
    old = folder.with_name(f"{files.TEMPORARY}old-{folder.name}")
    files.unlink(temporary)
    files.make_dir(temporary)
    fill(temporary)
    files.unlink(old)
    if folder.exists():
        files.rename(folder, old)
    files.rename(temporary, folder)
    files.unlink(old)
