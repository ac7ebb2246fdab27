// When pictures were taken: a bar for each month or year; one press chooses it, with Shift as far as it.

import { el } from "./dom.js";
import { change, get } from "./state.js";
import { count } from "./words.js";

const MOST_BARS = 48;

/** Bars without gaps, {start, end, name, count}, of the months told, or of years when those would be too many. */
export function bars(months) {
  if (!months.length) return [];
  const all = new Map(months.map((month) => [month.value, month.count]));
  const [first, last] = [months[0].value, months.at(-1).value].map((month) => month.split("-").map(Number));
  const span = (last[0] - first[0]) * 12 + last[1] - first[1] + 1;
  if (span > MOST_BARS) return years(months, first[0], last[0]);
  return Array.from({ length: span }, (_, n) => {
    const date = new Date(Date.UTC(first[0], first[1] - 1 + n, 1));
    const name = date.toISOString().slice(0, 7);
    const end = new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 0)).toISOString().slice(0, 10);
    return { name, start: `${name}-01`, end, count: all.get(name) || 0 };
  });
}

function years(months, first, last) {
  const all = new Map();
  for (const { value, count: n } of months) all.set(Number(value.slice(0, 4)), (all.get(Number(value.slice(0, 4))) || 0) + n);
  const shown = Math.min(last - first + 1, 200);
  return Array.from({ length: shown }, (_, n) => {
    const year = String(last - shown + 1 + n).padStart(4, "0");
    return { name: year, start: `${year}-01-01`, end: `${year}-12-31`, count: all.get(Number(year)) || 0 };
  });
}

/** months: [{value: "2024-05", count}], in order. */
export function histogram(months, state) {
  const all = bars(months);
  if (!all.length) return [];
  const most = Math.max(...all.map((each) => each.count));
  return [
    el("h3", { text: "Taken" }),
    el("ul", { class: "histogram" }, ...all.map((each) => bar(each, most, state))),
    el("div", { class: "axis", "aria-hidden": "true" },
      el("span", { text: all[0].name }), all.length > 1 ? el("span", { text: all.at(-1).name }) : null),
    el("div", { class: "range" }, day("from", "From", state), day("to", "To", state)),
  ];
}

function bar({ name, start, end, count: n }, most, { from, to }) {
  const on = Boolean(from || to) && (!from || start >= from) && (!to || end <= to);
  const words = `${name}: ${count(n, "picture")}`;
  return el("li", {}, el("button", {
    type: "button", "aria-pressed": String(on), title: words, "aria-label": words, vars: { share: (n / most).toFixed(3) },
    onclick: (event) => choose(start, end, event.shiftKey),
  }));
}

function choose(start, end, further) {
  const { from, to } = get();
  if (further && from) change({ from: from < start ? from : start, to: to > end ? to : end });
  else if (from === start && to === end) change({ from: "", to: "" });
  else change({ from: start, to: end });
}

function day(name, text, state) {
  const input = el("input", {
    type: "date", class: "field", value: state[name],
    onchange: (event) => change({ [name]: event.target.value }),
  });
  return el("label", {}, text, input);
}
