// Words that pass: for eyes at the foot of the window, for screen readers in the live region.

import { $ } from "./dom.js";

let shown = 0;

/** Tell those who listen; the same words twice are told twice. */
export function announce(text) {
  const live = $("live");
  live.textContent = live.textContent === text ? `${text}\u00a0` : text;
}

/** Show for some seconds, and tell. */
export function toast(text) {
  const node = $("toast");
  node.textContent = text;
  node.classList.add("on");
  clearTimeout(shown);
  shown = setTimeout(() => node.classList.remove("on"), 2600);
  announce(text);
}
