// The frame: which page the address names, what it is told, and how it stands with
// the server.

import { $, choice, el, say } from "./dom.js";
import { Fault, clock as served, logout, session } from "./api.js";
import { clock, duration, ms } from "./format.js";
import { apply, choose, onChoice, pref } from "./prefs.js";
import { Live } from "./live.js";
import { loginPage } from "./login.js";
import { fleetPage } from "./fleet.js";
import { groupPage } from "./group.js";
import { modelsPage } from "./models.js";
import { whatIfPage } from "./whatif.js";

const PAGES = { fleet: fleetPage, group: groupPage, models: modelsPage, whatif: whatIfPage };

const app = { page: null, key: "", live: null, lostSince: 0, lostWhy: "", now: null, viewer: null, notices: new Map(), mode: "", abort: null };

// routeOf reads the address: #/page/name?query. What is not understood is the fleet.
function routeOf(hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split("?");
  const [page, name] = path.split("/").map((s) => { try { return decodeURIComponent(s); } catch { return ""; } });
  return { page: PAGES[page] ? page : "fleet", name: name ?? "", query: new URLSearchParams(query) };
}

// go changes the query of the address without a new page.
function go(query, replace) {
  const [path] = location.hash.split("?"), text = query.toString(), hash = (path || "#/") + (text ? "?" + text : "");
  if (hash === location.hash) return;
  history[replace ? "replaceState" : "pushState"](null, "", hash);
}

function open() {
  if (location.hash && !location.hash.startsWith("#/")) return; // a jump within the page
  const route = routeOf(location.hash), key = route.page + "/" + route.name;
  if (app.page && app.key === key) { app.page.moved?.(route); app.live?.wake(); return; }
  show(key, PAGES[route.page]({ route, go, notice, viewer: () => app.viewer, wake: () => app.live?.wake() }));
  for (const a of document.querySelectorAll("#pages a")) {
    if (a.dataset.page === route.page || a.dataset.page === "fleet" && route.page === "group") a.setAttribute("aria-current", "page");
    else a.removeAttribute("aria-current");
  }
  app.live?.wake();
}

function show(key, page) {
  const first = !app.page;
  app.page?.leave?.();
  app.abort?.abort();
  app.notices.clear();
  [app.page, app.key] = [page, key];
  $("main").replaceChildren(page.node);
  renderNotices();
  document.title = `${page.title} · Forescale`;
  scrollTo(0, 0);
  if (!first) { $("main").focus({ preventScroll: true }); say(page.title); }
  page.focus?.();
}

// refresh asks for what the page shows. It never throws: what fails is shown.
async function refresh(told) {
  const page = app.page;
  if (!page || told && page.wants && !page.wants(told)) return;
  const abort = app.abort = new AbortController();
  try {
    const answer = await page.refresh(abort.signal);
    if (page !== app.page) return;
    app.now = answer?.now ? { server: ms(answer.now), here: Date.now() } : { ...served };
    if (answer && "now" in answer) $("replay").hidden = !answer.replay;
    app.lostSince = 0;
  } catch (err) {
    if (page !== app.page || abort.signal.aborted) return;
    if (!(err instanceof Fault)) throw err;
    if (err.status === 401) { askForLogin(); return; }
    app.lostSince ||= Date.now();
    app.lostWhy = err.status === 403 ? `this login may not read: ${err.message}.` : err.message + ".";
    page.failed?.(`Right now ${app.lostWhy}`);
  }
  renderLink();
}

function renderLink() {
  const link = $("link"), lost = app.lostSince;
  if (!app.live) return;
  const state = lost ? "lost" : !app.now ? "waiting" : app.mode;
  const text = { lost: `no connection for ${duration(Math.max(1, (Date.now() - lost) / 1000))}`, waiting: "connecting…",
    live: `live · ${app.now ? clock(app.now.server + Date.now() - app.now.here) : ""}`, polling: `polling · ${app.now ? clock(app.now.server) : ""}` }[state];
  link.className = "link " + state;
  if (link.textContent !== text) link.textContent = text;
  link.title = state === "polling" ? "The server's events do not come through; the page asks every two seconds instead" : "";
  document.body.classList.toggle("out", Boolean(lost));
  notice("link", lost && app.now ? [["bad", `No connection: ${app.lostWhy} What is shown is as of ${clock(app.now.server)}. The page goes on trying.`]] : []);
}

// notice sets what one part of the page has to say, as [tone, text] each.
function notice(part, list) {
  app.notices.set(part, list);
  renderNotices();
}

function renderNotices() {
  const all = [...app.notices.values()].flat(), shown = JSON.stringify(all);
  if ($("notices").dataset.shown === shown) return; // a reader hears it once
  $("notices").dataset.shown = shown;
  $("notices").replaceChildren(...all.map(([tone, text]) => el("p", { class: "notice " + tone, role: tone === "bad" ? "alert" : "status" }, text)));
}

function askForLogin() {
  app.live?.stop();
  app.live = null;
  $("who").replaceChildren();
  document.body.classList.add("outside");
  show("login", loginPage(enter));
  [$("link").className, $("link").textContent, $("link").title] = ["link waiting", "not logged in", ""];
}

// enter begins, or begins again after a login.
async function enter() {
  try {
    app.viewer = await session();
  } catch (err) {
    if (!(err instanceof Fault)) throw err;
    if (err.status === 401) { askForLogin(); return; }
    app.viewer = null; // the first refresh tells what is wrong
  }
  if (app.viewer?.login && !app.viewer.rights?.length) { askForLogin(); return; }
  document.body.classList.remove("outside");
  $("who").replaceChildren(...(app.viewer?.login && app.viewer.name ? [el("span", { class: "viewer", title: `Rights: ${(app.viewer.rights ?? []).join(", ")}` }, app.viewer.name),
    el("button", { type: "button", class: "plain", onclick: leave }, "Log out")] : []));
  app.live = new Live(refresh, (mode) => { app.mode = mode; renderLink(); });
  [app.page, app.key] = [null, ""];
  open();
  app.live.start();
}

async function leave() {
  try { await logout(); } catch (err) { if (!(err instanceof Fault)) throw err; }
  askForLogin();
}

// Keys, unless somebody types.
let pressed = "";
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches?.("input, textarea, select") || document.querySelector("dialog[open]")) return;
  const key = event.key, went = pressed === "g" ? { f: "#/", m: "#/models", w: "#/whatif" }[key] : undefined;
  pressed = key;
  if (went) location.hash = went;
  else if (key === "?") $("help").showModal();
  else if (key === "/") {
    event.preventDefault();
    if (app.page?.search) app.page.search();
    else { location.hash = "#/"; addEventListener("hashchange", () => app.page?.search?.(), { once: true }); }
  }
});

apply();
choice($("zone"), [["local", "Local", "Times as on this machine"], ["UTC", "UTC", "Times in UTC"]], pref("zone"), (v) => choose("zone", v));
choice($("theme"), [["auto", "Auto", "As the system has it"], ["light", "Light"], ["dark", "Dark"]], pref("theme"), (v) => choose("theme", v));
onChoice((name) => { app.page?.[name === "theme" ? "recolor" : "render"]?.(); renderLink(); });
$("help-open").addEventListener("click", () => $("help").showModal());
addEventListener("hashchange", open);
addEventListener("popstate", open);
setInterval(renderLink, 1000);
enter();
