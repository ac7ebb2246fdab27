// How numbers, dates and sizes are written.

const NUMBER = new Intl.NumberFormat("en");

export const number = (value) => NUMBER.format(value);
export const percent = (share) => `${Math.round(100 * share)} %`;
export const count = (n, one, many = `${one}s`) => `${number(n)} ${n === 1 ? one : many}`;

/** Bytes, with decimal prefixes. */
export function bytes(size) {
  const units = ["bytes", "kB", "MB", "GB"];
  let at = 0;
  while (size >= 1000 && at < units.length - 1) [size, at] = [size / 1000, at + 1];
  return `${at ? size.toFixed(1) : size} ${units[at]}`;
}

/** "2024-05-01T10:20:30" as "2024-05-01 10:20". */
export const moment = (iso) => String(iso).slice(0, 16).replace("T", " ");

export const weight = (w) => String(Math.abs(w)).replace(/^0\./, ".");

/** What a confidence in [0, 1] means in a word. */
export function sureness(confidence) {
  if (confidence >= 0.9) return "sure";
  return confidence >= 0.5 ? "likely" : "unsure";
}

/** The last part of a path. */
export const basename = (name) => name.slice(name.lastIndexOf("/") + 1) || name;

/** What a picture is called where one line is to be had. */
export const title = (hit) => (hit.caption || "").split("\n")[0].trim() || basename(hit.name);
