"""One server and one browser for all tests of the page; a fresh profile for each."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from page import collections
from page.browser import Witness, chromium, launch, served

Open = Callable[..., Page]


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    place = tmp_path_factory.mktemp("page")
    with served(collections.drawn(place), collections.hostile(place)) as told:
        yield told


# Not for the session: Playwright's event loop runs in this thread, and other tests want to run their own.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    path = chromium()
    if path is None:
        pytest.skip("no Chromium is installed: apt-get install chromium, or name one in VSEARCH_CHROMIUM")
    with sync_playwright() as playwright:
        opened = launch(playwright, path)
        yield opened
        opened.close()


@pytest.fixture
def witness(address: str) -> Iterator[Witness]:
    seen = Witness(urlsplit(address).netloc)
    yield seen
    assert not seen.faults


@pytest.fixture
def open_page(browser: Browser, address: str, witness: Witness) -> Iterator[Open]:
    """Opens the page with a fragment, signed in as people are: by the token behind the address."""
    contexts = []

    def opened(fragment: str = "", width: int = 1280, height: int = 800, scheme: str = "light") -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce"
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        witness.watch(page)
        page.goto(f"{address}&{fragment}" if fragment else address)
        expect(page.locator(".card:not(.ghostly), #notice:not([hidden])").first).to_be_attached()
        return page

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def pictured(request: pytest.FixtureRequest) -> Callable[[Page, str], None]:
    """Keeps a screenshot, in the folder that VSEARCH_SCREENSHOTS names, else in pytest's cache."""
    named = os.environ.get("VSEARCH_SCREENSHOTS")
    folder = Path(named) if named else Path(request.config.cache.mkdir("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)

    def keep(page: Page, name: str) -> None:
        page.screenshot(path=folder / f"{name}.png")

    return keep
