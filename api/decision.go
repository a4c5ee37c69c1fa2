package api

import "time"

// Capacity is a group's size as its provider reported it at ObservedAt.
type Capacity struct {
	InService  int       `json:"in_service"` // instances that take load
	Pending    int       `json:"pending"`    // instances launched and not yet in service
	Desired    int       `json:"desired"`    // what the provider is working towards
	Min        int       `json:"min"`        // the provider's own bounds
	Max        int       `json:"max"`
	ObservedAt time.Time `json:"observed_at,omitzero"`
}

// Mode says what the scaler may do to a group.
type Mode string

// A new group is in dry-run mode until its owner says otherwise.
const (
	ModeDryRun Mode = "dry-run" // decide and record, change nothing
	ModeLive   Mode = "live"    // decide, record and act
)

// Basis says which evidence a decision rests on.
type Basis string

// The evidence behind a decision, from the best to the least.
const (
	BasisPredictive Basis = "predictive" // a valid forecast and fresh metrics
	BasisReactive   Basis = "reactive"   // fresh metrics only; scale-in at half rate
	BasisHold       Basis = "hold"       // no fresh metrics: never a scale-in
)

// Reason is one step of the path from the wish of a policy to the desired
// capacity: what changed the number, from what to what, and why.
type Reason struct {
	Rule   string `json:"rule"` // stable identifier, for example threshold, max, cooldown, stale
	From   int    `json:"from"`
	To     int    `json:"to"`
	Detail string `json:"detail"` // one sentence with the numbers in it
}

// OutcomeStatus says what came of a decision.
type OutcomeStatus string

// The outcomes of a decision. Only OutcomeAccepted starts a cooldown.
const (
	OutcomeNone     OutcomeStatus = "none"     // nothing to do: desired is unchanged
	OutcomeDryRun   OutcomeStatus = "dry-run"  // would have acted
	OutcomeAccepted OutcomeStatus = "accepted" // the provider accepted the new desired capacity
	OutcomeFailed   OutcomeStatus = "failed"   // the provider refused or could not be reached
	OutcomeSkipped  OutcomeStatus = "skipped"  // not carried out: the lease was lost, or the group changed meanwhile
)

// Outcome is the result of carrying a decision out.
type Outcome struct {
	Status OutcomeStatus `json:"status"`
	Detail string        `json:"detail,omitempty"`
	At     time.Time     `json:"at,omitzero"`
}

// Decision records what the scaler decided for one group at one tick, with all
// that it knew. It is written to the audit log as it stands, so that it can be
// explained and replayed later.
type Decision struct {
	Group    string    `json:"group"`
	Tick     time.Time `json:"tick"` // end of the newest complete slot, UTC
	Mode     Mode      `json:"mode"`
	Basis    Basis     `json:"basis"`
	Policy   string    `json:"policy"`
	Capacity Capacity  `json:"capacity"` // as seen before the decision
	// Observed holds the newest measured values by series name, for example
	// cpu_utilization and demand.
	Observed map[string]float64 `json:"observed,omitempty"`
	// ObservedAt is the start of the slot that Observed speaks of.
	ObservedAt   time.Time `json:"observed_at,omitzero"`
	Forecast     *Forecast `json:"forecast,omitempty"`
	Model        string    `json:"model,omitempty"`
	ModelVersion int       `json:"model_version,omitempty"`
	// Wanted is what the policy asked for, Desired what is left of it after every
	// guardrail. Reasons leads from the present capacity to Desired, in order.
	Wanted  int      `json:"wanted"`
	Desired int      `json:"desired"`
	Reasons []Reason `json:"reasons"`
	Outcome Outcome  `json:"outcome"`
}

// TickRecord is one object of the audit log: every decision of one tick.
type TickRecord struct {
	Tick      time.Time  `json:"tick"`
	Scaler    string     `json:"scaler"` // identity of the scaler that held the lease
	Decisions []Decision `json:"decisions"`
	// Errors lists what went wrong outside of any single group.
	Errors []string `json:"errors,omitempty"`
}
