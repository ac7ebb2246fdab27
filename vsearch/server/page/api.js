// The server's answers.  Nothing is asked of any other place.

/** An answer that is a refusal.  kind: the name of the error, such as FilterError. */
export class Refused extends Error {
  constructor(status, kind, message) {
    super(message);
    this.status = status;
    this.kind = kind;
  }
}

const current = { collection: "" };

/** Ask all that follows of this collection. */
export function use(collection) {
  current.collection = collection;
}

function address(path, params = {}) {
  const query = new URLSearchParams();
  if (current.collection) query.set("collection", current.collection);
  for (const [name, value] of Object.entries(params)) {
    if (value !== undefined && value !== null && value !== "") query.set(name, value);
  }
  const told = query.toString();
  return told ? `${path}?${told}` : path;
}

async function ask(url, options = {}) {
  let answer;
  try {
    answer = await fetch(url, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, "Unreachable", "The server does not answer. Is vsearch serve still running?");
  }
  if (answer.ok) return answer.status === 204 ? null : answer.json();
  const told = await answer.json().catch(() => ({}));
  const { kind = "Error", message = `The server answered ${answer.status}.` } = told.error || {};
  throw new Refused(answer.status, kind, message);
}

function post(path, body, signal) {
  return ask(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    signal,
  });
}

export const session = (token) => post("/session", { token });
export const collections = async () => (await ask("/collections")).collections;
export const search = (body, signal) => post("/search", { collection: current.collection || undefined, ...body }, signal);
export const browse = (params, signal) => ask(address("/browse", params), { signal });
export const item = (id, signal) => ask(address(`/items/${id}`), { signal });
export const facets = (where, signal) => ask(address("/facets", { where }), { signal });
export const map = (signal) => ask(address("/map"), { signal });
export const thumb = (id, size = 320) => address(`/thumbs/${id}`, { size });
export const original = (id) => address(`/image/${id}`);
