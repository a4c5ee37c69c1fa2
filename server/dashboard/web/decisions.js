// The decisions of a group: the newest in full, and the list of those that did
// something or were held.

import { badge, blank, el } from "./dom.js";
import { bareClock, bareDay, dayClock, ms, short, tie, unitOf, words } from "./format.js";
import { outcome, verdict } from "./states.js";
import { why } from "./timeline.js";

const MOST = 200; // in the list

// decisions returns {node, show(history), point(mark)}. chosen is called with the
// mark whose line is opened or pointed at.
export function decisions(chosen) {
  const newest = el("div", { id: "last" }), list = el("ol", { class: "decisions" }), note = el("p", { class: "soft" });
  const node = el("div", { class: "pair" },
    el("section", { class: "card", "aria-labelledby": "last-title" }, el("h2", { id: "last-title" }, "Newest decision"), newest),
    el("section", { class: "card", "aria-labelledby": "list-title" }, el("h2", { id: "list-title" }, "Decisions in this range"), note, list));
  let lines = new Map(), shown = "";

  function show(h) {
    newest.replaceChildren(...latest(h));
    const marks = (h.marks ?? []).slice(0, MOST), left = (h.marks_left_out ?? 0) + Math.max(0, (h.marks ?? []).length - MOST);
    note.textContent = marks.length === 0 ? "" : `${marks.length} that changed the desired capacity, or were held` + (left ? `; ${left} older ones are in the JSON` : "") + (h.tick_stride > 1 ? `; of every ${h.tick_stride}th tick, for the range is long` : "");
    const now = JSON.stringify(marks) + bareDay(0);
    if (now === shown) return; // what is open stays open
    shown = now;
    const open = new Set([...lines].filter(([, line]) => line.firstChild.open).map(([at]) => at));
    lines = new Map(marks.map((m) => [m.at, lineOf(m, open.has(m.at), chosen)]));
    list.replaceChildren(...lines.values());
    if (!marks.length) list.replaceChildren(el("li", {}, blank("None", "No decision in this range changed anything, or was held by a limit.")));
  }

  let pointed = null;
  function point(mark) {
    pointed?.classList.remove("pointed");
    pointed = mark ? lines.get(mark.at) : null;
    pointed?.classList.add("pointed");
  }
  return { node, show, point };
}

function lineOf(m, open, chosen) {
  const way = m.to > m.from ? "up" : m.to < m.from ? "down" : "held", o = outcome(m.outcome, m.detail);
  const details = el("details", { open, ontoggle: () => details.open && chosen(m) },
    el("summary", {}, el("time", { datetime: m.at }, bareDay(m.at)), el("b", { class: way }, m.to === m.from ? `stays ${m.to}` : `${m.from} → ${m.to}`), el("span", { class: "why" }, tie(why(m))),
      m.clamps?.length ? badge(`held: ${m.clamps.map(words).join(", ")}`, "info", `The policy wanted ${m.wanted}`) : null,
      ["bad", "warn"].includes(o.tone) ? badge(m.outcome, o.tone, o.text) : m.outcome === "dry-run" ? badge("dry run", "info", o.text) : null),
    el("p", { class: "soft" }, [dayClock(m.at), m.policy && `policy ${words(m.policy)}`, m.basis, o.text].filter(Boolean).join(" · ")),
    m.moved ? el("p", {}, `State ${m.moved.from || "none"} → ${m.moved.to}: ${m.moved.why}`) : null,
    reasons(m.reasons));
  return el("li", {}, details);
}

const reasons = (list) => el("ol", { class: "reasons" }, (list ?? []).map((r) => el("li", {}, el("span", { class: "rule" }, words(r.rule)),
  el("span", {}, tie(r.detail), " ", el("span", { class: "move" }, r.from === r.to ? `(stays ${r.to})` : `(${r.from} → ${r.to})`)))));

function latest(h) {
  const d = h.decisions?.[0];
  if (!d) return [blank("No decision", "The scaler has not decided on this group in this range.")];
  const o = outcome(d.outcome.status, d.outcome.detail);
  return [el("p", { class: "verdict" }, verdict(d.capacity.desired, d.desired)),
    el("p", { class: "soft when" }, [`at ${dayClock(d.tick)}`, `policy ${words(d.policy) || "none"}`, d.model && `model ${d.model} v${d.model_version}`].filter(Boolean).join(" · ")),
    el("p", { class: "soft" }, o.tone ? badge(o.text, o.tone) : o.text),
    ...(d.alerts ?? []).map((a) => el("p", {}, badge(words(a), "warn"))),
    ...(d.capacity.rivals ?? []).map((r) => el("p", {}, badge(words(r.kind), "warn"), " ", r.detail)),
    d.capacity.launch_error ? el("p", {}, badge("launch failed", "bad"), " ", d.capacity.launch_error) : null,
    reasons(d.reasons), observed(h, d), shadow(d.shadow)].filter(Boolean);
}

// observed lists what was measured in the slot before the decision. The sizes are
// among the figures already.
function observed(h, d) {
  const value = (name, v) => name.startsWith("is_") && (v === 0 || v === 1) ? (v ? "yes" : "no") : `${short(v)} ${unitOf(h.units?.[name] ?? h.sensors?.[name]?.unit)}`;
  const shown = Object.entries(d.observed ?? {}).filter(([name]) => !name.startsWith("instances_"));
  if (shown.length === 0) return null;
  const start = ms(d.observed_at);
  return el("dl", { class: "observed" }, el("dt", {}, "measured"), el("dd", {}, start ? `${bareClock(start)}–${bareClock(start + h.step_seconds * 1000)}` : ""),
    shown.map(([name, v]) => [el("dt", {}, words(name)), el("dd", {}, value(name, v))]));
}

function shadow(s) {
  if (!s) return null;
  const sum = s.sums, compared = sum?.slots ? `Over ${sum.slots} slots: ${short(sum.shadow_hours)} instance-hours beside ${short(sum.live_hours)} of the policy in charge, ${short(sum.shadow_breaches)} minutes of overload beside ${short(sum.live_breaches)}.` : "Nothing to compare yet.";
  return el("p", { class: "soft shadow" }, el("b", {}, `In shadow, ${words(s.policy)}: `), s.to === s.desired ? `would keep ${s.to}. ` : `would go from ${s.desired} to ${s.to}. `, compared);
}
