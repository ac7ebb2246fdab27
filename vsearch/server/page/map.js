// The map of the collection: near to each other is alike.  This is what one does with it; mapdraw.js draws it.

import * as api from "./api.js";
import { $, button, el, iconButton } from "./dom.js";
import { COLOURS, Drawing } from "./mapdraw.js";
import { announce } from "./say.js";
import { count, title } from "./words.js";

let drawing = null;
let told = null;
let askedOf = null;
let acts = {};
let tip = null;
let over = null;

export function setUp(actions) {
  acts = actions;
}

/** Show it, asking for it once per collection. */
export async function show(collection) {
  if (askedOf === collection && told) return drawing.resize();
  askedOf = collection;
  $("map").replaceChildren(el("p", { class: "map-note", text: "Laying out the map\u2026" }));
  try {
    told = await api.map();
  } catch (error) {
    askedOf = null;
    $("map").replaceChildren(el("p", { class: "map-note fault", role: "alert", text: error.message }));
    return;
  }
  build();
}

export function forget() {
  askedOf = null;
  told = null;
}

export const redraw = () => drawing?.draw();

/** Mark pictures on it: those found by the query. */
export function light(ids) {
  drawing?.light(ids);
}

function build() {
  if (!told.points.length) {
    $("map").replaceChildren(el("p", { class: "map-note", text: "There is nothing to lay out yet." }));
    return;
  }
  const canvas = el("canvas", {
    tabindex: "0", role: "application",
    "aria-label": `Map of ${count(told.points.length, "picture")}. Arrows move, plus and minus zoom, Enter opens the picture in the middle.`,
  });
  tip = el("div", { class: "map-tip", hidden: true, "aria-hidden": "true" });
  $("map").replaceChildren(canvas, el("p", { class: "map-note", text: note() }), tools(), legend("cluster"), tip);
  drawing = new Drawing(canvas, told, (id) => api.thumb(id, 160));
  listen(canvas);
  drawing.resize();
  new ResizeObserver(() => drawing.resize()).observe(canvas);
}

function note() {
  const all = told.pictures ?? told.points.length;
  const some = told.points.length < all ? `${count(told.points.length, "picture")} of ${count(all, "picture")}` : count(all, "picture");
  return `${some}, alike near to each other`;
}

function tools() {
  const by = el("select", { "aria-label": "Colour by", onchange: (event) => colour(event.target.value) },
    el("option", { value: "cluster", text: "Colour by group" }),
    told.tags.length ? el("option", { value: "tag", text: "Colour by tag" }) : null);
  return el("div", { class: "map-tools" }, told.tags.length ? by : null,
    iconButton("plus", "Closer", () => drawing.zoom(1.5), { class: "plain" }),
    iconButton("minus", "Further", () => drawing.zoom(1 / 1.5), { class: "plain" }),
    button("Whole", () => drawing.whole()));
}

function colour(by) {
  drawing.colour(by);
  $("map").querySelector(".legend").replaceWith(legend(by));
}

function legend(by) {
  const groups = by === "tag" ? told.tags : told.clusters;
  const buttons = groups.map((group, at) => el("button", {
    type: "button", "aria-pressed": "false", vars: { dot: COLOURS[at % COLOURS.length] },
    onclick: (event) => {
      const on = event.currentTarget.getAttribute("aria-pressed") !== "true";
      for (const each of event.currentTarget.parentElement.children) each.setAttribute("aria-pressed", "false");
      event.currentTarget.setAttribute("aria-pressed", String(on));
      drawing.only(on ? at : null);
      if (on) announce(`${group.label}: ${count(group.count, "picture")}`);
    },
  }, group.label, el("span", { class: "count", text: count(group.count, "picture").split(" ")[0] })));
  return el("div", { class: "legend", role: "group", "aria-label": "Groups" }, ...buttons);
}

// Pointer and keys

function listen(canvas) {
  const pointers = new Map();
  let moved = 0;
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, [event.offsetX, event.offsetY]);
    moved = 0;
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    const now = [event.offsetX, event.offsetY];
    if (!before) return hover(...now);
    moved += Math.hypot(now[0] - before[0], now[1] - before[1]);
    if (pointers.size === 2) pinch(pointers, event.pointerId, now);
    else if (moved > 3) drawing.pan(now[0] - before[0], now[1] - before[1]);
    pointers.set(event.pointerId, now);
  });
  const up = (event) => {
    if (pointers.delete(event.pointerId) && event.type === "pointerup" && moved <= 3) press(event.offsetX, event.offsetY);
  };
  canvas.addEventListener("pointerup", up);
  canvas.addEventListener("pointercancel", up);
  canvas.addEventListener("pointerleave", () => { tip.hidden = true; over = null; });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    drawing.zoom(Math.exp(-event.deltaY * 0.0016), event.offsetX, event.offsetY);
  }, { passive: false });
  canvas.addEventListener("keydown", keys);
}

function pinch(pointers, id, now) {
  const [other] = [...pointers].filter(([each]) => each !== id).map(([, at]) => at);
  const before = pointers.get(id);
  const grown = Math.hypot(now[0] - other[0], now[1] - other[1]) / Math.max(1, Math.hypot(before[0] - other[0], before[1] - other[1]));
  drawing.zoom(grown, (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
}

function press(x, y) {
  const id = drawing.at(x, y);
  if (id !== null) acts.detail({ id });
}

async function hover(x, y) {
  const id = drawing.at(x, y);
  if (id === over) return place(x, y);
  over = id;
  tip.hidden = id === null;
  if (id === null) return;
  place(x, y);
  const name = el("span", { text: "\u00a0" });
  tip.replaceChildren(el("img", { src: api.thumb(id, 160), alt: "" }), name);
  const item = await api.item(id).catch(() => null);
  if (over === id && item) name.textContent = title(item);
}

function place(x, y) {
  const box = $("map").getBoundingClientRect();
  tip.style.left = `${Math.min(x + 14, box.width - 160)}px`;
  tip.style.top = `${Math.min(y + 14, box.height - 170)}px`;
}

const STEP = 60;
const KEYS = {
  ArrowLeft: () => drawing.pan(STEP, 0),
  ArrowRight: () => drawing.pan(-STEP, 0),
  ArrowUp: () => drawing.pan(0, STEP),
  ArrowDown: () => drawing.pan(0, -STEP),
  "+": () => drawing.zoom(1.5),
  "-": () => drawing.zoom(1 / 1.5),
  0: () => drawing.whole(),
  Enter: () => acts.detail({ id: drawing.middle() }),
};

function keys(event) {
  const act = KEYS[event.key];
  if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  event.stopPropagation();
  act();
}
