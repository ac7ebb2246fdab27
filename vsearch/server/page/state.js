// What is asked and shown, kept in the URL's fragment, so that back, forward and reload give it again.

/**
 * parts: [{kind: "text" | "id" | "image" | "mark", value, weight}]; the value of an image is its key in uploads.js,
 * a mark is the id of a picture that was marked as right (weight 1) or wrong (-1).
 * values: [[column, value]]; rerank: whether the best are read together with the words; open: id of the picture in
 * the side panel.
 */
export const empty = () => ({
  collection: "", text: "", parts: [], folder: "", from: "", to: "", values: [], where: "", rerank: false,
  view: "grid", open: null,
});

const KINDS = new Set(["text", "id", "image", "mark"]);
const IDS = new Set(["id", "mark"]);
const MOST = 4;

export function encode(state) {
  const told = new URLSearchParams();
  if (state.collection) told.set("c", state.collection);
  if (state.text) told.set("q", state.text);
  for (const part of state.parts) told.append("p", `${part.weight}:${part.kind}:${part.value}`);
  for (const name of ["folder", "from", "to", "where"]) if (state[name]) told.set(name, state[name]);
  for (const [column, value] of state.values) told.append("v", `${column}=${value}`);
  if (state.rerank) told.set("rerank", "1");
  if (state.view === "map") told.set("view", "map");
  if (state.open !== null) told.set("open", state.open);
  return told.toString();
}

/** What is not well formed is left out. */
export function decode(fragment) {
  const told = new URLSearchParams(fragment);
  const open = told.get("open");
  const day = (name) => (/^\d{4}-\d{2}-\d{2}$/.test(told.get(name) || "") ? told.get(name) : "");
  return {
    ...empty(),
    collection: told.get("c") || "",
    text: told.get("q") || "",
    parts: told.getAll("p").map(part).filter(Boolean),
    folder: told.get("folder") || "",
    from: day("from"),
    to: day("to"),
    values: told.getAll("v").map(split).filter(Boolean),
    where: told.get("where") || "",
    rerank: told.get("rerank") === "1",
    view: told.get("view") === "map" ? "map" : "grid",
    open: open !== null && /^\d{1,15}$/.test(open) ? Number(open) : null,
  };
}

function part(told) {
  const match = /^(-?[\d.]+):([a-z]+):(.+)$/s.exec(told);
  if (!match || !KINDS.has(match[2])) return null;
  const weight = Number(match[1]);
  if (!weight || Math.abs(weight) > MOST || (IDS.has(match[2]) && !/^\d{1,15}$/.test(match[3]))) return null;
  return { kind: match[2], value: IDS.has(match[2]) ? Number(match[3]) : match[3], weight };
}

function split(told) {
  const at = told.indexOf("=");
  return at > 0 ? [told.slice(0, at), told.slice(at + 1)] : null;
}

const listeners = [];
let now = empty();

export const get = () => now;
export const watch = (listener) => listeners.push(listener);

/** Change some of it.  replace: without a new step in the history, as while typing. */
export function change(some, { replace = false } = {}) {
  const before = now;
  now = { ...now, ...some };
  const url = `#${encode(now)}`;
  if (url !== location.hash && !(url === "#" && !location.hash)) {
    history[replace ? "replaceState" : "pushState"](null, "", url === "#" ? location.pathname : url);
  }
  for (const listener of listeners) listener(now, before);
}

/** Take the state from the URL, at the start and after back and forward. */
export function restore() {
  const before = now;
  now = decode(location.hash.slice(1));
  for (const listener of listeners) listener(now, before);
}
