// The pictures found, and moving among them with the keyboard.

import { card, ghost } from "./card.js";
import { $ } from "./dom.js";
import * as selection from "./selection.js";

const GHOSTS = 18;
let hits = [];
let acts = {};

export const all = () => hits;
export const cards = () => [...$("grid").querySelectorAll(".card:not(.ghostly)")];
export const hitOf = (node) => hits.find((hit) => hit.id === Number(node?.dataset.id));

export function setUp(actions) {
  acts = actions;
  selection.watch(mark);
}

/** Places for pictures that are on their way; what is there stays, dimmed, when something is. */
export function waiting() {
  $("grid").setAttribute("aria-busy", "true");
  if (hits.length) $("grid").classList.add("stale");
  else $("grid").replaceChildren(...Array.from({ length: GHOSTS }, (_, n) => ghost(n)));
}

export function show(found) {
  hits = [];
  $("grid").replaceChildren();
  append(found);
}

export function append(found) {
  const known = new Set(hits.map((hit) => hit.id));
  const fresh = found.filter((hit) => !known.has(hit.id));
  hits = hits.concat(fresh);
  const grid = $("grid");
  grid.classList.remove("stale");
  grid.removeAttribute("aria-busy");
  grid.append(...fresh.map((hit) => card(hit, acts)));
  mark();
  if (!grid.querySelector('.look[tabindex="0"]')) grid.querySelector(".look")?.setAttribute("tabindex", "0");
}

function mark() {
  for (const node of cards()) {
    const on = selection.has(Number(node.dataset.id));
    node.classList.toggle("chosen", on);
    node.querySelector(".pick").setAttribute("aria-pressed", String(on));
  }
}

/** The card that has the focus, or holds what has. */
export const focused = () => document.activeElement?.closest?.(".card");

/** Only one card is in the tab order, with its buttons: the one that was last looked at. */
export function focus(node) {
  if (!node) return;
  for (const old of $("grid").querySelectorAll('[tabindex="0"]')) old.setAttribute("tabindex", "-1");
  for (const each of node.querySelectorAll("button")) each.setAttribute("tabindex", "0");
  node.querySelector(".look").focus();
  node.scrollIntoView({ block: "nearest" });
}

export const focusFirst = () => focus(cards()[0]);

/** Left and right go through the order, up and down to the nearest picture of the next row. */
export function move(direction) {
  const list = cards();
  const at = list.indexOf(focused());
  if (at < 0) return focus(list[0]);
  if (direction === "left") return focus(list[at - 1]);
  if (direction === "right") return focus(list[at + 1]);
  return focus(nearest(list, at, direction === "up" ? -1 : 1));
}

function nearest(list, at, step) {
  const from = list[at].getBoundingClientRect();
  let best = null;
  let row = null;
  for (let i = at + step; i >= 0 && i < list.length; i += step) {
    const box = list[i].getBoundingClientRect();
    if (Math.abs(box.top - from.top) < 4) continue;
    if (row !== null && Math.abs(box.top - row) > 4) break;
    row = box.top;
    const away = Math.abs(box.left + box.width / 2 - from.left - from.width / 2);
    if (!best || away < best.away) best = { node: list[i], away };
  }
  return best?.node;
}
