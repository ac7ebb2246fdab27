// The page: what is told to whom.

import * as api from "./api.js";
import * as chips from "./chips.js";
import { $, el } from "./dom.js";
import * as filters from "./filters.js";
import * as grid from "./grid.js";
import * as keys from "./keys.js";
import * as map from "./map.js";
import * as panel from "./panel.js";
import * as pictures from "./pictures.js";
import { isUnwanted, know, query } from "./question.js";
import * as rerank from "./rerank.js";
import * as results from "./results.js";
import * as selection from "./selection.js";
import { signIn, takeToken } from "./session.js";
import { change, get, restore, watch } from "./state.js";
import * as theme from "./theme.js";

const TYPING = 160;
const TYPING_RERANKED = 600; // each question costs the server many times as much, and it answers two at once
const ASKED = ["collection", "text", "parts", "folder", "from", "to", "values", "where", "rerank"];
let typing = 0;
let offered = [];

const actions = {
  like: (hit) => change({ text: "", parts: [{ kind: "id", value: hit.id, weight: 1 }], view: "grid" }),
  more: (hit) => mark(hit, 1),
  less: (hit) => mark(hit, -1),
  detail: (hit) => change({ open: hit.id }),
  pick: (hit) => selection.toggle(hit),
};

/** More, or less, of a picture; the same again takes it back. */
function mark(hit, weight) {
  const { parts } = get();
  const is = (part) => part.kind === "mark" && part.value === hit.id;
  const before = parts.find(is);
  const rest = parts.filter((part) => !is(part));
  change({ parts: before?.weight === weight ? rest : [...rest, { kind: "mark", value: hit.id, weight }] });
}

function setUpSearch() {
  const input = $("query");
  input.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => change({ text: input.value, view: "grid" }, { replace: true }), get().rerank ? TYPING_RERANKED : TYPING);
  });
  $("search").addEventListener("submit", (event) => {
    event.preventDefault();
    keep(input.value.trim());
  });
  input.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown") {
      event.preventDefault();
      grid.focusFirst();
    } else if (event.key === "Backspace" && !input.value && get().parts.length) {
      change({ parts: get().parts.slice(0, -1) });
    }
  });
}

/** What was typed becomes a part; with a minus before it, an unwanted one. */
function keep(text) {
  clearTimeout(typing);
  const unwanted = isUnwanted(text);
  const value = unwanted ? text.slice(1).trim() : text;
  if (!value) return grid.focusFirst();
  return change({ text: "", parts: [...get().parts, { kind: "text", value, weight: unwanted ? -1 : 1 }] });
}

function changed(state, before) {
  if ($("query").value.trim() !== state.text.trim()) $("query").value = state.text;
  if (state.collection !== before.collection) moveTo(state.collection);
  chips.draw(state);
  filters.draw(state);
  rerank.draw(state, query(state));
  showView(state);
  if (ASKED.some((name) => state[name] !== before[name])) results.ask();
  if (state.open === null) {
    if (panel.isOpen()) panel.close();
  } else if (state.open !== before.open) {
    panel.open(state.open, grid.all().find((hit) => hit.id === state.open));
  }
}

function showView(state) {
  const isMap = state.view === "map";
  $("map-toggle").setAttribute("aria-pressed", String(isMap));
  for (const id of ["grid", "sentinel"]) $(id).hidden = isMap;
  $("map").hidden = !isMap;
  if (isMap) map.show(state.collection);
}

function moveTo(name) {
  api.use(name);
  $("collection").value = name || offered[0]?.name || "";
  const collection = offered.find((each) => each.name === name) || offered[0];
  const columns = collection?.columns || [];
  rerank.offer(Boolean(collection?.reranks));
  filters.explain(columns);
  know(columns);
  filters.forget();
  map.forget();
  selection.clear();
}

async function start() {
  try {
    await takeToken();
    offered = await api.collections();
  } catch (error) {
    if (error.status === 401) return signIn(start);
    $("notice").hidden = false;
    $("notice").replaceChildren(el("p", { class: "fault", text: error.message }));
    return undefined;
  }
  $("collection").replaceChildren(...offered.map(({ name }) => el("option", { value: name, text: name })));
  $("collection").hidden = offered.length < 2;
  moveTo("");
  restore();
  return results.ask();
}

theme.setUp(() => map.redraw());
grid.setUp(actions);
panel.setUp(actions);
map.setUp(actions);
keys.setUp(actions);
pictures.setUp();
filters.setUp();
rerank.setUp();
results.setUp(() => signIn(start));
selection.setUp((hits) => {
  const parts = hits.slice(0, 12).map((hit) => ({ kind: "id", value: hit.id, weight: 1 }));
  selection.clear();
  change({ text: "", parts, view: "grid" });
});
setUpSearch();
$("map-toggle").addEventListener("click", () => change({ view: get().view === "map" ? "grid" : "map" }));
$("collection").addEventListener("change", (event) => change({ ...get(), collection: event.target.value, parts: [], open: null }));
$("skip").addEventListener("click", (event) => {
  event.preventDefault();
  grid.focusFirst();
});
addEventListener("popstate", restore);
watch(changed);
start();
