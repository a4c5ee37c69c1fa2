package models

import (
	"fmt"
	"slices"
	"time"
)

// Spec is the contract between the data and a model: which inputs it reads, in
// which order, and what it answers. Training and serving both build their
// tensors from it (internal/window), so that they cannot differ. It is stored in
// the manifest and, as JSON, under MetadataKey in the ONNX file.
//
// Graph inputs, float32:
//
//	series  [batch, Lookback, Channels()]   oldest slot first
//	context [batch, window.ContextLen(spec)] absent when that is 0
//
// Graph outputs, float32:
//
//	forecast  [batch, Horizon]                  point forecast, physical units
//	quantiles [batch, Horizon, len(Quantiles)]  absent for a point model
//	peaks     [batch, Horizon, len(Quantiles)]  with Peaks: the quantiles, at step k,
//	                                            of the greatest value of slots 1 .. k
//
// The channels of series are Series in order and then, with Masks, one channel
// per entry of Series that is 1 where its value was missing and 0 elsewhere; a
// missing value itself is carried forward from the last known one.
//
// The row of context is, in order: for each Lag and each of its Offsets, the
// 1+Horizon lagged values; for each Future flag, its 1+Horizon values; for each
// Calendar feature, its components at the newest slot or, for a feature whose
// name ends in _ahead, at each of the 1+Horizon slots from it on, slot by slot
// (see internal/window). A missing lagged value is replaced by the newest value
// of the same series.
type Spec struct {
	Target      string `json:"target"` // name of the series that is forecast
	StepSeconds int    `json:"step_seconds"`
	Lookback    int    `json:"lookback"` // slots that the model looks back, in training and serving
	Horizon     int    `json:"horizon"`  // slots forecast, 1 .. Horizon steps ahead
	// Series names the input series, Target first. Flags of the calendar may be
	// named too: their values in the past slots are then a channel.
	Series    []string  `json:"series"`
	Masks     bool      `json:"masks,omitempty"`
	Lags      []Lag     `json:"lags,omitempty"`
	Future    []string  `json:"future,omitempty"`    // known-future flags
	Calendar  []string  `json:"calendar,omitempty"`  // clock features, names defined by internal/window
	TimeZone  string    `json:"time_zone,omitempty"` // IANA name for Calendar; empty means UTC
	Quantiles []float64 `json:"quantiles,omitempty"` // ascending, in (0, 1)
	// Peaks says that the model also answers the quantiles of the greatest value so
	// far, which is what capacity for several steps must bear: the quantiles of each
	// step alone do not tell it. It needs Quantiles.
	Peaks bool `json:"peaks,omitempty"`
	// MaxGap is the longest run of missing slots, in slots, that a window may
	// hold; a longer one, or a missing newest slot, is window.ErrGap.
	MaxGap int `json:"max_gap"`
}

// Lag asks for the values of a series or flag some whole number of steps before
// each slot of the horizon.
type Lag struct {
	Series  string `json:"series"`
	Offsets []int  `json:"offsets"` // in steps, ascending, each >= Horizon so that no lag reaches past the origin
}

// MetadataKey is the key of the ONNX metadata property that holds the Spec.
const MetadataKey = "forescale.spec"

// Limits that keep a hostile or mistaken Spec from asking for absurd tensors.
const (
	MaxLookback = 10_000
	MaxHorizon  = 10_000
	MaxInputs   = 1_000

	MaxStepSeconds = 24 * 60 * 60
	// MaxLagSeconds bounds how far a lag looks back: ten years. A scaler reads
	// that much history, and a time.Duration holds no more than 292.
	MaxLagSeconds = 10 * 366 * MaxStepSeconds
)

// Step returns the length of a slot.
func (s Spec) Step() time.Duration { return time.Duration(s.StepSeconds) * time.Second }

// Channels returns the size of the last axis of the series input.
func (s Spec) Channels() int {
	if s.Masks {
		return 2 * len(s.Series)
	}
	return len(s.Series)
}

// Validate returns an error that names the first field that makes no sense.
func (s Spec) Validate() error {
	bad := func(field, format string, args ...any) error {
		return fmt.Errorf("spec: %s: %s", field, fmt.Sprintf(format, args...))
	}
	switch {
	case s.Target == "":
		return bad("target", "is empty")
	case s.StepSeconds <= 0 || s.StepSeconds > MaxStepSeconds:
		return bad("step_seconds", "is %d, must be 1 to %d", s.StepSeconds, MaxStepSeconds)
	case s.Lookback <= 0 || s.Lookback > MaxLookback:
		return bad("lookback", "is %d, must be 1 to %d", s.Lookback, MaxLookback)
	case s.Horizon <= 0 || s.Horizon > MaxHorizon:
		return bad("horizon", "is %d, must be 1 to %d", s.Horizon, MaxHorizon)
	case len(s.Series) == 0 || s.Series[0] != s.Target:
		return bad("series", "is %v, must begin with the target %q", s.Series, s.Target)
	case len(s.Series) > MaxInputs || len(s.Future) > MaxInputs || len(s.Lags) > MaxInputs:
		return bad("series", "more than %d inputs", MaxInputs)
	case s.MaxGap < 0 || s.MaxGap >= s.Lookback:
		return bad("max_gap", "is %d, must be 0 to lookback-1", s.MaxGap)
	}
	for i, name := range s.Series {
		if slices.Contains(s.Series[:i], name) {
			return bad("series", "names %q twice", name)
		}
	}
	for i, name := range s.Future {
		if slices.Contains(s.Future[:i], name) {
			return bad("future", "names %q twice", name)
		}
	}
	for i, lag := range s.Lags {
		field := fmt.Sprintf("lags[%d]", i)
		if lag.Series == "" || len(lag.Offsets) == 0 || len(lag.Offsets) > MaxInputs {
			return bad(field, "needs a series and 1 to %d offsets", MaxInputs)
		}
		for j, o := range lag.Offsets {
			if o < s.Horizon {
				return bad(field, "offset %d reaches past the forecast's origin; it must be at least the horizon %d", o, s.Horizon)
			}
			if o > MaxLagSeconds/s.StepSeconds {
				return bad(field, "offset %d reaches back more than ten years", o)
			}
			if j > 0 && o <= lag.Offsets[j-1] {
				return bad(field, "offsets %v are not ascending", lag.Offsets)
			}
		}
	}
	for i, q := range s.Quantiles {
		if !(q > 0 && q < 1) || i > 0 && q <= s.Quantiles[i-1] {
			return bad("quantiles", "%v must be ascending and between 0 and 1", s.Quantiles)
		}
	}
	if s.Peaks && len(s.Quantiles) == 0 {
		return bad("peaks", "are quantiles of the greatest value, but quantiles is empty")
	}
	if _, err := time.LoadLocation(s.TimeZone); err != nil {
		return bad("time_zone", "%v", err)
	}
	return nil
}
