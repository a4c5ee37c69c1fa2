package api

import (
	"encoding/json"
	"time"
)

// Capacity is a group's size as its provider reported it at ObservedAt.
type Capacity struct {
	InService  int       `json:"in_service"` // instances that take load
	Pending    int       `json:"pending"`    // instances launched and not yet in service
	Desired    int       `json:"desired"`    // what the provider is working towards
	Min        int       `json:"min"`        // the provider's own bounds
	Max        int       `json:"max"`
	ObservedAt time.Time `json:"observed_at,omitzero"`
	// Protected counts the instances that the provider will not terminate when the
	// group shrinks: their owner protects them.
	Protected int `json:"protected,omitempty"`
	// Warm counts the instances of a warm pool, which serve nothing and start
	// faster. They are in none of the counts above.
	Warm int `json:"warm,omitempty"`
	// LaunchError says why the newest launch failed, for example for lack of
	// capacity at the provider. Empty: it did not, or nobody knows.
	LaunchError string `json:"launch_error,omitempty"`
	// Rivals are others who change the group, or keep it from changing, as far as
	// the provider shows them.
	Rivals []Rival `json:"rivals,omitempty"`
}

// Known reports whether the capacity was read at all.
func (c Capacity) Known() bool {
	return c.InService != 0 || c.Pending != 0 || c.Desired != 0 || c.Min != 0 || c.Max != 0 || !c.ObservedAt.IsZero()
}

// RivalKind names what else changes a group, or keeps it from changing.
type RivalKind string

// The rivals that are noticed. The last two are found by comparing what a
// provider reports with what this scaler left behind, the others by the provider.
const (
	RivalPredictive RivalKind = "predictive-policy"     // the provider's own predictive scaling
	RivalTracking   RivalKind = "target-tracking"       // a policy of the provider that follows a metric
	RivalSchedule   RivalKind = "scheduled-action"      // a change at a fixed time
	RivalRefresh    RivalKind = "instance-refresh"      // instances are being replaced
	RivalSuspended  RivalKind = "suspended-process"     // launching or terminating is switched off
	RivalAutoscaler RivalKind = "horizontal-autoscaler" // a HorizontalPodAutoscaler, or what else scales the same resource
	RivalDesired    RivalKind = "desired-changed"       // somebody set the desired capacity
	RivalBounds     RivalKind = "bounds-changed"        // somebody moved the minimum or the maximum
)

// RivalKinds are all of them.
var RivalKinds = []RivalKind{RivalPredictive, RivalTracking, RivalSchedule, RivalRefresh, RivalSuspended, RivalAutoscaler, RivalDesired, RivalBounds}

// Rival is somebody or something else that scales the same group.
type Rival struct {
	Kind   RivalKind `json:"kind"`
	Detail string    `json:"detail"` // its name and what it does, for a person
}

// Launch is one start of an instance, as the provider recorded it.
type Launch struct {
	At     time.Time     `json:"at"`               // when it was ordered
	Took   time.Duration `json:"took"`             // until it was in service; 0 with Failed
	Failed string        `json:"failed,omitempty"` // why it never will be
	Warm   bool          `json:"warm,omitempty"`   // out of a warm pool, and so faster than others
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
	BasisHold       Basis = "hold"       // no metrics that can be trusted: never a scale-in
)

// SafetyState says how far the forecast is trusted with a group. It moves with
// hysteresis, so that it does not follow every single tick.
type SafetyState string

// The safety states, from full trust to none.
const (
	SafetyPredictive SafetyState = "PREDICTIVE"        // forecasts decide, the live load can only add to them
	SafetyStale      SafetyState = "REACTIVE_STALE"    // no metrics that can be trusted: hold or grow, never shrink
	SafetyDrift      SafetyState = "REACTIVE_DRIFT"    // what came true falls out of the forecasts' band: the live load decides
	SafetyNoModel    SafetyState = "REACTIVE_NO_MODEL" // no usable forecast: the live load decides
	SafetyFrozen     SafetyState = "FROZEN"            // by order: never smaller; a live breach still adds
	SafetyPaused     SafetyState = "PAUSED"            // by order: decided and recorded, not carried out
)

// ControlKind is an order that a person gives about a group.
type ControlKind string

// The orders. ControlFreeze keeps a group from shrinking, ControlPause takes this
// scaler's hands off it.
const (
	ControlFreeze ControlKind = "freeze"
	ControlPause  ControlKind = "pause"
)

// AllGroups, in Control.Group, stands for every group.
const AllGroups = "*"

// Control is such an order, until it expires or is withdrawn.
type Control struct {
	Kind   ControlKind `json:"kind"`
	Group  string      `json:"group"` // or AllGroups
	Until  time.Time   `json:"until"` // it ends then, exclusive
	Reason string      `json:"reason"`
	By     string      `json:"by"` // who gave it
	At     time.Time   `json:"at"` // and when
}

// Move is a change of a group's safety state.
type Move struct {
	From SafetyState `json:"from"`
	To   SafetyState `json:"to"`
	Why  string      `json:"why"`
}

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
	// Safety is the group's safety state at this decision, and Moved says how it
	// came into it just now.
	Safety SafetyState `json:"safety,omitempty"`
	Moved  *Move       `json:"moved,omitempty"`
	// Alerts name what a person should look into, by stable identifiers.
	Alerts []string `json:"alerts,omitempty"`
	// What follows serves to reach the same decision again: with Capacity,
	// Observed and Forecast above it is all that the decision rests on.
	CapacityError string `json:"capacity_error,omitempty"` // why Capacity is unknown
	// Unit is how the group's load was turned into demand; nil: it was measured as such.
	Unit *Unit `json:"unit,omitempty"`
	// Offered says that the observed demand counts what was asked for.
	Offered bool `json:"offered,omitempty"`
	// Flags are what the calendar said of the slots from Tick on, by flag.
	Flags   map[string][]float64 `json:"flags,omitempty"`
	Control *Control             `json:"control,omitempty"` // the order in force
	Config  int                  `json:"config"`            // index into TickRecord.Configs
	Before  json.RawMessage      `json:"before,omitempty"`  // the group's state before the decision
	// Shadow is what another policy would have done. Nothing of it is carried out,
	// and the decision does not rest on it.
	Shadow *Shadow `json:"shadow,omitempty"`
}

// Shadow is the decision of a policy that runs beside the one in charge, over the
// capacity that the group would have had if its own decisions had been carried out
// all along. What would have come of it is compared with what really came.
type Shadow struct {
	Policy    string      `json:"policy"`
	InService int         `json:"in_service"` // imagined, before the decision
	Desired   int         `json:"desired"`    // imagined, before the decision
	Wanted    int         `json:"wanted"`     // by the policy
	To        int         `json:"to"`         // what the decision makes of Desired
	Safety    SafetyState `json:"safety,omitempty"`
	Reasons   []Reason    `json:"reasons,omitempty"`
	Sums      ShadowSums  `json:"sums"`
}

// ShadowSums compare both policies over the slots since Since of which everything
// is known: the load, what really served it, and what would have.
type ShadowSums struct {
	Since time.Time `json:"since"`
	Slots int       `json:"slots"`
	// Hours are instance-hours by what was desired, Breaches the minutes of slots
	// whose load was more than the objective allows on what was in service.
	LiveHours      float64 `json:"live_hours"`
	LiveBreaches   float64 `json:"live_breaches"`
	ShadowHours    float64 `json:"shadow_hours"`
	ShadowBreaches float64 `json:"shadow_breaches"`
}

// Unit is how much of a load, such as requests per step, one instance-equivalent is.
type Unit struct {
	Series      string  `json:"series"`
	PerInstance float64 `json:"per_instance"` // what was divided by: the low end of what was learned
	Error       float64 `json:"error"`        // relative standard error of what was learned
	// Doubt says why the unit may no longer hold; empty: the newest slots agree.
	Doubt string `json:"doubt,omitempty"`
}

// TickRecord is one object of the audit log: every decision of one tick.
type TickRecord struct {
	Tick      time.Time  `json:"tick"`
	Scaler    string     `json:"scaler"` // identity of the scaler that held the lease
	Decisions []Decision `json:"decisions"`
	// Errors lists what went wrong outside of any single group.
	Errors []string `json:"errors,omitempty"`
	// Configs are the configurations of the groups, each only once.
	Configs []json.RawMessage `json:"configs,omitempty"`
	// Brake says that the fleet-wide brake held the scale-ins of this tick, all or
	// those beyond what it let through.
	Brake *Brake `json:"brake,omitempty"`
	// Version is the program that decided.
	Version string `json:"version,omitempty"`
}

// Brake is the fleet-wide brake in action: so many groups, or instances, wished
// to scale in at once that a common fault is likelier than a common lull.
type Brake struct {
	Groups        int     `json:"groups"`         // that wished to scale in
	GroupShare    float64 `json:"group_share"`    // of all groups
	Instances     int     `json:"instances"`      // that would have gone
	InstanceShare float64 `json:"instance_share"` // of all desired
	Limit         float64 `json:"limit"`          // the share from which on it is pulled
	// Release is when it begins to let wishes through that rest on forecasts; zero: never.
	Release time.Time `json:"release,omitzero"`
	Let     int       `json:"let,omitempty"` // groups that it let through
}
