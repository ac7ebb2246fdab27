// Filters: a histogram of dates, the tree of folders, frequent values of the columns, a condition of one's own.

import * as api from "./api.js";
import { $, el, icon } from "./dom.js";
import { histogram } from "./histogram.js";
import { change, get } from "./state.js";
import { number } from "./words.js";

let asked = new AbortController();
let askedOf = null;

export const isOpen = () => !$("filters").hidden;

export function toggle(on = !isOpen()) {
  $("filters").hidden = !on;
  $("filters-toggle").setAttribute("aria-expanded", String(on));
  if (!on) return;
  load();
  if (matchMedia("(max-width: 900px)").matches) $("filters-close").focus();
}

/** Of the whole collection: choosing something must not take the other choices away. */
async function load() {
  if (askedOf === get().collection) return draw(get());
  asked.abort();
  asked = new AbortController();
  try {
    facets = await api.facets("", asked.signal);
    askedOf = get().collection;
    draw(get());
  } catch (error) {
    if (error.name !== "AbortError") $("where-error").textContent = error.message;
  }
}

let facets = null;

/** Another collection, or another generation of it: ask again. */
export function forget() {
  askedOf = null;
  if (isOpen()) load();
}

export function draw(state) {
  if (document.activeElement !== $("where")) $("where").value = state.where;
  if (!facets || !isOpen()) return;
  $("facet-dates").replaceChildren(...histogram(facets.months, state));
  $("facet-folders").replaceChildren(...folders(tree(facets.folders), state));
  $("facet-values").replaceChildren(...facets.columns.map((facet) => values(facet, state)));
}

export function explain(columns) {
  const names = columns.map((column) => column.name).filter((name) => name !== "tag_confidences");
  $("where-hint").textContent = `SQL, as after WHERE. Columns: ${names.join(", ")}.`;
}

/** Shown at the field that it is about. */
export function fault(message) {
  $("where-error").textContent = message;
  if (message) toggle(true);
  $("where").toggleAttribute("aria-invalid", Boolean(message));
}

/** [{value: "trips/rome/", count}] as nested folders: {name, path, count, folders}. */
export function tree(flat) {
  const all = new Map([["", { folders: [] }]]);
  for (const { value: path, count } of [...flat].sort((a, b) => (a.value < b.value ? -1 : 1))) {
    if (!path) continue;
    const above = path.slice(0, path.lastIndexOf("/", path.length - 2) + 1);
    const node = { name: path.slice(above.length).replace(/\/$/, ""), path, count, folders: [] };
    all.set(path, node);
    (all.get(above) || all.get("")).folders.push(node);
  }
  return all.get("").folders;
}

function folders(top, state) {
  if (!top.length) return [];
  return [el("h3", { text: "Folders" }), el("ul", { class: "tree" }, ...top.map((node) => branch(node, state)))];
}

const opened = new Set();

function branch(node, state) {
  const inside = node.folders;
  const on = state.folder === node.path;
  const isOut = opened.has(node.path) || state.folder.startsWith(node.path);
  const below = el("ul", { hidden: !isOut }, ...inside.map((each) => branch(each, state)));
  const twig = el("button", {
    type: "button", class: inside.length ? "twig" : "twig leaf", "aria-expanded": String(isOut),
    "aria-label": `Folders in ${node.name}`, tabindex: inside.length ? null : "-1",
    onclick: () => {
      const out = below.hidden;
      below.hidden = !out;
      twig.setAttribute("aria-expanded", String(out));
      if (out) opened.add(node.path);
      else opened.delete(node.path);
    },
  }, icon("chevron"));
  const pick = value(node.name, node.count, on, () => change({ folder: on ? "" : node.path }));
  return el("li", {}, el("div", { class: "branch" }, twig, pick), inside.length ? below : null);
}

function value(text, count, on, onclick) {
  return el("button", { type: "button", class: "value", "aria-pressed": String(on), onclick },
    el("span", { class: "word", text }), el("span", { class: "count", text: number(count) }));
}

function values(facet, state) {
  const is = ([column, told]) => column === facet.column && told;
  const chosen = new Set(state.values.filter(is).map(([, told]) => told));
  const list = facet.values.map(({ value: told, count }) => {
    const text = String(told);
    const on = chosen.has(text);
    const rest = state.values.filter(([column, each]) => column !== facet.column || each !== text);
    return el("li", {}, value(text, count, on, () => change({ values: on ? rest : [...rest, [facet.column, text]] })));
  });
  return el("section", { class: "facet" }, el("h3", { text: facet.column.replaceAll("_", " ") }),
    el("ul", { class: "values" }, ...list));
}

export function setUp() {
  $("filters-toggle").addEventListener("click", () => toggle());
  $("filters-close").addEventListener("click", () => {
    toggle(false);
    $("filters-toggle").focus();
  });
  $("where-form").addEventListener("submit", (event) => {
    event.preventDefault();
    change({ where: $("where").value.trim() });
  });
}
