// One picture at the side: the original, its path, and what is known of it.

import * as api from "./api.js";
import { $, button, el, iconButton } from "./dom.js";
import { announce } from "./say.js";
import { copy } from "./selection.js";
import { change } from "./state.js";
import { basename, bytes, moment, number, percent, sureness } from "./words.js";

let asked = new AbortController();
let back = null;
let acts = {};
let shown = null;

export const isOpen = () => !$("panel").hidden;
export const current = () => shown;

export function setUp(actions) {
  acts = actions;
}

export function close() {
  asked.abort();
  shown = null;
  $("panel").hidden = true;
  $("panel").replaceChildren();
  if (back?.isConnected) back.focus();
  back = null;
}

/** known: the hit, when there is one, so that something shows at once. */
export async function open(id, known) {
  asked.abort();
  asked = new AbortController();
  if (!isOpen()) back = document.activeElement;
  $("panel").hidden = false;
  if (known) draw(known);
  $("panel").querySelector(".close")?.focus();
  try {
    draw({ ...known, ...(await api.item(id, asked.signal)) });
    $("panel").querySelector(".close").focus();
    announce(`Details of ${basename(shown.name)}`);
  } catch (error) {
    if (error.name !== "AbortError") fail(error);
  }
}

function head(text) {
  return el("header", { class: "side-head" }, el("h2", { text }),
    iconButton("close", "Close the details", () => change({ open: null }), { class: "ghost close" }));
}

function fail(error) {
  $("panel").replaceChildren(head("Picture"), el("p", { class: "fault", role: "alert", text: error.message }));
}

function draw(item) {
  shown = item;
  $("panel").replaceChildren(head(basename(item.name)), frame(item),
    item.caption ? el("p", { class: "said", text: item.caption }) : "",
    actions(item),
    el("p", { class: "path" }, el("code", { text: item.name }),
      iconButton("copy", "Copy the path", () => copy(item.name, "Path copied"), { class: "ghost" })),
    facts(item));
}

/** The original; its small form where the browser cannot show it. */
function frame(item) {
  const image = el("img", { src: api.original(item.id), alt: item.caption || basename(item.name) });
  image.addEventListener("error", () => { image.src = api.thumb(item.id); }, { once: true });
  return el("div", { class: "frame" }, image);
}

function actions(item) {
  const link = el("a", { href: api.original(item.id), target: "_blank", rel: "noopener noreferrer" });
  return el("div", { class: "actions" },
    button("More like this", () => acts.like(item)),
    iconButton("plus", "More of this", () => acts.more(item), { class: "plain" }),
    iconButton("minus", "Less of this", () => acts.less(item), { class: "plain" }),
    iconButton("check", "Select", () => acts.pick(item), { class: "plain" }),
    iconButton("open", "The original in a new tab", () => link.click(), { class: "plain" }));
}

const PLAIN = ["camera", "lens", "iso"];

function facts(item) {
  const rows = [["Size", size(item)], ["Found with", found(item)], ["Taken", seconds(item.taken)],
    ...PLAIN.map((name) => [name, item[name]]), ["Place", place(item)], ["Tags", tags(item.tags)],
    ["Copies", copies(item.duplicates)], ["Changed", seconds(item.modified)], ["Indexed", seconds(item.added)],
    ...Object.entries(item.meta || {}).map(([name, value]) => [name.replaceAll("_", " "), plain(value)])];
  const told = rows.filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return el("dl", {}, ...told.map(([name, value]) =>
    el("div", {}, el("dt", { text: name }), el("dd", { text: String(value) }))));
}

const seconds = (time) => (typeof time === "number" ? moment(new Date(time * 1000).toISOString()) : "");
const tags = (told) => Object.entries(told || {}).map(([name, sure]) => `${name} (${percent(sure)})`).join("\n");
const copies = (paths) => (Array.isArray(paths) ? paths.join("\n") : "");

function place({ latitude, longitude }) {
  return typeof latitude === "number" && typeof longitude === "number" ? `${latitude.toFixed(5)}, ${longitude.toFixed(5)}` : "";
}

function size(item) {
  const pixels = item.width ? `${number(item.width)} \u00d7 ${number(item.height)}` : "";
  return [pixels, item.size ? bytes(item.size) : ""].filter(Boolean).join(", ");
}

function found(item) {
  if (item.confidence === null || item.confidence === undefined) return "";
  return `${percent(item.confidence)} confidence (${sureness(item.confidence)}), score ${item.score.toFixed(3)}`;
}

function plain(value) {
  return typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(7)) : value;
}
