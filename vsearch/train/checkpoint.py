"""Checkpoints: everything from which training goes on as if it had never stopped.

::

    checkpoints/000001200/        the step before which it was written
        weights.safetensors       what training changes; the rest is the encoder it started from
        optimizer.safetensors     both moments of each weight, and the count of updates
        best.safetensors          the weights of the best evaluation so far
        average.safetensors       the moving average, when there is one
        state.json                step, seed, scores, settings, fingerprints, length and SHA-256 of each file

A checkpoint is written under a temporary name, made durable, and then renamed; the two before it stay until then.  All
random numbers are functions of seed and step, so the step is the state of the random generators and the position among
the samples, too.  Nothing is pickled.
"""

from __future__ import annotations

import json
import os
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from vsearch import files
from vsearch.errors import CheckpointMismatch
from vsearch.train.trainee import Weights

FORMAT = 1
KEPT = 2
STATE_FILE = "state.json"


@dataclass
class State:
    """What a checkpoint holds.

    step: how many were done.  best_step, best_score, stale: of the best evaluation, and how many came after it.
    history: one entry for each evaluation.  identity: what must be the same to go on.
    """

    step: int
    weights: Weights
    optimizer: Weights
    best: Weights
    average: Weights | None
    identity: dict[str, Any]
    best_step: int = 0
    best_score: float = -1.0
    stale: int = 0
    history: list[dict[str, float]] = field(default_factory=list)


def write(root: Path, state: State) -> Path:
    """Publish a checkpoint and remove all but the last two.  Raises DiskFull, IndexNotWritable."""
    final = root / f"{state.step:09d}"
    with files.storage_errors(root):
        if not root.is_dir():
            files.make_dir(root)
        if final.is_dir():
            if _whole(final):
                return final
            files.unlink(final)
        temporary = root / (files.TEMPORARY + uuid.uuid4().hex)
        try:
            files.make_dir(temporary)
            _fill(temporary, state)
            files.rename(temporary, final)
        except BaseException:
            files.discard(temporary)
            raise
        _clean(root)
    return final


def _fill(folder: Path, state: State) -> None:
    parts = {"weights": state.weights, "optimizer": state.optimizer, "best": state.best, "average": state.average}
    told: dict[str, Any] = {}
    for name, tensors in parts.items():
        if tensors is not None:
            raw = save({key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()})
            published = files.publish(folder / f"{name}.safetensors", lambda sink, raw=raw: sink.put(raw))  # type: ignore[misc]
            told[f"{name}.safetensors"] = [published.length, published.sha256]
    body = {
        "format": FORMAT,
        "step": state.step,
        "best_step": state.best_step,
        "best_score": state.best_score,
        "stale": state.stale,
        "history": state.history,
        "identity": state.identity,
        "files": told,
    }
    raw = json.dumps(body, indent=1).encode() + b"\n"
    files.publish(folder / STATE_FILE, lambda sink: sink.put(raw))
    files.fsync_dir(folder)


def _clean(root: Path) -> None:
    for old in [*_numbered(root)[KEPT:], *root.glob(f"{files.TEMPORARY}*")]:
        files.discard(old)


def _numbered(root: Path) -> list[Path]:
    """Checkpoints, the newest first."""
    return sorted((path for path in root.glob("[0-9]*") if path.name.isdigit()), reverse=True)


def exists(root: Path) -> bool:
    """Whether there is any checkpoint, whole or not."""
    return bool(_numbered(root))


def read(root: Path, identity: dict[str, Any]) -> State | None:
    """The newest whole checkpoint; None where there is none at all.

    identity: what this run would write.  Raises CheckpointMismatch when the checkpoint's is another, or when there are
    checkpoints and none of them is whole.
    """
    found = _numbered(root)
    for folder in found:
        told = _whole(folder)
        if told is not None:
            _check(folder, told["identity"], identity)
            try:
                return _state(folder, told)
            except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
                raise CheckpointMismatch(
                    f"{folder}: this is no checkpoint of vsearch train ({error!r}). Remove it, or take another --out."
                ) from error
    if found:
        raise CheckpointMismatch(
            f"{root}: none of the {len(found)} checkpoints is whole. Begin again with another --out, or remove it."
        )
    return None


def _whole(folder: Path) -> dict[str, Any] | None:
    """What state.json says, when every file is what it says; None otherwise."""
    try:
        told: dict[str, Any] = json.loads((folder / STATE_FILE).read_bytes())
        sound = told["format"] == FORMAT and {"weights.safetensors", "optimizer.safetensors"} <= told["files"].keys()
        for name, (length, digest) in told["files"].items():
            sound = sound and files.sha256_of(folder / os.path.basename(name)) == files.Published(length, digest)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return told if sound and isinstance(told.get("identity"), dict) else None


def _check(folder: Path, told: dict[str, Any], now: dict[str, Any]) -> None:
    other = sorted(key for key in told.keys() | now.keys() if told.get(key) != now.get(key))
    if other:
        shown = "; ".join(f"{key} was {told.get(key)!r}, now {now.get(key)!r}" for key in other[:3])
        raise CheckpointMismatch(
            f"{folder}: this checkpoint is of another training run: {shown}. "
            "Type the command with the settings of then, or take another --out."
        )


def _state(folder: Path, told: dict[str, Any]) -> State:
    def tensors(name: str) -> Weights:
        return dict(load_file(folder / f"{name}.safetensors"))

    return State(
        step=told["step"],
        weights=tensors("weights"),
        optimizer=tensors("optimizer"),
        best=tensors("best"),
        average=tensors("average") if "average.safetensors" in told["files"] else None,
        identity=told["identity"],
        best_step=told["best_step"],
        best_score=told["best_score"],
        stale=told["stale"],
        history=told["history"],
    )


def packed(optimizer: torch.optim.Optimizer) -> Weights:
    """State of an optimizer as named tensors; settings are those of the run, and are not kept."""
    return {
        f"{number}.{name}": torch.as_tensor(value)
        for number, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
    }


def unpack(optimizer: torch.optim.Optimizer, tensors: Weights) -> None:
    """Put such tensors back into a fresh optimizer over the same parameters."""
    states: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        number, _, name = key.partition(".")
        states.setdefault(int(number), {})[name] = tensor
    optimizer.load_state_dict({"state": states, "param_groups": optimizer.state_dict()["param_groups"]})
