package api

import "time"

// Fleet answers GET /api/v1/fleet: one row for each group, short enough for a
// thousand of them (less than 1 KB each), what needs attention first.
type Fleet struct {
	Now time.Time `json:"now"` // the server's clock
	// Replay says that data and decisions carry the times of a recorded or simulated
	// past, so that ages are reckoned from the newest of them and not from Now.
	Replay      bool      `json:"replay,omitempty"`
	StepSeconds int       `json:"step_seconds"`
	Tick        time.Time `json:"tick,omitzero"` // of the newest decisions; absent: there are none
	Scaler      string    `json:"scaler,omitempty"`
	// Brake says that the fleet-wide brake held scale-ins at that tick.
	Brake *Brake `json:"brake,omitempty"`
	// Warnings say what could not be read and is missing below, and what went wrong at
	// the newest tick outside of any single group.
	Warnings []string   `json:"warnings"`
	Groups   []FleetRow `json:"groups"`
}

// GroupState says in one word how a group stands.
type GroupState string

// The states of a group, from the best to the least.
const (
	StatePredictive GroupState = "predictive" // forecasts decide
	StateReactive   GroupState = "reactive"   // the live load decides, because the policy wants no forecast
	StateNoModel    GroupState = "no-model"   // likewise, because there is no usable forecast
	StateDrift      GroupState = "drift"      // likewise, because what came true fell out of the forecasts' band
	StateFrozen     GroupState = "frozen"     // by order: never smaller
	StatePaused     GroupState = "paused"     // by order: decided and recorded, not carried out
	StateHold       GroupState = "hold"       // nothing fresh was known at the newest decision: never smaller
	StateStale      GroupState = "stale"      // no metrics that can be trusted, or no decision for several steps
	StateUnknown    GroupState = "unknown"    // nobody has decided on the group
)

// GroupStates are all of them.
var GroupStates = []GroupState{StatePredictive, StateReactive, StateNoModel, StateDrift, StateFrozen, StatePaused, StateHold, StateStale, StateUnknown}

// The levels of FleetRow.Attention. Within one, a row that is worse has a few points
// more, so that rows sort by the number alone.
const (
	AttentionNone    = 0   // as it should be
	AttentionNotice  = 100 // frozen or paused, no decision yet
	AttentionWarning = 200 // no usable forecast, drift, held at a bound, a rival, a launch that failed
	AttentionFault   = 300 // stale data, an action that failed, capacity below what is forecast or needed
)

// FleetRow is the newest that is known of a group. What is not known is absent.
type FleetRow struct {
	Group     string     `json:"group"`
	Attention int        `json:"attention"` // see AttentionFault; higher is earlier
	State     GroupState `json:"state"`
	Reason    string     `json:"reason"` // one sentence: why it needs attention, otherwise why it is in this state
	// Alerts name what a person should look into, by stable identifiers; see Decision.
	Alerts []string `json:"alerts,omitempty"`
	Mode   Mode     `json:"mode,omitempty"`
	Policy string   `json:"policy,omitempty"`

	Load     *FleetLoad     `json:"load,omitempty"`
	Forecast *FleetForecast `json:"forecast,omitempty"`
	Capacity *FleetCapacity `json:"capacity,omitempty"`
	// DataAgeSeconds is how long ago the newest measured slot ended.
	DataAgeSeconds *float64    `json:"data_age_seconds,omitempty"`
	Model          *FleetModel `json:"model,omitempty"`
	NextEvent      *FleetEvent `json:"next_event"` // null: none within a week
	// Spark holds the newest 24 slots of the load, oldest first, null where nothing
	// was measured. Its last one is the slot of Load.At, or of the newest tick.
	Spark Series `json:"spark"`
	// Outcome is what came of the newest decision.
	Outcome OutcomeStatus `json:"outcome,omitempty"`
}

// FleetLoad is the newest measured value of the series that is forecast.
type FleetLoad struct {
	Series string    `json:"series"`
	Value  float64   `json:"value"`
	Unit   string    `json:"unit"`
	At     time.Time `json:"at"` // start of the slot
}

// FleetForecast is what is expected of the slot that instances ordered now can
// serve.
type FleetForecast struct {
	Value       float64   `json:"value"`
	At          time.Time `json:"at"` // start of the slot
	LeadSeconds int       `json:"lead_seconds"`
	// Quantiles are by level, for example "0.1".
	Quantiles map[string]float64 `json:"quantiles,omitempty"`
}

// FleetCapacity is a group's size in instances: as seen before the newest decision,
// and what that made of it.
type FleetCapacity struct {
	InService int `json:"in_service"`
	Pending   int `json:"pending,omitempty"`
	Before    int `json:"before"`  // desired before the decision
	Desired   int `json:"desired"` // and after it
	Min       int `json:"min"`
	Max       int `json:"max"`
}

// FleetModel is the model that serves a group.
type FleetModel struct {
	Name       string   `json:"name"`
	Version    int      `json:"version,omitempty"`     // that serves; 0: none yet
	AgeSeconds *float64 `json:"age_seconds,omitempty"` // since the end of what it was trained on
	Problem    string   `json:"problem,omitempty"`     // why the champion does not serve; empty: it does, or would
}

// FleetEvent is an event of the business calendar that lasts or comes.
type FleetEvent struct {
	Name string    `json:"name"`
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// Fan is what had been forecast for each slot, or bucket of slots, Lead steps
// before: Point and each of Quantiles have one value for each of Times.
type Fan struct {
	LeadSteps int               `json:"lead_steps"`
	Times     []time.Time       `json:"times"` // starts of the slots
	Point     Series            `json:"point"`
	Quantiles map[string]Series `json:"quantiles"` // by level, for example "0.1"
}

// Sensor is a series of a group that is neither what is forecast nor the provider's:
// readings of sensors, and metrics without a meaning of their own here. Only slots
// that have a value are in it.
type Sensor struct {
	Unit   string      `json:"unit"`
	Times  []time.Time `json:"times"` // starts of the slots
	Values Series      `json:"values"`
}

// Mark is a decision that changed the desired capacity, or would have but for what
// held it.
type Mark struct {
	At      time.Time     `json:"at"` // the tick
	From    int           `json:"from"`
	Wanted  int           `json:"wanted"` // by the policy
	To      int           `json:"to"`     // what was left of it
	Mode    Mode          `json:"mode"`
	Policy  string        `json:"policy,omitempty"`
	Basis   Basis         `json:"basis"`
	Safety  SafetyState   `json:"safety,omitempty"`
	Moved   *Move         `json:"moved,omitempty"`
	Outcome OutcomeStatus `json:"outcome"`
	Detail  string        `json:"detail,omitempty"` // of the outcome
	Alerts  []string      `json:"alerts,omitempty"`
	// Reasons lead from From to To; Clamps are those of them that held what the policy
	// wanted, by their rule.
	Reasons []Reason `json:"reasons"`
	Clamps  []string `json:"clamps,omitempty"`
}

// What of the store has changed, in Changed.What.
const (
	ChangedSamples  = "samples"
	ChangedForecast = "forecast"
	ChangedDecision = "decision"
	ChangedModel    = "model"
)

// Changed is the body of POST /api/v1/notify and the data of an event "changed" of
// GET /api/v1/stream: something new is in the stores. It carries no data itself; the
// stores are the truth, and who is told asks again.
type Changed struct {
	At   time.Time `json:"at,omitzero"` // of the slot or tick; zero in a notification: now
	What []string  `json:"what"`        // see ChangedSamples
	// Groups are those that are meant; empty: any.
	Groups []string `json:"groups,omitempty"`
}

// Session answers GET /api/v1/session, and POST there: who the browser is.
type Session struct {
	Name   string   `json:"name"` // of the client; empty: the server knows no clients
	Rights []string `json:"rights"`
	// CSRF is to be sent in the header X-CSRF-Token of every request that changes
	// something; empty where the request did not come by a session's cookie.
	CSRF string `json:"csrf,omitempty"`
	// Login says that the server knows clients, so that there is something to log in
	// with; without it everyone may do everything.
	Login bool `json:"login"`
	// Changes says that the server lets clients change models (server.model_control).
	Changes bool      `json:"changes"`
	Until   time.Time `json:"until,omitzero"` // when it ends, however much it is used
}

// SessionRequest is the body of POST /api/v1/session.
type SessionRequest struct {
	Token string `json:"token"`
}

// CSRFHeader names the header that holds Session.CSRF.
const CSRFHeader = "X-CSRF-Token"

// SessionCookie names the cookie of a session.
const SessionCookie = "forescale_session"

// ModelChange is the body of POST /api/v1/models/{name}/{promote|rollback|pin|unpin|shadow}.
type ModelChange struct {
	// Version is the one to promote, pin, unpin or shadow; 0 with shadow: none any
	// more. It must be 0 with rollback, which goes back to the version before.
	Version int `json:"version,omitempty"`
	// From, of promote and rollback, is the version that must still be champion; 0:
	// whichever is.
	From   int    `json:"from,omitempty"`
	Reason string `json:"reason"` // one sentence, for the record
}

// ModelRecord is what the registry knows of a model beside its champion.
type ModelRecord struct {
	Versions []ModelVersion `json:"versions"` // newest first, at most 50
	History  []ModelMove    `json:"history"`  // newest first, at most 50
	Pinned   []ModelOrder   `json:"pinned"`
	Shadow   *ModelOrder    `json:"shadow"` // null: none
	// Problems say what could not be read and is missing above.
	Problems []string `json:"problems,omitempty"`
}

// ModelVersion is one version of a model.
type ModelVersion struct {
	Version      int       `json:"version"`
	Champion     bool      `json:"champion,omitempty"`
	Preset       string    `json:"preset,omitempty"`
	CreatedAt    time.Time `json:"created_at,omitzero"`
	TrainedFrom  time.Time `json:"trained_from,omitzero"`
	TrainedUntil time.Time `json:"trained_until,omitzero"`
	SizeBytes    int64     `json:"size_bytes,omitempty"`
	// Scores are at each horizon that was scored, on the last part of the data, which
	// nothing was fitted or chosen by.
	Scores []ModelScore `json:"scores"`
	// Judged is what the gate said when the version was a challenger; absent: nobody
	// has judged it.
	Judged *ModelVerdict `json:"judged,omitempty"`
	// Problem says why the manifest cannot be read.
	Problem string `json:"problem,omitempty"`
}

// ModelScore compares a version with its baselines at one horizon. Errors are as
// WAPE, a share of the actual values: 0 is perfect. What is not defined is null.
type ModelScore struct {
	Minutes    float64             `json:"minutes"` // ahead
	Slots      int                 `json:"slots"`   // scored
	WAPE       *float64            `json:"wape"`
	MAE        *float64            `json:"mae"`
	Skill      *float64            `json:"skill"`      // over the last value repeated
	Coverage80 *float64            `json:"coverage80"` // share of actual values in the 10-90 % interval; 0.8 is right
	Coverage90 *float64            `json:"coverage90"`
	Baselines  map[string]*float64 `json:"baselines"` // WAPE by baseline
}

// ModelVerdict is the outcome of the gate.
type ModelVerdict struct {
	Promote bool   `json:"promote"`
	Summary string `json:"summary,omitempty"` // what failed first
}

// ModelMove is a change of the champion.
type ModelMove struct {
	Version  int       `json:"version"`
	From     int       `json:"from"` // 0: the first
	At       time.Time `json:"at"`
	By       string    `json:"by,omitempty"`
	Why      string    `json:"why,omitempty"`
	RollBack bool      `json:"roll_back,omitempty"`
}

// ModelOrder is what somebody has said of one version.
type ModelOrder struct {
	Version int       `json:"version"`
	At      time.Time `json:"at"`
	By      string    `json:"by,omitempty"`
	Why     string    `json:"why,omitempty"`
}

// ModelLive is how a model fares in the groups of the newest tick that it serves.
type ModelLive struct {
	Groups int `json:"groups"` // that it forecast for
	Drift  int `json:"drift"`  // of them, in the state drift
	// Coverage is the mean share of slots, of about the last day, between the quantiles
	// 0.1 and 0.9 (or those nearest to them) of the forecasts one step ahead; null: too
	// few slots yet.
	Coverage *float64 `json:"coverage"`
	// Expected is the share that the quantiles promise.
	Expected *float64 `json:"expected"`
	// Worst is the group whose coverage is farthest off, with it.
	Worst         string   `json:"worst,omitempty"`
	WorstCoverage *float64 `json:"worst_coverage,omitempty"`
}

// ModelShadow is what came of the shadow's copies since this server started.
type ModelShadow struct {
	Rows    float64 `json:"rows"` // compared
	Dropped float64 `json:"dropped"`
	Failed  float64 `json:"failed"`
	// Difference is the mean relative difference from the champion's answers; null: nothing
	// was compared.
	Difference *float64 `json:"difference"`
}

// BacktestList answers GET /api/v1/backtests.
type BacktestList struct {
	Backtests []BacktestEntry `json:"backtests"` // newest first
	Warnings  []string        `json:"warnings,omitempty"`
}

// BacktestEntry is one report that was published. GET /api/v1/backtests/{name}
// answers the report itself: the JSON that forescale backtest -report writes.
type BacktestEntry struct {
	Name      string    `json:"name"`
	Published time.Time `json:"published"`
	SizeBytes int64     `json:"size_bytes"`
}
