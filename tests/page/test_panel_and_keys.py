"""The side panel, the keyboard, themes, collections, signing in."""

from __future__ import annotations

import re

import click
import pytest
from playwright.sync_api import Page, expect

from page.conftest import Open
from vsearch.cli.browser import opened_page


def test_the_panel_shows_the_original_and_what_is_known(open_page: Open, pictured):
    page = open_page("q=red")
    card = page.locator(".card").first
    id = card.get_attribute("data-id")
    card.hover()
    card.locator(".detail").click()
    panel = page.locator("#panel")
    expect(panel.locator(".frame img")).to_have_attribute("src", f"/image/{id}")
    expect(panel.locator(".said")).to_have_text(re.compile("a red"))
    for told in ("Fuji X100V", "2022-", "confidence (sure), score", "kB", "red ("):
        expect(panel).to_contain_text(told)
    expect(panel.locator(".close")).to_be_focused()
    pictured(page, "panel")
    assert f"open={id}" in page.url
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    page.go_back()
    expect(panel).to_be_visible()
    page.reload()
    expect(panel.locator(".said")).to_have_text(re.compile("a red"))


def test_the_path_is_copied(open_page: Open, address: str):
    page = open_page("q=red")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=address.partition("#")[0].rstrip("/"))
    page.locator("#query").press("ArrowDown")
    page.keyboard.press("i")
    page.get_by_role("button", name="Copy the path").click()
    expect(page.locator("#toast")).to_have_text("Path copied")
    path = page.locator("#panel .path code").text_content()
    assert page.evaluate("navigator.clipboard.readText()") == path
    assert re.fullmatch(r"(trips|home)/.*\.jpg", path or "")


def focused(page: Page) -> int:
    """The place of the card with the focus, -1 for none."""
    return page.evaluate("[...document.querySelectorAll('.card')].indexOf(document.activeElement.closest('.card'))")


def test_the_keyboard_does_everything(open_page: Open):
    page = open_page()
    page.keyboard.press("/")
    expect(page.locator("#query")).to_be_focused()
    with page.expect_response("**/search"):
        page.keyboard.type("blue")
    expect(page.locator(".card .name").first).to_have_text(re.compile("blue"))
    page.keyboard.press("ArrowDown")
    assert focused(page) == 0
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert focused(page) == 2
    page.keyboard.press("ArrowLeft")
    assert focused(page) == 1
    first = page.evaluate("document.activeElement.getBoundingClientRect().bottom")
    page.keyboard.press("ArrowDown")
    assert focused(page) > 2
    assert page.evaluate("document.activeElement.getBoundingClientRect().top") >= first
    page.keyboard.press("ArrowUp")
    assert focused(page) in (0, 1, 2)
    page.keyboard.press(" ")
    expect(page.locator("#selection")).to_be_visible()
    page.keyboard.press("i")
    expect(page.locator("#panel")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#panel")).to_be_hidden()
    assert focused(page) >= 0, "closing the panel gives the focus back"
    page.keyboard.press("Escape")
    expect(page.locator("#selection")).to_be_hidden()
    page.keyboard.press("+")
    expect(page.locator(".chip")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(page.locator(".chip")).to_have_count(0)
    expect(page.locator("#query")).to_be_focused()
    expect(page.locator("#query")).to_have_value("")


@pytest.mark.parametrize(("key", "sign"), [("+", "1:mark"), ("-", "-1:mark"), ("Enter", "1:id")])
def test_keys_of_a_picture(open_page: Open, key: str, sign: str):
    page = open_page("q=blue")
    id = page.locator(".card").first.get_attribute("data-id")
    page.locator("#query").press("ArrowDown")
    page.keyboard.press(key)
    expect(page.locator(".chip")).to_have_count(1)
    assert f"p={sign}:{id}".replace(":", "%3A") in page.url


def test_the_help_opens_and_closes(open_page: Open, pictured):
    page = open_page()
    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_visible()
    pictured(page, "help")
    page.keyboard.press("Escape")
    expect(page.locator("#help")).to_be_hidden()
    page.locator("#help-open").click()
    page.locator("#help-close").click()
    expect(page.locator("#help")).to_be_hidden()


def test_themes(open_page: Open):
    page = open_page(scheme="dark")
    html = page.locator("html")
    expect(html).to_have_attribute("data-theme", "dark")
    dark = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    page.locator("#theme").click()
    expect(html).to_have_attribute("data-theme", "light")
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") != dark
    page.reload()
    expect(html).to_have_attribute("data-theme", "light")
    page.keyboard.press("t")
    expect(html).to_have_attribute("data-theme", "dark")
    page.keyboard.press("t")
    expect(page.locator("#theme")).to_have_attribute("aria-label", "Theme: as the system")
    page.emulate_media(color_scheme="light")
    expect(html).to_have_attribute("data-theme", "light")


def test_several_collections(open_page: Open):
    page = open_page("p=1:text:red")
    page.locator("#collection").select_option("hostile")
    expect(page.locator(".card")).to_have_count(9)
    expect(page.locator(".chip")).to_have_count(0)
    assert "c=hostile" in page.url
    page.go_back()
    expect(page.locator("#collection")).to_have_value("drawn")
    expect(page.locator(".chip")).to_have_count(1)


def test_the_token_leaves_the_address_and_scripts_cannot_read_it(open_page: Open, address: str):
    page = open_page("q=red")
    token = address.partition("token=")[2]
    assert token not in page.url
    assert token not in page.evaluate("document.cookie + JSON.stringify({ ...localStorage, ...sessionStorage })")
    cookies = page.context.cookies()
    assert [(c["httpOnly"], c["sameSite"]) for c in cookies] == [(True, "Strict")]
    page.reload()
    expect(page.locator(".card .name").first).to_have_text(re.compile("red"))


def test_a_file_leads_to_the_page_and_lets_in(browser, address: str, monkeypatch: pytest.MonkeyPatch):
    """The one that `serve --open` gives the browser; the page does not learn where it came from."""
    opened: list[str] = []
    monkeypatch.setattr(click, "launch", opened.append)
    with opened_page(address):
        page = browser.new_context().new_page()
        page.goto(f"file://{opened[0]}")
        expect(page.locator(".card").first).to_be_visible()
        assert page.url.startswith(address.partition("#")[0]) and "token" not in page.url
        assert page.evaluate("document.referrer") == ""
        page.context.close()


def test_without_a_token_it_is_asked_for(browser, address: str, witness):
    witness.excused.append("Failed to load resource")
    context = browser.new_context()
    page = context.new_page()
    witness.watch(page)
    page.goto(address.partition("#")[0] + "#q=red")
    expect(page.locator("#sign-in")).to_be_visible()
    page.locator("#token").fill("wrong" * 8)
    page.keyboard.press("Enter")
    expect(page.locator("#token-error")).not_to_have_text("")
    page.locator("#token").fill(address.partition("token=")[2])
    page.keyboard.press("Enter")
    expect(page.locator("#sign-in")).to_be_hidden()
    expect(page.locator(".card .name").first).to_have_text(re.compile("red"))
    context.close()
