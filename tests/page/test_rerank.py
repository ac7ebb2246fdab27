"""The switch for re-ranking: offered where the server has a re-ranker; on, the page shows the library's order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image
from playwright.sync_api import Page, Request, expect

import vsearch
from page.browser import served
from page.conftest import Open
from vsearch.embed.patches import MiniPatches
from vsearch.rerank import Reranker, load_matcher, save_matcher, store_patches
from vsearch.rerank.model import Matcher, MatcherConfig

TEXT, COUNT = "red", 12


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of plain colours with their patches, and a matcher of random weights."""
    place = tmp_path_factory.mktemp("page-reranked")
    (place / "pictures").mkdir()
    for n in range(COUNT):
        Image.new("RGB", (60, 40), (20 * n, 250 - 17 * n, 59 * n % 256)).save(place / "pictures" / f"{n:02}.png")
    torch.manual_seed(0)
    save_matcher(Matcher(MatcherConfig("mini", 81, 363, 384, width=32)).eval(), place / "matcher")
    with vsearch.create(place / "plain.vsearch", encoder="toy") as index:
        index.add(vsearch.folder(place / "pictures"))
        store_patches(index.store, MiniPatches())
    return place


@pytest.fixture(scope="module")
def orders(place: Path) -> tuple[list[int], list[int]]:
    """Ids as the search has them, and as the library re-ranks them."""
    with vsearch.open(place / "plain.vsearch") as index:
        hits = index.search(TEXT, COUNT)
        told = Reranker(load_matcher(place / "matcher"), MiniPatches()).rerank(TEXT, hits)
        plain, other = [hit.id for hit in hits], [hit.id for hit in told]
    assert plain != other
    return plain, other


@pytest.fixture(scope="module")
def address(place: Path) -> Iterator[str]:
    """In the place of the server of the other tests."""
    with served(place / "plain.vsearch", options=("--rerank", str(place / "matcher"))) as told:
        yield told


def expect_order(page: Page, ids: list[int]) -> None:
    page.wait_for_function(
        "ids => JSON.stringify([...document.querySelectorAll('.card')].map((c) => +c.dataset.id)) === ids",
        arg=str(ids).replace(" ", ""),
    )


def asks_for_it(request: Request) -> bool:
    return request.post_data_json.get("rerank", False)


def test_off_at_first_and_switched_by_the_keyboard(open_page: Open, orders, pictured):
    plain, reranked = orders
    page = open_page(f"q={TEXT}")
    switch = page.get_by_role("switch", name="Re-rank")
    expect(switch).not_to_be_checked()
    expect_order(page, plain)
    page.locator("#query").focus()
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "rerank":
            break
    expect(switch).to_be_focused()
    with page.expect_request("**/search") as asked:
        page.keyboard.press("Space")
    assert asks_for_it(asked.value)
    expect_order(page, reranked)
    expect(page.locator("#summary")).to_contain_text("re-ranked")
    assert "rerank=1" in page.url
    pictured(page, "rerank")
    with page.expect_request("**/search") as asked:
        page.keyboard.press("Space")
    assert not asks_for_it(asked.value)
    expect_order(page, plain)
    assert "rerank" not in page.url


def test_it_is_in_the_address(open_page: Open, orders):
    plain, reranked = orders
    page = open_page(f"q={TEXT}&rerank=1")
    switch = page.get_by_role("switch", name="Re-rank")
    expect(switch).to_be_checked()
    expect_order(page, reranked)
    page.reload()
    expect(switch).to_be_checked()
    expect_order(page, reranked)
    switch.uncheck()
    expect_order(page, plain)
    page.go_back()
    expect(switch).to_be_checked()
    expect_order(page, reranked)


def test_what_it_cannot_read_is_asked_without_it(open_page: Open):
    page = open_page(f"p=1:text:{TEXT}&rerank=1")
    hint = page.locator("#rerank-hint")
    expect(hint).to_have_text("")
    with page.expect_response("**/search") as told:
        page.locator(".card .look").first.click()
    assert told.value.ok and not asks_for_it(told.value.request)
    expect(hint).to_have_text("needs words alone")
    expect(page.locator("#summary")).not_to_contain_text("re-ranked")


@pytest.mark.parametrize("width", [360, 1280])
def test_it_sticks_out_nowhere(open_page: Open, width: int):
    page = open_page(f"q={TEXT}&rerank=1", width)
    expect(page.locator("#rerank-switch")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
