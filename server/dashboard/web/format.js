// Numbers with their units, times with their zone, and names as words.

import { zone } from "./prefs.js";

const NONE = "–";

// short returns a number as one reads it: three digits, thousands as k, M, G.
export function short(v) {
  if (v === null || v === undefined || Number.isNaN(v)) return NONE;
  const a = Math.abs(v);
  if (a >= 1e15 || a > 0 && a < 1e-4) return v.toExponential(1);
  for (const [unit, suffix] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e4, "k"]]) {
    if (a >= unit * 0.9995) return trim(v / (unit === 1e4 ? 1e3 : unit)) + suffix;
  }
  return trim(v);
}

function trim(v) {
  const a = Math.abs(v), digits = a >= 100 ? 0 : a >= 10 ? 1 : a >= 1 ? 2 : 3;
  const text = v.toFixed(digits);
  return text.includes(".") ? text.replace(/\.?0+$/, "") || "0" : text;
}

export const fixed = (v, digits) => v === null || v === undefined || !Number.isFinite(v) ? NONE : v.toFixed(digits);

export const percent = (share, digits = 0) => share === null || share === undefined ? NONE : `${(share * 100).toFixed(digits)}\u00a0%`;

const UNITS = { percent: "%", "instances of work": "instances", "degrees Celsius": "°C", watts: "W",  "bytes per step": "B per step", seconds: "s" };

// unitOf returns a unit as it stands after a number.
export const unitOf = (unit) => UNITS[unit] ?? unit ?? "";

export function withUnit(v, unit) {
  const u = unitOf(unit);
  return u && v !== null && v !== undefined ? `${short(v)}\u00a0${u}` : short(v);
}

export const instances = (n) => `${n}\u00a0instance${n === 1 ? "" : "s"}`;

export const words = (name) => String(name ?? "").replaceAll("_", " ").replace(/\bcpu\b/, "CPU");
export const capital = (s) => s.charAt(0).toUpperCase() + s.slice(1);
export const tie = (text) => String(text ?? "").replaceAll(" %", "\u00a0%"); // a number keeps its unit on its line

// duration returns a length of time in its largest sensible unit.
export function duration(seconds) {
  const s = Math.round(Math.abs(seconds));
  if (s < 90) return `${s}\u00a0s`;
  if (s < 5400) return `${Math.round(s / 60)}\u00a0min`;
  if (s < 172800) return `${Math.round(s / 3600)}\u00a0h`;
  return `${Math.round(s / 86400)}\u00a0days`;
}

export const ago = (seconds) => seconds < 1 ? "just now" : `${duration(seconds)} ago`;

// A formatter costs more than what it formats, so that each is kept.
function formatter(options) {
  const made = new Map(); // by zone
  return () => {
    if (!made.has(zone())) made.set(zone(), new Intl.DateTimeFormat(undefined, { timeZone: zone(), hourCycle: "h23", ...options }));
    return made.get(zone());
  };
}

const HM = { hour: "2-digit", minute: "2-digit" }, WEEKDAY = { weekday: "short", day: "numeric", month: "short" }, DATE = { day: "numeric", month: "short", year: "numeric" }, ZONED = { timeZoneName: "short" };
const writer = (options) => { const f = formatter(options); return (t) => f().format(new Date(t)); };
export const bareClock = writer(HM);
export const clock = writer({ ...HM, ...ZONED });
export const stamp = writer({ weekday: "short", ...HM }); // for what lies within a week
export const bareDay = writer({ ...WEEKDAY, ...HM });
export const dayClock = writer({ ...WEEKDAY, ...HM, ...ZONED });
export const day = writer(DATE);
export const dateClock = writer({ ...DATE, ...HM, ...ZONED });

// days is a range of days, such as "12 Jan – 8 Mar 2026".
const range = formatter(DATE);
export const days = (from, to) => ms(from) && ms(to) ? range().formatRange(ms(from), ms(to)) : NONE;

export const zoneName = () => new Intl.DateTimeFormat(undefined, { timeZone: zone(), timeZoneName: "short" })
  .formatToParts(new Date()).find((p) => p.type === "timeZoneName").value;

// ms returns a time of the interface in milliseconds; NaN where there is none. Go's
// zero time means none, too.
export function ms(time) {
  const t = Date.parse(time ?? "");
  return t > -6e13 ? t : NaN;
}
