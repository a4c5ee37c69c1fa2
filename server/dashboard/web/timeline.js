// What the panes of a group's time line show: load with its fan, capacity with the
// decisions, and sensors.

import { el } from "./dom.js";
import { color } from "./dom.js";
import { around } from "./chart.js";
import { before, nearest } from "./shape.js";
import { bareDay, capital, clock, duration, short, tie, unitOf, words } from "./format.js";
import { outcome, verdict } from "./states.js";

const SENSOR_PANES = 6; // below the load and the capacity
const hidden = { stroke: "transparent", width: 0 }; // the ends of a band are not drawn themselves

// look returns the colours of the sheet, read once for each change of it.
export function look() {
  return Object.fromEntries(["load", "load-band", "forecast", "fan1", "fan2", "service", "service-fill", "desired", "event", "event-ink", "good", "bad", "soft", "sensor", "sensor-band", "card"].map((name) => [name, color(name)]));
}

// specs returns the panes of a shaped history.
export function specs(s, h, c) {
  const now = h.newest_end ? Date.parse(h.newest_end) / 1000 : s.to, common = { now, slot: s.slot };
  const events = (u) => drawEvents(u, s.events, c);
  const sensors = s.sensors.slice(0, SENSOR_PANES).map((sensor) => ({ ...common, id: "sensor-" + sensor.name, label: title(sensor.name, sensor.unit), unit: sensor.unit, height: 84,
    tables: [[sensor.x, sensor.values], ...(sensor.low ? [[sensor.low.x, sensor.low.values], [sensor.high.x, sensor.high.values]] : [])], range: sensor.unit === "percent" || sensor.unit === "count" ? undefined : around,
    series: [{ label: sensor.name, stroke: c.sensor }, ...(sensor.low ? [{ label: "low", ...hidden }, { label: "high", ...hidden }] : [])], bands: sensor.low ? [{ series: [3, 2], fill: c["sensor-band"] }] : undefined, under: events }));
  return [loadPane(s, h, c, common, events), capacityPane(s, c, common, events), ...sensors];
}

const title = (name, unit) => capital(words(name)) + (unit ? `, ${unitOf(unit)}` : "");

// nested pairs the levels of a fan that lie alike on both sides, from the outermost
// inwards: [low, high] indices. A level without its like, such as 0.99 alone, is no
// end of an interval.
function nested(levels) {
  return levels.map((q, i) => [i, levels.findIndex((other) => Math.abs(1 - other - q) < 1e-9)]).filter(([i, j]) => i < j);
}

function loadPane(s, h, c, common, events) {
  const series = [], bands = [], tables = [], add = (x, columns) => tables.push([x, ...columns]);
  const fan = (f, kind, style) => {
    const first = series.length + 1;
    f.levels.forEach((q) => series.push({ label: `${kind} ${q}`, ...hidden }));
    for (const [low, high] of nested(f.levels)) bands.push({ series: [first + high, first + low], fill: bands.length % 2 ? c.fan2 : c.fan1 });
    series.push({ label: kind, stroke: c.forecast, ...style });
    add(f.x, [...f.values, f.point]);
  };
  if (s.fan.x.length) fan(s.fan, "forecast", { width: 1.25, dash: [5, 3] });
  if (s.ahead.x.length) fan(s.ahead, "newest", { width: 2 });
  if (s.coarse && s.measured.low) {
    const first = series.length + 1;
    series.push({ label: "low", ...hidden }, { label: "high", ...hidden });
    bands.push({ series: [first + 1, first], fill: c["load-band"] });
    add(s.measured.x, [s.measured.low, s.measured.high]);
  }
  series.push({ label: "measured", stroke: c.load, width: 1.75 });
  add(s.measured.x, [s.measured.mean]);
  return { ...common, id: "load", label: title(h.target, h.units?.[h.target]), unit: h.units?.[h.target], height: 260, tables, series, bands, under: (u) => { events(u); nameEvents(u, s.events, c); } };
}

function capacityPane(s, c, common, events) {
  const k = s.capacity, extended = { ...k };
  if (k.x.length) for (const name of Object.keys(k)) extended[name] = [...k[name], name === "x" ? Math.max(k.x.at(-1) + 1, Math.min(s.to, common.now)) : k[name].at(-1)];
  const stepped = globalThis.uPlot.paths.stepped({ align: 1 });
  return { ...common, id: "capacity", label: "Capacity, instances", height: 120, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000],
    tables: [[extended.x, extended.service, extended.desired]],
    series: [{ label: "in service", stroke: c.service, fill: c["service-fill"], paths: stepped, width: 1.75 }, { label: "desired", stroke: c.desired, paths: stepped, dash: [5, 3], width: 1.25 }],
    under: events, over: (u) => drawMarks(u, s.marks, c) };
}

// drawEvents draws the events of the calendar as bands behind everything.
function drawEvents(u, events, c) {
  const { ctx, bbox } = u;
  ctx.save();
  ctx.fillStyle = c.event;
  for (const e of events) {
    const [left, right] = ends(u, e);
    if (right > left) ctx.fillRect(left, bbox.top, right - left, bbox.height);
  }
  ctx.restore();
}

function nameEvents(u, events, c) {
  const { ctx, bbox } = u, dpr = devicePixelRatio;
  ctx.save();
  ctx.fillStyle = c["event-ink"];
  ctx.font = `${11 * dpr}px system-ui, sans-serif`;
  [ctx.textAlign, ctx.textBaseline] = ["left", "top"];
  for (const e of events) {
    const [left, right] = ends(u, e), name = words(e.name);
    if (right - left > ctx.measureText(name).width + 8 * dpr) ctx.fillText(name, left + 4 * dpr, bbox.top + 3 * dpr);
  }
  ctx.restore();
}

function ends(u, e) {
  const { min, max } = u.scales.x;
  return [Math.max(e.from, min), Math.min(e.to, max)].map((t) => u.valToPos(t, "x", true));
}

// drawMarks draws each decision where it put the desired capacity: a triangle that
// points where it went, filled when it was carried out, a bar when it was held.
function drawMarks(u, marks, c) {
  const { ctx } = u, dpr = devicePixelRatio, { min, max } = u.scales.x, r = Math.max(2.2, Math.min(4.5, u.bbox.width / dpr / marks.length / 3)) * dpr;
  ctx.save();
  ctx.beginPath();
  ctx.rect(u.bbox.left, u.bbox.top - 6 * dpr, u.bbox.width, u.bbox.height + 12 * dpr);
  ctx.clip();
  ctx.lineWidth = 1.5 * dpr;
  for (const m of marks) {
    if (m.x < min || m.x > max) continue;
    const x = u.valToPos(m.x, "x", true), y = u.valToPos(m.to, "y", true), up = m.to > m.from ? -1 : 1;
    ctx.strokeStyle = ctx.fillStyle = m.outcome === "failed" ? c.bad : c.desired;
    ctx.beginPath();
    if (m.to === m.from) ctx.rect(x - r, y - 1 * dpr, 2 * r, 2 * dpr);
    else { ctx.moveTo(x, y + up * r); ctx.lineTo(x - r, y - up * r); ctx.lineTo(x + r, y - up * r); ctx.closePath(); }
    if (m.outcome === "dry-run" || m.outcome === "skipped") { ctx.fillStyle = c.card; ctx.fill(); ctx.stroke(); } else ctx.fill();
  }
  ctx.restore();
}

// readout returns what is known at a time, as nodes, or null; and the same as a
// sentence for readers.
export function readout(s, h, time) {
  const rows = [], reach = s.step * 0.75, unit = unitOf(h.units?.[h.target]).split(" ")[0];
  const add = (name, text, kind) => rows.push([name, text, kind]);
  const i = nearest(s.measured.x, time, reach);
  if (i >= 0 && s.measured.mean[i] !== null) {
    add(s.coarse ? "measured, mean" : "measured", `${short(s.measured.mean[i])} ${unit}`, "load");
    if (s.coarse && s.measured.low) add("from – to", `${short(s.measured.low[i])} – ${short(s.measured.high[i])}`);
  }
  const j = nearest(s.fan.x, time, reach);
  if (j >= 0) fanRows(add, s.fan, j, `forecast ${duration(leadOf(h))} before`);
  const k = nearest(s.ahead.x, time, s.slot * 0.75);
  if (k > 0 || k === 0 && s.ahead.x[0] > s.ahead.issued) fanRows(add, s.ahead, k, "newest forecast");
  const n = before(s.capacity.x, time);
  if (n >= 0 && time <= (Date.parse(h.newest_end ?? h.to) / 1000) + s.step) {
    const p = s.capacity;
    add("in service", `${p.service[n]}${p.pending[n] ? `, ${p.pending[n]} starting` : ""}`, "service");
    add("desired", `${p.desired[n]} of ${p.min[n] ?? "?"}–${p.max[n] ?? "?"}`, "desired");
  }
  for (const sensor of s.sensors.slice(0, SENSOR_PANES)) {
    const m = nearest(sensor.x, time, reach);
    if (m >= 0 && sensor.values[m] !== null) add(words(sensor.name), `${short(sensor.values[m])} ${unitOf(sensor.unit)}`, "sensor");
  }
  for (const e of s.events) if (e.from <= time && time < e.to) add("event", words(e.name), "event");
  const mark = markAt(s, time);
  if (!rows.length && !mark) return null;
  const slot = Math.floor((time - s.from) / s.step) * s.step + s.from;
  const head = `${bareDay(slot * 1000)}–${clock((slot + s.step) * 1000)}`;
  return { text: `${head}: ${rows.map(([name, text]) => `${name} ${text}`).join(", ")}${mark ? `. ${verdict(mark.from, mark.to)}: ${why(mark)}` : ""}`, mark,
    nodes: [el("b", {}, head), ...rows.map(([name, text, kind]) => el("span", { class: "reading" }, el("span", { class: "key " + (kind ?? "") }, name), el("i", {}, text))),
      mark ? el("div", { class: "tip-mark" }, el("b", {}, verdict(mark.from, mark.to)), el("span", {}, tie(why(mark))),
        mark.clamps?.length ? el("span", { class: "soft" }, `wanted ${mark.wanted}; held by ${mark.clamps.map(words).join(", ")}`) : null,
        el("span", { class: outcome(mark.outcome).tone }, outcome(mark.outcome, mark.detail).text)) : null].filter(Boolean) };
}

const leadOf = (h) => (h.fan?.lead_steps || h.lead?.steps || 1) * h.step_seconds;

function fanRows(add, f, i, name) {
  const text = f.point[i] === null || f.point[i] === undefined ? null : short(f.point[i]);
  if (text === null) return;
  add(name, text, "forecast");
  for (const [low, high] of nested(f.levels)) {
    if (f.values[low][i] === null || f.values[low][i] === undefined) continue;
    const share = Math.round((f.levels[high] - f.levels[low]) * 100);
    add(`${share} % interval`, `${short(f.values[low][i])} – ${short(f.values[high][i])}`, "fan");
  }
}

// why is the reason that moved the number, or the last one.
export function why(m) {
  const reasons = m.reasons ?? [];
  return (reasons.find((r) => r.from !== r.to) ?? reasons.at(-1))?.detail ?? "";
}

// markAt is the decision close to a time: within a slot, or a few pixels of a long range.
function markAt(s, time) {
  const i = nearest(s.marks.map((m) => m.x), time, Math.max(s.slot * 0.6, s.step * 0.6));
  return i < 0 ? null : s.marks[i];
}
