"""What tells one model's weights from another's: a hash over all of them, computed once for a file as it is."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from vsearch.embed.clip.tensors import Weights
from vsearch.remembered import CACHE

KIND = "weights-hash"
PIECE = 1 << 23  # numbers that are read at a time: a tensor of half a gigabyte is never in memory as a whole


def weights_hash(weights: Weights, prefix: str) -> str:
    """SHA-256, hex, over names, types, shapes and bytes of all tensors, in the order of their names.

    prefix: what goes before the names of the text tower, if the file lacks it.  It is the hash of the network that
    open_clip would make of the file: numbers that are no float32 are hashed as such.
    """
    key = f"{state_of(weights.path)} {prefix}"
    known = CACHE.recall(KIND, key)
    if isinstance(known, str) and len(known) == 64:
        return known
    digest = hashlib.sha256()
    for name, tensor in sorted((network_name(name, prefix), weights.stored(name)) for name in weights.names):
        kind = np.dtype(np.float32) if tensor.dtype.kind == "f" else tensor.dtype
        digest.update(f"{name} torch.{_KINDS[kind.str]} {tensor.shape}\n".encode())
        flat = tensor.reshape(-1)
        for at in range(0, len(flat), PIECE):
            digest.update(np.ascontiguousarray(flat[at : at + PIECE], kind).view(np.uint8).data)
            weights.release()
    CACHE.remember(KIND, key, digest.hexdigest())
    return digest.hexdigest()


def state_of(path: Path) -> str:
    """What changes when a file does: its place, size, time and inode."""
    status = path.stat()
    return f"{path.resolve()} {status.st_size} {status.st_mtime_ns} {status.st_ino}"


def network_name(name: str, prefix: str) -> str:
    """The name of a tensor in open_clip's network; older files have the text tower at the top."""
    first = name.partition(".")[0]
    tower = ("text_projection", "positional_embedding", "token_embedding", "transformer", "ln_final")
    return prefix + name if prefix and first in tower else name


_KINDS = {"<f4": "float32", "<i8": "int64", "<i4": "int32", "|u1": "uint8", "|b1": "bool"}
