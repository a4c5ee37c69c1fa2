package gate

import (
	"fmt"
	"math"
	"time"
)

// Result is what a backtest of one model on the held-out slots came to. A measure
// that is nil is not known, and is never taken for 0.
type Result struct {
	Model        string    `json:"model"` // or the name of a baseline
	Version      int       `json:"version,omitempty"`
	TrainedUntil time.Time `json:"trained_until,omitzero"` // end of the last slot that fitted or chose anything
	SizeBytes    int64     `json:"size_bytes,omitempty"`
	From         time.Time `json:"from"`  // start of the first slot scored
	Until        time.Time `json:"until"` // end of the last one
	Slots        int       `json:"slots"` // scored, missing ones left out
	// InstanceHours, Violations and Unserved are those of the default knob, the
	// latter two in percent.
	InstanceHours *float64 `json:"instance_hours"`
	Violations    *float64 `json:"violation_pct"`
	Unserved      *float64 `json:"unserved_pct"`
	// EqualHours are the instance-hours at EqualAt percent of violations, read off
	// the curve over the knob; nil: the curve does not reach it.
	EqualHours *float64 `json:"equal_hours,omitempty"`
	EqualAt    *float64 `json:"equal_at_pct,omitempty"`
	// WAPE is the sum of |error| over the sum of |actual|.
	WAPE *float64 `json:"wape"`
	// Coverage of the upper quantiles; empty for a point model.
	Coverage []Coverage `json:"coverage,omitempty"`
}

// Coverage is the share of the actual values at or below the quantile of a level.
type Coverage struct {
	Level float64  `json:"level"` // in (0, 1)
	Share *float64 `json:"share"` // 0 to 1
}

// Input is what a promotion is judged by. All results are of the same slots.
type Input struct {
	Challenger Result `json:"challenger"`
	// Champion is nil when there is none; Persistence, the same policy on the last
	// value as its forecast, stands in for it then.
	Champion    *Result `json:"champion,omitempty"`
	Persistence *Result `json:"persistence,omitempty"`
}

// The checks of a promotion.
const (
	CheckRival       = "rival"       // there is something to compare with
	CheckSlots       = "slots"       // enough of them, and the same
	CheckHeldOut     = "held-out"    // the challenger has not seen them
	CheckFresh       = "fresh"       // it knows at least what the champion knew
	CheckCost        = "cost"        // instance-hours at equal violations
	CheckViolations  = "violations"  // at the default knob
	CheckUnserved    = "unserved"    // at the default knob
	CheckError       = "error"       // WAPE
	CheckCoverage    = "coverage"    // each upper quantile within its band
	CheckCalibration = "calibration" // all of them beside the champion's
	CheckSize        = "size"        // of the file
)

// Judge returns whether the challenger may replace the champion. Every check is
// made and told, whatever those before it said.
func (c Config) Judge(in Input) Verdict {
	rival, what := in.Champion, "champion"
	if rival == nil {
		rival, what = in.Persistence, "persistence"
	}
	if rival == nil {
		return Verdict{Reasons: []Reason{{Check: CheckRival, Detail: "there is neither a champion nor a result of the persistence to compare with"}}}
	}
	a, b := in.Challenger, *rival
	reasons := []Reason{
		{Check: CheckRival, Passed: true, Detail: fmt.Sprintf("%s against %s, the %s", title(a), title(b), what)},
		c.slots(a, b), heldOut(a),
	}
	if in.Champion != nil {
		reasons = append(reasons, fresh(a, b), c.size(a, b))
	}
	reasons = append(reasons, c.cost(a, b, in.Champion == nil), c.points(CheckViolations, a.Violations, b.Violations, c.Violations),
		c.points(CheckUnserved, a.Unserved, b.Unserved, c.Unserved), c.error(a, b, in.Champion == nil))
	reasons = append(reasons, c.coverage(a)...)
	if in.Champion != nil && len(b.Coverage) > 0 {
		reasons = append(reasons, c.calibration(a, b))
	}
	v := Verdict{Promote: true, Reasons: reasons}
	for _, r := range reasons {
		v.Promote = v.Promote && r.Passed
	}
	return v
}

func title(r Result) string {
	if r.Version == 0 {
		return r.Model
	}
	return fmt.Sprintf("%s version %d", r.Model, r.Version)
}

func (c Config) slots(a, b Result) Reason {
	r := Reason{Check: CheckSlots, Figure: copied(float64(a.Slots)), Against: copied(float64(b.Slots)), Limit: copied(float64(c.MinSlots))}
	same := a.Slots == b.Slots && a.From.Equal(b.From) && a.Until.Equal(b.Until)
	switch {
	case !same:
		r.Detail = fmt.Sprintf("they were scored on different slots: %s, and %s", scored(a), scored(b))
	case a.Slots < c.MinSlots:
		r.Detail = fmt.Sprintf("%s, fewer than the %d that are needed", scored(a), c.MinSlots)
	default:
		r.Passed = true
		r.Detail = fmt.Sprintf("both were scored on %s", scored(a))
	}
	return r
}

func scored(r Result) string {
	return fmt.Sprintf("%d slots from %s to %s", r.Slots, stamp(r.From), stamp(r.Until))
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04Z") }

// heldOut passes when the challenger has seen none of the slots. That the champion
// has seen some only flatters the champion.
func heldOut(a Result) Reason {
	r := Reason{Check: CheckHeldOut}
	switch {
	case a.TrainedUntil.IsZero() || a.From.IsZero() || !a.From.Before(a.Until):
		r.Detail = "it is not known until when the challenger was trained, or on what it was scored"
	case a.TrainedUntil.After(a.From):
		r.Detail = fmt.Sprintf("the challenger was trained until %s, into the slots it was scored on, which begin at %s", stamp(a.TrainedUntil), stamp(a.From))
	default:
		r.Passed = true
		r.Detail = fmt.Sprintf("the challenger was trained until %s, the slots begin at %s", stamp(a.TrainedUntil), stamp(a.From))
	}
	return r
}

func fresh(a, b Result) Reason {
	return Reason{Check: CheckFresh, Passed: !a.TrainedUntil.Before(b.TrainedUntil),
		Detail: fmt.Sprintf("the challenger was trained until %s, the champion until %s", stamp(a.TrainedUntil), stamp(b.TrainedUntil))}
}

func (c Config) size(a, b Result) Reason {
	size := func(n int64) *float64 {
		if n <= 0 {
			return nil
		}
		return copied(float64(n))
	}
	figure, against := size(a.SizeBytes), size(b.SizeBytes)
	return atMost(CheckSize, figure, against, scaled(against, c.Size), "%.0f bytes")
}

// cost compares instance-hours at equal violations when both curves reach the same
// point, otherwise at the default knob, where violations must then be no worse at
// all: fewer hours that are paid for with violations are no gain.
func (c Config) cost(a, b Result, first bool) Reason {
	share := 1 + c.Cost
	if first {
		share = 1 - c.Gain
	}
	at, bt := known(a.EqualAt), known(b.EqualAt)
	if x, y := known(a.EqualHours), known(b.EqualHours); x != nil && y != nil && at != nil && bt != nil && *at == *bt {
		r := positive(atMost(CheckCost, x, y, scaled(y, share), "%.1f instance-hours"))
		r.Detail = fmt.Sprintf("at %g %% violations, %s", *at, r.Detail)
		return r
	}
	x, y := known(a.InstanceHours), known(b.InstanceHours)
	r := positive(atMost(CheckCost, x, y, scaled(y, share), "%.1f instance-hours"))
	va, vb := known(a.Violations), known(b.Violations)
	even := va != nil && vb != nil && *va <= *vb
	r.Passed = r.Passed && even
	r.Detail = "the curves do not reach the same violations; at the default knob, " + r.Detail
	if !even {
		r.Detail += fmt.Sprintf("; and violations must be no more: %s, against %s", show("%.3f %%", va), show("%.3f %%", vb))
	}
	return r
}

// positive fails a check whose figures are 0: no fleet costs nothing.
func positive(r Reason) Reason {
	r.Passed = r.Passed && *r.Figure > 0
	return r
}

func (c Config) points(check string, a, b *float64, increase float64) Reason {
	figure, against := known(a), known(b)
	var limit *float64
	if against != nil {
		limit = copied(*against + increase)
	}
	return atMost(check, figure, against, limit, "%.3f %%")
}

func (c Config) error(a, b Result, first bool) Reason {
	share := 1 + c.Error
	if first {
		share = 1 - c.Gain
	}
	figure, against := known(a.WAPE), known(b.WAPE)
	return atMost(CheckError, figure, against, scaled(against, share), "WAPE %.4f")
}

func scaled(v *float64, by float64) *float64 {
	if v == nil {
		return nil
	}
	return finite(*v * by)
}

// coverage checks each upper quantile of the challenger. One at least is needed:
// policies order capacity by upper quantiles.
func (c Config) coverage(a Result) []Reason {
	var reasons []Reason
	for _, q := range a.Coverage {
		if !(q.Level > 0 && q.Level < 1) {
			return []Reason{{Check: CheckCoverage, Detail: fmt.Sprintf("%g is no level of a quantile", q.Level)}}
		}
		if q.Level > 0.5 {
			reasons = append(reasons, c.band(q))
		}
	}
	if len(reasons) == 0 {
		return []Reason{{Check: CheckCoverage, Detail: "the challenger has no upper quantiles, or their coverage was not measured"}}
	}
	return reasons
}

func (c Config) band(q Coverage) Reason {
	return inBand(CheckCoverage, q.Level, share(q), c.Below, c.Above)
}

// share returns a coverage that can be one.
func share(q Coverage) *float64 {
	if v := known(q.Share); v != nil && *v <= 1 {
		return v
	}
	return nil
}

// inBand is the check level - below <= share <= level + above. Limit is the end of
// the band that is nearer.
func inBand(check string, level float64, share *float64, below, above float64) Reason {
	low, high := max(0, level-below), min(1, level+above)
	r := Reason{Check: check, Figure: share, Against: copied(level), Limit: copied(low)}
	if share != nil {
		r.Passed = *share >= low && *share <= high
		if *share > level {
			r.Limit = copied(high)
		}
	}
	r.Detail = fmt.Sprintf("%s of the actual values are at or below the %.4g %% quantile; the band is %.4g to %.4g %%",
		percent(share), 100*level, 100*low, 100*high)
	return r
}

func percent(share *float64) string {
	if share == nil {
		return "an unknown share"
	}
	return fmt.Sprintf("%.2f %%", 100**share)
}

// calibration compares the mean distance of coverage and level over the upper
// levels of the champion. The challenger must have all of them.
func (c Config) calibration(a, b Result) Reason {
	var ours, theirs float64
	n := 0
	for _, q := range b.Coverage {
		if !(q.Level > 0.5 && q.Level < 1) {
			continue
		}
		x, y := share(q), shareAt(a, q.Level)
		if x == nil || y == nil {
			return Reason{Check: CheckCalibration, Detail: fmt.Sprintf("the coverage of the %.4g %% quantile is not known of both", 100*q.Level)}
		}
		theirs += math.Abs(*x - q.Level)
		ours += math.Abs(*y - q.Level)
		n++
	}
	if n == 0 {
		return Reason{Check: CheckCalibration, Passed: true, Detail: "the champion has no upper quantiles"}
	}
	figure, against := ours/float64(n), theirs/float64(n)
	return atMost(CheckCalibration, &figure, &against, copied(against+c.Calibration), "a mean distance of %.4f from the levels")
}

func shareAt(r Result, level float64) *float64 {
	for _, q := range r.Coverage {
		if q.Level == level {
			return share(q)
		}
	}
	return nil
}
