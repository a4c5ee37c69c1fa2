// The page: asks the JSON interface again and again, and shows the answers.

import { draw, short, svg } from "./chart.js";

const $ = (id) => document.getElementById(id);
const POLL = 2000, MODELS_EVERY = 5; // milliseconds; polls
const RANGES = { "6 h": 6, "24 h": 24, "3 d": 72, "7 d": 168 }; // hours
const ZONES = { local: Intl.DateTimeFormat().resolvedOptions().timeZone, UTC: "UTC" };

const state = { group: groupOfHash(), range: "24 h", zone: "local", groups: null, history: null, models: [], registry: {}, lostSince: null, polls: 0, missing: "" };

function groupOfHash() {
  try { return decodeURIComponent(location.hash.slice(1)); } catch { return ""; }
}

function el(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) value === undefined || node.setAttribute(key, value);
  node.append(...children.filter((c) => c !== null && c !== undefined));
  return node;
}

// --- time and words -------------------------------------------------------------

const zone = () => ZONES[state.zone] || "UTC";

function format(time, options) {
  return new Intl.DateTimeFormat(undefined, { timeZone: zone(), hourCycle: "h23", ...options }).format(new Date(time));
}

const clock = (t) => format(t, { hour: "2-digit", minute: "2-digit", timeZoneName: "short" });
const bareClock = (t) => format(t, { hour: "2-digit", minute: "2-digit" });
const dayClock = (t) => format(t, { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", timeZoneName: "short" });

function ago(seconds) {
  if (seconds < 0) return "just now";
  if (seconds < 90) return `${Math.round(seconds)} s ago`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h ago`;
  return `${Math.round(seconds / 86400)} days ago`;
}

const instances = (n) => `${n} instance${n === 1 ? "" : "s"}`;
const tie = (text) => text.replaceAll(" %", "\u00a0%"); // a number keeps its unit on its line
const words = (name) => name.replaceAll("_", " ");

// verdict says in words what a decision does.
function verdict(d) {
  const from = d.capacity.desired;
  if (d.desired === from) return `Keep ${instances(from)}`;
  const verb = d.desired > from ? "Scale out" : "Scale in";
  return `${verb} from ${from} to ${instances(d.desired)}`;
}

function outcome(d) {
  const detail = d.outcome.detail ? ` ${d.outcome.detail}` : "";
  switch (d.outcome.status) {
    case "none": return { text: "Nothing had to be done.", tone: "" };
    case "dry-run": return { text: "Dry run: it was recorded and not carried out." + detail, tone: "" };
    case "accepted": return { text: "The provider accepted it." + detail, tone: "good" };
    case "failed": return { text: "The provider did not accept it." + detail, tone: "bad" };
    case "skipped": return { text: "It was not carried out." + detail, tone: "warn" };
  }
  return { text: "It is not known whether it was carried out." + detail, tone: "warn" };
}

const BASIS = {
  predictive: { text: "predictive", tone: "good", why: "Decided on a valid forecast and fresh metrics" },
  reactive: { text: "reactive", tone: "warn", why: "No usable forecast: decided on the metrics alone, scaling in at half rate" },
  hold: { text: "hold", tone: "bad", why: "No fresh metrics: never scales in" },
};

// basisOf says what a decision rests on. A policy that reads no forecast has not
// lost one: only the reason "forecast" tells that one was wanted.
function basisOf(d) {
  if (d?.basis === "reactive" && !wantedForecast(d)) return { text: "reactive", tone: "", why: "Its policy decides on the measured load alone" };
  return d && (BASIS[d.basis] ?? { text: d.basis, tone: "warn" });
}

const wantedForecast = (d) => d.basis !== "reactive" || (d.reasons ?? []).some((r) => r.rule === "forecast");

// --- talking to the server ------------------------------------------------------

async function ask(path) {
  const response = await fetch(path, { signal: AbortSignal.timeout(10000), headers: { Accept: "application/json" } });
  const body = await response.json();
  if (!response.ok) throw Object.assign(new Error(body.detail || body.title), { status: response.status });
  return body;
}

async function poll() {
  try {
    if (state.polls++ % MODELS_EVERY === 0) {
      const answer = await ask("/api/v1/models");
      [state.models, state.registry] = [answer.models, answer.registry];
    }
    state.groups = await ask("/api/v1/groups");
    if (!state.group) state.group = (state.groups.groups.find((g) => g.decision) ?? state.groups.groups[0])?.group ?? "";
    if (state.group) await pollHistory(state.group);
    state.lostSince = null;
  } catch (err) {
    state.lostSince ??= Date.now();
    state.lostWhy = err.name === "TimeoutError" ? "the server does not answer in time" : err.status ? err.message : "the server cannot be reached";
  }
  render();
}

async function pollHistory(group) {
  const known = state.history?.group === group ? state.history : null;
  const query = new URLSearchParams();
  if (known) query.set("from", new Date(Date.parse(known.to) - RANGES[state.range] * 3600e3).toISOString());
  try {
    const history = await ask(`/api/v1/groups/${encodeURIComponent(group)}?${query}`);
    if (group !== state.group) return; // the viewer has moved on meanwhile
    [state.history, state.missing] = [history, ""];
  } catch (err) {
    if (err.status !== 404) throw err;
    [state.history, state.missing] = [null, err.message];
  }
}

let timer;
async function loop() {
  clearTimeout(timer);
  if (!document.hidden) await poll();
  clearTimeout(timer); // one loop, whoever called
  timer = setTimeout(loop, POLL);
}

// --- showing --------------------------------------------------------------------

function render() {
  renderLink();
  renderGroups();
  const empty = emptyReason();
  $("empty").hidden = !empty;
  $("view").hidden = Boolean(empty) || !state.history;
  if (empty) { [$("empty-title").textContent, $("empty-text").textContent] = empty; return; }
  if (state.history) renderHistory(state.history);
}

// emptyReason says why there is nothing to show, or null.
function emptyReason() {
  if (state.history) return null;
  if (state.lostSince) return ["No connection", `Right now ${state.lostWhy}. The page goes on trying.`];
  if (!state.groups) return ["Loading…", ""];
  if (state.missing) return [`Nothing is known of ${state.group}`, "No data and no decision in the last day. It appears here as soon as there is any."];
  const warnings = (state.groups.warnings ?? []).join("; ");
  if (warnings) return ["The data cannot be read", warnings];
  return ["No groups yet", "As soon as the collector has stored samples of a group, or the scaler has decided on one, it appears here by itself."];
}

function renderLink() {
  const link = $("link"), lost = state.lostSince;
  link.className = "link " + (lost ? "lost" : state.groups ? "live" : "waiting");
  link.textContent = lost ? `no connection for ${Math.max(1, Math.round((Date.now() - lost) / 1000))} s` : state.groups ? `live · ${clock(state.groups.now)}` : "connecting…";
  $("replay").hidden = !state.groups?.replay;
  document.body.classList.toggle("stale", Boolean(lost));
}

function renderGroups() {
  const groups = state.groups?.groups ?? [];
  $("groups").hidden = groups.length < 2;
  $("filter").hidden = groups.length < 9;
  const wanted = $("filter").value.toLowerCase();
  const matching = groups.filter((g) => g.group.toLowerCase().includes(wanted)), shown = matching.slice(0, 200);
  $("group-list").replaceChildren(...shown.map((g) => {
    const d = g.decision, basis = basisOf(d), size = d?.capacity.in_service;
    const note = !d ? "no decision yet" : d.outcome.status === "failed" ? "last action failed" : `${basis.text} · ${d.mode}`;
    const tone = !d ? "" : d.outcome.status === "failed" ? "bad" : basis.tone === "good" ? "" : basis.tone;
    const button = el("button", { type: "button", "aria-current": String(g.group === state.group), title: g.group },
      el("span", { class: "n" }, g.group), el("span", { class: "c" }, !d ? "–" : size === d.desired ? String(size) : `${size} → ${d.desired}`), el("span", { class: "s " + tone }, note));
    button.addEventListener("click", () => { location.hash = encodeURIComponent(g.group); });
    return el("li", {}, button);
  }));
  if (matching.length > shown.length) $("group-list").append(el("li", { class: "muted" }, `and ${matching.length - shown.length} more; filter to find them`));
}

function renderHistory(h) {
  const decision = h.decisions[0];
  $("name").textContent = h.group;
  document.title = `${h.group} · Forescale`;
  badge($("mode"), decision?.mode, decision?.mode === "live" ? "good" : "", decision?.mode === "live" ? "The scaler acts on its decisions" : "The scaler records its decisions and changes nothing");
  const basis = basisOf(decision);
  badge($("basis"), basis?.text, basis?.tone, basis?.why);
  renderNotices(h);
  renderFigures(h, decision);
  renderLoad(h);
  renderCapacity(h);
  renderLast(h);
  renderRecent(h);
}

function badge(node, text, tone, title) {
  node.hidden = !text;
  node.textContent = text ?? "";
  node.className = "badge " + (tone ?? "");
  node.title = title ?? "";
}

function renderNotices(h) {
  const notices = [];
  if (state.lostSince) notices.push(["bad", `No connection: ${state.lostWhy}. What is shown is as of ${clock(h.now)}.`]);
  if (state.registry.error) notices.push(["", `The model registry cannot be read; what is loaded serves on. ${state.registry.error}`]);
  const summary = state.groups?.groups.find((g) => g.group === h.group);
  const model = state.models.find((m) => m.name === summary?.model);
  if (model?.failure) notices.push([model.serving ? "" : "bad", `Model ${model.name} version ${model.failure.version ?? "?"} was refused` +
    (model.serving ? `; version ${model.serving} serves on. ` : " and none serves. ") + model.failure.reason]);
  for (const w of h.warnings ?? []) notices.push(["", w]);
  $("notices").replaceChildren(...notices.map(([tone, text]) => el("p", { class: "notice " + tone, role: "alert" }, text)));
}

// last returns the newest known value of a series and its slot.
function last(series) {
  for (let i = (series?.length ?? 0) - 1; i >= 0; i--) if (series[i] !== null) return { value: series[i], slot: i };
  return null;
}

function figure(name, big, unit, note, tone) {
  return el("div", {}, el("dt", {}, name), el("dd", { class: "big" }, big, unit ? el("small", {}, " " + unit) : null), el("dd", { class: "note " + (tone ?? "") }, note));
}

function renderFigures(h, d) {
  const start = Date.parse(h.from), step = h.step_seconds * 1000, slot = (i) => `${bareClock(start + i * step)}–${bareClock(start + (i + 1) * step)}`;
  const unit = (h.units[h.target] ?? "").split(" ")[0]; // "instances of work": the chart says it in full
  const load = last(h.series[h.target]), cpu = last(h.series.cpu_utilization);
  const figures = [figure(capital(words(h.target)), load ? short(load.value) : "–", load ? unit : "", load ? `in ${slot(load.slot)}` : "no value in this range", load ? "" : "warn")];
  const f = h.forecast;
  if (f?.point?.length >= h.lead.steps) {
    const k = h.lead.steps - 1, at = Date.parse(f.issued_at) + k * step;
    const range = f.values?.[k]?.length > 1 ? `${short(f.values[k][0])} to ${short(f.values[k].at(-1))}, ` : "";
    figures.push(figure(`Forecast, ${h.lead.steps * h.step_seconds / 60} min ahead`, short(f.point[k]), unit, `${range}for ${bareClock(at)}–${bareClock(at + step)}`));
  } else if (!d || wantedForecast(d)) figures.push(figure("Forecast", "–", "", d ? "none at the last decision" : "none yet", "warn"));
  if (cpu) figures.push(figure("CPU", short(cpu.value), "%", `mean of ${slot(cpu.slot)}`));
  if (d) figures.push(figure("In service", String(d.capacity.in_service), d.capacity.in_service === 1 ? "instance" : "instances",
    `desired ${d.desired}` + (d.capacity.pending ? ` · ${d.capacity.pending} starting` : "") + ` · bounds ${d.capacity.min}\u2060–\u2060${d.capacity.max}`));
  figures.push(freshness(h));
  $("figures").replaceChildren(...figures);
}

const capital = (s) => s.charAt(0).toUpperCase() + s.slice(1);

// freshness judges the age of the newest slot: in a replay by when it arrived.
function freshness(h) {
  if (!h.newest_end) return figure("Data", "none", "", "in this range", "bad");
  const age = (Date.parse(h.now) - Date.parse(h.replay ? h.newest_at : h.newest_end)) / 1000;
  const tone = h.replay ? (age > 120 ? "warn" : "") : age > 6 * h.step_seconds ? "bad" : age > 3 * h.step_seconds ? "warn" : "";
  const big = { "": "fresh", warn: "late", bad: "stale" }[tone];
  return figure("Data", big, "", `up to ${h.replay ? dayClock(h.newest_end) : clock(h.newest_end)}, ${h.replay ? "arrived " : ""}${ago(age)}`, tone);
}

function key(kind, name) {
  const sample = kind.endsWith("fill") || kind === "band" ? svg("rect", { class: kind, width: 18, height: 10 }) : svg("path", { class: kind, d: "M0 5h18" });
  return el("span", {}, svg("svg", { width: 18, height: 10, "aria-hidden": "true" }, sample), name);
}

// onGrid gives the values of a series their times: the middle of each slot.
function onGrid(h, series) {
  const start = Date.parse(h.from), step = h.step_seconds * 1000;
  return (series ?? []).map((v, i) => [start + (i + 0.5) * step, v]);
}

function span(h) {
  const ahead = h.forecast?.point ? Date.parse(h.forecast.issued_at) + h.forecast.point.length * h.step_seconds * 1000 : 0;
  return { from: Date.parse(h.from), to: Math.max(Date.parse(h.to), ahead), now: Date.parse(h.newest_end ?? h.to), zone: zone() };
}

function renderLoad(h) {
  const step = h.step_seconds * 1000, minutes = h.lead.steps * h.step_seconds / 60, unit = h.units[h.target];
  const measured = onGrid(h, h.series[h.target]), lead = onGrid(h, h.lead.values);
  const band = h.lead.low ? onGrid(h, h.lead.low).map(([t, low], i) => [t, low, h.lead.high[i]]) : [];
  const issued = h.forecast ? Date.parse(h.forecast.issued_at) : 0;
  const ahead = (h.forecast?.point ?? []).map((v, k) => [issued + (k + 0.5) * step, v]);
  const fan = (h.forecast?.values ?? []).map((q, k) => [issued + (k + 0.5) * step, q[0], q.at(-1)]);
  const newest = last(h.series[h.target]), forecast = ahead.length > 0 || last(h.lead.values) !== null;
  if (newest && ahead.length) ahead.unshift(measured[newest.slot]);
  $("load-title").textContent = capital(words(h.target)) + (unit ? `, ${unit}` : "") + (forecast ? ": what came, and what had been forecast" : "");
  const keys = [key("load", "measured")];
  if (forecast) keys.push(key("lead", `forecast ${minutes} min before`));
  if (ahead.length) keys.push(key("ahead", `forecast of ${clock(issued)}`));
  if (band.length) keys.push(key("band", h.lead.level ? `${h.lead.level.map((q) => short(q * 100)).join("–")} % interval` : "interval"));
  $("load-legend").replaceChildren(...keys);
  draw($("load-chart"), { ...span(h), height: 270, label: `${words(h.target)} over time with its forecast`,
    layers: [{ kind: "band", class: "band", points: band }, { kind: "band", class: "band", points: fan }, { kind: "line", class: "lead", points: lead },
      { kind: "line", class: "load", points: measured }, { kind: "line", class: "ahead", points: ahead }],
    tip: (time) => {
      const i = Math.floor((time - Date.parse(h.from)) / step), k = Math.floor((time - issued) / step), rows = [];
      const add = (name, v) => { if (v !== null && v !== undefined) rows.push([name, short(v)]); };
      add("measured", h.series[h.target]?.[i]);
      add(`forecast ${minutes} min before`, h.lead.values[i]);
      if (h.lead.low?.[i] != null) rows.push(["interval", `${short(h.lead.low[i])} – ${short(h.lead.high[i])}`]);
      if (issued && k >= 0) add("newest forecast", h.forecast.point[k]);
      add("CPU, %", h.series.cpu_utilization?.[i]);
      const start = Date.parse(h.from) + i * step;
      return rows.length ? { time: start + step / 2, title: `${bareClock(start)}–${dayClock(start + step)}`, rows } : null;
    } });
}

function renderCapacity(h) {
  const at = (p) => Date.parse(p.at);
  const service = h.capacity.map((p) => [at(p), p.in_service]), desired = h.capacity.map((p) => [at(p), p.desired]);
  const marks = h.capacity.filter((p) => p.desired !== p.before).map((p) => ({ time: at(p), value: p.desired, up: p.desired > p.before }));
  $("capacity-legend").replaceChildren(key("service", "in service"), key("desired", "desired"),
    el("span", {}, svg("svg", { width: 12, height: 10, "aria-hidden": "true" }, svg("path", { class: "mark", d: "M6 1l-4.5 7h9z", fill: "var(--desired)" })), "decision to change"));
  draw($("capacity-chart"), { ...span(h), height: 190, label: "Instances in service and desired over time", marks,
    layers: [{ kind: "fill", class: "service-fill", points: service }, { kind: "step", class: "desired", points: desired }, { kind: "step", class: "service", points: service }],
    tip: (time) => {
      const p = h.capacity.findLast((c) => at(c) <= time);
      if (!p || time > span(h).now) return null;
      const rows = [["in service", String(p.in_service)], ["desired", String(p.desired)]];
      if (p.pending) rows.push(["starting", String(p.pending)]);
      return { time: at(p), title: dayClock(p.at), rows };
    } });
}

function renderLast(h) {
  const d = h.decisions[0];
  if (!d) { $("last").replaceChildren(el("p", { class: "muted" }, "The scaler has not decided on this group in this range.")); return; }
  const o = outcome(d), model = d.model ? ` · model ${d.model} v${d.model_version}` : "";
  $("last").replaceChildren(
    el("p", { class: "verdict" }, verdict(d)),
    el("p", { class: "when" }, `at ${dayClock(d.tick)} · policy ${d.policy || "none"}${model}`),
    el("p", { class: o.tone ? "badge " + o.tone : "muted" }, o.text),
    el("ol", { class: "reasons" }, ...(d.reasons ?? []).map((r) => el("li", {}, el("span", { class: "rule" }, words(r.rule)),
      el("span", {}, tie(r.detail), " ", el("span", { class: "move" }, r.from === r.to ? `(stays ${r.to})` : `(${r.from} → ${r.to})`))))),
    observed(h, d));
}

// observed lists what was measured in the slot before the decision. The sizes are
// among the figures already.
function observed(h, d) {
  const unit = { percent: "\u00a0%" };
  const value = (name, v) => name.startsWith("is_") && (v === 0 || v === 1) ? (v ? "yes" : "no") : short(v) + (unit[h.units[name]] ?? (h.units[name] ? " " + h.units[name] : ""));
  const shown = Object.entries(d.observed ?? {}).filter(([name]) => !name.startsWith("instances_"));
  if (shown.length === 0) return null;
  const start = d.observed_at ? Date.parse(d.observed_at) : 0;
  return el("dl", { class: "observed" }, el("dt", {}, "measured"), el("dd", {}, start ? `${bareClock(start)}–${bareClock(start + h.step_seconds * 1000)}` : ""),
    ...shown.flatMap(([name, v]) => [el("dt", {}, words(name)), el("dd", {}, value(name, v))]));
}

function renderRecent(h) {
  const changes = h.decisions.filter((d) => d.desired !== d.capacity.desired || !["none", "dry-run"].includes(d.outcome.status)).slice(0, 8);
  if (changes.length === 0) { $("recent").replaceChildren(el("p", { class: "muted" }, `None among the last ${h.decisions.length} decisions.`)); return; }
  const rows = changes.map((d) => {
    const from = d.capacity.desired, tone = d.desired > from ? "up" : d.desired < from ? "down" : "muted", o = outcome(d);
    const why = (d.reasons ?? []).find((r) => r.from !== r.to) ?? d.reasons?.[0];
    return el("tr", {}, el("td", {}, format(d.tick, { weekday: "short", hour: "2-digit", minute: "2-digit" })), el("td", { class: tone }, `${from} → ${d.desired}`),
      el("td", {}, tie(why?.detail ?? ""), ["bad", "warn"].includes(o.tone) ? el("span", { class: "badge " + o.tone }, o.text) : null));
  });
  $("recent").replaceChildren(el("table", {}, el("thead", {}, el("tr", {}, el("th", { scope: "col" }, `Time, ${zoneName()}`), el("th", { scope: "col" }, "Desired"), el("th", { scope: "col" }, "Why"))), el("tbody", {}, ...rows)));
}

const zoneName = () => new Intl.DateTimeFormat(undefined, { timeZone: zone(), timeZoneName: "short" }).formatToParts(new Date()).find((p) => p.type === "timeZoneName").value;

// --- controls -------------------------------------------------------------------

function makeSwitch(id, names, current, choose) {
  const show = (chosen) => $(id).replaceChildren(...names.map((name) => {
    const button = el("button", { type: "button", "aria-pressed": String(name === chosen) }, name);
    button.addEventListener("click", () => { show(name); choose(name); });
    return button;
  }));
  show(current);
}

makeSwitch("range", Object.keys(RANGES), state.range, (name) => { state.range = name; loop(); });
makeSwitch("zone", Object.keys(ZONES), state.zone, (name) => { state.zone = name; render(); });
$("filter").addEventListener("input", renderGroups);
addEventListener("hashchange", () => { state.group = groupOfHash(); state.missing = ""; loop(); });
addEventListener("resize", () => state.history && render());
document.addEventListener("visibilitychange", () => document.hidden || loop());
loop();
