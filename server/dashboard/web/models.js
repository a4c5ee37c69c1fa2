// Models: the versions of each, how good they are beside their baselines and since,
// and who may serve.

import { badge, blank, el, say, skeleton, table } from "./dom.js";
import { ask, change, path } from "./api.js";
import { askWhy } from "./ask.js";
import { dateClock, day, days, duration, fixed, ms, percent, short, words } from "./format.js";

const STATE = {
  serving: ["serving", "good", "Its champion serves"], available: ["ready", "", "The first request loads it"], loading: ["loading", "info", "Its champion is being loaded"],
  stale: ["older version", "warn", "The champion failed; an older version serves"], failed: ["failed", "bad", "The champion failed and nothing serves"],
};

export function modelsPage({ route, notice, viewer, wake }) {
  const view = { list: null, detail: null, now: Date.now() }, chosen = route.name;
  const node = el("div", { class: "page" }, el("div", { class: "title" }, el("h1", {}, "Models")));
  const body = el("div", { class: "split" }, skeleton("line", "line", "line"));
  node.append(body);

  function render() {
    const { list } = view;
    if (!list) return;
    notice("models", list.registry?.error ? [["warn", `The model registry cannot be read; what is loaded serves on. ${list.registry.error}`]] : []);
    if (!list.models?.length) {
      body.replaceChildren(blank("No models yet", "A model appears here as soon as it is trained and registered.", el("p", {}, el("code", {}, "forescale retrain"), " trains, tests and registers one.")));
      return;
    }
    const name = nameOf(list);
    const shown = JSON.stringify([list.models, view.detail, day(0)]);
    if (shown === view.shown) return; // buttons keep their focus
    view.shown = shown;
    const items = list.models.map((m) => el("li", {}, el("a", { href: `#/models/${encodeURIComponent(m.name)}`, "aria-current": m.name === name ? "true" : undefined }, el("b", {}, m.name),
      el("small", {}, `v${m.serving || m.champion || "?"}`), state(m))));
    const many = list.models.length > 1;
    body.className = many ? "split" : "split one";
    body.replaceChildren(...(many ? [el("nav", { class: "side", "aria-label": "Models" }, el("ul", {}, items))] : []), detailOf(view.detail ?? list.models.find((m) => m.name === name) ?? null, name));
  }

  const nameOf = (list) => chosen || list.models[0]?.name;
  const may = () => { const v = viewer(); return !v || v.rights === null || v.changes && (!v.login || v.rights.includes("admin")); };

  function detailOf(m, name) {
    if (!m) return blank(`No model is called ${name}`, "It may have been removed.", el("p", {}, el("a", { href: "#/models" }, "All models")));
    const record = m.record ?? {}, manifest = m.manifest ?? {};
    return el("div", { class: "detail" },
      el("div", { class: "title" }, el("h2", { class: "name" }, m.name), state(m), el("span", { class: "spacer" }), may() ? actions(m) : null),
      m.failure ? el("p", { class: "notice " + (m.serving ? "warn" : "bad") }, `Version ${m.failure.version || "?"} was refused${m.serving ? `; version ${m.serving} serves on` : " and none serves"}. ${m.failure.reason}`) : null,
      (record.problems ?? []).map((p) => el("p", { class: "notice warn" }, p)),
      facts(m, manifest), scores(m, record, manifest), versions(m, record), past(record));
  }

  function actions(m) {
    const previous = (m.record?.history ?? [])[0]?.from;
    return [previous ? act(m, "rollback", `Roll back to v${previous}`, { from: m.champion }, `Version ${previous} becomes champion again; version ${m.champion} may not come back by itself.`) : null,
      m.record?.shadow ? act(m, "shadow", "End the shadow", { version: 0 }, `Version ${m.record.shadow.version} gets no more copies of requests.`) : null];
  }

  // act is a button for a change. Of its label only the verb is shown in a row that
  // names the version.
  function act(m, kind, label, body, text, verb = label) {
    return el("button", { type: "button", class: "small", "aria-label": label, onclick: async () => {
      if (!await askWhy(`${label}: ${m.name}`, text, label, (reason) => change(path("models", m.name, kind), { ...body, reason }))) return;
      say(`${label}: done`);
      view.shown = "";
      wake();
    } }, verb);
  }

  function versions(m, record) {
    const list = record.versions ?? [];
    if (!list.length) return null;
    const pinned = new Set((record.pinned ?? []).map((p) => p.version)), at = scored(list), score = (v) => v.scores?.find((s) => s.minutes === at);
    const columns = [
      { head: "Version", align: "c-version", cell: (v) => [`v${v.version}`, " ", v.champion ? badge("champion", "good") : null, pinned.has(v.version) ? badge("pinned", "info", "It is not replaced by retraining") : null, record.shadow?.version === v.version ? badge("shadow", "info", "It gets copies of requests and answers nobody") : null] },
      { head: "Trained on", cell: (v) => v.problem ? el("span", { class: "bad" }, v.problem) : el("span", { class: "c-days" }, days(v.trained_from, v.trained_until)) },
      { head: "Preset", cell: (v) => v.preset || "–" },
      { head: at ? `WAPE, ${short(at)} min ahead` : "WAPE", align: "n", cell: (v) => percent(score(v)?.wape, 1) },
      { head: "Skill", align: "n", cell: (v) => fixed(score(v)?.skill, 2) },
      { head: "Coverage of 80 %", align: "n", cell: (v) => percent(score(v)?.coverage80) },
      { head: "Gate", cell: (v) => v.judged ? badge(v.judged.promote ? "passed" : "kept out", v.judged.promote ? "good" : "warn", v.judged.summary) : el("span", { class: "soft" }, "not judged") },
    ];
    if (may()) columns.push({ head: "Change", cell: (v) => v.problem ? "" : el("span", { class: "acts" },
      v.champion ? null : act(m, "promote", `Promote v${v.version}`, { version: v.version, from: m.champion }, `Version ${v.version} becomes champion in place of version ${m.champion} and serves from then on.`, "Promote"),
      pinned.has(v.version) ? act(m, "unpin", `Unpin v${v.version}`, { version: v.version }, "Retraining may replace it again.", "Unpin") : act(m, "pin", `Pin v${v.version}`, { version: v.version }, "Retraining does not replace it until it is unpinned.", "Pin"),
      v.champion || record.shadow?.version === v.version ? null : act(m, "shadow", `Shadow v${v.version}`, { version: v.version }, `Version ${v.version} gets copies of the champion's requests; its answers go to nobody.`, "Shadow")) });
    return el("section", { class: "card" }, el("h3", {}, "Versions"), table(`Versions of ${m.name}`, columns, list));
  }

  return {
    title: "Models", node, render, wants: (told) => told.what.has("model") || told.what.has("decision"),
    async refresh(signal) {
      const list = await ask("/api/v1/models", signal), name = nameOf({ models: list.models ?? [] });
      let detail = null;
      if (name) {
        try { detail = await ask(path("models", name), signal); } catch (err) { if (err.status !== 404 && err.status !== 405) throw err; }
      }
      Object.assign(view, { list, detail, now: Date.now() });
      render();
      return {};
    },
    failed: (text) => { if (!view.list) body.replaceChildren(blank("No connection", `${text} The page goes on trying.`)); },
  };
}

const state = (m) => { const [label, tone, why] = STATE[m.state] ?? [m.state ?? "unknown", "", ""]; return badge(label, tone, why); };

// scored is the horizon, in minutes, that most versions have a score for.
function scored(list) {
  const count = new Map();
  for (const v of list) for (const s of v.scores ?? []) count.set(s.minutes, (count.get(s.minutes) ?? 0) + 1);
  return [...count].sort((a, b) => b[1] - a[1] || a[0] - b[0])[0]?.[0];
}

function facts(m, manifest) {
  const live = m.live, spec = manifest.spec ?? {}, groups = manifest.groups ?? [];
  const rows = [
    ["Serves", groups.includes("*") ? "every group" : groups.length > 4 ? `${groups.slice(0, 3).join(", ")} and ${groups.length - 3} more` : groups.join(", ") || "–"],
    ["Version", m.serving ? `v${m.serving}` + (m.serving !== m.champion ? `, champion is v${m.champion}` : "") : `v${m.champion}, not loaded yet`],
    ["Trained on", manifest.trained_until ? days(manifest.trained_from, manifest.trained_until) : "–"],
    ["Created", manifest.created_at ? `${dateClock(manifest.created_at)}${manifest.preset ? `, preset ${manifest.preset}` : ""}` : "–"],
    ["Forecasts", spec.horizon ? `${words(spec.target)}, ${duration(spec.horizon * (spec.step_seconds ?? 300))} ahead from the newest ${duration((spec.lookback ?? 0) * (spec.step_seconds ?? 300))}` : "–"],
    ["Size", manifest.size_bytes ? `${short(manifest.size_bytes / 1e6)} MB` : "–"],
  ];
  if (live) rows.push(["In use", `${live.groups} group${live.groups === 1 ? "" : "s"}` + (live.drift ? `, ${live.drift} in drift` : ", none in drift")],
    ["Coverage since", live.coverage === null || live.coverage === undefined ? "too few slots yet" : `${percent(live.coverage)}, promised ${percent(live.expected)}` + (live.worst && live.groups > 1 ? ` · farthest off: ${live.worst} ${percent(live.worst_coverage)}` : "")]);
  const s = m.shadowing;
  if (s) rows.push(["Shadow", s.rows ? `${short(s.rows)} rows compared, ${s.difference === null ? "nothing comparable" : `${percent(s.difference, 1)} apart on average`}${s.failed ? `, ${short(s.failed)} failed` : ""}${s.dropped ? `, ${short(s.dropped)} dropped` : ""}` : "no row compared yet"]);
  return el("dl", { class: "facts card" }, rows.map(([k, v]) => el("div", {}, el("dt", {}, k), el("dd", {}, v))));
}

// scores shows the champion's error beside its baselines', as bars on one scale.
function scores(m, record, manifest) {
  const v = (record.versions ?? []).find((x) => x.version === (m.serving || m.champion)), list = v?.scores?.length ? v.scores : (manifest.scores ?? []).map(old);
  if (!list.length) return null;
  const names = [...new Set(list.flatMap((s) => Object.keys(s.baselines ?? {})))], most = Math.max(...list.flatMap((s) => [s.wape, ...Object.values(s.baselines ?? {})]).filter((x) => x !== null && x !== undefined), 1e-9);
  const bar = (value, own) => value === null || value === undefined ? "–" : el("span", { class: "bar" }, el("meter", { min: "0", max: String(most), value: String(value), class: own ? "own" : "", "aria-label": percent(value, 1) }), el("span", {}, percent(value, 1)));
  return el("section", { class: "card" }, el("h3", {}, "Errors on the part of the data that nothing was fitted by"), el("p", { class: "soft" }, "WAPE: the sum of all errors over the sum of all actual values. Shorter is better."),
    table(`Scores of ${m.name}`, [
      { head: "Ahead", cell: (s) => `${short(s.minutes)} min` },
      { head: "Model", cell: (s) => bar(s.wape, true) },
      ...names.map((n) => ({ head: words(n), cell: (s) => bar(s.baselines?.[n], false) })),
      { head: "Skill", align: "n", cell: (s) => fixed(s.skill, 2) }, { head: "In its 80 %", align: "n", cell: (s) => percent(s.coverage80) }, { head: "In its 90 %", align: "n", cell: (s) => percent(s.coverage90) },
      { head: "Slots", align: "n", cell: (s) => short(s.slots) },
    ], list));
}

// old turns a score of the manifest into one of the record.
const old = (s) => ({ minutes: s.minutes, slots: s.n, wape: s.model?.wape, skill: s.model?.skill, coverage80: s.model?.coverage80, coverage90: s.model?.coverage90,
  baselines: Object.fromEntries(Object.entries(s.baselines ?? {}).map(([name, b]) => [name, b.wape])) });

function past(record) {
  const list = record.history ?? [];
  if (!list.length) return null;
  return el("section", { class: "card" }, el("h3", {}, "Champions"), el("ol", { class: "past" }, list.map((h) => el("li", {}, el("time", { datetime: h.at }, ms(h.at) ? dateClock(h.at) : "unknown"),
    el("b", {}, h.from ? `v${h.from} → v${h.version}` : `v${h.version}`), h.roll_back ? badge("rolled back", "warn") : null, el("span", { class: "soft" }, [h.why, h.by && `by ${h.by}`].filter(Boolean).join(", "))))));
}
