"""What may be in a filter: functions of one row that read nothing but their arguments, each with what it may cost.

A function without a rule is no function of filters.
"""

from __future__ import annotations

from vsearch.filters import patterns
from vsearch.filters.rules import (
    Parts,
    Rule,
    Unbounded,
    edit,
    extracted,
    fold,
    formatted,
    half_more,
    like,
    listed,
    longest,
    look_up,
    pieces,
    read,
    replaced,
    scalar,
    similar,
    skim,
    sort_marks,
    thrice,
    total,
)

# For each byte of a text, when no state of the automaton comes twice.
_STEP_NS = 16


def search(parts: Parts, length: int) -> float:
    """A regular expression against a text.  Raises Unbounded."""
    groups = parts[2].length if len(parts) > 2 and parts[2].text is None else 0
    return read(parts, length) + _STEP_NS * _steps(parts) * (parts[0].length + 1) * (1 + groups / 1000)


def compiling(parts: Parts) -> float:
    """Nanoseconds that a regular expression takes before the first row; DuckDB compiles it twice.  Raises Unbounded."""
    size = _steps(parts)
    return 2 * (500_000 + 2_000 * size + 2.5 * size**2)


def _steps(parts: Parts) -> int:
    if len(parts) < 2:
        return 1
    if parts[1].text is None:
        raise Unbounded("the pattern of a regular expression must be a text, such as '^IMG', and no expression")
    return patterns.steps(parts[1].text, "".join(part.text or "" for part in parts[2:]))


# ~~ is LIKE, ~~* is ILIKE, ~~~ is GLOB.
_RULES = {
    "- * / // % abs floor ceil ceiling round trunc sign sqrt pow power ln log log2 exp sin cos tan asin acos atan "
    "atan2 radians degrees pi isnan isfinite isinf year month day hour minute second quarter week dayofweek isodow "
    "dayofyear weekday yearweek dayname monthname decade century date_trunc datetrunc date_diff datediff age make_date "
    "make_timestamp last_day epoch to_years to_months to_weeks to_days to_hours to_minutes to_seconds now today "
    "get_current_timestamp": Rule(scalar, skim),
    "date_part datepart": Rule(total, read),
    "strftime": Rule(formatted, read),
    # text; + joins lists
    "+ || concat": Rule(total, read),
    "lower upper lcase ucase": Rule(half_more, read),
    "trim ltrim rtrim substring substr left right reverse greatest least": Rule(longest, read),
    "split_part": Rule(longest, read, pieces),
    "ifnull nullif coalesce": Rule(longest, skim),
    "replace": Rule(replaced, read),
    "strip_accents": Rule(thrice, fold),
    "nfc_normalize": Rule(thrice, sort_marks),
    "length len strlen starts_with ends_with prefix suffix contains instr strpos position jaccard": Rule(scalar, read),
    "~~ !~~ ~~* !~~* ~~~ like_escape not_like_escape ilike_escape not_ilike_escape": Rule(scalar, like),
    "levenshtein": Rule(scalar, edit),
    "jaro_winkler_similarity": Rule(scalar, similar),
    "regexp_matches regexp_full_match": Rule(scalar, search),
    "regexp_extract": Rule(extracted, search),
    # lists, and tags
    "list_value": Rule(listed, skim),
    "list_extract": Rule(longest, read),
    "list_contains list_has array_contains array_has list_has_any list_has_all array_has_any array_has_all "
    "list_position array_length has_tag tag_confidence": Rule(scalar, read),
}  # fmt: skip
FUNCTIONS: dict[str, Rule] = {name: rule for names, rule in _RULES.items() for name in names.split()}
REGEXES = {"regexp_matches", "regexp_full_match", "regexp_extract"}
OPERATORS = {
    "OPERATOR_NOT": Rule(scalar, skim),
    "OPERATOR_IS_NULL": Rule(scalar, skim),
    "OPERATOR_IS_NOT_NULL": Rule(scalar, skim),
    "COMPARE_IN": Rule(scalar, look_up),
    "COMPARE_NOT_IN": Rule(scalar, look_up),
    "OPERATOR_COALESCE": Rule(longest, skim),
    "ARRAY_EXTRACT": Rule(longest, read),
    "ARRAY_SLICE": Rule(longest, read),
    "STRUCT_EXTRACT": Rule(longest, skim),
}
NODES = {
    "COMPARISON": Rule(scalar, skim),
    "BETWEEN": Rule(scalar, skim),
    "CONJUNCTION": Rule(scalar, skim),
    "CASE": Rule(longest, skim),
}
