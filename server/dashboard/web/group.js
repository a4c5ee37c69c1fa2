// Group: one time axis for everything that is known of it, and why each decision
// was made.

import { badge, blank, choice, el, fieldset, say, skeleton } from "./dom.js";
import { ask, path } from "./api.js";
import { bareDay, dayClock, duration, ms, words } from "./format.js";
import { Panes } from "./chart.js";
import { shape } from "./shape.js";
import { look, readout, specs } from "./timeline.js";
import { decisions } from "./decisions.js";
import { behind } from "./behind.js";
import { figures } from "./figures.js";
import { stateOf, stateOfDecision } from "./states.js";

const RANGES = { "1h": 1, "6h": 6, "24h": 24, "3d": 72, "7d": 168, "30d": 720, "90d": 2160 }; // hours
const LEADS = [1, 2, 6, 12]; // steps
const NAMES = { "1h": "1 h", "6h": "6 h", "24h": "24 h", "3d": "3 d", "7d": "7 d", "30d": "30 d", "90d": "90 d" };

export function groupPage({ route, go, notice, wake }) {
  const group = route.name, view = { ...viewOf(route.query), history: null, shape: null, look: null };
  const body = el("div", {}, skeleton("strip", "tall", "line", "line"));
  const head = el("div", { class: "badges" });
  const lead = el("p", { class: "soft reason", id: "reason" });
  const strip = el("dl", { class: "figures", id: "figures" });
  const ranges = fieldset("Range", { id: "range" }), leads = fieldset("Forecast made before", { id: "lead" });
  const back = el("button", { type: "button", class: "primary", id: "to-live", hidden: true, onclick: () => setRange(null) }, "Back to live");
  const span = el("span", { class: "soft", id: "span" });
  const links = el("span", { class: "links" });
  const panes = new Panes({ hover: (time) => hover(time), range: (from, to) => setRange(from, to), told: () => say(view.told ?? "") });
  const list = decisions((mark) => panes.hover(ms(mark.at) / 1000));
  const data = behind();
  const tool = (label, title, act) => el("button", { type: "button", class: "plain", title, "aria-label": title, onclick: act }, label);
  const full = el("div", { hidden: true }, strip,
    el("section", { class: "card", "aria-labelledby": "time-title" },
      el("div", { class: "tools" }, el("h2", { id: "time-title" }, "Load, forecast and capacity"), el("span", { class: "spacer" }), ranges,
        el("span", { class: "pack" }, tool("−", "Zoom out", () => panes.zoom(2)), tool("+", "Zoom in", () => panes.zoom(0.5)), tool("‹", "Earlier", () => panes.pan(-0.5)), tool("›", "Later", () => panes.pan(0.5))), back),
      el("div", { class: "tools under" }, el("p", { class: "legend" }, keys()), el("span", { class: "spacer" }), el("span", { class: "soft" }, "forecast made"), leads, el("span", { class: "soft" }, "before")),
      panes.node, el("div", { class: "tools under" }, span, el("span", { class: "spacer" }), links), data.node), list.node);
  const node = el("div", { class: "page" }, el("div", { class: "title" }, el("a", { class: "back", href: "#/", "aria-label": "Back to Fleet" }, "Fleet"), el("span", { class: "soft", "aria-hidden": "true" }, "/"), el("h1", { id: "name" }, group), head), lead, body, full);
  const pressRange = choice(ranges, Object.keys(RANGES).map((r) => [r, NAMES[r]]), view.range, (r) => { Object.assign(view, { range: r, from: null, to: null }); moved(); });
  let leadsFor = 0;

  function keys() {
    return [["load", "measured"], ["forecast", "forecast"], ["fan", "its intervals"], ["service", "in service"], ["desired", "desired"], ["event", "calendar event"]].map(([kind, name]) => el("span", { class: "key " + kind }, name));
  }

  // setRange shows a range that stands still; null: the newest again.
  function setRange(from, to) {
    if (from === null) Object.assign(view, { from: null, to: null });
    else {
      const slot = view.history.step_seconds, end = Math.ceil(to / slot) * slot; // whole slots: viewers of the same range share the answer
      Object.assign(view, { from: Math.max(Math.floor(from / slot) * slot, end - 90 * 86400), to: end });
    }
    moved();
  }

  // moved puts the range into the address and asks for it.
  function moved() {
    const query = new URLSearchParams();
    if (view.from) { query.set("from", new Date(view.from * 1000).toISOString()); query.set("to", new Date(view.to * 1000).toISOString()); }
    else if (view.range !== "24h") query.set("range", view.range);
    if (view.lead) query.set("lead", view.lead);
    go(query, true);
    pressRange(view.from ? "" : view.range);
    if (view.shape) draw();
    wake();
  }

  function hover(time) {
    if (!view.shape) return null;
    const read = readout(view.shape, view.history, time);
    view.told = read?.text;
    list.point(read?.mark ?? null);
    return read?.nodes ?? null;
  }

  function draw() {
    const s = view.shape, h = view.history, end = Math.max(s.to, s.ahead.x.at(-1) ?? 0);
    const [from, to] = view.from ? [view.from, view.to] : [end - Math.max(end - s.to, 0) - RANGES[view.range] * 3600, end];
    view.look ??= look();
    panes.show(specs(s, h, view.look), from, to, JSON.stringify(view.look));
    panes.node.setAttribute("aria-label", `${words(h.target)}, capacity and ${s.sensors.length} other series of ${group}, from ${dayClock(from * 1000)} to ${dayClock(to * 1000)}. The arrow keys read the values; the table below holds the same.`);
    span.textContent = `${bareDay(from * 1000)} – ${dayClock(to * 1000)}` + (s.coarse ? ` · each point is the mean of ${duration(s.step)}, the shade its extremes` : "");
    back.hidden = !view.from;
  }

  function render() {
    const h = view.history;
    if (!h) return;
    body.replaceChildren();
    full.hidden = false;
    const d = h.decisions?.[0], state = d ? stateOfDecision(d) : "unknown", s = stateOf(state);
    head.replaceChildren(badge(s.label, s.tone, s.why), ...(d ? [badge(d.mode === "live" ? "live" : "dry run", d.mode === "live" ? "good" : "info", d.mode === "live" ? "The scaler acts on its decisions" : "The scaler records its decisions and changes nothing")] : []));
    head.firstChild.id = "state";
    lead.textContent = d?.moved ? `${s.why}. Since ${dayClock(d.tick)}: ${d.moved.why}` : s.why;
    notice("group", (h.warnings ?? []).map((w) => ["warn", w]));
    strip.replaceChildren(...figures(h));
    if (leadsFor !== h.step_seconds) {
      leadsFor = h.step_seconds;
      choice(leads, LEADS.map((n) => [String(n), duration(n * h.step_seconds)]), String(view.lead || h.fan?.lead_steps || h.lead?.steps || 2), (n) => { view.lead = n; moved(); });
    }
    const query = (format) => `${path("groups", group)}?${new URLSearchParams({ from: h.from, to: h.to, ...(view.lead ? { lead: view.lead } : {}), ...format })}`;
    links.replaceChildren(el("a", { href: query({ format: "csv" }), download: `${group.replaceAll("/", "_")}.csv` }, "CSV"), el("a", { href: query({}) }, "JSON"));
    data.show(view.shape, h);
    list.show(h);
    draw();
  }

  // start is where the newest range begins: counted from the newest that there is,
  // which in a replay is not the clock's now.
  async function start(signal) {
    const newest = view.history && !view.stood ? view.history : await ask(`${path("groups", group)}?points=10`, signal);
    return new Date(ms(newest.to) - RANGES[view.range] * 3600e3).toISOString();
  }

  return {
    title: group, node, render, leave: () => panes.leave(),
    recolor: () => { view.look = null; render(); },
    wants: (told) => told.groups.has(group) || told.groups.has("*"),
    moved: (next) => { Object.assign(view, viewOf(next.query)); pressRange(view.from ? "" : view.range); if (view.shape) draw(); },
    async refresh(signal) {
      const query = new URLSearchParams({ points: String(Math.max(300, Math.min(2000, Math.round(innerWidth * 1.2)))) });
      if (view.lead) query.set("lead", view.lead);
      if (view.from) {
        query.set("from", new Date(view.from * 1000).toISOString());
        query.set("to", new Date(view.to * 1000).toISOString());
      }
      try {
        if (!view.from) query.set("from", await start(signal));
        const h = await ask(`${path("groups", group)}?${query}`, signal);
        [view.history, view.shape, view.stood] = [h, shape(h), Boolean(view.from)];
        render();
        return { now: h.now, replay: h.replay };
      } catch (err) {
        if (err.status !== 404) throw err;
        full.hidden = true;
        body.replaceChildren(blank(`Nothing is known of ${group}`, "No data and no decision in this range. It appears here as soon as there is any.", el("p", {}, el("a", { href: "#/" }, "All groups")),
          view.from || view.range !== "90d" ? el("button", { type: "button", onclick: () => { Object.assign(view, { range: "90d", from: null }); moved(); } }, "Look at 90 days") : null));
        return null;
      }
    },
    failed: (text) => { if (!view.history) body.replaceChildren(blank("No connection", `${text} The page goes on trying.`)); },
  };
}

// viewOf reads the range out of the address.
function viewOf(query) {
  const from = ms(query.get("from")) / 1000, to = ms(query.get("to")) / 1000, lead = Number.parseInt(query.get("lead"), 10);
  const fixed = from < to && to - from <= 91 * 86400;
  return { range: RANGES[query.get("range")] ? query.get("range") : "24h", from: fixed ? from : null, to: fixed ? to : null, lead: lead >= 1 && lead <= 1000 ? String(lead) : "" };
}
