// Cost against violations: what turning each policy's knob can reach.

import { el, svg } from "./dom.js";
import { short } from "./format.js";

const W = 760, H = 320, LEFT = 64, RIGHT = 16, TOP = 12, BOTTOM = 44;
export const STYLES = 9; // the sheet has a look for each

// curve draws the policies of a report. chosen(policy) is called for the one that
// is pointed at.
export function curve(report, allowed) {
  const list = report.policies.filter((p) => p.curve?.length), points = list.flatMap((p) => p.curve);
  if (!points.length) return el("p", { class: "soft" }, "No knob was turned in this backtest, so that there is no curve.");
  const oracle = report.oracle_instance_hours;
  // Knobs at their ends are many times worse; what anyone would choose is close to the limit.
  const right = Math.max(allowed * 4, ...list.map((p) => Math.min(p.violation_pct * 1.3, allowed * 12)));
  const inside = points.filter(([v]) => v <= right).map(([, hours]) => hours), top = Math.max(...inside, oracle) * 1.03, low = Math.min(...inside, oracle) * 0.97;
  const x = (v) => LEFT + Math.min(v, right) / right * (W - LEFT - RIGHT), y = (h) => TOP + (top - h) / (top - low || 1) * (H - TOP - BOTTOM);
  const grid = ticks(low, top, 5).map((v) => [svg("path", { class: "grid", d: `M${LEFT} ${y(v)}H${W - RIGHT}` }), svg("text", { x: LEFT - 8, y: y(v) + 4, "text-anchor": "end" }, short(v))]);
  const below = ticks(0, right, 6).map((v) => svg("text", { x: x(v), y: H - BOTTOM + 18, "text-anchor": "middle" }, short(v)));
  const lines = list.map((p) => {
    const seen = p.curve.filter(([v, h]) => v <= right && h <= top), style = `s${report.policies.indexOf(p) % STYLES + 1}`;
    if (!seen.length) return null;
    return svg("g", { class: p.name === report.default_policy ? style + " own" : style }, svg("title", {}, p.title), svg("path", { d: seen.map(([v, h], i) => `${i ? "L" : "M"}${x(v).toFixed(1)} ${y(h).toFixed(1)}`).join("") }),
      p.violation_pct <= right ? svg("circle", { cx: x(p.violation_pct), cy: y(p.instance_hours), r: 5 }, svg("title", {}, `${p.title} at ${short(p.knob)}: ${short(p.violation_pct)} %, ${short(p.instance_hours)} instance-hours`)) : null);
  }).filter(Boolean);
  const drawing = svg("svg", { class: "curve", viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": "Instance-hours against violation minutes for each policy; the table holds the figures" }, grid.flat(), below,
    svg("path", { class: "limit", d: `M${x(allowed)} ${TOP}V${H - BOTTOM}` }), svg("text", { x: x(allowed) + 4, y: TOP + 10 }, `${allowed} % allowed`),
    svg("path", { class: "limit", d: `M${LEFT} ${y(oracle)}H${W - RIGHT}` }), svg("text", { x: LEFT + 6, y: y(oracle) - 5 }, "oracle: knows the future"),
    lines, svg("text", { x: (W + LEFT) / 2, y: H - 6, "text-anchor": "middle" }, "violation minutes, %"), svg("text", { x: 0, y: 0, transform: `translate(14 ${(H - BOTTOM) / 2}) rotate(-90)`, "text-anchor": "middle" }, "instance-hours"));
  return el("figure", {}, drawing, el("figcaption", { class: "legend" }, list.map((p) => el("span", { class: `s${report.policies.indexOf(p) % STYLES + 1}` }, svg("svg", { width: 24, height: 8, "aria-hidden": "true" }, svg("path", { d: "M0 4H24" })), p.title))));
}

function ticks(low, high, n) {
  const raw = (high - low) / n, mag = 10 ** Math.floor(Math.log10(raw || 1)), step = [1, 2, 5, 10].map((k) => k * mag).find((s) => s >= raw) ?? mag;
  const list = [];
  for (let v = Math.ceil(low / step) * step; v <= high + 1e-9; v += step) list.push(+v.toPrecision(12));
  return list;
}
