package api

import "time"

// GroupList answers GET /api/v1/groups.
type GroupList struct {
	Now time.Time `json:"now"` // the server's clock
	// Replay says that data and decisions carry the times of a recorded or
	// simulated past, so that their age says nothing of their freshness.
	Replay bool           `json:"replay,omitempty"`
	Groups []GroupSummary `json:"groups"`
	// Warnings say what could not be read and is missing above.
	Warnings []string `json:"warnings,omitempty"`
}

// GroupSummary is the newest that is known of a group.
type GroupSummary struct {
	Group    string    `json:"group"`
	Decision *Decision `json:"decision,omitempty"` // newest, with its forecast left out; absent: the scaler does not know the group
	Model    string    `json:"model,omitempty"`    // the model that serves the group; empty: none
}

// GroupHistory answers GET /api/v1/groups/{group}: one group over a range of
// time, on the regular grid whose slot i covers [From+i*step, From+(i+1)*step).
type GroupHistory struct {
	Group       string    `json:"group"`
	Now         time.Time `json:"now"` // the server's clock
	Replay      bool      `json:"replay,omitempty"`
	From        time.Time `json:"from"` // start of slot 0
	To          time.Time `json:"to"`
	StepSeconds int       `json:"step_seconds"`
	// BucketSeconds is the time between two values of Series and Lead: StepSeconds, or
	// a multiple of it when the request asked for fewer points than there are slots. A
	// value is then the mean of its bucket, and Lows and Highs have the extremes.
	BucketSeconds int               `json:"bucket_seconds"`
	Lows          map[string]Series `json:"lows,omitempty"`
	Highs         map[string]Series `json:"highs,omitempty"`
	// NewestEnd is the end of the newest slot with a measured value in the range.
	NewestEnd time.Time `json:"newest_end,omitzero"`
	// NewestAt is when this server first saw that slot.
	NewestAt time.Time `json:"newest_at,omitzero"`
	// Target names the series that is forecast.
	Target string            `json:"target"`
	Series map[string]Series `json:"series"` // by series name, one value per slot or bucket
	Units  map[string]string `json:"units"`  // by series name
	Lead   LeadForecast      `json:"lead"`
	// Fan is Lead with all quantiles.
	Fan Fan `json:"fan"`
	// Forecast is the newest one.
	Forecast *Forecast `json:"forecast,omitempty"`
	// Capacity holds what the scaler saw and wanted at each tick, oldest first. Where
	// points are fewer than ticks, ticks that changed nothing are left out, and of
	// the others those within one bucket's extremes.
	Capacity []CapacityPoint `json:"capacity"`
	// TickStride is how many steps lie between the ticks that Capacity, Marks and the
	// forecasts are made of, but for the newest: above 1 there were too many to read all.
	TickStride int `json:"tick_stride"`
	// Decisions holds the newest decisions, newest first, without forecasts and what
	// else only replaying them needs.
	Decisions []Decision `json:"decisions"`
	// Marks are the decisions that did something, or were held, newest first.
	Marks []Mark `json:"marks"`
	// MarksLeftOut counts those that were too many, the oldest.
	MarksLeftOut int `json:"marks_left_out,omitempty"`
	// Events of the business calendar in the range, and for a day after it.
	Events []FleetEvent `json:"events"`
	// Sensors are by series name. What is here is not in Series.
	Sensors map[string]Sensor `json:"sensors"`
	// Warnings say what could not be read and is missing above.
	Warnings []string `json:"warnings,omitempty"`
}

// LeadForecast compares with the measured series what had been forecast for each
// slot a fixed number of steps before.
type LeadForecast struct {
	Steps  int       `json:"steps"` // 1: the slot that begins when the forecast is issued
	Values Series    `json:"values"`
	Level  []float64 `json:"level,omitempty"` // the quantiles of Low and High
	Low    Series    `json:"low,omitempty"`
	High   Series    `json:"high,omitempty"`
}

// CapacityPoint is a group's size at one tick.
type CapacityPoint struct {
	At        time.Time `json:"at"`
	InService int       `json:"in_service"`
	Pending   int       `json:"pending"`
	Before    int       `json:"before"`  // desired capacity that the scaler found
	Desired   int       `json:"desired"` // desired capacity that it decided
	Min       int       `json:"min"`     // the provider's bounds
	Max       int       `json:"max"`
}
