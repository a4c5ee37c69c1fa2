// A small time chart in SVG: lines, bands and steps over one time axis, with a
// cross-hair. Values are drawn as they are; null is a gap.

const NS = "http://www.w3.org/2000/svg";

export function svg(name, attributes = {}, ...children) {
  const node = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

// ticksFor returns round numbers that cover 0 … max in about four steps.
function ticksFor(max) {
  if (!(max > 0)) return [0, 1];
  const rough = max / 4, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= rough * 0.999);
  const ticks = [];
  for (let i = 0; i * step < max + step * 0.999; i++) ticks.push(i * step);
  return ticks;
}

const HOUR = 3600e3;

// timeTicks returns the whole hours or days of a zone between two times, at most
// count of them.
function timeTicks(from, to, zone, count) {
  const steps = [HOUR / 4, HOUR / 2, HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, 24 * HOUR, 48 * HOUR, 96 * HOUR, 168 * HOUR];
  const step = steps.find((s) => (to - from) / s <= count) ?? 336 * HOUR;
  const shift = offset(from, zone); // so that midnight of the zone is a tick
  const ticks = [];
  for (let t = Math.ceil((from + shift) / step) * step - shift; t <= to; t += step) ticks.push(t);
  return { ticks, daily: step >= 24 * HOUR };
}

// offset returns how far the zone is ahead of UTC at a time, in milliseconds.
function offset(time, zone) {
  const part = {};
  const format = new Intl.DateTimeFormat("en-US", { timeZone: zone, hourCycle: "h23", year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "numeric", second: "numeric" });
  for (const p of format.formatToParts(new Date(time))) part[p.type] = Number(p.value);
  return Date.UTC(part.year, part.month - 1, part.day, part.hour, part.minute, part.second) - Math.floor(time / 1000) * 1000;
}

// linePath draws points [time, value]; null breaks the line.
function linePath(points, x, y) {
  let d = "", pen = "M";
  for (const [t, v] of points) {
    if (v === null || v === undefined) { pen = "M"; continue; }
    d += `${pen}${x(t).toFixed(1)} ${y(v).toFixed(1)}`;
    pen = "L";
  }
  return d;
}

// stepPath holds each value until the next point; the last one until end.
function stepPath(points, end, x, y) {
  let d = "";
  points.forEach(([t, v], i) => {
    const until = i + 1 < points.length ? points[i + 1][0] : end;
    d += `${d ? "L" : "M"}${x(t).toFixed(1)} ${y(v).toFixed(1)}L${x(until).toFixed(1)} ${y(v).toFixed(1)}`;
  });
  return d;
}

// bandPath fills between low and high, [time, low, high] each; null breaks it.
function bandPath(points, x, y) {
  let d = "", run = [];
  const flush = () => {
    if (run.length > 1) {
      d += run.map(([t, , high], i) => `${i ? "L" : "M"}${x(t).toFixed(1)} ${y(high).toFixed(1)}`).join("");
      d += run.reverse().map(([t, low]) => `L${x(t).toFixed(1)} ${y(low).toFixed(1)}`).join("") + "Z";
    }
    run = [];
  };
  for (const p of points) (p[1] === null || p[1] === undefined || p[2] === null || p[2] === undefined) ? flush() : run.push(p);
  flush();
  return d;
}

// draw replaces the content of box with a chart.
//   from, to, now   the time axis and the present on it, in milliseconds
//   height          in pixels
//   layers          [{kind: line|step|band|fill, class, points}], drawn in order
//   marks           [{time, value, up}] triangles
//   zone            IANA name for the axis
//   label           what the chart shows, for those who cannot see it
//   tip(time)       {title, rows: [[name, text]]} for the cross-hair, or null
export function draw(box, o) {
  const width = Math.max(280, box.clientWidth), left = 44, right = 10, top = 8, bottom = 22, height = o.height;
  const values = o.layers.flatMap((l) => l.points.flatMap((p) => p.slice(1))).filter((v) => typeof v === "number");
  const ticks = ticksFor(Math.max(0, ...values) * 1.04);
  const x = (t) => left + (t - o.from) / (o.to - o.from) * (width - left - right);
  const y = (v) => height - bottom - v / ticks.at(-1) * (height - top - bottom);
  const root = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": o.label });
  for (const v of ticks) {
    root.append(svg("line", { class: "grid", x1: left, x2: width - right, y1: y(v), y2: y(v) }));
    root.append(svg("text", { x: left - 8, y: y(v) + 4, "text-anchor": "end" }, short(v)));
  }
  const axis = timeTicks(o.from, o.to, o.zone, Math.max(2, (width - left - right) / 56));
  const clock = new Intl.DateTimeFormat(undefined, { timeZone: o.zone, hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  const day = new Intl.DateTimeFormat(undefined, { timeZone: o.zone, weekday: "short", day: "numeric", month: "short" });
  for (const t of axis.ticks) {
    const text = axis.daily || clock.format(t) === "00:00" ? day.format(t) : clock.format(t);
    root.append(svg("line", { class: "grid", x1: x(t), x2: x(t), y1: height - bottom, y2: height - bottom + 4 }));
    const room = text.length * 3.2; // on either side
    if (x(t) > room && x(t) + room < width) root.append(svg("text", { class: "time", x: x(t), y: height - 5, "text-anchor": "middle" }, text));
  }
  if (o.now > o.from && o.now < o.to) root.append(svg("line", { class: "now", x1: x(o.now), x2: x(o.now), y1: top, y2: height - bottom }));
  for (const l of o.layers) {
    if (l.points.length === 0) continue;
    let d = { line: linePath, band: bandPath }[l.kind]?.(l.points, x, y) ?? stepPath(l.points, l.end ?? o.now, x, y);
    if (l.kind === "fill" && d) d += `L${x(l.end ?? o.now)} ${y(0)}L${x(l.points[0][0])} ${y(0)}Z`;
    if (d) root.append(svg("path", { class: l.class, d }));
  }
  for (const m of o.marks ?? []) {
    const px = x(m.time), py = y(m.value), s = m.up ? -1 : 1;
    root.append(svg("path", { class: "mark", d: `M${px} ${py + s * 9}l-4.5 ${-s * 7}h9z` }));
  }
  crossHair(box, root, o, { x, left, right, width, height, bottom, top });
  box.replaceChildren(root, ...box.querySelectorAll(".tip"));
}

// crossHair shows the values under the pointer. It stays where it is when the
// chart is drawn anew.
function crossHair(box, root, o, g) {
  const line = svg("line", { class: "cross", y1: g.top, y2: g.height - g.bottom, visibility: "hidden" });
  root.append(line);
  const hide = () => { line.setAttribute("visibility", "hidden"); box.querySelector(".tip")?.remove(); box.hover = null; };
  const show = (px) => {
    const time = o.from + (px - g.left) / (g.width - g.left - g.right) * (o.to - o.from);
    const content = px >= g.left && px <= g.width - g.right ? o.tip(time) : null;
    if (!content) { hide(); return; }
    box.hover = px;
    line.setAttribute("x1", g.x(content.time));
    line.setAttribute("x2", g.x(content.time));
    line.setAttribute("visibility", "visible");
    let tip = box.querySelector(".tip");
    if (!tip) { tip = document.createElement("div"); tip.className = "tip"; box.append(tip); }
    const title = document.createElement("b");
    title.textContent = content.title;
    tip.replaceChildren(title, ...content.rows.map(([name, text]) => {
      const row = document.createElement("span"), value = document.createElement("i");
      value.textContent = text;
      row.append(name, value);
      return row;
    }));
    const at = g.x(content.time);
    tip.style.left = at > g.width / 2 ? "" : `${at + 12}px`;
    tip.style.right = at > g.width / 2 ? `${g.width - at + 12}px` : "";
  };
  root.addEventListener("pointermove", (e) => show(e.clientX - root.getBoundingClientRect().left));
  root.addEventListener("pointerleave", hide);
  if (box.hover) show(box.hover);
}

// short writes a number with few digits.
export function short(v) {
  const a = Math.abs(v);
  if (a >= 1e9) return trim(v / 1e9) + "G";
  if (a >= 1e6) return trim(v / 1e6) + "M";
  if (a >= 1e4) return trim(v / 1e3) + "k";
  return trim(v);
}

function trim(v) {
  const a = Math.abs(v), digits = a >= 100 ? 0 : a >= 10 ? 1 : a >= 0.1 || a === 0 ? 2 : 4;
  return String(Number(v.toFixed(digits)));
}
