"""The list of what a run has to read: what goes in comes out, in half the memory of a list."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterable

from vsearch.ingest.todo import Todo
from vsearch.types import Item


def items(count: int) -> Iterable[Item]:
    return (Item(b"/pictures/of/the/year/%08d/%08d.jpg" % (n, n), n, 10**18 + n, 10**18 - n) for n in range(count))


def test_what_goes_in_comes_out_in_order_and_a_path_once() -> None:
    told = [
        Item(b"/b.jpg", 5, -1, 2),
        Item(b"/a\xff.jpg", 2**40, 1_700_000_000_000_000_000, 3, caption="a dog"),
        Item(b"/c.jpg", 0, 0, 0, columns={"year": 1999}),
        Item(b"/d.jpg", 1, 1, 1, caption="", columns={}),
        Item(b"/bomb.zip#x.jpg", 2**63 - 1, 2**63 - 1, -(2**63), caption="the last numbers of 64 bits"),
    ]
    todo = Todo([*told, Item(b"/b.jpg", 6, 6, 6, caption="the same path again")])
    assert list(todo) == told
    assert list(todo) == told, "a second look finds them too"
    assert len(todo) == 5
    assert b"/c.jpg" in todo
    assert b"/e.jpg" not in todo
    todo.add(Item(b"/e.jpg", 7, 8, 9))
    assert list(todo)[-1] == Item(b"/e.jpg", 7, 8, 9)
    assert not Todo()


def test_it_takes_less_than_two_thirds_of_a_list_and_a_set() -> None:
    def size(make: Callable[[], object]) -> int:
        tracemalloc.start()
        kept = make()
        taken, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert kept
        return taken

    plain = size(lambda: (found := list(items(20_000)), {item.path for item in found}))
    assert size(lambda: Todo(items(20_000))) < plain * 2 / 3
