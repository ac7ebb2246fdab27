"""How much memory and time a filter may take, told before it runs: DuckDB's limits do not reach inside an expression.

DuckDB evaluates a vector of up to 2,048 rows without a look at the clock, and what an expression gives for them is not
counted as its memory.  So for each part of a filter the longest value is told from those of its columns and constants,
and from these, how many rows a vector may have.  A filter that asks for too much of a single row is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from vsearch.errors import FilterError
from vsearch.filters.functions import FUNCTIONS, NODES, OPERATORS, REGEXES, compiling
from vsearch.filters.language import TEXTS, Filter, children, columns_in, error, place
from vsearch.filters.rules import SCALAR, Part, Rule, Unbounded, longest, read, scalar

if TYPE_CHECKING:
    from vsearch.filters.language import Node

# What DuckDB evaluates at once.
VECTOR = 2048
# Of one vector.  Lists can take twice of what is told here, and a machine can be slower than that of the rules.
MOST_BYTES = 256 << 20
MOST_SECONDS = 0.5
# RE2 gives each 8 MB, for what it remembers of texts.
MOST_REGEXES = 64
# What a value takes beside the bytes of its text.
_VALUE = 32
# More than any filter gets; keeps the numbers small.
_ENDLESS = 1 << 40
# A text beside a list is read as one, '[1,2]': two characters can become an element of so many times their size.
_READ_AS_LIST = 32
_LARGEST = 2**127


def rows_at_once(told: Filter, columns: Callable[[str], Part]) -> int:
    """How many rows may be evaluated at once, from 1 to 2,048.

    columns: gives what a column holds, by name.  Raises FilterError, which points at the part that takes most, when a
    single row is too much.
    """
    cost = _Cost(told, columns)
    for condition in told.conditions:
        cost.add(condition.node)
    return cost.rows()


class _Cost:
    """The sums over all parts of a filter: bytes and nanoseconds for each row, and those that come once."""

    def __init__(self, told: Filter, columns: Callable[[str], Part]) -> None:
        self._told = told
        self._columns = columns
        self._bytes, self._ns = 0, 0.0
        self._regexes, self._once_ns = 0, 0.0
        self._most: tuple[float, Node] = (0.0, {})

    def rows(self) -> int:
        ns_left = MOST_SECONDS * 1e9 - self._once_ns
        rows = int(min(VECTOR, MOST_BYTES / max(1, self._bytes), ns_left / max(1, self._ns)))
        if rows < 1:
            raise self._refusal()
        return rows

    def add(self, node: Node) -> Part:
        """Count a node and all below it; what it gives."""
        kind = node["class"]
        if kind == "COLUMN_REF":
            return self._columns(node["column_names"][0])
        if kind == "CONSTANT":
            return self._constant(node)
        parts = self._alike([self.add(child) for child in children(node) if child["class"] != "TYPE"])
        rule, name = _rule(node), node.get("function_name", "").lower()
        listed = name == "list_value" or (rule.length is not scalar and any(part.listed for part in parts))
        try:
            part = Part(min(_ENDLESS, rule.length(parts)), listed=listed)
            once = self._compiling(parts) if name in REGEXES else 0
            size = part.length + rule.aside(parts) + _VALUE
            self._count(node, size, rule.work(parts, part.length), once)
        except Unbounded as problem:
            raise self._error(node, str(problem)) from problem
        return part

    def _alike(self, parts: list[Part]) -> list[Part]:
        """The arguments of a function: beside a list, texts are read as lists."""
        if not any(part.listed for part in parts):
            return parts
        alike = [one if one.listed else replace(one, length=one.length * _READ_AS_LIST) for one in parts]
        self._bytes += sum(part.length for part in alike if not part.listed and part.text is None)
        return alike

    def _compiling(self, parts: list[Part]) -> float:
        self._regexes += 1
        if self._regexes > MOST_REGEXES:
            raise Unbounded(f"more than {MOST_REGEXES} regular expressions; one with | between them does the same")
        return compiling(parts)

    def _count(self, node: Node, size: int, ns: float, once: float) -> None:
        self._bytes += size
        self._ns += ns
        self._once_ns += once
        share = max(size / MOST_BYTES, (ns + once) / (MOST_SECONDS * 1e9))
        if share > self._most[0]:
            self._most = (share, node)

    def _constant(self, node: Node) -> Part:
        kind, text = node["literal"]["kind"], node["literal"]["text"]
        if kind == "STRING":
            return Part(len(text.encode()), text)
        # Beyond these DuckDB calculates with numbers of any length.
        if kind == "INTEGER" and (len(text) > 50 or abs(int(text)) >= _LARGEST):
            raise self._error(node, "a whole number of more than 38 digits")
        if kind not in ("INTEGER", "NUMERIC", "BOOLEAN", "NULL_LITERAL"):
            raise self._error(node, f"no constant of the kind {kind.lower()} may be in a filter")
        return Part(SCALAR, text)

    def _refusal(self) -> FilterError:
        size, seconds = self._bytes, (self._once_ns + self._ns) / 1e9
        if size / MOST_BYTES > seconds / MOST_SECONDS:
            problem = f"may need {_spoken(size)} of memory for a single picture; at most {_spoken(MOST_BYTES)}"
        else:
            problem = f"may take {seconds:,.1f} s for a single picture; at most {MOST_SECONDS} s"
        names = sorted({name for condition in self._told.conditions for name in columns_in(condition.node)})
        sizes = ", ".join(f"{name} {self._columns(name).length:,}" for name in names)
        more = f"bytes of the longest values: {sizes}" if sizes else ""
        return self._error(self._most[1], f"this filter {problem}, and most of it is for this part", more)

    def _error(self, node: Node, problem: str, more: str = "") -> FilterError:
        return error(self._told.text, place(self._told.text, node), problem, more)


def _rule(node: Node) -> Rule:
    kind = node["class"]
    if kind == "FUNCTION":
        return FUNCTIONS[node["function_name"].lower()]
    if kind == "OPERATOR":
        return OPERATORS[node["type"]]
    if kind == "CAST":
        texts = any(child["class"] == "TYPE" and child["type_name"].lower() in TEXTS for child in children(node))
        return Rule(longest if texts else scalar, read)
    return NODES[kind]


def _spoken(size: int) -> str:
    return f"{size / (1 << 20):,.0f} MB" if size < _ENDLESS else "any amount"
