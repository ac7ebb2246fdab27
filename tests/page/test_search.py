"""Asking: as one types, with pictures, with parts and weights; what is said of the answers."""

from __future__ import annotations

import io
import re
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, Route, expect

from page.conftest import Open

RED = re.compile("red")


def names(page: Page) -> list[str]:
    """What the cards are called, in their order."""
    expect(page.locator("#grid")).not_to_have_attribute("aria-busy", "true")
    return page.locator(".card .name").all_text_contents()


def png(colour: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48), colour).save(buffer, "PNG")
    return buffer.getvalue()


def ask(page: Page, words: str) -> None:
    with page.expect_response("**/search"):
        page.locator("#query").fill(words)


def test_results_come_as_one_types(open_page: Open, pictured):
    page = open_page()
    expect(page.locator("#summary")).to_have_text("Newest first")
    ask(page, "red circle")
    expect(page.locator(".card .name").first).to_have_text(RED)
    expect(page.locator("#summary")).to_have_text(re.compile(r"Best match \d+ %, sure"))
    assert all("red" in name for name in names(page)[:8])
    assert "q=red+circle" in page.url
    assert page.title() == "red circle – vsearch"
    pictured(page, "search")


def test_only_the_last_words_are_answered(open_page: Open):
    """The first question is held back; it is cancelled by the second, and never shown."""
    page = open_page()
    held: list[Route] = []
    page.route(
        "**/search", lambda route: held.append(route) if "red" in (route.request.post_data or "") else route.continue_()
    )
    with page.expect_request(lambda request: "red" in (request.post_data or "")) as first:
        page.locator("#query").fill("red")
    ask(page, "blue")
    expect(page.locator(".card .name").first).to_have_text(re.compile("blue"))
    assert first.value.failure is not None
    assert len(held) == 1


def test_nothing_matches_is_said(open_page: Open):
    page = open_page("q=nothing+of+the+kind+zzz")
    expect(page.locator("#notice")).to_contain_text("Nothing here seems to match “nothing of the kind zzz”")
    expect(page.locator("#live")).to_contain_text("Nothing matches")
    assert len(names(page)) > 0


def test_parts_have_weights_and_can_be_unwanted(open_page: Open):
    page = open_page()
    page.locator("#query").fill("red")
    page.keyboard.press("Enter")
    page.locator("#query").fill("-circle")
    page.keyboard.press("Enter")
    chips = page.locator(".chip")
    expect(chips).to_have_count(2)
    expect(chips.nth(1)).to_have_class("chip less")
    with page.expect_request("**/search") as asked:
        chips.nth(0).locator(".heavier").click()
    assert asked.value.post_data_json["parts"] == [{"text": "red", "weight": 1.25}, {"text": "circle", "weight": -1}]
    with page.expect_request("**/search") as asked:
        chips.nth(1).locator(".sign").click()
    assert asked.value.post_data_json["parts"][1] == {"text": "circle", "weight": 1}
    chips.nth(1).locator(".remove").click()
    expect(chips).to_have_count(1)
    assert all("red" in name for name in names(page)[:8])


def test_a_result_leads_to_more_like_it_and_marks_refine(open_page: Open):
    page = open_page("q=blue")
    first = page.locator(".card").first
    id = int(first.get_attribute("data-id") or "")
    first.hover()
    with page.expect_request("**/search") as asked:
        first.locator(".plus").click()
    assert (asked.value.post_data_json["more"], asked.value.post_data_json["less"]) == ([id], [])
    page.wait_for_load_state("networkidle")
    second = page.locator(".card").nth(3)
    other = int(second.get_attribute("data-id") or "")
    second.hover()
    with page.expect_request("**/search") as asked:
        second.locator(".minus").click()
    assert asked.value.post_data_json["less"] == [other]
    expect(page.locator(f'.card[data-id="{other}"]')).to_have_count(0)
    page.wait_for_load_state("networkidle")
    like = page.locator(".card").first
    id = int(like.get_attribute("data-id") or "")
    with page.expect_request("**/search") as asked:
        like.locator(".look").click()
    assert asked.value.post_data_json["parts"] == [{"id": id, "weight": 1}]
    expect(page.locator("#query")).to_have_value("")
    expect(page.locator(f'.card[data-id="{id}"]')).to_have_count(0)


def test_a_picture_is_chosen(open_page: Open):
    page = open_page()
    page.locator("#file").set_input_files({"name": "green.png", "mimeType": "image/png", "buffer": png("#208030")})
    expect(page.locator(".chip canvas")).to_have_count(1)
    expect(page.locator(".card .name").first).to_have_text(re.compile("green"))
    page.reload()
    expect(page.locator(".chip canvas")).to_have_count(1)
    expect(page.locator(".card .name").first).to_have_text(re.compile("green"))


def deliver(page: Page, kind: str, data: bytes) -> None:
    """What the browser does when a picture is dropped or pasted."""
    page.evaluate(
        """([kind, bytes]) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], "picture.png", { type: "image/png" }));
            const options = { bubbles: true, cancelable: true };
            const event = kind === "paste"
                ? new ClipboardEvent("paste", { ...options, clipboardData: transfer })
                : new DragEvent(kind, { ...options, dataTransfer: transfer });
            document.querySelector("main").dispatchEvent(event);
        }""",
        [kind, list(data)],
    )


def test_a_picture_is_dropped_and_another_pasted(open_page: Open):
    page = open_page()
    deliver(page, "dragenter", png("#c81e1e"))
    expect(page.locator("#drop")).to_be_visible()
    deliver(page, "drop", png("#c81e1e"))
    expect(page.locator("#drop")).to_be_hidden()
    expect(page.locator(".card .name").first).to_have_text(RED)
    deliver(page, "paste", png("#f0d220"))
    expect(page.locator(".chip canvas")).to_have_count(2)


def test_all_pages_come_and_nothing_comes_twice(open_page: Open):
    page = open_page("q=red")
    expect(page.locator(".card").nth(39)).to_be_attached()
    for _ in range(12):
        page.mouse.wheel(0, 4000)
        page.wait_for_load_state("networkidle")
    expect(page.locator(".card")).to_have_count(108)
    ids = page.locator(".card").evaluate_all("cards => cards.map((card) => card.dataset.id)")
    assert len(set(ids)) == 108


def test_the_grid_keeps_the_place_of_pictures(open_page: Open):
    """No card moves or changes its size when its picture arrives."""
    page = open_page()
    held: list[Route] = []
    page.route("**/thumbs/**", lambda route: held.append(route))
    page.locator("#query").fill("green")
    expect(page.locator(".card .name").first).to_have_text(re.compile("green"))
    boxes = "cards => cards.map((card) => JSON.stringify(card.getBoundingClientRect()))"
    before = page.locator(".card").evaluate_all(boxes)
    for route in held:
        route.continue_()
    page.unroute("**/thumbs/**")
    expect(page.locator(".card img.there").nth(5)).to_be_attached()
    assert page.locator(".card").evaluate_all(boxes)[: len(before)] == before


def test_back_forward_and_reload(open_page: Open):
    page = open_page("p=1:text:red")
    page.locator("#query").fill("square")
    page.keyboard.press("Enter")
    expect(page.locator(".chip")).to_have_count(2)
    page.go_back()
    expect(page.locator(".chip")).to_have_count(1)
    page.go_forward()
    expect(page.locator(".chip")).to_have_count(2)
    found = names(page)
    page.reload()
    expect(page.locator(".chip")).to_have_count(2)
    expect(page.locator(".card").nth(8)).to_be_attached()
    assert names(page)[:8] == found[:8]


def test_errors_are_said_and_can_be_tried_again(open_page: Open, witness):
    page = open_page()
    witness.excused.append("Failed to load resource")
    fault = '{"error": {"kind": "Busy", "message": "too many requests", "id": "x"}}'
    page.route("**/search", lambda route: route.fulfill(status=429, content_type="application/json", body=fault))
    page.locator("#query").fill("red")
    expect(page.locator("#notice")).to_contain_text("too many requests")
    page.unroute("**/search")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".card .name").first).to_have_text(RED)
    expect(page.locator("#notice")).to_be_hidden()


def test_copies_of_the_selection(open_page: Open, tmp_path: Path, pictured):
    page = open_page("q=red")
    for card in (0, 1):
        page.locator(".card").nth(card).hover()
        page.locator(".card .pick").nth(card).click()
    expect(page.locator("#selection strong")).to_have_text("2 pictures selected")
    pictured(page, "selection")
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save CSV").click()
    lines = Path(saved.value.path()).read_text(encoding="utf-8").splitlines()
    assert lines[0] == "id,name,caption,width,height,score,confidence"
    assert len(lines) == 3
    assert all(",a red " in line for line in lines[1:])
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save paths").click()
    paths = Path(saved.value.path()).read_text(encoding="utf-8").splitlines()
    assert [line.split(",")[1] for line in lines[1:]] == paths
    with page.expect_request("**/search") as asked:
        page.get_by_role("button", name="More like these").click()
    assert [part["id"] for part in asked.value.post_data_json["parts"]] == [
        int(line.split(",")[0]) for line in lines[1:]
    ]
    expect(page.locator("#selection")).to_be_hidden()


def test_no_switch_where_the_server_has_no_reranker(open_page: Open):
    """An address that someone else wrote down may ask for it; nobody is bothered."""
    page = open_page()
    with page.expect_response("**/search") as told:
        page.goto(page.url.partition("#")[0] + "#q=red&rerank=1")
    assert told.value.ok and "rerank" not in told.value.request.post_data_json
    expect(page.locator("#rerank-switch")).to_be_hidden()


def test_shards_that_did_not_answer_are_named(open_page: Open):
    """What a server of shards answers, put into the answer of this one."""
    page = open_page()

    def partial(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json={**answer.json(), "missing": ["b", "<b>c"]})

    page.route("**/search", partial)
    ask(page, "red")
    expect(page.locator("#summary")).to_contain_text("no answer from b, <b>c")
    page.unroute("**/search")
    ask(page, "blue")
    expect(page.locator("#summary")).not_to_contain_text("no answer")
