// What the viewer has chosen: kept in this browser, and told to whoever listens.

const KEY = "forescale";
const listeners = new Set();
const chosen = { zone: "local", theme: "auto", ...read() };

function read() {
  try { return JSON.parse(localStorage.getItem(KEY)) ?? {}; } catch { return {}; } // private windows, foreign values
}

export const pref = (name) => chosen[name];

export function choose(name, value) {
  chosen[name] = value;
  try { localStorage.setItem(KEY, JSON.stringify(chosen)); } catch { /* it holds until the page is closed */ }
  apply();
  listeners.forEach((f) => f(name));
}

export const onChoice = (f) => listeners.add(f);

const LOCAL = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC"; // asked once: it takes as long as a row of the fleet

// zone is the name of the time zone that times are shown in.
export const zone = () => chosen.zone === "UTC" ? "UTC" : LOCAL;

// apply makes the choice of colours the page's; the system's own choice is the default.
export function apply() {
  if (chosen.theme === "light" || chosen.theme === "dark") document.documentElement.dataset.theme = chosen.theme;
  else delete document.documentElement.dataset.theme;
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => listeners.forEach((f) => f("theme")));
