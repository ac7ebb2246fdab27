"""Names, captions, cameras and tags are text, whatever they hold; and the harness sees it when they are not."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from page.collections import PAYLOADS
from page.conftest import Open


def test_payloads_show_as_text_everywhere(open_page: Open, pictured):
    page = open_page("c=hostile")
    expect(page.locator(".card")).to_have_count(len(PAYLOADS) + 1)
    said = page.locator(".card .said").all_text_contents()
    assert {text.strip() for text in said} >= {payload for payload in PAYLOADS if "\u202e" not in payload}
    assert page.locator("main img[src='x'], main script, main iframe, main b").count() == 0
    page.locator("#filters-toggle").click()
    expect(page.locator("#facet-values")).to_contain_text(PAYLOADS[0])
    for number in range(page.locator(".card").count()):
        page.locator(".card .look").nth(number).focus()
        page.keyboard.press("i")
        expect(page.locator("#panel .path")).to_be_visible()
        page.wait_for_load_state("networkidle")
        page.keyboard.press("Escape")
    pictured(page, "hostile")
    page.keyboard.press("m")
    expect(page.locator(".legend")).to_be_visible()
    page.get_by_label("Colour by").select_option("tag")
    expect(page.locator(".legend")).to_contain_text("<img src=x onerror=alert(1)>")


def test_a_hostile_query_and_fragment_are_text(open_page: Open):
    payload = "%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E"
    page = open_page(
        f"q={payload}&p=-0.5:text:{payload}&p=9:text:x&p=1:id:javascript:1&p=1:evil:x&open=-1&c=hostile&view=<b>"
    )
    expect(page.locator(".chip .words")).to_have_text(["<img src=x onerror=alert(1)>"])
    expect(page.locator("#query")).to_have_value("<img src=x onerror=alert(1)>")
    expect(page).to_have_title(re.compile("^not <img src=x"))


def test_a_page_that_parses_captions_is_caught(open_page: Open, witness):
    """The planted defect: a card that writes its caption as markup.  The witness must not miss what comes of it."""
    page = open_page()

    def planted(route):
        answer = route.fetch()
        text = answer.text()
        changed = re.sub(
            r'hit\.caption \? el\("span", \{ class: "said", text: title\(hit\) \}\) : null',
            'Object.assign(el("span", { class: "said" }), { innerHTML: title(hit) })',
            text,
        )
        assert changed != text
        route.fulfill(response=answer, body=changed)

    page.route("**/page/card.js", planted)
    page.goto("about:blank")
    page.goto(f"http://{witness.host}/#c=hostile")
    expect(page.locator(".card")).to_have_count(len(PAYLOADS) + 1)
    page.wait_for_load_state("networkidle")
    assert any(fault.startswith("console: policy: script-src") for fault in witness.faults), witness.faults
    witness.faults.clear()
