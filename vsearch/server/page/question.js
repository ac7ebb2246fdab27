// From the state to what is asked: parts for the server, filters as one condition.

import { original as upload } from "./uploads.js";

const quoted = (text) => `'${String(text).replaceAll("'", "''")}'`;
const column = (name) => `"${name.replaceAll('"', '""')}"`;

let kinds = new Map();

/** The columns of the collection, [{name, kind}]: numbers are compared as such. */
export function know(columns) {
  kinds = new Map(columns.map(({ name, kind }) => [name, kind]));
}

/** The condition on the columns, or "" for none. */
export function condition(state) {
  const all = [];
  if (state.folder) all.push(`starts_with(folder, ${quoted(state.folder)})`);
  if (state.from) all.push(`taken >= ${quoted(state.from)}`);
  if (state.to) all.push(`taken < ${quoted(dayAfter(state.to))}`);
  for (const [name, value] of state.values) all.push(name === "tags" ? `has_tag(${quoted(value)})` : equals(name, value));
  if (state.where.trim()) all.push(`(${state.where.trim()})`);
  return all.join(" and ");
}

function equals(name, value) {
  const isText = /char|text|string/i.test(kinds.get(name) ?? "text");
  const plain = /^(-?\d+(\.\d+)?(e[-+]?\d+)?|true|false)$/i.test(value);
  return `${column(name)} = ${!isText && plain ? value : quoted(value)}`;
}

/** The day after "2024-02-29", so that a range holds the whole of its last day. */
export function dayAfter(day) {
  const date = new Date(`${day}T00:00:00Z`);
  date.setUTCDate(date.getUTCDate() + 1);
  return date.toISOString().slice(0, 10);
}

/**
 * {parts, more, less} as they are asked, or null when there is no query.  What is being typed counts as a part.
 * Marks move a query; where there is nothing else they are the query.
 */
export function query(state) {
  const marks = state.parts.filter((part) => part.kind === "mark");
  const told = state.parts.filter((part) => part.kind !== "mark").map(asked).filter(Boolean);
  const text = state.text.trim();
  const typed = isUnwanted(text) ? { text: text.slice(1).trim(), weight: -1 } : { text, weight: 1 };
  if (typed.text && (typed.weight > 0 || told.length)) told.push(typed);
  if (told.length) return { parts: told, more: ids(marks, 1), less: ids(marks, -1) };
  return marks.length ? { parts: marks.map((mark) => ({ id: mark.value, weight: mark.weight })) } : null;
}

const ids = (marks, sign) => marks.filter((mark) => mark.weight * sign > 0).map((mark) => mark.value);

/** Whether what is typed, kept with Enter, becomes a part with a negative weight. */
export const isUnwanted = (text) => /^[-\u2212]\s*\S/.test(text) || text === "-";

function asked(part) {
  const value = part.kind === "image" ? upload(part.value) : part.value;
  return value === null ? null : { [part.kind]: value, weight: part.weight };
}

/** The query in words, for the title and for screen readers. */
export function inWords(state) {
  const told = state.parts.map((part) => `${part.weight < 0 ? "not " : ""}${named(part)}`);
  if (state.text.trim()) told.push(state.text.trim());
  return told.join(", ");
}

function named(part) {
  if (part.kind === "text") return part.value;
  return part.kind === "image" ? "your picture" : "like this";
}
