// Panes: charts below one another over one time axis, with one cross-hair. What is
// drawn is the charting library's work; this is how the panes move together, by
// mouse, touch, wheel and keys.

import { el } from "./dom.js";
import { zone } from "./prefs.js";
import { color } from "./dom.js";

const uPlot = globalThis.uPlot;
const LEFT = 58, RIGHT = 14; // pixels beside the plots, the same in all panes
const SHORTEST = 600; // seconds of the shortest range
const AXIS_HEIGHT = 46;

// How the time axis writes: the least step of each row, its text, and what stands
// below it when a year, month or day begins.
const HOURS = "\n{WWW} {D} {MMM}";
const TIMES = [
  [31536000, "{YYYY}", null, null, null, null, null, null, 1],
  [2419200, "{MMM}", "\n{YYYY}", null, null, null, null, null, 1],
  [86400, "{D} {MMM}", "\n{YYYY}", null, null, null, null, null, 1],
  [60, "{HH}:{mm}", HOURS, null, HOURS, null, null, null, 1],
];

// Panes shows specs in a host. A spec is {id, label, unit, height, tables, series,
// bands, range, under(u), over(u)}: tables as uPlot.join takes them, and what is drawn
// below and above the lines. on has {hover(time|null), range(from, to)}:
// times in Unix seconds.
export class Panes {
  constructor(on) {
    this.on = on;
    this.plots = [];
    this.specs = [];
    this.layers = el("div", { class: "layers" });
    this.tip = el("div", { class: "tip", hidden: true });
    this.node = el("div", { class: "panes", tabindex: "0", role: "group", "aria-roledescription": "chart", "aria-keyshortcuts": "ArrowLeft ArrowRight + - 0" }, this.layers, this.tip);
    this.node.addEventListener("keydown", (e) => this.key(e));
    this.node.addEventListener("wheel", (e) => this.wheel(e), { passive: false });
    this.node.addEventListener("blur", () => this.hover(null));
    this.width = 0;
    this.resize = new ResizeObserver(() => this.fit());
    this.resize.observe(this.node);
  }

  // show draws specs from one time to another. A pane that is built alike gets new
  // data only, so that cross-hair and selection stay.
  show(specs, from, to, look) {
    [this.from, this.to] = [from, to];
    const shapeOf = (list) => look + zone() + JSON.stringify(list.map((s) => [s.id, s.height, s.unit, s.series.map((x) => x.label), s.bands]));
    if (this.shape !== shapeOf(specs)) {
      this.shape = shapeOf(specs);
      this.specs = specs;
      this.build();
    } else this.update(specs, from, to);
    if (this.at !== undefined && this.at !== null) this.hover(this.at); // what is read stays, and follows what comes
  }

  update(specs, from, to) {
    this.specs = specs;
    this.moving = true;
    specs.forEach((s, i) => {
      const u = this.plots[i];
      u.spec = s;
      u.batch(() => { u.setData(uPlot.join(s.tables), false); u.setScale("x", { min: from, max: to }); });
    });
    this.moving = false;
  }

  build() {
    this.plots.forEach((u) => u.destroy());
    this.width = this.node.clientWidth;
    const [ink, grid, faint] = [color("faint"), color("grid"), color("faint")];
    this.plots = this.specs.map((s, i) => {
      const last = i === this.specs.length - 1, host = el("div", { class: "pane", "data-pane": s.id }, el("p", { class: "pane-name" }, s.label, s.legend ?? null));
      this.layers.append(host);
      const u = new uPlot({
        width: Math.max(120, this.width), height: s.height + (last ? AXIS_HEIGHT : 8), padding: [6, RIGHT, last ? 0 : 8, 0], legend: { show: false },
        tzDate: (ts) => uPlot.tzDate(new Date(ts * 1000), zone()),
        scales: { x: { time: true, auto: false, range: (_, min, max) => [min, max] }, y: { range: s.range ?? fromZero } },
        axes: [
          { show: true, size: last ? AXIS_HEIGHT : 0, stroke: ink, font: "11px system-ui, sans-serif", values: last ? TIMES : (_, splits) => splits.map(() => ""), grid: { stroke: grid, width: 1 }, ticks: { show: last, stroke: grid, size: 4 }, space: 64 },
          { size: LEFT, stroke: ink, font: "11px system-ui, sans-serif", grid: { stroke: grid, width: 1 }, ticks: { show: false }, gap: 6, space: s.height < 110 ? 26 : 36, values: (_, splits) => splits.map(axisNumber), incrs: s.incrs },
        ],
        series: [{}, ...s.series.map((x) => ({ points: { show: false }, spanGaps: false, width: 1.5, ...x }))],
        bands: s.bands,
        cursor: { y: false, x: true, points: { size: 7 }, drag: { x: true, y: false, setScale: false, dist: 6 }, focus: { prox: -1 },
          bind: { mousedown: (u, _, handle) => (e) => { if (e.button === 0) { if (e.shiftKey) { this.drag(e); return null; } return handle(e); } return null; }, dblclick: () => () => { this.on.range(null); return null; } } },
        // By u.spec, which is of the newest data: a pane outlives what it was made for.
        hooks: { setCursor: [(u) => this.cursor(u)], setSelect: [(u) => this.select(u)], drawClear: [(u) => u.spec?.under?.(u)],
          draw: [(u) => { drawNow(u, u.spec?.now, faint); u.spec?.over?.(u); }] },
      }, uPlot.join(s.tables), host);
      u.spec = s;
      u.setScale("x", { min: this.from, max: this.to });
      return u;
    });
    [...this.layers.children].slice(0, -this.specs.length).forEach((n) => n.remove());
  }

  fit() {
    const width = this.node.clientWidth;
    if (!width || width === this.width) return;
    this.width = width;
    this.plots.forEach((u, i) => u.setSize({ width: Math.max(120, width), height: this.specs[i].height + (i === this.specs.length - 1 ? AXIS_HEIGHT : 8) }));
  }

  leave() {
    this.resize.disconnect();
    this.plots.forEach((u) => u.destroy());
  }

  // cursor hears where the mouse is in one pane, and takes the others along. A pane
  // that is new tells too, of no mouse.
  cursor(u) {
    if (this.moving || !u.cursor.event) return;
    const left = u.cursor.left;
    this.hover(left >= 0 ? u.posToVal(left, "x") : null, u);
  }

  // hover puts the cross-hair of all panes at a time; null takes it away.
  hover(time, but) {
    this.at = time;
    this.moving = true;
    for (const u of this.plots) {
      if (u === but) continue;
      const left = time === null ? -10 : u.valToPos(time, "x");
      u.setCursor({ left, top: left < 0 ? -10 : 1 }, false);
    }
    this.moving = false;
    const rows = time === null ? null : this.on.hover(time);
    this.tip.hidden = !rows;
    if (!rows) return;
    this.tip.replaceChildren(...rows);
    const left = LEFT + (time - this.from) / (this.to - this.from) * (this.width - LEFT - RIGHT), room = this.tip.offsetWidth + 18;
    this.tip.style.left = `${left + room > this.width && left - room > 0 ? left - room : Math.max(0, Math.min(left + 18, this.width - room + 18))}px`;
  }

  select(u) {
    const { left, width } = u.select;
    if (this.moving || width < 6) return;
    const from = u.posToVal(left, "x"), to = u.posToVal(left + width, "x");
    u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    if (to - from < SHORTEST) this.zoom(0, (from + to) / 2, SHORTEST); else this.on.range(from, to);
  }

  // zoom makes the range longer or shorter by a factor, around a time.
  zoom(factor, around = (this.from + this.to) / 2, length = (this.to - this.from) * factor) {
    const share = (around - this.from) / (this.to - this.from), long = Math.max(SHORTEST, Math.min(length, 90 * 86400));
    this.on.range(around - share * long, around + (1 - share) * long);
  }

  pan(share) {
    const by = (this.to - this.from) * share;
    this.on.range(this.from + by, this.to + by);
  }

  // drag moves the range with the mouse; what is beyond its ends comes when it is let go.
  drag(event) {
    const start = event.clientX, [from, to] = [this.from, this.to], per = (to - from) / (this.width - LEFT - RIGHT);
    let by = 0;
    const move = (e) => {
      by = (start - e.clientX) * per;
      this.plots.forEach((u) => u.setScale("x", { min: from + by, max: to + by }));
    };
    addEventListener("pointermove", move);
    addEventListener("pointerup", () => { removeEventListener("pointermove", move); if (by) this.on.range(from + by, to + by); }, { once: true });
  }

  wheel(event) {
    const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY);
    if (!sideways && !event.ctrlKey) return; // the page scrolls
    event.preventDefault();
    if (sideways) this.pan(event.deltaX / this.width);
    else this.zoom(event.deltaY > 0 ? 1.25 : 0.8, this.at ?? undefined);
  }

  key(event) {
    const slot = this.specs[0]?.slot ?? 300, end = Math.min(this.specs[0]?.now ?? this.to, this.to) - slot / 2, way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const at = this.at ?? end;
    if (way && event.shiftKey) this.pan(way * 0.25);
    else if (way) this.hover(Math.max(this.from, Math.min(this.to, at + way * slot * (event.ctrlKey ? 12 : 1))));
    else if (event.key === "Home") this.hover(this.from + slot / 2);
    else if (event.key === "End") this.hover(end);
    else if (event.key === "+" || event.key === "=") this.zoom(0.5, this.at ?? undefined);
    else if (event.key === "-") this.zoom(2, this.at ?? undefined);
    else if (event.key === "0") this.on.range(null);
    else if (event.key === "Escape") this.hover(null);
    else return;
    event.preventDefault();
    if (way || event.key === "Home" || event.key === "End") this.on.told?.();
  }
}

// fromZero is the range of what cannot be negative: a shape is not blown up.
function fromZero(_, min, max) {
  if (min === null || max === null) return [0, 1];
  return [Math.min(0, min), max <= 0 ? 1 : max * 1.08];
}

// around is the range of what lies far from zero, such as a temperature.
export function around(_, min, max) {
  if (min === null || max === null) return [0, 1];
  const room = (max - min || Math.abs(max) || 1) * 0.15;
  return [min >= 0 ? Math.max(0, min - room) : min - room, max + room];
}

function axisNumber(v) {
  const a = Math.abs(v);
  if (a >= 1e9) return `${+(v / 1e9).toPrecision(3)}G`;
  if (a >= 1e6) return `${+(v / 1e6).toPrecision(3)}M`;
  return a >= 1e4 ? `${+(v / 1e3).toPrecision(3)}k` : String(+v.toPrecision(4));
}

// drawNow draws the end of what was measured.
function drawNow(u, now, stroke) {
  if (!now || now < u.scales.x.min || now > u.scales.x.max) return;
  const x = Math.round(u.valToPos(now, "x", true)), { ctx, bbox } = u;
  ctx.save();
  ctx.strokeStyle = stroke;
  ctx.setLineDash([2 * devicePixelRatio, 3 * devicePixelRatio]);
  ctx.beginPath();
  ctx.moveTo(x, bbox.top);
  ctx.lineTo(x, bbox.top + bbox.height);
  ctx.stroke();
  ctx.restore();
}
