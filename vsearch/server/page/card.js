// One picture of the grid: the picture is a button, what can be done with it lies over it.

import { thumb } from "./api.js";
import { el, iconButton } from "./dom.js";
import { basename, percent, sureness, title } from "./words.js";

const WIDEST = 3;
const SMALL = 180; // pixels; such pictures are shown at twice their size at most

/** acts: {like, more, less, detail, pick}, each called with the hit. */
export function card(hit, acts) {
  const ratio = Math.min(WIDEST, Math.max(1 / WIDEST, (hit.width || 1) / (hit.height || 1)));
  const image = el("img", {
    alt: "", loading: "lazy", decoding: "async", src: thumb(hit.id),
    width: Math.round(200 * ratio), height: 200,
  });
  const small = hit.height > 0 && hit.height < SMALL ? " small" : "";
  const node = el("li", {
    class: `card${small}`, "data-id": hit.id, vars: { ratio: ratio.toFixed(4), tall: `${2 * hit.height}px` },
  });
  image.addEventListener("load", () => image.classList.add("there"));
  image.addEventListener("error", () => { node.classList.add("gone"); image.remove(); });
  const look = el("button", {
    type: "button", class: "look", tabindex: "-1", "aria-label": `${spoken(hit)}. More like this`,
    onclick: () => acts.like(hit),
  }, image);
  node.append(look, words(hit));
  if (hit.confidence !== null && hit.confidence !== undefined) {
    node.append(el("span", { class: "sureness", "aria-hidden": "true", vars: { sure: hit.confidence.toFixed(3) } }));
  }
  node.append(buttons(hit, acts));
  return node;
}

function spoken(hit) {
  const sure = hit.confidence === null || hit.confidence === undefined ? "" : `, ${percent(hit.confidence)} ${sureness(hit.confidence)}`;
  return `${title(hit)}${sure}`;
}

function words(hit) {
  const known = hit.confidence !== null && hit.confidence !== undefined;
  const name = basename(hit.name) + (hit.duplicates ? ` and ${hit.duplicates} more` : "");
  return el("div", { class: "caption", "aria-hidden": "true" },
    hit.caption ? el("span", { class: "said", text: title(hit) }) : null,
    el("span", { class: "facts" },
      el("span", { class: "name", text: name }),
      known ? el("span", { class: "sure", text: percent(hit.confidence) }) : null));
}

function buttons(hit, acts) {
  const named = title(hit);
  const make = (name, label, act, kind, more = {}) =>
    iconButton(name, label, () => act(hit), { class: kind, tabindex: "-1", "aria-label": `${label}: ${named}`, ...more });
  return el("div", { class: "acts" },
    make("check", "Select", acts.pick, "pick", { "aria-pressed": "false" }),
    make("plus", "More of this", acts.more, "plus"),
    make("minus", "Less of this", acts.less, "minus"),
    make("info", "Details", acts.detail, "detail"));
}

/** A card that holds the place of one that is on its way. */
export function ghost(number) {
  const ratio = [1.5, 1, 0.75, 1.33, 1.78, 1][number % 6];
  return el("li", { class: "card ghostly", "aria-hidden": "true", vars: { ratio } });
}
