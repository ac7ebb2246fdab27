"""Make vsearch/phrases/phrases.txt from the words and patterns of tools/phrases_words.txt.

phrases.py             writes the list, the same every time
phrases.py --check     only says whether the list is what the words make (exit code 1 when it is not)
"""

from __future__ import annotations

import argparse
import math
import random
import re
from itertools import islice
from pathlib import Path

HERE = Path(__file__).resolve().parent
WORDS = HERE / "phrases_words.txt"
TARGET = HERE.parent / "vsearch" / "phrases" / "phrases.txt"
SLOT = re.compile(r"\{(\w+)\}")
VOWEL = re.compile(r"\b([Aa]) (?=[aeioAEIO]|u[nm][^i])")

Lists = dict[str, list[str]]


def read(text: str) -> tuple[Lists, list[tuple[int, str]]]:
    """The lists of words, and (how many, pattern) of each pattern; a phrase of its own is a pattern without slots."""
    lists: Lists = {}
    patterns = []
    for line in filter(None, (line.strip() for line in text.splitlines())):
        if line.startswith("#"):
            continue
        if named := re.fullmatch(r"(\w+) = (.*)", line):
            lists[named[1]] = [word.strip() for word in named[2].split("|")]
        elif counted := re.fullmatch(r"(\d+): (.*)", line):
            patterns.append((int(counted[1]), counted[2]))
        else:
            patterns.append((1, line))
    return lists, patterns


def expand(pattern: str, lists: Lists, count: int, seed: int) -> list[str]:
    """At most ``count`` different phrases of a pattern, drawn at random from all that it can make."""
    slots = SLOT.findall(pattern)
    sizes = [len(lists[name]) for name in slots]
    total = math.prod(sizes)
    drawn = random.Random(seed).sample(range(total), total)
    phrases = (_fill(pattern, slots, lists, number) for number in drawn)
    return list(islice((p for p in phrases if not _repeats(p)), count))


def _fill(pattern: str, slots: list[str], lists: Lists, number: int) -> str:
    """The phrase whose words have the digits of ``number`` in the mixed base of the lists' lengths."""
    words = []
    for name in slots:
        number, digit = divmod(number, len(lists[name]))
        words.append(lists[name][digit])
    chosen = iter(words)
    return VOWEL.sub(r"\1n ", SLOT.sub(lambda _: next(chosen), pattern))


def _repeats(phrase: str) -> bool:
    """Whether a word of substance occurs twice, as in "a bridge on a bridge"."""
    words = [word for word in re.findall(r"\w+", phrase.lower()) if len(word) > 3]
    return len(set(words)) < len(words)


def phrases() -> list[str]:
    """The whole list: patterns take turns, so that any stretch of it is mixed."""
    lists, patterns = read(WORDS.read_text(encoding="utf-8"))
    made = [p for seed, (count, pattern) in enumerate(patterns) for p in _of(pattern, lists, count, seed)]
    unique = list(dict.fromkeys(made))
    random.Random(0).shuffle(unique)
    return unique


def _of(pattern: str, lists: Lists, count: int, seed: int) -> list[str]:
    return expand(pattern, lists, count, seed) if SLOT.search(pattern) else [pattern]


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing")
    args = parser.parse_args()
    text = "\n".join(phrases()) + "\n"
    if args.check:
        return int(not TARGET.is_file() or TARGET.read_text(encoding="utf-8") != text)
    TARGET.write_text(text, encoding="utf-8")
    print(f"{TARGET}: {len(text.splitlines()):,} phrases")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
