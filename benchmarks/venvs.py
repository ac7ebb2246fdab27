"""An environment for each peer, made when it is first needed, in .bench/venvs of the repository (ignored by git)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = HERE.parent / ".bench"
# What each needs to work at all: autofaiss wants numpy 1, which pyarrow 20 and later refuse, and calls FAISS in a way
# that 1.15 refuses.
REQUIREMENTS = {
    "hnswlib": ("hnswlib==0.8.0", "numpy"),
    "usearch": ("usearch==2.26.6", "numpy"),
    "scann": ("scann==1.4.2", "numpy"),
    "autofaiss": ("autofaiss==2.18.0", "faiss-cpu==1.13.2", "pyarrow<20"),
    "plot": ("matplotlib",),
    "rclip": ("rclip==3.3.0", "onnx"),
}


class CannotInstall(Exception):
    """A peer cannot be had here."""


def python_of(name: str) -> Path:
    """The interpreter of the environment of that name, which is made unless it is there.  Raises CannotInstall."""
    folder = CACHE / "venvs" / name
    python, done = folder / "bin" / "python", folder / ".done"
    wanted = "\n".join(REQUIREMENTS[name])
    if done.is_file() and done.read_text() == wanted:
        return python
    print(f"installing {', '.join(REQUIREMENTS[name])} in {folder}", file=sys.stderr)
    for command in (
        [sys.executable, "-m", "venv", "--clear", str(folder)],
        [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *REQUIREMENTS[name]],
    ):
        finished = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if finished.returncode:
            last = (finished.stderr.strip().splitlines() or ["no reason was given"])[-1]
            raise CannotInstall(f"{name} cannot be installed ({last}); leave it out with --peers")
    done.write_text(wanted)
    return python
