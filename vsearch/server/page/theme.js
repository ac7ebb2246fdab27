// Light, dark, or as the system is.

import { $ } from "./dom.js";
import { announce } from "./say.js";

const NAMES = { auto: "as the system", light: "light", dark: "dark" };
const system = matchMedia("(prefers-color-scheme: dark)");
let chosen = "auto";
let changed = () => {};

function apply() {
  const dark = chosen === "dark" || (chosen === "auto" && system.matches);
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  $("theme").setAttribute("aria-label", `Theme: ${NAMES[chosen]}`);
  $("theme-icon").setAttribute("href", `#i-${chosen}`);
  changed();
}

export function setUp(onChange) {
  changed = onChange;
  try {
    chosen = localStorage.getItem("theme") || "auto";
  } catch {
    // Where nothing may be kept the system decides.
  }
  if (!(chosen in NAMES)) chosen = "auto";
  system.addEventListener("change", apply);
  $("theme").addEventListener("click", next);
  apply();
}

export function next() {
  const names = Object.keys(NAMES);
  chosen = names[(names.indexOf(chosen) + 1) % names.length];
  try {
    localStorage.setItem("theme", chosen);
  } catch {
    // As above.
  }
  apply();
  announce(`Theme: ${NAMES[chosen]}`);
}
