"""Tokens by a ``tokenizer.json``, as SigLIP and others have one, without importing transformers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vsearch.embed import hub
from vsearch.embed.clip.configuration import Text
from vsearch.embed.clip.fingerprint import state_of
from vsearch.embed.clip.source import Found
from vsearch.embed.clip.tokens import CLEANING
from vsearch.errors import EncoderError, VsearchError
from vsearch.remembered import CACHE

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TOKENIZER, SETTINGS = "tokenizer.json", "tokenizer_config.json"
KIND = "tokenizer-padding"
PROBES = (
    *("a photo of a dog", "", " ", "red apple on a wooden table", "A  DOG\tand\n\na cat ", "it's Bob's & Ann's"),
    *("Straße, Äpfel, naïve café", "犬の写真", "صورة كلب", "кошка", "\N{DOG FACE}\N{ZERO WIDTH JOINER}\N{CAT FACE}"),
    *("<eos> </s> <pad> <unk> [SEP]", "x" * 300, "word " * 100, "\u0007\u200b\ufeff", "e\u0301 \u00e9", "_so_ 3.14"),
)
"""Texts on which the two ways to read a tokenizer must agree before the short one is taken."""


class HubTokens:
    """Texts to tokens of a fixed length, as open_clip's ``HFTokenizer`` makes them.  Thread-safe.

    pad: the token that fills a text up.
    """

    def __init__(self, path: Path, text: Text, side: str) -> None:
        """path: of ``tokenizer.json``, with its settings beside it.  side: where it is padded.  Raises EncoderError."""
        options = text.tokenizer_kwargs
        self.context = text.context_length
        self._clean = CLEANING[(options.clean if options else None) or "whitespace"]
        settings = _settings(path.with_name(SETTINGS))
        self._tokenizer = _opened(path)
        padding = _content(settings.get("pad_token"))
        pad = self._tokenizer.token_to_id(padding) if padding else None
        if pad is None:
            raise EncoderError(
                f"{path}: there is no token to pad with, so it is no tokenizer for {self.context} tokens"
            )
        self.pad = pad
        self._tokenizer.enable_padding(length=self.context, pad_id=pad, pad_token=padding, direction=side)
        self._tokenizer.enable_truncation(self.context, direction=str(settings.get("truncation_side", "right")))
        stripped = options is not None and options.strip_sep_token
        self._sep = self._tokenizer.token_to_id(_content(settings.get("sep_token")) or "") if stripped else None

    def __call__(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokens of each text, ``context`` of them."""
        found = [encoding.ids for encoding in self._tokenizer.encode_batch([self._clean(text) for text in texts])]
        if self._sep is None:
            return found
        return [[0 if token == self._sep else token for token in tokens] for tokens in found]


def tokens_of(found: Found) -> HubTokens | None:
    """The tokens of a model, read the short way; None where that gives others than transformers gives.

    Whether it does is looked at once for each tokenizer, with a few texts.  Raises EncoderUnavailable, EncoderError.
    """
    text = found.configuration.model.text_cfg
    name = text.hf_tokenizer_name
    assert name is not None
    if text.tokenizer_mode is not None:
        return None
    path = found.tokenizer / TOKENIZER if found.tokenizer else hub.cached(name, TOKENIZER)
    if path is None:
        return None
    if not path.is_file():
        raise EncoderError(f"{path} is missing, the tokenizer of the model; vsearch reads no tokenizer of another form")
    key = f"{state_of(path)} {text.context_length} {text.tokenizer_kwargs!r}"
    side = CACHE.recall(KIND, key)
    if side not in ("right", "left", ""):
        side = _agreeing_side(path, found)
        CACHE.remember(KIND, key, side)
    return HubTokens(path, text, side) if side else None


def _agreeing_side(path: Path, found: Found) -> str:
    """Where texts are to be padded to get the tokens that transformers gives; empty where there is no such side."""
    text = found.configuration.model.text_cfg
    made = {side: HubTokens(path, text, side)(PROBES) for side in ("right", "left")}
    wanted = _by_transformers(found, path)
    return next((side for side, tokens in made.items() if tokens == wanted), "")


def _by_transformers(found: Found, path: Path) -> list[list[int]]:
    from vsearch.embed.clip.whole import tokenizer_of

    try:
        with hub.cache_only():
            tokens: list[list[int]] = tokenizer_of(found)(list(PROBES)).tolist()
    except VsearchError:
        raise
    except Exception as error:  # whatever transformers raises for a tokenizer that it does not understand
        raise EncoderError(
            f"{path}: transformers cannot read this tokenizer ({error}). Copy the model again"
        ) from error
    return tokens


def _opened(path: Path) -> Tokenizer:
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing more special
        raise EncoderError(f"{path}: this is no tokenizer, or damaged ({error}). Copy the model again") from error


def _settings(path: Path) -> dict[str, Any]:
    try:
        read = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise EncoderError(f"{path}: the settings of the tokenizer cannot be read ({error})") from error
    return read if isinstance(read, dict) else {}


def _content(token: Any) -> str:
    """A token of the settings, which is a text, or an object that has one."""
    return str(token.get("content", "")) if isinstance(token, dict) else str(token or "")
