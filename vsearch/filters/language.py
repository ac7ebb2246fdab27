"""The language of filters: one SQL condition over the columns, and nothing else.

DuckDB parses the text; the tree that it gives is walked before anything runs, and only what is listed here may be in
it.  What runs is written anew from that tree, never the text itself.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NoReturn

from vsearch.errors import FilterError
from vsearch.filters.functions import FUNCTIONS, NODES, OPERATORS

if TYPE_CHECKING:
    import duckdb

    Node = dict[str, Any]

MOST_CHARACTERS = 20_000
MOST_NODES = 5_000
MOST_DEPTH = 100
_BEFORE, _AFTER = "SELECT id FROM columns WHERE (\n", "\n)"
_SHOWN = 100
_LISTED = 200  # columns of an error

KINDS = {"CONSTANT", "COLUMN_REF", "OPERATOR", "CAST", "FUNCTION", "TYPE", *NODES}
TEXTS = {"varchar", "text", "string"}
TYPES = TEXTS | set(
    "boolean bool tinyint smallint integer int bigint hugeint float real double decimal "
    "date time timestamp timestamptz interval".split()
)
OF_TAGS = {"has_tag", "tag_confidence"}
# Texts that are read as a time of their own when they are compared with one.
MOMENTS = {"now", "today", "yesterday", "tomorrow"}
CHANGING = {"now", "today", "age", "get_current_timestamp"}


@dataclass(frozen=True, slots=True)
class Condition:
    """A part of a filter that must hold: its tree, the columns in it, and where it stands in the text."""

    node: Node
    columns: frozenset[str]
    position: int


@dataclass(frozen=True, slots=True)
class Filter:
    """A checked filter: conditions that must all hold.  changing: whether the clock is part of it."""

    text: str
    conditions: tuple[Condition, ...]
    changing: bool

    def part(self, conditions: Iterable[Condition]) -> Filter:
        """The same with some of its conditions only."""
        return replace(self, conditions=tuple(conditions))


class Language:
    """Reads filters with a DuckDB connection that is used for nothing else."""

    def __init__(self, parser: duckdb.DuckDBPyConnection) -> None:
        self._parser = parser
        self._frame = _without_condition(self._serialized("true"))

    def parse(self, text: str, columns: list[str]) -> Filter:
        """Check a filter against the columns that there are.  Raises FilterError, which points at the place."""
        where = self._tree(text)
        checked = _Walk(text, columns)
        checked.walk(where)
        parts = tuple(Condition(node, frozenset(columns_in(node)), place(text, node)) for node in _conjuncts(where))
        return Filter(text, parts, checked.changing)

    def statement(self, conditions: tuple[Condition, ...]) -> str:
        """The SQL that gives the ids of the rows of ``columns`` that meet all conditions."""
        node: Node = conditions[0].node
        if len(conditions) > 1:
            kind = {"class": "CONJUNCTION", "type": "CONJUNCTION_AND", "alias": "", "query_location": 0}
            node = {**kind, "children": [c.node for c in conditions]}
        (frame,) = self._frame["statements"]
        tree = {"error": False, "statements": [{**frame, "node": {**frame["node"], "where_clause": node}}]}
        ((sql,),) = self._parser.execute("SELECT json_deserialize_sql(?)", [json.dumps(tree)]).fetchall()
        return str(sql)

    def _tree(self, text: str) -> Node:
        """The tree of the condition.  Raises FilterError when it is none, or more than one."""
        _check_characters(text)
        told = self._serialized(text)
        if told["error"]:
            _refuse(text, told)
        if _without_condition(told) != self._frame:
            raise error(text, 0, "a filter is one condition, without other clauses or statements")
        found: Node = told["statements"][0]["node"]["where_clause"]
        return found

    def _serialized(self, text: str) -> Node:
        import duckdb

        try:
            ((row,),) = self._parser.execute("SELECT json_serialize_sql(?)", [_BEFORE + text + _AFTER]).fetchall()
        except duckdb.InterruptException:
            raise
        except duckdb.Error as problem:
            raise error(text, 0, f"this cannot be understood ({_first_line(problem)})") from problem
        told: Node = json.loads(row)
        return told


def _check_characters(text: str) -> None:
    if not text.strip():
        raise FilterError("an empty filter; give a condition, as in: width >= 2000", 0)
    if len(text) > MOST_CHARACTERS:
        raise FilterError(f"a filter of {len(text):,} characters; at most {MOST_CHARACTERS:,} are read", 0)
    if (at := next((i for i, c in enumerate(text) if c == "\0" or "\ud800" <= c <= "\udfff"), -1)) >= 0:
        raise error(text, at, "a character that no text has")
    if _deepest(text) > MOST_DEPTH:
        raise error(text, 0, f"more than {MOST_DEPTH} brackets inside each other")


def _refuse(text: str, told: Node) -> NoReturn:
    if told.get("error_type") != "parser":
        raise error(text, 0, "a filter is one condition, not a statement")
    place = _characters(text, int(told.get("position", 0)))
    raise error(text, place, str(told.get("error_message", "this cannot be understood")))


def _without_condition(told: Node) -> Node:
    statements = [{**s, "node": {**s["node"], "where_clause": None}} for s in told["statements"]]
    return {"error": told["error"], "statements": statements}


def _deepest(text: str) -> int:
    """The most brackets open at once; those in quotes count too, which errs on the safe side."""
    depth = most = 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        most = max(most, depth)
    return most


def _characters(text: str, position: int) -> int:
    """The place in the text, in characters, of a place in the statement, in bytes."""
    raw = text.encode()
    inside = min(max(position - len(_BEFORE.encode()), 0), len(raw))
    return len(raw[:inside].decode(errors="ignore"))


def place(text: str, node: Node) -> int:
    """Where a node stands in the text."""
    at = node.get("query_location", 0)
    return _characters(text, at) if isinstance(at, int) and at < 2**63 else 0


class _Walk:
    """One pass over a tree, which raises FilterError at the first thing that may not be in it."""

    def __init__(self, text: str, columns: list[str]) -> None:
        self._text = text
        self._columns = columns
        self._left = MOST_NODES
        self.changing = False

    def walk(self, node: Node, depth: int = 0) -> None:
        """Check a node and all below it."""
        self._left -= 1
        if self._left < 0 or depth > MOST_DEPTH:
            raise self._error(node, "the filter is too large; split it, or use IN for long lists")
        kind = node.get("class")
        if kind not in KINDS or (kind == "OPERATOR" and node["type"] not in OPERATORS):
            raise self._error(node, f"{_called(node)} may not be in a filter")
        if kind == "COLUMN_REF":
            self._column(node)
        elif kind == "FUNCTION":
            self._function(node)
        elif kind == "TYPE":
            self._type(node)
        elif kind == "CONSTANT":
            self.changing |= str(node.get("literal", {}).get("text", "")).strip().lower() in MOMENTS
        for child in children(node):
            self.walk(child, depth + 1)

    def _error(self, node: Node, problem: str, more: str = "") -> FilterError:
        return error(self._text, place(self._text, node), problem, more)

    def _column(self, node: Node) -> None:
        names = node["column_names"]
        if len(names) == 1 and names[0].lower() in self._columns:
            node["column_names"] = [names[0].lower()]
            return
        name = ".".join(names)
        close = difflib.get_close_matches(name.lower(), self._columns, 1, 0.6)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        told = f"there is no column {name!r}{hint}"
        left = len(self._columns) - _LISTED
        rest = f", and {left:,} more" if left > 0 else ""
        raise self._error(node, told, f"columns: {', '.join(self._columns[:_LISTED])}{rest}")

    def _function(self, node: Node) -> None:
        name = node["function_name"].lower()
        plain = not (node.get("schema") or node.get("catalog") or node.get("filter") or node.get("distinct"))
        orders = (node.get("order_bys") or {}).get("orders")
        if name not in FUNCTIONS or not plain or orders or node.get("export_state"):
            close = difflib.get_close_matches(name, FUNCTIONS, 1, 0.8)
            hint = f"; did you mean {close[0]!r}?" if close and close[0] != name else ""
            raise self._error(node, f"no function {name!r} may be in a filter{hint}")
        self.changing |= name in CHANGING
        if name in OF_TAGS:
            given = [_column(column) for column in ("tags", "tag_confidences")]
            node["arguments"] = [*({"name": "", "expression": one} for one in given), *node["arguments"]]

    def _type(self, node: Node) -> None:
        if node["type_name"].lower() not in TYPES or node.get("schema") or node.get("catalog"):
            raise self._error(node, f"no type {node['type_name']!r} may be in a filter")


def children(node: Node) -> Iterator[Node]:
    """The nodes right below one."""
    for value in node.values():
        yield from _nodes(value)


def _nodes(value: Any) -> Iterator[Node]:
    if isinstance(value, dict):
        if "class" in value:
            yield value
        else:
            yield from (n for inner in value.values() for n in _nodes(inner))
    elif isinstance(value, list):
        yield from (n for inner in value for n in _nodes(inner))


def _column(name: str) -> Node:
    kind = "COLUMN_REF"
    return {"class": kind, "type": kind, "alias": "", "query_location": 0, "column_names": [name]}


def columns_in(node: Node) -> Iterator[str]:
    """The columns that a tree reads."""
    if node.get("class") == "COLUMN_REF":
        yield node["column_names"][0]
    for child in children(node):
        yield from columns_in(child)


def _conjuncts(node: Node) -> Iterator[Node]:
    if node.get("class") == "CONJUNCTION" and node.get("type") == "CONJUNCTION_AND":
        for child in node["children"]:
            yield from _conjuncts(child)
    else:
        yield node


def _called(node: Node) -> str:
    words = {"SUBQUERY": "a query of its own", "STAR": "*", "PARAMETER": "a parameter", "WINDOW": "a window function"}
    kind = str(node.get("type" if node.get("class") == "OPERATOR" else "class"))
    return words.get(kind, kind.removeprefix("OPERATOR_").lower().replace("_", " "))


def error(text: str, position: int, problem: str, more: str = "") -> FilterError:
    """The error with the line of the filter that it is about, and a mark below the place."""
    start = text.rfind("\n", 0, position) + 1
    end = text.find("\n", position)
    line, at = text[start : end if end >= 0 else len(text)], position - start
    first = max(0, at - _SHOWN // 2)
    shown = "".join(c if c.isprintable() else " " for c in line[first : first + _SHOWN])
    told = f"{problem}\n  {shown}\n  {' ' * (at - first)}^"
    return FilterError(f"{told}\n{more}" if more else told, position)


def _first_line(problem: BaseException) -> str:
    return str(problem).splitlines()[0] if str(problem) else type(problem).__name__
