"""Which files of the hub an open_clip model is made of, and how they are brought into the cache before it is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vsearch.embed import hub
from vsearch.embed.clip.configuration import read_configuration
from vsearch.embed.download.fetch import fetch_files, list_files
from vsearch.errors import EncoderError

VOCABULARIES = ("tokenizer.json", "spiece.model", "sentencepiece.bpe.model", "vocab.txt", "vocab.json")
TOWER_FILE = "config.json"
TOKENIZER_FILES = (
    *VOCABULARIES,
    *("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "merges.txt", "tokenizer.model"),
    TOWER_FILE,  # by the kind of the text model the tokenizer's class is found
)


def bring_model(repo: str, weights: Sequence[str], model: dict[str, Any] | None = None) -> bool:
    """Bring what the cache lacks of a model: configuration, weights, tokenizer.

    repo: ORG/NAME.  weights: names of the weights file, the best first.  model: open_clip's configuration of it, None
    where the repository has one, which is read before the weights come.
    Returns whether anything came.  Raises EncoderError, EncoderUnavailable.
    """
    came = False
    own = () if model else (hub.CONFIG_FILE,)
    if not hub.cached(repo, *weights) or (own and not hub.cached(repo, hub.CONFIG_FILE)):
        file = _weights_in(repo, weights, own)
        for path in fetch_files(repo, own):
            read_configuration(path)
        fetch_files(repo, (*own, file))
        came = True
    if model is None:
        model = read_configuration(fetch_files(repo, own)[0]).model_cfg
    tokenizer = model["text_cfg"].get("hf_tokenizer_name")
    if tokenizer and _bring_texts(tokenizer, VOCABULARIES):
        came = True
    return bring_text_tower(model) or came


def bring_text_tower(model: dict[str, Any]) -> bool:
    """Bring the description of a text tower that is one of transformers', which also a folder with a model lacks.

    Returns whether anything came.  Raises EncoderError, EncoderUnavailable.
    """
    tower = model["text_cfg"].get("hf_model_name")
    return bool(tower) and _bring_texts(tower, (TOWER_FILE,))


def tokenizer_files(repo: str) -> list[Path]:
    """What the cache has of a tokenizer."""
    there = (hub.cached(repo, name) for name in TOKENIZER_FILES)
    return [path for path in there if path is not None]


def _bring_texts(repo: str, needed: Sequence[str]) -> bool:
    """Bring the tokenizer of a repository, unless one of the files that are needed is here."""
    if Path(repo).exists():  # libraries would read it instead of the hub's
        raise EncoderError(f"there is a folder {repo!r} here, which would be read instead of the hub's; go elsewhere")
    if hub.cached(repo, *needed):
        return False
    there = list_files(repo)
    if not there.intersection(needed):
        raise EncoderError(f"{repo} holds no tokenizer that vsearch knows: none of {', '.join(needed)}")
    fetch_files(repo, [name for name in TOKENIZER_FILES if name in there])
    return True


def _weights_in(repo: str, weights: Sequence[str], own: Sequence[str]) -> str:
    """The name of the weights file that a repository has.  Raises EncoderError."""
    there = list_files(repo)
    if lacking := [name for name in own if name not in there]:
        raise EncoderError(f"{repo} holds no model of open_clip: it has no {lacking[0]}. `vsearch models` lists some.")
    for name in weights:
        if name in there:
            return name
    raise EncoderError(
        f"{repo} holds no weights that vsearch reads: none of {', '.join(weights)}. `vsearch models` lists others."
    )
