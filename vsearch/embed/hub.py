"""The model hub and its cache on this machine, asked without torch and without patience.

Left alone, the hub's client retries for 20 seconds and more for each file when there is no network.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from vsearch.errors import EncoderUnavailable

SECONDS = 2.0
# what open_clip looks for in a repository, in its order
WEIGHT_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
CONFIG_FILE = "open_clip_config.json"


def cached(repo: str, *names: str) -> Path | None:
    """The first of these files of a repository (ORG/NAME) that the cache holds."""
    from huggingface_hub import try_to_load_from_cache

    for name in names:
        found = try_to_load_from_cache(repo, name)
        if isinstance(found, str):
            return Path(found)
    return None


def file_of(repo: str, names: Sequence[str], who: str) -> Path:
    """The first of these files that a repository has, from the cache, else fetched.

    who: the encoder that it is for, in messages.  Raises EncoderUnavailable.
    """
    found = cached(repo, *names)
    if found is not None:
        return found
    advice = "Use `--encoder mini`, which needs no network, or a folder with the model: `--encoder local-dir:PATH`."
    if not answers(repo):
        why = "the network is switched off by request" if offline() else "the model hub does not answer"
        raise EncoderUnavailable(f"The weights of {who} are not on this machine, and {why}. {advice}")
    from huggingface_hub import hf_hub_download

    problem: Exception | None = None
    for name in names:
        try:
            return Path(hf_hub_download(repo, name))
        except Exception as error:  # of the hub's client, whatever they are called
            problem = error
    raise EncoderUnavailable(f"The weights of {who} cannot be fetched: {problem}. {advice}") from problem


def offline() -> bool:
    """Whether the user asked for no network: VSEARCH_OFFLINE, HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set."""
    from huggingface_hub import constants

    return os.environ.get("VSEARCH_OFFLINE", "0") not in ("", "0") or bool(constants.HF_HUB_OFFLINE)


def answers(repo: str, seconds: float = SECONDS) -> bool:
    """Whether the hub tells within so many seconds that it has the repository."""
    if offline():
        return False
    said: list[bool] = []
    # a thread, since looking up the hub's address knows no time limit
    asking = threading.Thread(target=lambda: said.append(_ask(repo, seconds)), daemon=True)
    asking.start()
    asking.join(seconds)
    return said == [True]


def _ask(repo: str, seconds: float) -> bool:
    from huggingface_hub import model_info

    try:
        model_info(repo, timeout=seconds)
    except Exception:  # whatever keeps the hub from answering, the outcome is the same
        return False
    return True


@contextmanager
def cache_only() -> Iterator[None]:
    """Make the hub's client use its cache alone, for the whole process, while the block runs."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
