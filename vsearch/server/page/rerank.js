// The switch for re-ranking: there where the server has a re-ranker, and of use where the query is one text.

import { $ } from "./dom.js";
import { change, get } from "./state.js";

let offered = false;

export function setUp() {
  $("rerank").addEventListener("change", (event) => change({ rerank: event.target.checked }));
}

/** Whether the server has a re-ranker for the collection that is asked. */
export function offer(reranks) {
  offered = reranks;
  draw(get(), null);
}

/** question: what query() gives. */
export function draw(state, question) {
  $("rerank-switch").hidden = !offered;
  $("rerank").checked = state.rerank;
  $("rerank-hint").textContent = state.rerank && question !== null && !fits(question) ? "needs words alone" : "";
}

/** Whether to ask for it: the server refuses what its re-ranker cannot read. */
export const wanted = (state, question) => offered && state.rerank && fits(question);

/** One wanted text; marks move the query before the best are taken, and may be there. */
function fits({ parts }) {
  return parts.length === 1 && parts[0].text !== undefined && parts[0].weight > 0;
}
