// The server's token: it comes in the URL's fragment once, and is exchanged for a cookie that scripts cannot read.

import * as api from "./api.js";
import { $ } from "./dom.js";

/** Exchange the token of the fragment, and take it out of the URL and of the history. */
export async function takeToken() {
  const told = new URLSearchParams(location.hash.slice(1));
  const token = told.get("token");
  if (token === null) return;
  told.delete("token");
  const rest = told.toString();
  history.replaceState(null, "", rest ? `#${rest}` : location.pathname);
  await api.session(token);
}

/** Ask for the token, then go on. */
export function signIn(then) {
  const dialog = $("sign-in");
  if (dialog.open) return;
  $("token-form").onsubmit = async (event) => {
    event.preventDefault();
    $("token-error").textContent = "";
    try {
      await api.session($("token").value.trim());
    } catch (error) {
      $("token-error").textContent = error.message;
      return;
    }
    $("token").value = "";
    dialog.close();
    then();
  };
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  dialog.showModal();
}
