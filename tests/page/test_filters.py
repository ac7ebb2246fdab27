"""Narrowing down: dates, folders, values, a condition of one's own."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from page.conftest import Open


def where(page: Page, act) -> str | None:
    """The condition that an act makes the page ask with."""
    with page.expect_request(re.compile("/browse|/search")) as asked:
        act()
    if asked.value.post_data_json:
        return asked.value.post_data_json.get("where")
    match = re.search("where=([^&]*)", asked.value.url)
    return match[1] if match else None


def test_the_histogram_chooses_months(open_page: Open, pictured):
    page = open_page("q=red")
    page.locator("#filters-toggle").click()
    bars = page.locator(".histogram button")
    expect(bars).to_have_count(25)  # 108 pictures, one a week from January 2022
    expect(bars.first).to_have_attribute("aria-label", "2022-01: 4 pictures")
    pictured(page, "filters")
    assert where(page, bars.first.click) == "taken >= '2022-01-01' and taken < '2022-02-01'"
    expect(page.locator(".card")).to_have_count(4)
    third = bars.nth(2)
    assert where(page, lambda: third.click(modifiers=["Shift"])) == "taken >= '2022-01-01' and taken < '2022-04-01'"
    expect(bars.nth(1)).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".chip.filter")).to_have_text("2022-01-01 to 2022-03-31")
    page.get_by_label("To", exact=True).fill("2022-02-28")
    expect(page.locator(".chip.filter")).to_have_text("2022-01-01 to 2022-02-28")
    assert where(page, page.locator(".chip.filter .remove").click) is None
    expect(bars.first).to_have_attribute("aria-pressed", "false")


def test_the_tree_chooses_folders(open_page: Open):
    page = open_page()
    page.locator("#filters-toggle").click()
    trips = page.locator(".tree > li", has_text="trips")
    expect(trips.locator(".value").first).to_contain_text("trips")
    assert int(trips.locator(".count").first.text_content() or "") == 90
    trips.locator(".twig").first.click()
    trips.get_by_role("button", name=re.compile("^oslo")).click()
    expect(page.locator(".chip.filter")).to_have_text("trips/oslo/")
    expect(page.locator(".card")).to_have_count(18)
    page.reload()
    expect(page.locator(".chip.filter")).to_have_text("trips/oslo/")
    expect(page.locator(".card")).to_have_count(18)


def test_values_of_columns_are_chosen(open_page: Open):
    page = open_page()
    page.locator("#filters-toggle").click()
    page.get_by_role("button", name=re.compile("^Canon")).click()
    expect(page.locator(".chip.filter")).to_have_text("camera: Canon EOS R6")
    expect(page.locator("#summary")).to_have_text("Newest first")
    page.locator("#facet-values section", has_text="tags").get_by_role("button", name=re.compile("^blue")).click()
    expect(page.locator(".chip.filter")).to_have_count(2)
    expect(page.locator(".card")).to_have_count(0)  # Canon took the odd ones: green, yellow, black
    expect(page.locator("#notice")).to_contain_text("No picture passes the filters")
    page.get_by_role("button", name="Take the filters away").click()
    expect(page.locator(".chip")).to_have_count(0)


def test_a_condition_of_ones_own(open_page: Open, witness):
    page = open_page("q=red")
    page.locator("#filters-toggle").click()
    expect(page.locator("#where-hint")).to_contain_text("camera")
    page.locator("#where").fill("width >= 400")
    page.locator("#where").press("Enter")
    expect(page.locator(".chip.filter")).to_have_text("width >= 400")
    page.wait_for_load_state("networkidle")
    assert 0 < page.locator(".card").count() < 40
    witness.excused.append("Failed to load resource")
    page.locator("#where").fill("widht >= 400")
    page.locator("#where").press("Enter")
    expect(page.locator("#where-error")).to_contain_text("did you mean 'width'?")
    page.locator("#where").fill("")
    page.locator("#where").press("Enter")
    expect(page.locator("#where-error")).to_have_text("")
    expect(page.locator(".card").first).to_be_visible()


def test_folders_and_values_with_quotes_are_compared_not_run(open_page: Open):
    page = open_page("folder=it's/&v=camera%3Da'+or+''%3D'")
    expect(page.locator("#notice")).to_be_visible()
    expect(page.locator(".card")).to_have_count(0)
