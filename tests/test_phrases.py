"""The phrases that stand for what people type."""

import subprocess
import sys
import unicodedata
from collections import Counter
from pathlib import Path

from vsearch import phrases

ROOT = Path(__file__).parent.parent


def test_there_are_enough_and_none_comes_twice():
    told = phrases.load()
    assert len(told) >= 2000
    assert len({" ".join(p.lower().split()) for p in told}) == len(told)
    assert phrases.load() is told


def test_each_is_one_clean_line():
    for phrase in phrases.load():
        assert phrase == phrase.strip() and phrase == unicodedata.normalize("NFC", phrase)
        assert phrase.isprintable() and "  " not in phrase and 2 < len(phrase) < 120
        assert not set(phrase) & set("{}|"), f"a pattern was not filled: {phrase}"


def test_short_and_long_ones_are_mixed():
    words = [len(phrase.split()) for phrase in phrases.load()]
    shares = Counter(min(9, n) for n in words)
    assert 0.02 < shares[1] / len(words) < 0.15
    assert 0.5 < sum(shares[n] for n in (3, 4, 5, 6)) / len(words) < 0.8
    assert shares[9] / len(words) > 0.05
    head = [len(phrase.split()) for phrase in phrases.load()[:500]]
    assert abs(sum(head) / 500 - sum(words) / len(words)) < 0.5, "a prefix is no fair sample"


def test_many_different_words_and_some_questions():
    words = {word for phrase in phrases.load() for word in phrase.lower().split()}
    assert len(words) > 1000
    assert sum(phrase.endswith("?") for phrase in phrases.load()) >= 30


def test_the_list_is_what_its_words_make():
    tool = [sys.executable, str(ROOT / "tools" / "phrases.py")]
    assert subprocess.run([*tool, "--check"], timeout=60).returncode == 0


def test_loading_needs_nothing_heavy():
    program = "import sys, vsearch.phrases as p; p.load(); print({'numpy', 'torch', 'faiss'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
