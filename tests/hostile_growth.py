"""Filters that grow: each allowed function nested in itself and set beside itself, alone and over a text that grew."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from vsearch.filters.language import MOST_CHARACTERS, MOST_DEPTH

TEXT, NUMBER, TIME, TAGS = "caption", "latitude", "taken", "tags"
# What each function is nested in: {x} is the innermost column or the level below.
NESTED: dict[str, dict[str, tuple[str, ...]]] = {
    TEXT: {
        "||": ("({x} || {x})", "({x} || 'aaaaaaaaaaaaaaaaaaaa')"),
        "concat": ("concat({x}, {x}, {x})",),
        "replace": (
            "replace({x}, 'a', {x})",
            "replace({x}, 'a', 'aaaaaaaaaa')",
            "replace({x}, 'aa', 'aaaaaaaaaaaaaaaaaaaaaaaaaaa')",
            "replace({x}, 'a', '" + "a" * 2000 + "')",
        ),
        "lower": ("lower({x})",),
        "upper": ("upper({x})",),
        "lcase": ("lcase({x})",),
        "ucase": ("ucase({x})",),
        "trim": ("trim({x}, {x})",),
        "ltrim": ("ltrim({x}, 'b')",),
        "rtrim": ("rtrim({x}, 'b')",),
        "substring": ("substring({x}, 1, 1000000)",),
        "substr": ("substr({x}, -1000000)",),
        "left": ("left({x}, 1000000)",),
        "right": ("right({x}, 1000000)",),
        "reverse": ("reverse({x})",),
        "split_part": ("split_part({x}, 'b', 1)", "split_part({x}, 'a', 1000)"),
        "strip_accents": ("strip_accents({x} || 'é')",),
        "nfc_normalize": ("nfc_normalize({x} || 'é')",),
        "greatest": ("greatest({x}, {x} || 'a')",),
        "least": ("least({x}, {x} || 'a')",),
        "coalesce": ("coalesce({x}, {x})",),
        "ifnull": ("ifnull({x}, {x})",),
        "nullif": ("nullif({x}, 'a')",),
        "regexp_extract": ("regexp_extract({x}, 'a*')", "regexp_extract({x}, '(((a*)*)*)', ['x', 'y', 'z']).x"),
        "length": ("({x} || length({x}))",),
        "len": ("({x} || len({x}))",),
        "strlen": ("({x} || strlen({x}))",),
        "starts_with": ("({x} || starts_with({x}, {x}))",),
        "ends_with": ("({x} || ends_with({x}, {x}))",),
        "prefix": ("({x} || prefix({x}, {x}))",),
        "suffix": ("({x} || suffix({x}, {x}))",),
        "contains": ("({x} || contains({x}, {x} || 'b'))",),
        "instr": ("({x} || instr({x}, {x} || 'b'))",),
        "strpos": ("({x} || strpos({x}, {x} || 'b'))",),
        "position": ("({x} || position('ab' in {x}))",),
        "jaccard": ("({x} || jaccard({x}, {x} || 'b'))",),
        "levenshtein": ("({x} || levenshtein({x}, {x} || 'b'))", "({x} || levenshtein(reverse({x}), {x}))"),
        "jaro_winkler_similarity": ("({x} || jaro_winkler_similarity({x}, 'b' || {x}))",),
        "~~": ("({x} || ({x} like '%' || {x} || 'b%'))", "({x} || ({x} like '%a_aaaaaaaaaaaaab%a%b%'))"),
        "!~~": ("({x} || ({x} not like '%' || {x} || 'b%'))",),
        "~~*": ("({x} || ({x} ilike '%' || {x} || 'b%'))",),
        "!~~*": ("({x} || ({x} not ilike '%' || {x} || 'b%'))",),
        "~~~": ("({x} || ({x} glob '*' || {x} || 'b*'))", "({x} || ({x} glob '*[a-c]?[a-c]?[a-c]?[a-c]?b*'))"),
        "like_escape": ("({x} || ({x} like '%' || {x} || 'b%' escape '!'))",),
        "not_like_escape": ("({x} || ({x} not like '%' || {x} || 'b%' escape '!'))",),
        "ilike_escape": ("({x} || ({x} ilike '%' || {x} || 'b%' escape '!'))",),
        "not_ilike_escape": ("({x} || ({x} not ilike '%' || {x} || 'b%' escape '!'))",),
        "regexp_matches": (
            "({x} || regexp_matches({x}, '(a?){{500}}b'))",
            "({x} || regexp_matches({x}, '((a|aa|aaa){{1,60}}){{1,10}}b'))",
            "({x} || regexp_matches({x}, '(^|a|b|$|\\b|\\B){{600}}c'))",
        ),
        "regexp_full_match": ("({x} || regexp_full_match({x}, '(a*|aa*){{300}}b'))",),
    },
    NUMBER: {
        **{name: (f"({{x}} {name} {{x}})", f"({{x}} {name} 3)") for name in ("+", "-", "*", "/", "//", "%")},
        **{
            name: (f"{name}({{x}})",)
            for name in "abs floor ceil ceiling round trunc sign sqrt ln log log2 exp sin cos tan asin acos atan "
            "radians degrees".split()
        },
        **{name: (f"{name}({{x}}, 1.5)", f"{name}(2, {{x}})") for name in ("pow", "power", "atan2")},
        **{name: (f"({{x}} + {name}({{x}})::int)",) for name in ("isnan", "isfinite", "isinf")},
        "pi": ("({x} + pi())",),
        "make_date": ("year(make_date({x}::int, 3, 4))",),
        "make_timestamp": ("epoch(make_timestamp({x}::bigint))",),
        **{
            f"to_{unit}": (f"year(taken + to_{unit}({{x}}::int))",)
            for unit in "years months weeks days hours minutes seconds".split()
        },
    },
    TIME: {
        **{
            name: (f"(taken + to_days({name}({{x}})::int))",)
            for name in "year month day hour minute second quarter week dayofweek isodow dayofyear weekday yearweek "
            "decade century epoch".split()
        },
        **{name: (f"(taken + to_days({name}('day', {{x}})::int))",) for name in ("date_part", "datepart")},
        **{name: (f"{name}('hour', {{x}})",) for name in ("date_trunc", "datetrunc")},
        **{name: (f"(taken + to_days({name}('day', taken, {{x}})::int))",) for name in ("date_diff", "datediff")},
        "age": ("(taken + age({x}, taken))",),
        "last_day": ("last_day({x})",),
        "now": ("greatest({x}, now()::timestamp)",),
        "get_current_timestamp": ("greatest({x}, get_current_timestamp()::timestamp)",),
        "today": ("greatest({x}, today()::timestamp)",),
        "strftime": (
            "(taken + to_days(length(strftime({x}, '" + "%c%A%B%Z" * 30 + "'))::int))",
            "(taken + to_days(length(strftime('" + "%c" * 4000 + "', {x}))::int))",
        ),
        "dayname": ("(taken + to_days(length(dayname({x}))::int))",),
        "monthname": ("(taken + to_days(length(monthname({x}))::int))",),
    },
    TAGS: {
        "list_value": ("list_value({x}, {x}, {x})", "list_value({x})"),
        "list_extract": ("list_extract([{x}, {x}], 1)",),
        "list_position": ("({x} || [list_position([{x}], {x})::varchar])",),
        "array_length": ("({x} || [array_length({x})::varchar])",),
        "has_tag": ("({x} || [has_tag('dog')::varchar, has_tag('dog', 0.5)::varchar])",),
        "tag_confidence": ("({x} || [tag_confidence('dog')::varchar])",),
        **{
            name: (f"({{x}} || [{name}([{{x}}], {{x}})::varchar])",)
            for name in ("list_contains", "list_has", "array_contains", "array_has")
        },
        **{
            name: (f"({{x}} || [{name}({{x}} || ['b'], {{x}})::varchar])",)
            for name in ("list_has_any", "list_has_all", "array_has_any", "array_has_all")
        },
    },
}
# What none of them is: lists and texts of each other, casts, and plans that DuckDB makes of a condition.
OTHERS: dict[str, tuple[str, ...]] = {
    TEXT: (
        "case when {x} = caption then {x} || {x} else {x} end",
        "[{x}, {x}]::varchar",
        "({x} || [{x}, {x}]::varchar)[1:1000000]",
        "concat({x}, {x}::varchar, latitude::decimal(38, 20), taken, (taken - added))",
        "({x} || try_cast({x} as double) || try_cast({x} as timestamp) || try_cast({x} as decimal(38, 3)))",
        "({x} || ({x} in ({x}, {x} || 'b', 'a')))",
        "({x} || ([{x}] = {x}))",
        "({x} || (coalesce(nullif(tags, tags), '[" + "a," * 200 + "]') || ['b'])::varchar)",
    ),
    TAGS: (
        "({x} || {x})",
        "({x} + {x})",
        "concat({x}, {x})",
        "{x}[1:1000000]",
        "(coalesce(nullif({x}, {x}), '[" + "a," * 8000 + "]') || ['b'])",
        "case when width > 3 then {x} || tags else '[" + "a," * 300 + "]' end",
        "({x} || [{x}::varchar])",
        "({x} || [(nullif({x}, caption))::varchar])",
    ),
}
_SLOW = "regexp_matches(caption, '(a?){500}b')"
BESIDE = 60
_LONG = ", ".join(map(str, range(10_000, 10_300)))
# DuckDB makes a join of a long list, and puts what is left of many vectors into one.
PLANS = (
    f"width in ({_LONG}) or {_SLOW}",
    f"width not in ({_LONG}) and {_SLOW}",
    f"width between 3 and 90 and height <> 5 and ({_SLOW} or width in ({_LONG}))",
    f"width % 64 = 1 and (width % 64 + height) > 0 and (width % 64 + height) < 99999 and {_SLOW}",
    " or ".join(f"regexp_matches(caption, '[ab]*a[ab]{{{20 + i}}}c')" for i in range(40)),
    " or ".join(f"regexp_matches(caption, '(a?){{{i}}}b')" for i in range(64, 34, -1)),
)
# The columns, and texts of each kind that grew already.
GROWN = {
    TEXT: (TEXT, "replace(caption || caption, 'a', 'a\N{COMBINING CEDILLA}\N{COMBINING ACUTE ACCENT}')"),
    TAGS: (TAGS, "(tags || tags || [caption, caption])"),
}


def names() -> set[str]:
    """The functions that there is a growing filter for."""
    return {name for functions in NESTED.values() for name in functions}


@dataclass(frozen=True)
class Growing:
    """A filter that can be made larger.  make: its text at a size from 1 to ``most``.  column: what it reads."""

    name: str
    column: str
    make: Callable[[int], str]
    most: int

    def largest(self, accepted: Callable[[str], bool]) -> int:
        """The largest size that is accepted; 0 when none is."""
        if accepted(self.make(self.most)):
            return self.most
        low, high = 0, self.most - 1
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if accepted(self.make(middle)) else (low, middle - 1)
        return low


def growing() -> Iterator[Growing]:
    """All of them: each template in itself; and those of texts and lists side by side, over what grew already too."""
    for column, functions in NESTED.items():
        for name, templates in (*functions.items(), ("another", OTHERS.get(column, ()))):
            for template in templates:
                yield Growing(f"{name} deep", column, _deep(template, column), MOST_DEPTH)
                for text in GROWN.get(column, ()):
                    one = template.format(x=text)
                    fit = MOST_CHARACTERS // (len(one) + len("() is null or "))
                    most = fit if name == "another" else min(fit, BESIDE)
                    yield Growing(f"{name} wide", text, partial(_wide, one), max(1, most))


def _deep(template: str, column: str) -> Callable[[int], str]:
    def make(size: int) -> str:
        text = column
        for _ in range(size):
            # Longer than any filter may be, which is refused; and not so long that making it takes all memory.
            text = template.format(x=text) if len(text) <= MOST_CHARACTERS else text
        return f"({text}) is null"

    return make


def _wide(one: str, size: int) -> str:
    return " or ".join([f"({one}) is null"] * size)
