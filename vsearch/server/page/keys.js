// The keyboard, wherever nothing is being typed.

import { $ } from "./dom.js";
import * as filters from "./filters.js";
import * as grid from "./grid.js";
import * as panel from "./panel.js";
import { copy } from "./selection.js";
import * as selection from "./selection.js";
import { change, empty, get } from "./state.js";
import { next as nextTheme } from "./theme.js";

const TYPED = new Set(["INPUT", "SELECT", "TEXTAREA"]);
const ARROWS = { ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down" };
let acts = {};

const anywhere = {
  "/": () => { $("query").focus(); $("query").select(); },
  "?": () => $("help").showModal(),
  f: () => filters.toggle(),
  m: () => change({ view: get().view === "map" ? "grid" : "map" }),
  t: () => nextTheme(),
};

/** For the picture with the focus, or else the one in the side panel. */
const ofPicture = {
  "+": (hit) => acts.more(hit),
  "=": (hit) => acts.more(hit),
  "-": (hit) => acts.less(hit),
  i: (hit) => acts.detail(hit),
  c: (hit) => copy(hit.name, "Path copied"),
  " ": (hit) => acts.pick(hit),
};

export function setUp(actions) {
  acts = actions;
  $("help-open").addEventListener("click", () => $("help").showModal());
  $("help-close").addEventListener("click", () => $("help").close());
  document.addEventListener("keydown", pressed);
  $("grid").addEventListener("focusin", (event) => {
    if (event.target.classList.contains("look") && event.target.tabIndex < 0) grid.focus(event.target.closest(".card"));
  });
}

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.key === "Escape") return escape(event);
  if (TYPED.has(event.target.tagName)) return;
  const direction = ARROWS[event.key];
  const hit = grid.hitOf(grid.focused()) || (panel.isOpen() ? panel.current() : null);
  const onPicture = event.target.classList.contains("look");
  if (direction && (onPicture || event.target === document.body)) run(event, () => grid.move(direction));
  else if (hit && ofPicture[event.key] && (event.key !== " " || onPicture)) run(event, () => ofPicture[event.key](hit));
  else if (anywhere[event.key]) run(event, anywhere[event.key]);
}

function run(event, act) {
  event.preventDefault();
  act();
}

/** One step out: the details, the filters where they cover the page, the selection, the query. */
function escape(event) {
  event.preventDefault();
  if (panel.isOpen()) return change({ open: null });
  if (filters.isOpen() && matchMedia("(max-width: 900px)").matches) return filters.toggle(false);
  if (selection.size()) return selection.clear();
  const { collection, view, rerank } = get();
  change({ ...empty(), collection, view, rerank });
  $("query").focus();
}
