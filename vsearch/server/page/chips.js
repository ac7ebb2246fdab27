// The parts of the query, and the filters, each a chip that can be changed and taken away.

import { thumb } from "./api.js";
import { $, el, icon, iconButton } from "./dom.js";
import { change, get } from "./state.js";
import { drawInto, original } from "./uploads.js";
import { weight as written } from "./words.js";

const STEP = 0.25;
const MOST = 3;

export function draw(state) {
  $("chips").replaceChildren(...state.parts.map(part), ...filters(state).map(filter));
}

function part(told, at) {
  const less = told.weight < 0;
  const name = named(told);
  const flip = iconButton(less ? "minus" : "plus", `${less ? "Unwanted" : "Wanted"}: ${name}. Turn round`,
    () => set(at, { weight: -told.weight }, ".sign"), { class: "sign" });
  return el("li", { class: less ? "chip less" : "chip" }, flip, shape(told, name),
    ...(told.kind === "mark" ? [] : weights(told, name, at)),
    iconButton("close", `Remove ${name}`, () => remove(at), { class: "remove" }));
}

function named(told) {
  if (told.kind === "text") return told.value;
  return told.kind === "image" ? "your picture" : `picture ${told.value}`;
}

function weights(told, name, at) {
  const size = Math.abs(told.weight);
  const step = (by, label, mark, kind) => el("button", {
    type: "button", class: `step ${kind}`, "aria-label": `${label}: ${name}`, text: mark,
    onclick: () => set(at, { weight: Math.sign(told.weight) * Math.min(MOST, Math.max(STEP, size + by)) }, `.${kind}`),
  });
  return [step(-STEP, "Less weight", "\u2212", "lighter"),
    el("span", { class: "weight", "aria-label": `weight ${size}`, role: "img", text: `${written(told.weight)}\u00d7` }),
    step(STEP, "More weight", "+", "heavier")];
}

function shape(told, name) {
  if (told.kind === "text") return el("span", { class: "words", text: told.value });
  if (told.kind !== "image") return el("img", { src: thumb(told.value, 160), alt: name, width: 28, height: 28 });
  if (!original(told.value)) return el("span", { class: "words", text: "a picture that this tab no longer has" });
  const canvas = el("canvas", { width: 56, height: 56, role: "img", "aria-label": name });
  drawInto(canvas, told.value);
  return canvas;
}

function set(at, some, keep) {
  change({ parts: get().parts.map((each, i) => (i === at ? { ...each, ...some } : each)) });
  $("chips").children[at]?.querySelector(keep)?.focus();
}

function remove(at) {
  change({ parts: get().parts.filter((_, i) => i !== at) });
  ($("chips").querySelector(".remove") || $("query")).focus();
}

function filters(state) {
  const told = [];
  if (state.folder) told.push(["folder", state.folder, { folder: "" }]);
  if (state.from || state.to) told.push(["date", range(state.from, state.to), { from: "", to: "" }]);
  state.values.forEach(([column, value], at) => {
    told.push(["filter", `${column}: ${value}`, { values: state.values.filter((_, i) => i !== at) }]);
  });
  if (state.where) told.push(["filter", state.where, { where: "" }]);
  return told;
}

function range(from, to) {
  if (!from) return `until ${to}`;
  return to ? `${from} to ${to}` : `since ${from}`;
}

function filter([name, text, without]) {
  return el("li", { class: "chip filter" }, icon(name), el("span", { class: "words", text }),
    iconButton("close", `Remove the filter ${text}`, () => change(without), { class: "remove" }));
}
