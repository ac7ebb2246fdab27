// Pictures that were selected, and what can be made of them.

import { $, button, el, iconButton } from "./dom.js";
import { toast } from "./say.js";
import { count } from "./words.js";

const COLUMNS = ["id", "name", "caption", "width", "height", "score", "confidence"];
const chosen = new Map();
const listeners = [];

export const has = (id) => chosen.has(id);
export const size = () => chosen.size;
export const watch = (listener) => listeners.push(listener);

export function toggle(hit) {
  if (!chosen.delete(hit.id)) chosen.set(hit.id, hit);
  changed();
}

export function clear() {
  chosen.clear();
  changed();
}

function changed() {
  draw();
  for (const listener of listeners) listener();
}

/** RFC 4180, one line a picture under a line of names. */
export function csv(hits) {
  const cell = (value) => {
    const text = value === null || value === undefined ? "" : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const rows = hits.map((hit) => COLUMNS.map((name) => cell(hit[name])).join(","));
  return [COLUMNS.join(","), ...rows].join("\r\n") + "\r\n";
}

export const paths = (hits) => hits.map((hit) => `${hit.name}\n`).join("");

export async function copy(text, said) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    byHand(text);
  }
  toast(said);
}

/** Where the page is not in a secure context there is no clipboard but this one. */
function byHand(text) {
  const area = el("textarea", { class: "unseen", "aria-hidden": "true" });
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

function save(text, kind, name) {
  const url = URL.createObjectURL(new Blob([text], { type: `${kind};charset=utf-8` }));
  el("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
  toast(`${name} saved`);
}

let more = () => {};

/** moreLike: called with the selected hits. */
export function setUp(moreLike) {
  more = moreLike;
}

function draw() {
  const bar = $("selection");
  const hits = [...chosen.values()];
  bar.hidden = !hits.length;
  bar.replaceChildren(
    el("strong", { text: `${count(hits.length, "picture")} selected` }),
    button("More like these", () => more(hits)),
    button("Save CSV", () => save(csv(hits), "text/csv", "pictures.csv")),
    button("Save paths", () => save(paths(hits), "text/plain", "pictures.txt")),
    button("Copy paths", () => copy(paths(hits), `${count(hits.length, "path")} copied`)),
    iconButton("close", "Clear the selection", clear, { class: "ghost" }));
}
