// The figures above a group's time line: the newest of each thing that counts.

import { el } from "./dom.js";
import { ago, bareClock, capital, clock, dayClock, duration, ms, short, unitOf, words } from "./format.js";
import { wantedForecast } from "./states.js";

const last = (series) => (series ?? []).findLastIndex((v) => v !== null);

function figure(name, big, unit, note, tone) {
  return el("div", {}, el("dt", {}, name), el("dd", { class: "big" }, big, unit ? el("small", {}, " " + unit) : null), el("dd", { class: "note " + (tone ?? "") }, note));
}

// figures returns the entries of the list, of a history as the interface answers it.
export function figures(h) {
  const d = h.decisions?.[0], bucket = (h.bucket_seconds || h.step_seconds) * 1000, start = ms(h.from);
  const slot = (i) => `${bareClock(start + i * bucket)}–${bareClock(start + (i + 1) * bucket)}`;
  const unit = unitOf(h.units?.[h.target]).split(" ")[0], load = h.series?.[h.target], at = last(load);
  const list = [figure(capital(words(h.target)), at < 0 ? "–" : short(load[at]), at < 0 ? "" : unit, at < 0 ? "no value in this range" : `in ${slot(at)}`, at < 0 ? "warn" : ""), ahead(h, d, unit)];
  const cpu = h.series?.cpu_utilization, i = last(cpu);
  if (i >= 0 && h.target !== "cpu_utilization") list.push(figure("CPU", short(cpu[i]), "%", `mean of ${slot(i)}`));
  if (d) list.push(figure("In service", String(d.capacity.in_service), d.capacity.in_service === 1 ? "instance" : "instances",
    `desired ${d.desired}` + (d.capacity.pending ? ` · ${d.capacity.pending} starting` : "") + ` · bounds ${d.capacity.min}\u2060–\u2060${d.capacity.max}`));
  list.push(freshness(h));
  if (d?.model) list.push(figure("Model", d.model, `v${d.model_version}`, `policy ${words(d.policy)}`));
  return list.filter(Boolean);
}

// ahead is the forecast at the lead, unless the policy reads none.
function ahead(h, d, unit) {
  const f = h.forecast, lead = h.fan?.lead_steps || h.lead?.steps || 1, step = h.step_seconds * 1000;
  if (f?.point?.length >= lead) {
    const k = lead - 1, at = ms(f.issued_at) + k * step, q = f.values?.[k];
    return figure(`Forecast, ${duration(lead * h.step_seconds)} ahead`, short(f.point[k]), unit, `${q?.length > 1 ? `${short(q[0])} to ${short(q.at(-1))}, ` : ""}for ${bareClock(at)}–${bareClock(at + step)}`);
  }
  return d && !wantedForecast(d) ? null : figure("Forecast", "–", "", d ? "none at the last decision" : "none yet", "warn");
}

// freshness judges the age of the newest slot: in a replay by when it arrived.
function freshness(h) {
  const end = ms(h.newest_end);
  if (!end) return figure("Data", "none", "", "in this range", "bad");
  const age = (ms(h.now) - (h.replay ? ms(h.newest_at) || ms(h.now) : end)) / 1000;
  const tone = h.replay ? (age > 120 ? "warn" : "") : age > 6 * h.step_seconds ? "bad" : age > 3 * h.step_seconds ? "warn" : "";
  return figure("Data", { "": "fresh", warn: "late", bad: "stale" }[tone], "", `up to ${h.replay ? dayClock(h.newest_end) : clock(h.newest_end)}, ${h.replay ? "arrived " : ""}${ago(age)}`, tone);
}
