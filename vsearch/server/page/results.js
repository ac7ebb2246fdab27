// Asking, and showing what is answered: the first page, the pages after it, and what to say when there is none.

import * as api from "./api.js";
import { $, button, el } from "./dom.js";
import * as filters from "./filters.js";
import * as grid from "./grid.js";
import * as map from "./map.js";
import * as rerank from "./rerank.js";
import { announce } from "./say.js";
import { condition, inWords, query } from "./question.js";
import { change, empty, get } from "./state.js";
import { count, number, percent, sureness } from "./words.js";

const PAGE = 40;
let asked = new AbortController();
let cursor = null;
let coming = false;
let onSignIn = () => {};

/** signIn: called when the server wants a token first. */
export function setUp(signIn) {
  onSignIn = signIn;
  const seen = new IntersectionObserver(([entry]) => entry.isIntersecting && more(), { rootMargin: "900px" });
  seen.observe($("sentinel"));
}

function request(state, signal, after) {
  const question = query(state);
  const where = condition(state) || undefined;
  if (question === null) return api.browse({ where, cursor: after, k: PAGE }, signal);
  if (after) return api.search({ parts: [], cursor: after, k: PAGE }, signal);
  const reranked = rerank.wanted(state, question) ? { rerank: true } : {};
  return api.search({ ...question, ...reranked, where, k: PAGE }, signal);
}

export async function ask() {
  asked.abort();
  const mine = (asked = new AbortController());
  cursor = null;
  coming = true;
  const state = get();
  const slow = setTimeout(grid.waiting, 120);
  try {
    const answer = await request(state, mine.signal);
    if (mine.signal.aborted) return;
    clearTimeout(slow);
    show(state, answer);
  } catch (error) {
    if (error.name !== "AbortError" && !mine.signal.aborted) fail(error);
  } finally {
    clearTimeout(slow);
    if (mine === asked) coming = false;
  }
  fill();
}

function show(state, answer) {
  filters.fault("");
  grid.show(answer.hits);
  scrollTo(0, 0);
  cursor = answer.cursor;
  notice(state, answer);
  summary(state, answer);
  map.light(query(state) ? answer.hits.map((hit) => hit.id) : []);
}

/** The next page, when there is one and it is not on its way. */
async function more() {
  if (coming || cursor === null || $("grid").hidden) return;
  coming = true;
  const mine = asked;
  try {
    const answer = await request(get(), mine.signal, cursor);
    if (mine.signal.aborted) return;
    cursor = answer.cursor;
    grid.append(answer.hits);
    announce(`${number(grid.all().length)} pictures shown`);
  } catch (error) {
    if (error.name !== "AbortError" && mine === asked) fail(error, true);
  } finally {
    if (mine === asked) coming = false;
  }
  fill();
}

/** A tall window can hold more than one page: the observer tells of changes only. */
function fill() {
  if (!coming && cursor !== null && $("sentinel").getBoundingClientRect().top < innerHeight + 900) more();
}

function summary(state, answer) {
  const words = inWords(state);
  document.title = words ? `${words} – vsearch` : "vsearch";
  const found = grid.all().length;
  const many = cursor ? "" : `${count(found, "picture")}`;
  const sure = answer.confidence === null ? "" : `best match ${percent(answer.confidence)}, ${sureness(answer.confidence)}`;
  const order = rerank.wanted(state, query(state) || { parts: [] }) ? "re-ranked" : "";
  const told = query(state) ? [sure || "best matches first", order, many] : ["newest first", many];
  if (answer.missing?.length) told.push(`no answer from ${answer.missing.join(", ")}`);
  const text = told.filter(Boolean).join(" \u00b7 ");
  $("summary").textContent = found ? text.charAt(0).toUpperCase() + text.slice(1) : "";
  $("timing").textContent = found && answer.milliseconds !== undefined ? `${answer.milliseconds.toFixed(0)} ms` : "";
  announce(answer.nothing_matches && found ? `Nothing matches ${words}; the nearest are shown` : found ? text : "Nothing found");
}

function notice(state, answer) {
  const box = $("notice");
  box.className = "notice";
  box.hidden = false;
  if (!answer.hits.length) return nothing(box, state);
  if (answer.nothing_matches) {
    box.replaceChildren(el("p", {}, el("strong", { text: `Nothing here seems to match \u201c${inWords(state)}\u201d.` })),
      el("p", { class: "quiet", text: "These pictures are the nearest there are." }));
    return undefined;
  }
  box.hidden = true;
  return undefined;
}

function nothing(box, state) {
  box.classList.add("empty");
  const { collection, view, rerank: reranks } = state;
  const filtered = condition(state) !== "";
  const lost = state.parts.length || state.text.trim();
  const title = filtered ? "No picture passes the filters" : lost ? "Nothing found" : "No pictures yet";
  const hint = filtered || lost ? "" : "Add some with: vsearch index ./photos";
  box.replaceChildren(el("strong", { text: title }), el("p", { class: "quiet", text: hint }),
    el("div", { class: "actions" },
      filtered ? button("Take the filters away", () => change({ folder: "", from: "", to: "", values: [], where: "" })) : null,
      lost ? button("Start again", () => change({ ...empty(), collection, view, rerank: reranks })) : null));
}

function fail(error, later = false) {
  if (error.status === 401) return onSignIn();
  if (!later) grid.show([]);
  $("summary").textContent = "";
  $("timing").textContent = "";
  if (error.kind === "FilterError") filters.fault(error.message);
  const box = $("notice");
  box.hidden = false;
  box.className = "notice bad";
  box.replaceChildren(el("p", { class: "fault", text: error.message }),
    el("div", { class: "actions" }, button("Try again", ask)));
  announce(error.message);
  return undefined;
}
