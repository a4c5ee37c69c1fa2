// Small drawings inside tables: the shape of a series, and a size between its bounds.

import { svg } from "./dom.js";

const W = 96, H = 26;

// spark draws the newest values of a series, with holes where there are none.
export function spark(values, ahead, label) {
  const known = (values ?? []).filter((v) => v !== null);
  if (known.length < 2) return null;
  const all = ahead === undefined || ahead === null ? known : [...known, ahead];
  const low = Math.min(...all), high = Math.max(...all), n = values.length, right = ahead === undefined || ahead === null ? W - 2 : W - 16;
  const x = (i) => 2 + i * (right - 2) / (n - 1), y = (v) => high === low ? H / 2 : H - 3 - (v - low) / (high - low) * (H - 6);
  let d = "", pen = false, last = null;
  values.forEach((v, i) => {
    if (v === null) { pen = false; return; }
    d += `${pen ? "L" : "M"}${x(i).toFixed(1)} ${y(v).toFixed(1)}`;
    [pen, last] = [true, [x(i), y(v)]];
  });
  const tail = ahead === undefined || ahead === null || !last ? [] : [
    svg("path", { class: "lead", d: `M${last[0].toFixed(1)} ${last[1].toFixed(1)}L${W - 3} ${y(ahead).toFixed(1)}` }),
    svg("circle", { class: "lead-dot", cx: W - 3, cy: y(ahead).toFixed(1), r: 2 })];
  return svg("svg", { class: "spark", viewBox: `0 0 ${W} ${H}`, width: W, height: H, role: "img", "aria-label": label }, svg("path", { class: "load", d }), ...tail);
}

// bounds draws where a size lies between the provider's bounds, and where it goes.
export function bounds(c) {
  const w = 72, span = Math.max(1, c.max - c.min), x = (v) => 3 + Math.max(0, Math.min(1, (v - c.min) / span)) * (w - 6);
  return svg("svg", { class: "bounds", viewBox: `0 0 ${w} 10`, width: w, height: 10, "aria-hidden": "true" },
    svg("path", { class: "rail", d: `M3 5H${w - 3}` }), svg("path", { class: "size", d: `M3 5H${x(c.in_service).toFixed(1)}` }),
    svg("circle", { class: "goal", cx: x(c.desired).toFixed(1), cy: 5, r: 3 }));
}
