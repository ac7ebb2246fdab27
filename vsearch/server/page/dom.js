// Elements from plain values.  Text reaches the page as text nodes only: names and captions are anything.

const SVG = "http://www.w3.org/2000/svg";

export const $ = (id) => document.getElementById(id);

/** An element.  props: attributes, `on…` listeners, `class`, `text`, `vars` (CSS variables), `hidden`. */
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) set(node, name, value);
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

function set(node, name, value) {
  if (value === null || value === undefined || value === false) return;
  if (name === "text") node.textContent = value;
  else if (name === "vars") for (const [key, v] of Object.entries(value)) node.style.setProperty(`--${key}`, v);
  else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
  else node.setAttribute(name, value === true ? "" : String(value));
}

/** One of the page's own icons. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

/** A button that shows an icon, and says what it does to those who do not see it. */
export function iconButton(name, label, onclick, props = {}) {
  return el("button", { type: "button", "aria-label": label, title: label, onclick, ...props }, icon(name));
}

/** A button with a word. */
export function button(text, onclick, props = {}) {
  return el("button", { type: "button", class: "plain", onclick, ...props }, text);
}
