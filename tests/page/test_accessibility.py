"""axe-core finds no serious and no critical fault, on every face of the page; nothing sticks out at any width."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from page.conftest import Open

ONLY_FAULTS = {"resultTypes": ["violations"]}
FACES = ("search", "filters", "panel", "map", "help", "nothing")


def show(page: Page, face: str) -> None:
    if face == "search":
        page.locator(".card .look").first.focus()
        page.locator(".card .pick").first.click()
    elif face == "filters":
        page.locator("#filters-toggle").click()
        expect(page.locator(".histogram")).to_be_visible()
    elif face == "panel":
        page.locator(".card .look").first.focus()
        page.keyboard.press("i")
        expect(page.locator("#panel dl")).to_be_visible()
    elif face == "map":
        page.locator("#map-toggle").click()
        expect(page.locator(".legend")).to_be_visible()
    elif face == "help":
        page.locator("#help-open").click()
    elif face == "nothing":
        page.goto(page.url.partition("#")[0] + "#q=zzz+nothing&where=width+%3D+1")
        expect(page.locator("#notice")).to_be_visible()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1600), ("dark", 360)])
def test_no_serious_fault(open_page: Open, pictured, scheme: str, width: int):
    page = open_page("p=1:text:red&p=-0.5:text:square&folder=trips/oslo/", width, 800, scheme)
    start = page.url
    found = []
    for face in FACES:
        page.goto("about:blank")
        page.goto(start)
        expect(page.locator(".card").first).to_be_visible()
        show(page, face)
        pictured(page, f"{face}-{scheme}-{width}")
        for fault in Axe().run(page, options=ONLY_FAULTS).response["violations"]:
            if fault["impact"] in ("serious", "critical"):
                found.append((face, fault["id"], [node["target"] for node in fault["nodes"]][:3]))
        assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{face} sticks out"
    assert not found


def test_axe_is_awake(open_page: Open):
    """A planted fault: a button without a name."""
    page = open_page()
    page.evaluate("document.querySelector('#help-open').removeAttribute('aria-label')")
    page.evaluate("document.querySelector('#help-open').removeAttribute('title')")
    assert "button-name" in {fault["id"] for fault in Axe().run(page).response["violations"]}
