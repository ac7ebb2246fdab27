"""What a filter may grow to, as told before it runs, against what DuckDB makes of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import datetime

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.hostile_growth import names
from vsearch.errors import FilterError
from vsearch.filters import engine as engine_module
from vsearch.filters import patterns
from vsearch.filters.deadline import interrupted_after
from vsearch.filters.engine import Engine
from vsearch.filters.functions import FUNCTIONS
from vsearch.filters.growth import MOST_REGEXES, VECTOR, _Cost, rows_at_once
from vsearch.filters.language import children
from vsearch.filters.lengths import Lengths
from vsearch.filters.rules import Unbounded

TEXTS = ["", "a", "ß" * 20, "İıȺ ɐ", 'a\'b\\, [c] "d"', "e\u0301" * 9, "\U0001d160" * 5, "각각", "NULL", "aaaa", None]
ROWS = len(TEXTS)
TABLE = pa.table(
    {
        "id": np.arange(ROWS),
        "name": pa.array(TEXTS, pa.large_string()),
        "caption": pa.array(TEXTS[::-1], pa.string()),
        "folder": pa.array([f"{i % 3}/" * i for i in range(ROWS)]).dictionary_encode(),
        "width": pa.array([-(2**31) + i for i in range(ROWS)], pa.int64()),
        "latitude": pa.array([-1.7976931348623157e308 / 3**i for i in range(ROWS)]),
        "taken": pa.array([datetime(1, 9, 20, 23, 59, 59, 999_999)] * ROWS, pa.timestamp("us")),
        "tags": pa.array([TEXTS[:i] for i in range(ROWS - 1)] + [None], pa.list_(pa.string())),
        "tag_confidences": pa.array([[1e-30] * i for i in range(ROWS)], pa.list_(pa.float32())),
    }
)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = Engine(TABLE)
    yield engine
    engine.close()


def bound(engine: Engine, expression: str) -> int:
    """The longest text that an expression is said to give."""
    told = engine._language.parse(f"({expression}) is null", list(engine.columns))
    (child,) = children(told.conditions[0].node)
    return _Cost(told, engine._lengths.of).add(child).length


def given_length(expression: str) -> int:
    """The longest text that it does give; with and without the optimizer it is the same."""
    columns = TABLE  # noqa: F841 (read by name)
    return int(duckdb.sql(f"select max(strlen(({expression})::varchar)) from columns").fetchall()[0][0] or 0)


LEAVES = (
    "name",
    "caption",
    "folder",
    "''",
    "'a'",
    "'aß''[1]'",
    "strftime(taken, '%c %A %B %f %x %Z')",
    "strftime('%c%c', now())",
    "dayname(taken)",
    "width::varchar",
    "latitude::varchar",
    "try_cast(latitude / 1e300 as decimal(38, 28))::varchar",
    "try_cast(width as decimal(38, 28))::varchar",
    "(taken - timestamp '290000-01-01')::varchar",
    "((interval 178956970 years - interval 1 second) * -1)::varchar",
    "tags::varchar",
    "tag_confidences::varchar",
    "date_part(['year', 'epoch', 'julian'], taken)::varchar",
    "concat(width, taken, tags::varchar)",
    "list_value(tags, tags)::varchar",
    "(tags || ['''', '\"'])::varchar",
    "(tags + tags)::varchar",
    "tags[2:4]::varchar",
    "tags[3]",
    "greatest(tags, '[a, a, a, a, b, b, b]')::varchar",
    "coalesce(nullif(tags, tags), '[a,b,c,a,b,c,a,b,c,a,b,c]')::varchar",
    "list_value(1.5::decimal(38, 37), '1', '2', '3')::varchar",
    "case when width > 0 then [1.5::decimal(38, 37)] else '[1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7,8,9]' end::varchar",
    "(17014118346046923173168730371588410572::hugeint * 10)::varchar",
)
NODES = (
    "({x} || {y})",
    "concat({x}, {y}, {z}, width)",
    "replace({x}, {y}, {z})",
    "replace({x}, 'a', {y})",
    "replace({x}, 'aa', 'bbbbb')",
    "lower({x})",
    "upper({x})",
    "strip_accents({x})",
    "nfc_normalize({x})",
    "reverse({x})",
    "trim({x}, {y})",
    "split_part({x}, {y}, 2)",
    "substring({x}, 2, 5)",
    "left({x}, -1)",
    "right({x}, 3)",
    "greatest({x}, {y})",
    "least({x}, {y})",
    "coalesce(nullif({x}, {y}), {z})",
    "ifnull({x}, {y})",
    "case when {x} < {y} then {x} else {z} end",
    "regexp_extract({x}, '(.)(.*)', 2)",
    "regexp_extract({x}, '(.*)(.*)', ['p', 'a long name for it'])::varchar",
    "[{x}, {y}]::varchar",
    "([{x}] || [{y}, {z}])::varchar",
    "[[{x}], [{y}]]::varchar",
    "list_extract([{x}, {y}], 2)",
    "({x} || length({y}))",
    "({x} like {y})::varchar",
    "{x}[2:5]",
    "({x}::varchar(3))",
    "try_cast({x} as double)::varchar",
    "tags[length({x})]",
)


def nested(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(st.sampled_from(NODES), inner, inner, inner).map(lambda p: p[0].format(x=p[1], y=p[2], z=p[3]))


@settings(max_examples=400, deadline=None)
@given(expression=st.recursive(st.sampled_from(LEAVES), nested, max_leaves=9))
def test_no_text_is_longer_than_it_is_said_to_be(engine: Engine, expression: str):
    try:
        longest = given_length(expression)
    except duckdb.Error:
        assume(False)
    assert longest <= bound(engine, expression)


@pytest.mark.parametrize("expression", LEAVES)
def test_nor_are_numbers_times_and_lists(engine: Engine, expression: str):
    assert 0 < given_length(expression) or expression == "''"
    assert given_length(expression) <= bound(engine, expression)


def test_a_rule_that_is_too_small_is_noticed(engine: Engine, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(FUNCTIONS, "upper", FUNCTIONS["reverse"])
    assert given_length("upper(name)") > bound(engine, "upper(name)")


@pytest.mark.parametrize("function", ["lower", "upper", "strip_accents", "nfc_normalize", "reverse", "trim"])
def test_no_character_grows_more_than_its_rule_says(engine: Engine, function: str):
    """All that there are, alone and with an accent; normalizing knows none that grow only together."""
    characters = pa.table({"c": [chr(i) for i in range(1, 0x110000) if not 0xD800 <= i <= 0xDFFF]})  # noqa: F841
    for shape in ("c", "c || chr(769)", "'a' || c || c"):
        query = f"select strlen({shape}) as size, max(strlen({function}({shape}))) from characters group by size"
        for size, longest in duckdb.sql(query).fetchall():
            assert longest <= bound(engine, f"{function}('{'x' * size}')")


def test_the_longest_values_of_columns_are_those_that_duckdb_writes(engine: Engine):
    for name in TABLE.schema.names:
        least = given_length(name)
        assert least <= engine._lengths.of(name).length
        if name in ("name", "caption", "folder"):
            assert least == engine._lengths.of(name).length
    empty = Lengths(TABLE.slice(0, 0))
    assert {empty.of(name).length for name in ("name", "folder", "tags")} <= {0, 2, given_length("folder")}


def test_each_function_has_a_filter_that_grows_with_it():
    assert names() == set(FUNCTIONS)


def test_an_ordinary_filter_runs_in_full_vectors(engine: Engine):
    for where in (
        "taken >= '2024-01-01' and name like 'trips/%' and width >= 2000",
        "regexp_matches(lower(name), '^img_\\d{4,8}\\.(jpe?g|heic)$') or has_tag('dog', 0.8)",
        "replace(replace(name, '_', ' '), '-', ' ') ilike '%red%car%' and levenshtein(name, 'forum.jpg') < 3",
        f"width in ({', '.join(map(str, range(3000)))})",
        " or ".join(f"name = 'IMG_{i}.jpg'" for i in range(200)),
    ):
        told = engine._language.parse(where, list(engine.columns))
        assert rows_at_once(told, engine._lengths.of) == VECTOR


@pytest.mark.parametrize(
    ("where", "position", "said"),
    [
        ("width > 3 or " + "replace(" * 9 + "name" + ", 'a', 'aaaaaaaaaa')" * 9 + " = ''", 13, "for a single picture"),
        ("regexp_matches(name, '(a|b){1000}') and regexp_matches(name, '(a|b|c|d|e|f){1000}')", 40, "1.,... steps"),
        ("width = 1 or name ~ caption", 18, "must be a text"),
        (" or ".join(f"name ~ '{i}'" for i in range(MOST_REGEXES + 1)), None, "more than 64 regular expressions"),
        (f"width + {'9' * 39} > 1", 8, "more than 38 digits"),
        ("x'ab' = name", 0, "no constant of the kind hex"),
        ("try(width / 0) > 1", 0, "try may not be"),
    ],
)
def test_what_grows_too_much_is_refused_at_its_place(engine: Engine, where: str, position: int | None, said: str):
    with pytest.raises(FilterError, match=said) as caught:
        engine.matching(where, ROWS)
    assert position in (None, caught.value.position)


def test_a_refusal_says_how_long_the_values_are():
    engine = Engine(pa.table({"id": [0, 1], "caption": ["a", "b" * 100_000]}))
    with pytest.raises(FilterError, match=r"may take 20\.\d s (.*\n){3}bytes of the longest values: caption 100,000$"):
        engine.matching("caption like caption", 2)
    assert engine.matching("caption like '%bb%'", 2)[0].tolist() == [False, True]
    engine.close()


def test_one_long_text_makes_few_rows_only_where_it_is(monkeypatch: pytest.MonkeyPatch):
    blocks = [pa.table({"id": np.arange(i, i + 3000), "caption": ["x"] * 3000}) for i in range(0, 9000, 3000)]
    blocks[1] = pa.table({"id": np.arange(3000, 6000), "caption": ["x"] * 2999 + ["y" * 1_000_000]})
    engine = Engine(pa.concat_tables(blocks))
    sizes: list[int] = []
    register = engine._unoptimized.register

    def noted(name: str, table: pa.RecordBatchReader) -> None:
        batches = list(table)
        sizes.extend(map(len, batches))
        register(name, pa.Table.from_batches(batches))

    monkeypatch.setattr(engine, "_unoptimized", Noting(engine._unoptimized, noted))
    assert engine.matching("upper(caption) like '%Y%'", 9000)[0].nonzero()[0].tolist() == [5999]
    assert sizes[:2] == sizes[-2:] == [2048, 952] and sum(sizes) == 9000 and max(sizes[2:-2]) < 100


class Noting:
    """A connection that tells what is registered."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, register: object) -> None:
        self._connection = connection
        self.register = register

    def __getattr__(self, name: str) -> object:
        return getattr(self._connection, name)


# ---------------------------------------------------------------- regular expressions

letters = st.sampled_from(["a", "é", ".", "[a-f]", "\\d", "\\pL", "[^x]", "^", "\\x{3b1}", "[[:alpha:]]", "\\Q{9}(\\E"])


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_repetition_counts_as_what_it_is_written_out(data: st.DataObject):
    """A pattern and the same with its repetitions written out, which counts them in another way."""

    def draw(depth: int) -> tuple[str, str]:
        kind = data.draw(st.sampled_from(["letter", "pair", "times", "optional"] if depth else ["letter"]))
        if kind == "letter":
            return (data.draw(letters),) * 2
        short, long = draw(depth - 1)
        if kind == "pair":
            other = draw(depth - 1)
            return f"(?:{short}|{other[0]})", f"(?:{long}|{other[1]})"
        if kind == "optional":
            return f"(?:{short})?", f"(?:{long})?"
        least, most = sorted(data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3))))
        times = f"{{{least},{most}}}" if least < most else f"{{{most}}}"
        return f"(?:{short}){times}", f"(?:{long})" * least + f"(?:(?:{long})?)" * (most - least)

    short, long = draw(3)
    try:
        written_out = patterns.steps(long)
    except Unbounded:
        assume(False)
    # What is written out has marks of its own; they are not as many again.
    assert patterns.steps(short) * 2 >= written_out
    assert duckdb.sql(f"select regexp_matches('', '{short}')").fetchall()


@pytest.mark.parametrize(
    ("pattern", "least", "most"),
    [
        ("^IMG_\\d{4}", 20, 60),
        ("[a-z]{3}", 25, 60),
        ("(?i)photo", 20, 30),
        ("\\x{10FFFF}", 1, 10),
        ("(a{30}){30}", 900, 2000),
        ("a{0,999}", 999, 1100),
        ("a{1000,}", 1000, 1100),
        (")))", 0, 10),
        ("", 0, 2),
    ],
)
def test_steps_of_patterns(pattern: str, least: int, most: int):
    assert least <= patterns.steps(pattern) <= most


def test_endless_repetitions_are_refused():
    for pattern in ("(" * 90 + "a" + "{1000})" * 90, "a{99999999999999999999}" * 500, "\\pL{1000}"):
        with pytest.raises(Unbounded, match="steps"):
            patterns.steps(pattern)


# ---------------------------------------------------------------- time


def test_an_interrupt_that_is_lost_is_followed_by_another():
    calls: list[int] = []
    twice = threading.Event()

    def interrupt() -> None:
        calls.append(1)
        if len(calls) > 1:
            twice.set()

    with interrupted_after(0.001, interrupt):
        assert twice.wait(60)
    count = len(calls)
    assert not any(thread.name == "filter deadline" for thread in threading.enumerate())
    assert len(calls) == count


def test_a_filter_of_many_statements_is_ended_in_whichever_the_time_is_over(monkeypatch: pytest.MonkeyPatch):
    """The interrupt comes between two statements, where DuckDB forgets it."""
    engine = Engine(pa.table({"id": np.arange(20_000), "name": ["a" * 1000] * 20_000, "folder": ["f"] * 20_000}))
    told = engine._language.parse("levenshtein(name, reverse(name) || 'b') > 3", list(engine.columns))
    monkeypatch.setattr(engine_module, "SECONDS", 0.05)

    def late(where: str, columns: list[str]) -> object:
        # Parsing takes until the time is over, and no statement of DuckDB runs.
        over = threading.Event()
        threading.Timer(0.06, over.set).start()
        assert over.wait(60)
        return told

    monkeypatch.setattr(engine._language, "parse", late)
    with pytest.raises(FilterError, match="takes longer"):
        engine.matching("name = 'x'", 20_000)
    engine.close()


def test_an_error_does_not_repeat_all_of_a_long_text():
    engine = Engine(pa.table({"id": [0], "caption": ["b" * 100_000]}))
    with pytest.raises(FilterError, match="Could not convert") as caught:
        engine.matching("caption::int = 1", 1)
    assert len(str(caught.value)) < 1000
    engine.close()
