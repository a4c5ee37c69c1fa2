// Fleet: every group in a row, what needs attention first.

import { badge, blank, el, say, skeleton } from "./dom.js";
import { ask } from "./api.js";
import { bareClock, dayClock, duration, ms, short, stamp, tie, unitOf, words } from "./format.js";
import { attentionOf, stateOf } from "./states.js";
import { bounds, spark } from "./spark.js";

const AT_ONCE = 60; // rows made before the browser may draw

const COLUMNS = [
  { key: "group", head: "Group", by: (g) => g.group },
  { key: "state", head: "State", by: (g) => -g.attention, initial: true },
  { key: "load", head: "Load", by: (g) => -(g.load?.value ?? -1) },
  { key: "forecast", head: "Forecast", by: (g) => -(g.forecast?.value ?? -1) },
  { key: "trend", head: "Trend" },
  { key: "capacity", head: "Instances", by: (g) => -(g.capacity?.in_service ?? -1) },
  { key: "health", head: "Data, model", by: (g) => -(g.data_age_seconds ?? 1e12) },
  { key: "event", head: "Next event", by: (g) => ms(g.next_event?.from) || Infinity },
];

const FILTERS = [["all", "All", () => true], ["attention", "Need attention", (g) => g.attention >= 100],
  ["forecast", "Predictive", (g) => g.state === "predictive"], ["dry", "Dry run", (g) => g.mode === "dry-run"]];

export function fleetPage({ notice }) {
  const view = { sort: "state", down: false, filter: "all", text: "", fleet: null };
  const rows = new Map(); // group -> {node, shown, row}
  const search = el("input", { id: "search", type: "search", placeholder: "Search groups", "aria-label": "Search groups", "aria-keyshortcuts": "/", oninput: () => { view.text = search.value.toLowerCase(); arrange(); } });
  const filters = el("div", { class: "chips", role: "group", "aria-label": "Filter" });
  const chips = FILTERS.map(([key, label]) => {
    const count = el("span", { class: "count" });
    const node = el("button", { type: "button", class: "chip", "aria-pressed": String(key === "all"), onclick: () => { view.filter = key; chips.forEach((c) => c.node.setAttribute("aria-pressed", String(c.key === key))); arrange(); } }, label, count);
    return { key, node, count };
  });
  filters.append(...chips.map((c) => c.node));
  const heads = COLUMNS.map((c) => ({ ...c, node: el("div", { role: "columnheader", class: "c-" + c.key, "aria-sort": c.by ? "none" : undefined },
    c.by ? el("button", { type: "button", onclick: () => sortBy(c.key) }, c.head, el("span", { class: "arrow", "aria-hidden": "true" })) : c.head) }));
  const body = el("div", { role: "rowgroup", class: "rows" });
  const grid = el("div", { role: "table", class: "fleet", "aria-label": "Groups", hidden: true },
    el("div", { role: "rowgroup" }, el("div", { role: "row", class: "row head" }, heads.map((h) => h.node))), body);
  const nothing = el("div", {}, skeleton("line", "line", "line", "line", "line", "line"));
  const summary = el("p", { class: "soft", id: "fleet-summary" });
  const node = el("div", { class: "page" }, el("div", { class: "title" }, el("h1", {}, "Fleet"), summary, el("span", { class: "spacer" }), search), filters, grid, nothing);
  filters.hidden = true;

  node.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && event.target === search) { search.value = view.text = ""; arrange(); return; }
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    const links = [...body.querySelectorAll("a.name")], at = links.indexOf(document.activeElement);
    const next = event.target === search && event.key === "ArrowDown" ? links[0] : at < 0 ? null : links[at + (event.key === "ArrowDown" ? 1 : -1)] ?? (event.key === "ArrowUp" ? search : null);
    if (next) { event.preventDefault(); next.focus(); }
  });

  function sortBy(key) {
    view.down = view.sort === key ? !view.down : false;
    view.sort = key;
    arrange();
    say(`Sorted by ${COLUMNS.find((c) => c.key === key).head}${view.down ? ", reversed" : ""}`);
  }

  let pass = 0; // a newer arrangement ends the one under way
  function arrange() {
    if (!view.fleet) return;
    const groups = view.fleet.groups, by = COLUMNS.find((c) => c.key === view.sort).by;
    const wanted = FILTERS.find(([key]) => key === view.filter)[2];
    for (const chip of chips) chip.count.textContent = groups.filter(FILTERS.find(([key]) => key === chip.key)[2]).length;
    const shown = groups.filter((g) => wanted(g) && (!view.text || g.group.toLowerCase().includes(view.text) || stateOf(g.state).label.includes(view.text)));
    const order = (a, b) => { const x = by(a), y = by(b); return x < y ? -1 : x > y ? 1 : a.group < b.group ? -1 : 1; };
    shown.sort((a, b) => view.down ? order(b, a) : order(a, b));
    for (const h of heads) if (h.by) h.node.setAttribute("aria-sort", h.key !== view.sort ? "none" : (h.key === "group" || h.key === "event") !== view.down ? "ascending" : "descending");
    const empty = groups.length === 0 ? emptyFleet(view.fleet) : shown.length === 0 ? blank("No group matches", "Nothing here fits the search and the filter.",
      el("button", { type: "button", onclick: clear }, "Show all groups")) : null;
    nothing.replaceChildren(...(empty ? [empty] : []));
    [grid.hidden, filters.hidden, search.hidden] = [Boolean(empty), groups.length === 0, groups.length === 0];
    grid.setAttribute("aria-rowcount", String(shown.length + 1));
    place(shown, 0, ++pass);
  }

  function clear() {
    search.value = view.text = "";
    chips[0].node.click();
  }

  // place puts rows in their order, a bunch at a time, so that a thousand do not
  // keep the first from the screen. What stands where it should is not touched.
  function place(shown, from, mine) {
    if (mine !== pass) return;
    const to = from === 0 ? AT_ONCE : from + 100;
    shown.slice(from, to).forEach((g, i) => {
      const row = rowOf(g), there = body.children[from + i];
      if (there !== row) body.insertBefore(row, there ?? null);
    });
    if (to < shown.length) { requestAnimationFrame(() => place(shown, to, mine)); return; }
    while (body.children.length > shown.length) body.lastChild.remove();
    const known = new Set(view.fleet.groups.map((g) => g.group));
    for (const group of rows.keys()) if (!known.has(group)) rows.delete(group);
    body.dataset.placed = String(shown.length);
  }

  function rowOf(g) {
    let known = rows.get(g.group);
    const shown = JSON.stringify(g) + bareClock(0); // the zone shows in the text
    if (known?.shown === shown) return known.node;
    const cells = cellsOf(g, view.fleet);
    if (!known) rows.set(g.group, known = { node: el("div", { role: "row", class: "row" }) });
    known.shown = shown;
    const focused = known.node.contains(document.activeElement);
    known.node.dataset.tone = attentionOf(g.attention)[1];
    known.node.replaceChildren(...COLUMNS.map((c, i) => el("div", { role: i === 0 ? "rowheader" : "cell", class: "c-" + c.key }, cells[c.key])));
    if (focused) known.node.querySelector("a").focus();
    return known.node;
  }

  function render() {
    const f = view.fleet;
    if (!f) return;
    const n = f.groups.length, urgent = f.groups.filter((g) => g.attention >= 200).length;
    summary.textContent = n === 0 ? "" : `${n} group${n === 1 ? "" : "s"}` + (urgent ? `, ${urgent} with a problem` : ", all well") + (f.tick ? ` · decided at ${f.replay ? dayClock(f.tick) : bareClock(f.tick)}` : "");
    notice("fleet", [...(f.brake ? [["warn", brakeText(f.brake)]] : []), ...(f.warnings ?? []).map((w) => ["warn", w])]);
    arrange();
  }

  return {
    title: "Fleet", node, render, wants: (told) => told.what.size > 0,
    async refresh(signal) {
      const fleet = await ask("/api/v1/fleet", signal);
      view.fleet = { ...fleet, groups: fleet.groups ?? [] };
      render();
      return { now: fleet.now, replay: fleet.replay };
    },
    failed: (text) => { if (!view.fleet) nothing.replaceChildren(blank("No connection", `${text} The page goes on trying.`)); },
    search: () => { search.focus(); search.select(); },
  };
}

function brakeText(b) {
  return `The fleet-wide brake holds scale-ins: ${b.groups} groups (${Math.round(b.group_share * 100)} %) wished to shrink at once, which is likelier a fault than a lull.`;
}

function emptyFleet(f) {
  if (f.warnings?.length) return blank("The data cannot be read", "See the notice above. The page shows the groups as soon as it can be.");
  return blank("No groups yet", "As soon as the collector has stored samples of a group, or the scaler has decided on one, it appears here by itself.",
    el("p", {}, "To see the whole system at work now: ", el("code", {}, "forescale demo"), "."));
}

function cellsOf(g, fleet) {
  const state = stateOf(g.state), [, tone, level] = attentionOf(g.attention);
  const lead = g.forecast ? duration(g.forecast.lead_seconds) : "";
  return {
    group: [el("a", { class: "name", href: `#/group/${encodeURIComponent(g.group)}`, title: g.group }, g.group),
      el("small", {}, [g.mode === "dry-run" ? "dry run" : g.mode, g.policy && words(g.policy)].filter(Boolean).join(" · "))],
    state: [badge(state.label, tone === "bad" || tone === "warn" ? tone : state.tone, state.why), el("span", { class: "unseen" }, `, ${level}`), el("small", { title: g.reason }, tie(g.reason))],
    load: number(g.load?.value, g.load?.unit, g.load && `${words(g.load.series)} ${bareClock(g.load.at)}`),
    forecast: number(g.forecast?.value, g.forecast && rangeText(g.forecast.quantiles), g.forecast && `in ${lead}, ${bareClock(g.forecast.at)}`),
    trend: spark(g.spark, g.forecast?.value, `Load of the newest ${g.spark?.length ?? 0} slots`) ?? el("span", { class: "soft" }, "–"),
    capacity: g.capacity ? capacityCell(g.capacity) : el("span", { class: "soft" }, "unknown"),
    health: [el("span", { class: ageTone(g, fleet) }, g.data_age_seconds === undefined || g.data_age_seconds === null ? "no data" : `${duration(g.data_age_seconds)} old`),
      el("small", { class: g.model?.problem ? "warn" : "", title: g.model?.problem }, modelText(g.model))],
    event: g.next_event ? eventCell(g.next_event, fleet) : el("span", { class: "soft" }, "none"),
  };
}

function number(value, note, below) {
  if (value === undefined || value === null) return el("span", { class: "soft" }, "–");
  return [el("b", {}, short(value)), note ? el("span", { class: "unit" }, " " + unitOf(note)) : null, below ? el("small", {}, below) : null];
}

function rangeText(quantiles) {
  const levels = Object.keys(quantiles ?? {}).sort((a, b) => a - b);
  return levels.length < 2 ? "" : `${short(quantiles[levels[0]])}\u2009–\u2009${short(quantiles[levels.at(-1)])}`;
}

function capacityCell(c) {
  const goal = c.desired === c.in_service ? "" : ` → ${c.desired}`;
  return [el("b", {}, `${c.in_service}${goal}`), c.pending ? el("span", { class: "unit", title: `${c.pending} starting` }, ` +${c.pending}`) : null,
    el("small", { title: `between ${c.min} and ${c.max}` }, bounds(c), `${c.min}\u2060–\u2060${c.max}`)];
}

function ageTone(g, fleet) {
  const steps = (g.data_age_seconds ?? Infinity) / (fleet.step_seconds || 300);
  return steps > 6 ? "bad" : steps > 3 ? "warn" : "";
}

function modelText(m) {
  if (!m) return "no model";
  if (m.problem) return `${m.name}: ${m.problem}`;
  return `${m.name} v${m.version || "?"}` + (m.age_seconds !== undefined && m.age_seconds !== null ? ` · ${duration(m.age_seconds)}` : "");
}

function eventCell(e, fleet) {
  const now = ms(fleet.replay ? fleet.tick ?? fleet.now : fleet.now), lasts = ms(e.from) <= now;
  return [el("span", { title: `${dayClock(e.from)} to ${dayClock(e.to)}` }, words(e.name)), el("small", {}, lasts ? `now, until ${stamp(e.to)}` : `in ${duration((ms(e.from) - now) / 1000)}, ${stamp(e.from)}`)];
}

