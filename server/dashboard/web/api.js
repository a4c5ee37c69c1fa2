// The one place that talks to the server's JSON interface.

const TIMEOUT = 10000; // milliseconds

// Fault is an answer that is no answer. status 0: there was none at all.
export class Fault extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

let csrf = "";

// clock is the server's time as of its last answer, and ours then, in milliseconds.
export const clock = { server: NaN, here: NaN };

async function send(path, options) {
  let response;
  try {
    response = await fetch(path, { credentials: "same-origin", ...options,
      signal: AbortSignal.any([AbortSignal.timeout(TIMEOUT), ...(options?.signal ? [options.signal] : [])]),
      headers: { Accept: "application/json", ...options?.headers } });
  } catch (err) {
    if (options?.signal?.aborted) throw err;
    throw new Fault(0, err.name === "TimeoutError" ? "the server does not answer in time" : "the server cannot be reached");
  }
  const date = Date.parse(response.headers.get("Date") ?? "");
  if (response.ok && date) Object.assign(clock, { server: date, here: Date.now() });
  const text = await response.text().catch(() => "");
  let body = null;
  try { body = text ? JSON.parse(text) : null; } catch { /* a proxy's page, perhaps */ }
  if (!response.ok) throw new Fault(response.status, body?.detail || body?.title || `the server answers ${response.status}`);
  if (body === null && response.status !== 204) throw new Fault(response.status, "the answer is no JSON");
  return body;
}

// ask returns what a GET answers, or throws a Fault.
export const ask = (path, signal) => send(path, { signal });

// change asks for a change. The session's token goes with it, which no other site
// can know.
export const change = (path, body, method = "POST") => send(path, { method, body: body === undefined ? undefined : JSON.stringify(body),
  headers: { ...(body === undefined ? {} : { "Content-Type": "application/json" }), ...(csrf ? { "X-CSRF-Token": csrf } : {}) } });

// session returns who the viewer is: {name, rights, csrf}. A server without logins
// lets everyone do everything, which is {name: "", rights: null}.
export async function session() {
  try {
    const found = await ask("/api/v1/session");
    csrf = found.csrf ?? "";
    return found;
  } catch (err) {
    if (err.status === 404 || err.status === 405) return { name: "", rights: null };
    throw err;
  }
}

// login exchanges a token for a session, which is a cookie that scripts cannot read.
export const login = (token) => change("/api/v1/session", { token });

export const logout = () => change("/api/v1/session", undefined, "DELETE");

// path joins escaped segments: a group's name may hold slashes.
export const path = (...segments) => "/api/v1/" + segments.map(encodeURIComponent).join("/");
