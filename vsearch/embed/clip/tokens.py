"""CLIP's tokens: byte-pair encoding with the vocabulary that comes with open_clip, without importing open_clip.

Text is mended (ftfy), unescaped from HTML twice and cleaned; then each word is split into bytes, and neighbours are
merged in the order of a list of 48,894 pairs, until none is left (Sennrich, Haddow and Birch, 2016).
"""

from __future__ import annotations

import gzip
import html
import string
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from itertools import pairwise
from pathlib import Path

from vsearch.embed.weights import package_folder

VOCABULARY = "bpe_simple_vocab_16e6.txt.gz"
MERGES = 49152 - 256 - 2
START, END = 512 + MERGES, 513 + MERGES
CONTEXT = 77
_WORD_END = "</w>"
_SPECIAL = {"<start_of_text>": (START,), "<end_of_text>": (END,)}
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_MOST_WORDS = 1 << 16  # that are remembered


class ClipTokens:
    """Texts to tokens, as open_clip's ``SimpleTokenizer`` makes them.  Thread-safe."""

    def __init__(self, context: int = CONTEXT, clean: str = "lower") -> None:
        """context: most tokens, with start and end.  clean: ``lower``, ``whitespace`` or ``canonicalize``."""
        import regex

        self.context = context
        self._clean = CLEANING[clean]
        # As open_clip splits: contractions, letters, single digits, anything else that is no space.
        words = r"|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
        self._words = regex.compile("|".join(_SPECIAL) + words, regex.IGNORECASE)
        self._of_word = lru_cache(_MOST_WORDS)(_of_word)

    def __call__(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokens of each text, from the start to the end mark; a long text is cut and keeps its end mark."""
        return [self._one(text) for text in texts]

    def _one(self, text: str) -> list[int]:
        tokens = [START]
        for word in self._words.findall(self._clean(text)):
            tokens += self._of_word(word)
            if len(tokens) >= self.context:
                return [*tokens[: self.context - 1], END]
        return [*tokens, END]


def _of_word(word: str) -> tuple[int, ...]:
    """The tokens of a word: the pair that comes first in the list is merged, wherever it stands, then the next."""
    if word in _SPECIAL:
        return _SPECIAL[word]
    letters, ranks = _letters(), _ranks()
    parts = [letters[byte] for byte in word.encode("utf-8", "surrogatepass")]
    parts[-1] += _WORD_END
    while len(parts) > 1:
        best = min(pairwise(parts), key=lambda pair: ranks.get(f"{pair[0]} {pair[1]}", MERGES))
        if f"{best[0]} {best[1]}" not in ranks:
            break
        parts = _merged(parts, *best)
    return tuple(_number(part) for part in parts)


def _merged(parts: list[str], first: str, second: str) -> list[str]:
    out: list[str] = []
    for part in parts:
        if part == second and out and out[-1] == first:
            out[-1] = first + second
        else:
            out.append(part)
    return out


def _number(part: str) -> int:
    return _numbers()[part]


@cache
def _lines() -> list[str]:
    raw = gzip.decompress((Path(package_folder("open_clip")) / VOCABULARY).read_bytes())
    return raw.decode("utf-8").split("\n")[1 : 1 + MERGES]


@cache
def _ranks() -> dict[str, int]:
    """Pair, with a space between → its place in the list."""
    return {line: rank for rank, line in enumerate(_lines())}


@cache
def _numbers() -> dict[str, int]:
    """What a token stands for → its number: single bytes, those at the end of a word, then the merged pairs."""
    letters = list(_letters().values())
    alone = [*_in_order(letters), *(letter + _WORD_END for letter in _in_order(letters))]
    merged = (line.replace(" ", "") for line in _lines())
    return {part: number for number, part in enumerate((*alone, *merged))}


def _in_order(letters: list[str]) -> list[str]:
    """Printable letters first, as the vocabulary has them."""
    return sorted(letters, key=lambda letter: (ord(letter) >= 256, ord(letter)))


@cache
def _letters() -> dict[int, str]:
    """A printable letter for each byte: its own where it has one, else one from 256 on (as GPT-2 has it)."""
    printable = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    others = (byte for byte in range(256) if byte not in printable)
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + n) for n, byte in enumerate(others)}


def _basic(text: str) -> str:
    import ftfy

    return html.unescape(html.unescape(ftfy.fix_text(text))).strip()


def _spaced(text: str) -> str:
    return " ".join(text.split())


def _canonical(text: str) -> str:
    return _spaced(_basic(text).replace("_", " ").translate(_NO_PUNCTUATION).lower())


CLEANING: dict[str, Callable[[str], str]] = {
    "whitespace": lambda text: _spaced(_basic(text)),
    "lower": lambda text: _spaced(_basic(text)).lower(),
    "canonicalize": _canonical,
}
"""Ways to clean a text before it is split, by the names that open_clip has for them."""
