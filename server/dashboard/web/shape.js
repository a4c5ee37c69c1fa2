// Turns a group's history, as the interface answers it, into what the panes of the
// time line draw. Times are Unix seconds here, as the charting library has them.

import { ms } from "./format.js";

const seconds = (time) => ms(time) / 1000;

// shape returns {from, to, step, measured, fan, ahead, capacity, marks, events,
// sensors}. Values stand in the middle of their slot or bucket; null: not known.
export function shape(h) {
  const from = seconds(h.from), step = h.bucket_seconds || h.step_seconds;
  const grid = (n) => Array.from({ length: n }, (_, i) => from + (i + 0.5) * step);
  const series = h.series?.[h.target] ?? [];
  const out = {
    from, to: seconds(h.to), step, slot: h.step_seconds, coarse: step > h.step_seconds,
    measured: { x: grid(series.length), mean: series, low: h.lows?.[h.target] ?? null, high: h.highs?.[h.target] ?? null },
    fan: fanOf(h.fan, step), ahead: aheadOf(h.forecast), capacity: capacityOf(h.capacity ?? []),
    marks: (h.marks ?? []).map((m) => ({ ...m, x: seconds(m.at) })).reverse(),
    events: (h.events ?? []).map((e) => ({ name: e.name, from: seconds(e.from), to: seconds(e.to) })),
    sensors: sensorsOf(h, grid),
  };
  if (out.ahead.x.length && series.length) join(out);
  return out;
}

// levelsOf returns the levels of quantiles in order, as the names that they have.
const levelsOf = (quantiles) => Object.keys(quantiles ?? {}).sort((a, b) => a - b);

function fanOf(fan, step) {
  const levels = levelsOf(fan?.quantiles);
  return { x: (fan?.times ?? []).map((t) => seconds(t) + step / 2), point: fan?.point ?? [], levels, values: levels.map((q) => fan.quantiles[q]) };
}

// aheadOf is the newest forecast.
function aheadOf(f) {
  const point = f?.error ? [] : f?.point ?? [], issued = seconds(f?.issued_at);
  const levels = f?.values?.length === point.length ? (f.quantiles ?? []).map(String) : [];
  return { issued, x: point.map((_, k) => issued + (k + 0.5) * f.step_seconds), point, levels, values: levels.map((_, i) => f.values.map((v) => v[i])) };
}

// join lets the newest forecast begin where the measured line ends.
function join({ ahead, measured }) {
  const last = measured.mean.findLastIndex((v) => v !== null);
  if (last < 0 || measured.x[last] >= ahead.x[0] || ahead.x[0] - measured.x[last] > 6 * (ahead.x[1] - ahead.x[0] || 300)) return;
  ahead.x = [measured.x[last], ...ahead.x];
  ahead.point = [measured.mean[last], ...ahead.point];
  ahead.values = ahead.values.map((v) => [measured.mean[last], ...v]);
}

function capacityOf(points) {
  return { x: points.map((p) => seconds(p.at)), service: points.map((p) => p.in_service), desired: points.map((p) => p.desired),
    min: points.map((p) => p.min), max: points.map((p) => p.max), pending: points.map((p) => p.pending) };
}

// The series that a pane below shows even though no sensor measured them.
const BESIDE = ["cpu_utilization", "response_time", "request_count"];

// The other statistics of a reading are its band, or in the CSV, but no panes of their own.
const STATISTICS = /_(min|max|p95|count|sum)$/;

function sensorsOf(h, grid) {
  const all = h.sensors ?? {}, half = (h.bucket_seconds || h.step_seconds) / 2;
  const of = (s) => s && { x: s.times.map((t) => seconds(t) + half), values: s.values };
  const panes = Object.entries(all).filter(([name]) => !STATISTICS.test(name) || !all[name.replace(STATISTICS, "")])
    .map(([name, s]) => ({ name, unit: s.unit, ...of(s), ...(all[name + "_min"] && all[name + "_max"] ? { low: of(all[name + "_min"]), high: of(all[name + "_max"]) } : {}) }));
  for (const name of BESIDE) {
    const values = h.series?.[name];
    if (name === h.target || !values?.some((v) => v !== null)) continue;
    panes.unshift({ name, unit: h.units?.[name], x: grid(values.length), values });
  }
  return panes;
}

// nearest returns the index of the time closest to t, or -1 where none is within reach.
export function nearest(x, t, reach) {
  let low = 0, high = x.length - 1;
  if (high < 0) return -1;
  while (high - low > 1) {
    const mid = (low + high) >> 1;
    if (x[mid] <= t) low = mid; else high = mid;
  }
  const best = Math.abs(x[high] - t) < Math.abs(x[low] - t) ? high : low;
  return Math.abs(x[best] - t) <= reach ? best : -1;
}

// before returns the index of the last time that is not after t, or -1.
export function before(x, t) {
  let low = 0, high = x.length;
  while (low < high) {
    const mid = (low + high) >> 1;
    if (x[mid] <= t) low = mid + 1; else high = mid;
  }
  return low - 1;
}
