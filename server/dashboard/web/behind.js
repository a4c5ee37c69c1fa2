// The table behind the chart, made when it is opened: what the eye reads from the
// lines, for everyone else, and to be copied.

import { el, table } from "./dom.js";
import { before, nearest } from "./shape.js";
import { bareDay, short, unitOf, words, zoneName } from "./format.js";

const MOST = 288; // rows: a day of slots of five minutes

// behind returns {node, show(shape, history)}.
export function behind() {
  let made = null;
  const inside = el("div", {}), node = el("details", { class: "behind", id: "table", ontoggle: () => node.open && draw() }, el("summary", {}, "Table"), inside);
  function draw() {
    if (made && node.open) inside.replaceChildren(...rowsOf(made.shape, made.history));
  }
  return { node, show(shape, history) { made = { shape, history }; draw(); } };
}

function rowsOf(s, h) {
  const all = s.measured.x.map((x, i) => ({ x, i })).reverse(), rows = all.slice(0, MOST), unit = unitOf(h.units?.[h.target]).split(" ")[0];
  const fan = (x, pick) => { const j = nearest(s.fan.x, x, s.step / 2); return j < 0 ? "–" : short(pick(j)); };
  const size = (x, pick) => { const n = before(s.capacity.x, x); return n < 0 ? "–" : String(pick(s.capacity, n)); };
  const columns = [
    { head: `Slot from, ${zoneName()}`, cell: (r) => bareDay((r.x - s.step / 2) * 1000) },
    { head: `${words(h.target)}${unit ? `, ${unit}` : ""}`, align: "n", cell: (r) => short(s.measured.mean[r.i]) },
    { head: "Forecast", align: "n", cell: (r) => fan(r.x, (j) => s.fan.point[j]) },
    ...s.fan.levels.map((q, k) => ({ head: `${short(q * 100)} %`, align: "n", cell: (r) => fan(r.x, (j) => s.fan.values[k][j]) })),
    { head: "In service", align: "n", cell: (r) => size(r.x, (c, n) => c.service[n]) },
    { head: "Desired", align: "n", cell: (r) => size(r.x, (c, n) => c.desired[n]) },
    ...s.sensors.map((sensor) => ({ head: `${words(sensor.name)}${sensor.unit ? `, ${unitOf(sensor.unit)}` : ""}`, align: "n", cell: (r) => { const j = nearest(sensor.x, r.x, s.step / 2); return j < 0 ? "–" : short(sensor.values[j]); } })),
  ];
  return [table(`Values of ${h.group}`, columns, rows), all.length > MOST ? el("p", { class: "soft" }, `The newest ${MOST} of ${all.length}; CSV and JSON have them all.`) : ""];
}
