// Elements, made from values. Data only ever becomes text or an attribute, never markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false));
  return node;
}

// el returns an element. An attribute that is undefined, null or false is left
// out, a function under "onclick" listens, and children that are nothing are too.
export const el = (name, attributes, ...children) => fill(document.createElement(name), attributes, children);

export const svg = (name, attributes, ...children) => fill(document.createElementNS(SVG, name), attributes, children);

export const $ = (id) => document.getElementById(id);

// say tells a screen reader something that only the eye has seen.
export function say(text) { $("says").textContent = text; }

// choice fills a fieldset with buttons of which one is pressed. options are
// [value, label, title] each.
export function choice(fieldset, options, current, choose) {
  const buttons = options.map(([value, label, title]) =>
    el("button", { type: "button", "aria-pressed": String(value === current), title, "data-value": value, onclick: () => { press(value); choose(value); } }, label));
  const press = (value) => buttons.forEach((b) => b.setAttribute("aria-pressed", String(b.dataset.value === value)));
  fieldset.replaceChildren(...[...fieldset.children].filter((c) => c.localName === "legend"), ...buttons);
  return press;
}

// fieldset returns an empty group of buttons with a name that only readers hear.
export const fieldset = (name, attributes) => el("fieldset", { class: "switch", ...attributes }, el("legend", {}, name));

export const badge = (text, tone, title) => el("span", { class: "badge " + (tone ?? ""), title }, text);

// table returns a plain table. Columns are {head, align, cell(row)}; cells are text
// or nodes.
export function table(caption, columns, rows, attributes) {
  return el("div", { class: "wide", tabindex: "0", role: "region", "aria-label": caption },
    el("table", attributes, el("caption", { class: "unseen" }, caption),
      el("thead", {}, el("tr", {}, columns.map((c) => el("th", { scope: "col", class: c.align }, c.head)))),
      el("tbody", {}, rows.map((row) => el("tr", { class: row.class }, columns.map((c, i) =>
        i === 0 ? el("th", { scope: "row", class: c.align }, c.cell(row)) : el("td", { class: c.align }, c.cell(row))))))));
}

// blank returns the designed state of a page, or of a part of it, that has nothing to show.
export function blank(title, text, ...more) {
  return el("section", { class: "blank" }, el("h2", {}, title), text ? el("p", {}, text) : null, more);
}

// skeleton stands where something will be as soon as it is loaded.
export const skeleton = (...heights) => el("div", { class: "skeleton", "aria-busy": "true" }, el("span", { class: "unseen" }, "Loading…"), heights.map((h) => el("div", { class: h })));

// color resolves a custom property of the sheet to what the canvas can draw.
export function color(name) {
  const probe = el("i");
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}
