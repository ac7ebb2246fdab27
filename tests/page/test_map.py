"""The map: laid out, moved, coloured, and a way to the pictures."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from page.conftest import Open
from page.test_search import png


def shown(page: Page) -> str:
    """The canvas as it is drawn, once it no longer changes."""
    page.wait_for_load_state("networkidle")
    frame = "canvas => new Promise((done) => requestAnimationFrame(() => setTimeout(() => done(canvas.toDataURL()))))"
    before = ""
    while (now := page.locator("#map canvas").evaluate(frame)) != before:
        before = now
    return before


def test_the_map_is_drawn_zoomed_and_moved(open_page: Open, pictured):
    page = open_page()
    page.locator("#map-toggle").click()
    canvas = page.locator("#map canvas")
    expect(canvas).to_have_attribute("data-drawn", "pictures")
    expect(canvas).to_have_attribute("aria-label", re.compile("108 pictures"))
    whole = shown(page)
    pictured(page, "map")
    page.get_by_role("button", name="Closer").click()
    closer = shown(page)
    assert closer != whole
    page.get_by_role("button", name="Whole").click()
    assert shown(page) == whole
    box = canvas.bounding_box()
    assert box is not None
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(*middle)
    page.mouse.wheel(0, -300)
    assert shown(page) != whole
    page.mouse.down()
    page.mouse.move(middle[0] + 120, middle[1] + 50, steps=4)
    page.mouse.up()
    expect(page.locator("#panel")).to_be_hidden()
    page.get_by_role("button", name="Whole").click()
    assert shown(page) == whole


def test_groups_and_tags_colour_it(open_page: Open):
    page = open_page("view=map")
    expect(page.locator(".legend button").first).to_be_visible()
    whole = shown(page)
    page.locator(".legend button").first.click()
    expect(page.locator(".legend button").first).to_have_attribute("aria-pressed", "true")
    assert shown(page) != whole
    page.get_by_label("Colour by").select_option("tag")
    expect(page.locator(".legend button")).to_have_count(6)
    expect(page.locator(".legend")).to_contain_text("yellow18")
    assert shown(page) != whole


def test_a_press_opens_the_picture_under_it(open_page: Open):
    page = open_page("view=map")
    canvas = page.locator("#map canvas")
    expect(canvas).to_be_visible()
    told = page.request.get(page.url.partition("#")[0] + "map").json()
    page.get_by_role("button", name="Closer").click()
    page.get_by_role("button", name="Whole").click()
    shown(page)
    box = canvas.bounding_box()
    assert box is not None
    # The farthest to the right stands alone: at the right edge of the map's square.
    far = max(told["points"], key=lambda point: point[1])
    unit = min(box["width"], box["height"] * 1.6) / 2 - 40
    flat = min(1, (box["height"] / 2 - 30) / unit)
    place = box["x"] + box["width"] / 2 + far[1] * unit, box["y"] + box["height"] / 2 + far[2] * unit * flat
    page.mouse.move(*place)
    expect(page.locator(".map-tip")).to_be_visible()
    expect(page.locator(".map-tip span")).to_have_text(re.compile("^a "))
    page.mouse.click(*place)
    expect(page.locator("#panel .frame img")).to_have_attribute("src", f"/image/{far[0]}")


def test_the_keyboard_moves_it_and_opens_the_middle(open_page: Open):
    page = open_page("view=map")
    page.locator("#map canvas").focus()
    whole = shown(page)
    for key in ("ArrowLeft", "ArrowUp", "+"):
        page.keyboard.press(key)
    assert shown(page) != whole
    page.keyboard.press("0")
    assert shown(page) == whole
    page.keyboard.press("Enter")
    expect(page.locator("#panel")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("m")
    expect(page.locator("#grid")).to_be_visible()


def test_many_pictures_are_dots(open_page: Open):
    """From far, and pictures from near; 5,000 points made here, since no index of the tests is so large."""
    white = png("white")
    page = open_page()
    points = [[n, (n % 71) / 35.5 - 1, (n // 71) / 35.5 - 1, n % 3, -1] for n in range(5000)]
    groups = [{"label": f"group {n}", "count": 1667} for n in range(3)]
    told = {"pictures": 9000, "points": points, "clusters": groups, "tags": [], "generation": "x"}
    page.route("**/map?*", lambda route: route.fulfill(json=told))
    page.route("**/map", lambda route: route.fulfill(json=told))
    page.route("**/thumbs/**", lambda route: route.fulfill(body=white, content_type="image/png"))
    page.keyboard.press("m")
    expect(page.locator("#map canvas")).to_have_attribute("data-drawn", "dots")
    expect(page.locator(".map-note")).to_have_text("5,000 pictures of 9,000 pictures, alike near to each other")
