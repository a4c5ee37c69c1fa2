// The login: a token becomes a session. The token is in no address, no storage and
// no log of this page.

import { el } from "./dom.js";
import { Fault, login } from "./api.js";

// loginPage returns the page. done is called when the server has accepted the token.
export function loginPage(done) {
  const field = el("input", { id: "token", type: "password", autocomplete: "current-password", required: true, spellcheck: "false",
    "aria-describedby": "token-hint login-error" });
  const error = el("p", { id: "login-error", class: "notice bad", role: "alert", hidden: true });
  const button = el("button", { class: "primary" }, "Log in");
  const form = el("form", { onsubmit: async (event) => {
    event.preventDefault();
    button.disabled = true;
    error.hidden = true;
    try {
      await login(field.value.trim());
      field.value = "";
      done();
    } catch (err) {
      if (!(err instanceof Fault)) throw err;
      error.textContent = err.status === 401 || err.status === 403 ? "The server does not know this token, or it may not read." : `Not logged in: ${err.message}.`;
      error.hidden = false;
      field.select();
    } finally {
      button.disabled = false;
    }
  } },
  el("h1", {}, "Log in"),
  el("label", { for: "token" }, "Token"), field,
  el("p", { id: "token-hint", class: "soft" }, "The token that ", el("code", {}, "forescale token"), " printed for you. It needs the right ", el("code", {}, "read"), "; changes need more."),
  error, button);
  return { title: "Log in", node: el("section", { class: "login card" }, form), refresh: async () => {}, focus: () => field.focus() };
}
