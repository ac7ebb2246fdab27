// Pictures that were dropped, pasted or chosen: made small here, kept in this tab so that a reload still has them.

const SIDE = 768;
const MOST_BYTES = 15e6;
const kept = new Map();

/** Take a picture in; gives its key.  What the browser cannot read itself (HEIC) is sent as it is. */
export async function take(file) {
  if (file.size > MOST_BYTES * 4) throw new Error(`${file.name || "The picture"} is too large.`);
  const small = (await shrunk(file)) || file;
  if (small.size > MOST_BYTES) throw new Error(`${file.name || "The picture"} is too large.`);
  const bytes = new Uint8Array(await small.arrayBuffer());
  const key = await digest(bytes);
  const base64 = toBase64(bytes);
  kept.set(key, base64);
  try {
    sessionStorage.setItem(`upload:${key}`, base64);
  } catch {
    // Full: it is kept until the page is left.
  }
  return key;
}

/** The picture of a key in base64, or null when it is no longer known. */
export function original(key) {
  if (!kept.has(key)) {
    const stored = sessionStorage.getItem(`upload:${key}`);
    if (stored) kept.set(key, stored);
  }
  return kept.get(key) || null;
}

/** Draw the picture of a key into a square canvas; gives whether the browser could. */
export async function drawInto(canvas, key) {
  const base64 = original(key);
  if (!base64) return false;
  const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  const bitmap = await createImageBitmap(new Blob([bytes])).catch(() => null);
  if (!bitmap) return false;
  const side = Math.min(bitmap.width, bitmap.height);
  const [left, top] = [(bitmap.width - side) / 2, (bitmap.height - side) / 2];
  canvas.getContext("2d").drawImage(bitmap, left, top, side, side, 0, 0, canvas.width, canvas.height);
  return true;
}

async function shrunk(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    return null;
  }
  const scale = Math.min(1, SIDE / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.92));
}

/** A name for bytes, the same for the same bytes (FNV-1a, 64 bits in two halves); nothing hangs on its strength. */
function digest(bytes) {
  let [high, low] = [0x811c9dc5, 0xcbf29ce4];
  for (const byte of bytes) {
    high = Math.imul(high ^ byte, 0x01000193);
    low = Math.imul(low ^ (byte + 31), 0x01000193);
  }
  return [high, low].map((half) => (half >>> 0).toString(16).padStart(8, "0")).join("");
}

function toBase64(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; at += 0x8000) text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  return btoa(text);
}
