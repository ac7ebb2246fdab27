// Pictures from outside: dropped on the page, pasted, or chosen.

import { $ } from "./dom.js";
import { toast } from "./say.js";
import { change, get } from "./state.js";
import { take } from "./uploads.js";

const images = (list) => [...list].filter((file) => file.type.startsWith("image/") || /\.(heic|heif|avif)$/i.test(file.name));

async function add(files) {
  const pictures = images(files);
  if (!pictures.length) return toast("That is not a picture");
  try {
    const keys = await Promise.all(pictures.map(take));
    const { parts } = get();
    const fresh = keys.filter((key) => !parts.some((part) => part.value === key));
    change({ parts: [...parts, ...fresh.map((value) => ({ kind: "image", value, weight: 1 }))], view: "grid" });
  } catch (error) {
    toast(error.message);
  }
}

export function setUp() {
  $("choose").addEventListener("click", () => $("file").click());
  $("file").addEventListener("change", () => {
    add($("file").files);
    $("file").value = "";
  });
  document.addEventListener("paste", (event) => {
    if (!images(event.clipboardData.files).length) return;
    event.preventDefault();
    add(event.clipboardData.files);
  });
  let depth = 0;
  const over = (by) => {
    depth = Math.max(0, depth + by);
    $("drop").hidden = depth === 0;
  };
  const carries = (event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragenter", (event) => carries(event) && over(1));
  document.addEventListener("dragleave", (event) => carries(event) && over(-1));
  document.addEventListener("dragover", (event) => carries(event) && event.preventDefault());
  document.addEventListener("drop", (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    over(-depth);
    add(event.dataTransfer.files);
  });
}
