// The states of groups and decisions, in words, and how loud each is.

import { instances } from "./format.js";

export const STATES = {
  predictive: { label: "predictive", tone: "good", why: "Forecasts decide, the live load can only add to them" },
  reactive: { label: "reactive", tone: "", why: "The live load decides: the policy wants no forecast" },
  "no-model": { label: "no forecast", tone: "warn", why: "No usable forecast: the live load decides, scaling in at half rate" },
  drift: { label: "drift", tone: "warn", why: "What came true fell out of the forecasts' band: the live load decides" },
  frozen: { label: "frozen", tone: "info", why: "By order: never smaller" },
  paused: { label: "paused", tone: "info", why: "By order: decided and recorded, not carried out" },
  hold: { label: "hold", tone: "bad", why: "Nothing fresh was known at the newest decision: never smaller" },
  stale: { label: "stale", tone: "bad", why: "No metrics that can be trusted, or no decision for several steps" },
  unknown: { label: "no decision", tone: "", why: "The scaler has not decided on this group" },
};

// stateOf never fails: a newer server may know more states than this page.
export const stateOf = (state) => STATES[state] ?? { label: String(state ?? "unknown"), tone: "warn", why: "" };

// The levels of attention, each with its least number.
export const ATTENTION = [[300, "bad", "fault"], [200, "warn", "warning"], [100, "info", "notice"], [0, "", "fine"]];
export const attentionOf = (n) => ATTENTION.find(([least]) => (n ?? 0) >= least) ?? ATTENTION.at(-1);

// wantedForecast is false for a decision of a policy that reads no forecast: only the
// reason "forecast" tells that one was wanted and not there.
export const wantedForecast = (d) => d.basis !== "reactive" || (d.reasons ?? []).some((r) => r.rule === "forecast");

// stateOfDecision turns the safety state of a decision into a group's.
export const stateOfDecision = (d) => d.safety === "REACTIVE_NO_MODEL" && !wantedForecast(d) ? "reactive" : ({ PREDICTIVE: "predictive", REACTIVE_STALE: "stale", REACTIVE_DRIFT: "drift",
  REACTIVE_NO_MODEL: "no-model", FROZEN: "frozen", PAUSED: "paused" })[d.safety] ?? d.basis ?? "unknown";

// verdict says what a decision does.
export function verdict(from, to) {
  if (to === from) return `Keep ${instances(from)}`;
  return `Scale ${to > from ? "out" : "in"} from ${from} to ${instances(to)}`;
}

const OUTCOMES = {
  none: ["Nothing had to be done.", ""], "dry-run": ["Dry run: recorded, not carried out.", "info"], accepted: ["The provider accepted it.", "good"],
  failed: ["The provider did not accept it.", "bad"], skipped: ["It was not carried out.", "warn"],
};

export function outcome(status, detail) {
  const [text, tone] = OUTCOMES[status] ?? ["It is not known whether it was carried out.", "warn"];
  return { text: detail ? `${text} ${detail}` : text, tone };
}
