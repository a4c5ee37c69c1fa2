// The dialog before every change: what will happen, and why it is done.

import { el } from "./dom.js";
import { Fault } from "./api.js";

// askWhy shows the dialog and resolves to true when act(reason) has done it. Faults
// stay in the dialog, with what was written.
export function askWhy(title, text, label, act) {
  return new Promise((resolve) => {
    const reason = el("input", { id: "reason-field", required: true, maxlength: "500", autocomplete: "off", placeholder: "one sentence, for the record" });
    const error = el("p", { class: "notice bad", role: "alert", hidden: true });
    const submit = el("button", { class: "primary", type: "submit" }, label);
    const dialog = el("dialog", { "aria-labelledby": "ask-title" }, el("form", { onsubmit: async (event) => {
      event.preventDefault();
      submit.disabled = true;
      try {
        await act(reason.value.trim());
        resolve(true);
        dialog.close();
      } catch (err) {
        if (!(err instanceof Fault)) throw err;
        error.textContent = err.status === 403 ? `This login may not do that: ${err.message}` : `Not done: ${err.message}`;
        error.hidden = false;
      } finally {
        submit.disabled = false;
      }
    } }, el("h2", { id: "ask-title" }, title), el("p", {}, text), el("label", { for: "reason-field" }, "Reason"), reason, error,
    el("div", { class: "tools" }, el("span", { class: "spacer" }), el("button", { type: "button", onclick: () => dialog.close() }, "Cancel"), submit)));
    dialog.addEventListener("close", () => { dialog.remove(); resolve(false); });
    document.body.append(dialog);
    dialog.showModal();
  });
}
