// What if: the report of a backtest. Policies side by side on the same history, what
// each costs against what it lets through, and the worst hours.

import { badge, blank, choice, el, fieldset, skeleton, table } from "./dom.js";
import { ask, path } from "./api.js";
import { curve } from "./curve.js";
import { dateClock, day, fixed, ms, short, tie } from "./format.js";

const ALLOWED = 0.5; // percent of violation minutes at which policies are compared

export function whatIfPage({ route, notice }) {
  const view = { list: null, report: null, name: route.name };
  const body = el("div", { class: "split" }, skeleton("line", "tall"));
  const node = el("div", { class: "page" }, el("div", { class: "title" }, el("h1", {}, "What if"), el("p", { class: "soft" }, "What other policies would have done, on your own history")), body);

  function render() {
    if (!view.list) return;
    const entries = view.list.backtests ?? [];
    notice("whatif", (view.list.warnings ?? []).map((w) => ["warn", w]));
    if (!entries.length) {
      body.replaceChildren(blank("No backtest yet", "A backtest replays a history through every policy and says what each would have cost and let through.",
        el("p", {}, el("code", {}, "forescale backtest -publish"), " runs one and shows it here.")));
      return;
    }
    const name = view.name || entries[0].name, shown = JSON.stringify([entries, view.report, name, day(0), dateClock(0)]);
    if (shown === view.shown) return;
    view.shown = shown;
    body.className = entries.length > 1 ? "split" : "split one";
    body.replaceChildren(...(entries.length > 1 ? [el("nav", { class: "side", "aria-label": "Backtests" }, el("ul", {}, entries.map((e) =>
      el("li", {}, el("a", { href: `#/whatif/${encodeURIComponent(e.name)}`, "aria-current": e.name === name ? "true" : undefined }, el("b", {}, e.name), el("small", {}, ms(e.published) ? day(e.published) : ""))))))] : []),
    view.report ? reportOf(view.report, name) : blank(`No backtest is called ${name}`, "It may have been removed."));
  }

  return {
    title: "What if", node, render, wants: () => false, // reports come by hand, and are asked for anew with the page
    async refresh(signal) {
      const list = await ask("/api/v1/backtests", signal).catch((err) => { if (err.status === 404) return { backtests: [] }; throw err; });
      const name = view.name || list.backtests?.[0]?.name;
      if (name && view.loaded !== name) {
        view.report = await ask(path("backtests", name), signal).catch((err) => { if (err.status === 404) return null; throw err; });
        view.loaded = view.report ? name : "";
      }
      view.list = list;
      render();
      return {};
    },
    failed: (text) => { if (!view.list) body.replaceChildren(blank("No connection", `${text} The page goes on trying.`)); },
  };
}

function reportOf(r, name) {
  const days = (ms(r.score_to) - ms(r.score_from)) / 864e5, lines = [...(r.verdict ?? "").split("\n").filter(Boolean), ...recommendation(r.recommended)], rows = sorted(r);
  return el("div", { class: "detail" },
    el("div", { class: "title" }, el("h2", { class: "name" }, r.trace), r.model ? badge(`${r.model.name}${r.model.version ? ` v${r.model.version}` : ""}`, "", `Trained until ${day(r.model.trained_until)}`) : null),
    el("p", { class: "soft" }, `${dateClock(r.score_from)} to ${dateClock(r.score_to)}: ${short(days)} days that nothing was fitted or chosen by. An instance takes ${r.lead_minutes} minutes to start.`),
    lines.length ? el("div", { class: "verdicts card" }, lines.map((line, i) => el("p", { class: i ? "" : "first" }, tie(line)))) : null,
    el("section", { class: "card" }, el("h3", {}, "Cost against violations"), el("p", { class: "soft" }, "Instance-hours over the minutes in which a fleet was too small. A line is what turning one policy's knob can reach, the point its default. Lower and further left is better."), curve(r, ALLOWED)),
    el("section", { class: "card" }, el("h3", {}, "All policies"), table("Policies", [
      { head: "Policy", cell: (p) => p.title }, { head: "Knob", align: "n", cell: (p) => p.name === "oracle" ? "" : `${short(p.knob)}` },
      { head: tie("Violation minutes, %"), align: "n", cell: (p) => fixed(p.violation_pct, 3) }, { head: tie("Load not served, %"), align: "n", cell: (p) => fixed(p.unserved_pct, 3) },
      { head: "Instance-hours", align: "n", cell: (p) => fixed(p.instance_hours, 1) }, { head: "×\u00a0oracle", align: "n", cell: (p) => fixed(p.ratio_to_oracle, 2) },
      { head: tie(`×\u00a0oracle at ${ALLOWED} %`), align: "n", cell: (p) => fixed(p.ratio_at_0_5_pct, 2) }, { head: "Actions a day", align: "n", cell: (p) => fixed(p.actions_per_day, 1) }, { head: "Reversals a day", align: "n", cell: (p) => fixed(p.reversals_per_day, 1) },
    ], rows.map((p) => ({ ...p, class: p.name === r.default_policy ? "own" : "" })))),
    worst(r), el("p", { class: "links" }, el("a", { href: path("backtests", name), download: `${name}.json` }, "The whole report as JSON")));
}

const recommendation = (c) => c ? [`Recommended: ${c.policy} at ${short(c.knob)}, because ${c.reason}.`] : [];

// sorted has the cheapest at the allowed violations first, and what never gets there last.
const sorted = (r) => [...r.policies].sort((a, b) => rank(a) - rank(b));
const rank = (p) => p.name === "oracle" ? 0 : p.ratio_at_0_5_pct ?? 1e9;

// worst lists the hours with the most violations, each with a way to the same time
// of the group.
function worst(r) {
  const list = r.worst_hours ?? [];
  if (!list.length) return null;
  const link = (w) => { const at = ms(w.from); return `#/group/${encodeURIComponent(r.trace)}?${new URLSearchParams({ from: new Date(at - 6 * 3600e3).toISOString(), to: new Date(at + 7 * 3600e3).toISOString() })}`; };
  const shown = el("div"), names = r.policies.filter((p) => list.some((w) => w.policy === p.name));
  const show = (name) => shown.replaceChildren(table("Worst hours", [
    { head: "Hour from", cell: (w) => el("a", { href: link(w) }, dateClock(w.from)) }, { head: "Minutes too small", align: "n", cell: (w) => short(w.violation_minutes) },
    { head: "Instances needed, at most", align: "n", cell: (w) => short(w.required) }, { head: "in service, at least", align: "n", cell: (w) => short(w.in_service) },
  ], list.filter((w) => w.policy === name)));
  const first = names.find((p) => p.name === r.default_policy) ?? names[0], pick = fieldset("Policy", { class: "switch policies" });
  if (!first) return null;
  choice(pick, names.map((p) => [p.name, p.title]), first.name, show);
  show(first.name);
  return el("section", { class: "card" }, el("h3", {}, "The worst hours"), el("p", { class: "soft" }, "Each leads to the same hours of the group."), pick, shown);
}
