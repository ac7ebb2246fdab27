"""The hash over weights: that of a plain loop, in little memory."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

from vsearch.embed.clip import fingerprint
from vsearch.embed.clip.tensors import TensorFile

# VmHWM: the most resident memory since the program was started, in KiB
HASH_IN_PIECES_OF_4_MB = """
import re, sys
from pathlib import Path
from vsearch.embed.clip import fingerprint
from vsearch.embed.clip.tensors import TensorFile
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
fingerprint.PIECE = 1 << 20
before = peak()
fingerprint.weights_hash(TensorFile(Path(sys.argv[1])), "")
print(peak() - before)
"""


@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
def test_the_hash_is_that_of_a_plain_loop_over_all_tensors(piece, tmp_path, monkeypatch):
    monkeypatch.setenv("VSEARCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(fingerprint, "PIECE", piece)
    rng = np.random.default_rng(0)
    tensors = {
        "visual.a": rng.normal(size=(5, 3)).astype(np.float32),
        "text_projection": rng.normal(size=(2, 4)).astype(np.float16),
        "scale": np.array(4.6, np.float32),
        "ids": np.arange(11),
    }
    save_file(tensors, tmp_path / "model.safetensors")
    plain = hashlib.sha256()
    for name in ("ids", "scale", "text.text_projection", "visual.a"):
        tensor = tensors[name.removeprefix("text.")]
        kind = "int64" if name == "ids" else "float32"
        plain.update(f"{name} torch.{kind} {tensor.shape}\n".encode() + tensor.astype(kind).tobytes())
    assert fingerprint.weights_hash(TensorFile(tmp_path / "model.safetensors"), "text.") == plain.hexdigest()


def test_a_file_is_hashed_in_a_fraction_of_its_size(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({name: np.zeros(1 << 23, np.float32) for name in ("a", "b")}, path)  # 64 MiB
    run = subprocess.run(
        [sys.executable, "-c", HASH_IN_PIECES_OF_4_MB, str(path)], capture_output=True, text=True, check=True
    )
    assert int(run.stdout) < 24 << 20
