package gate

import (
	"fmt"
	"math"
)

// Drift holds the limits of the daily look at whether the world is still the one
// that a model was trained on.
type Drift struct {
	// MinSlots is how many values of the last day are needed for a judgement.
	MinSlots int `yaml:"min_slots"`
	// InputDay and InputWeek are the stability indices (see PSI) of a series from
	// which on its last day, or week, is another one than in training. A single day
	// differs from all days by its nature, hence the higher limit.
	InputDay  float64 `yaml:"input_day"`
	InputWeek float64 `yaml:"input_week"`
	// Missing is the share of slots without a value, beyond training's own.
	Missing float64 `yaml:"missing"`
	// Outside is by how much the share of actual values on one side of the band may
	// exceed its nominal one, both between 0 and 1.
	Outside float64 `yaml:"outside"`
	// Slack and Alarm are k and h of the CUSUM, and Clip the bound of a residual, all
	// in units of the forecast spread. With 0.5 and 10, independent normal residuals
	// give a false alarm about every 70,000 slots, and those of a forecast that is off
	// by one spread give theirs after about 20.
	//
	// Source: D. Siegmund, Sequential Analysis (1985), the run length
	// (exp(2·k·b) - 2·k·b - 1) / 2k² of one side, with b = h + 1.166.
	Slack float64 `yaml:"slack"`
	Alarm float64 `yaml:"alarm"`
	Clip  float64 `yaml:"clip"`
}

// Series is one input of a model: its histogram in training, and of late with the
// same edges.
type Series struct {
	Name     string    `json:"name"`
	Training Histogram `json:"training"`
	Day      Histogram `json:"day"`  // the last 24 hours
	Week     Histogram `json:"week"` // the last seven days
}

// Seen is what the daily look rests on.
type Seen struct {
	Series []Series `json:"series"` // in a fixed order, that of the model's inputs
	// Level is the upper level q of the band in Residuals, which are those of the
	// last day, one step ahead, the oldest first.
	Level     float64    `json:"level"`
	Residuals []Residual `json:"residuals"`
}

// Drifted says whether a retraining is asked for.
type Drifted struct {
	Retrain bool     `json:"retrain"`
	Reasons []Reason `json:"reasons"`
}

// String returns the finding over several lines, what failed first.
func (d Drifted) String() string {
	head := "no drift"
	if d.Retrain {
		head = "drift: train again"
	}
	return head + lines(d.Reasons)
}

// The checks of drift.
const (
	CheckInputDay  = "input-day"
	CheckInputWeek = "input-week"
	CheckMissing   = "missing"
	CheckBelow     = "below-band"
	CheckAbove     = "above-band"
	CheckCUSUM     = "cusum"
)

// Judge measures the drift of inputs and of residuals. Too few values ask for
// nothing: a check that cannot be made passes and says so. What a retraining would
// learn from is judged by the gate afterwards.
func (c Drift) Judge(in Seen) Drifted {
	var v Drifted
	for _, s := range in.Series {
		v.Reasons = append(v.Reasons, c.input(CheckInputDay, "day", s, s.Day, c.InputDay), c.input(CheckInputWeek, "week", s, s.Week, c.InputWeek), c.missing(s))
	}
	v.Reasons = append(v.Reasons, c.residuals(in)...)
	for _, r := range v.Reasons {
		v.Retrain = v.Retrain || !r.Passed
	}
	return v
}

func (c Drift) input(check, span string, s Series, late Histogram, limit float64) Reason {
	r := Reason{Check: check, Limit: copied(limit), Passed: true}
	if n := late.Total(); n < c.MinSlots {
		r.Detail = fmt.Sprintf("%s: only %d values in the last %s, %d are needed", s.Name, n, span, c.MinSlots)
		return r
	}
	if r.Figure = finite(PSI(s.Training, late)); r.Figure == nil {
		r.Detail = fmt.Sprintf("%s: training kept nothing to compare the last %s with", s.Name, span)
		return r
	}
	r.Passed = *r.Figure <= limit
	r.Detail = fmt.Sprintf("%s: stability index %.3f between training and the last %s, limit %g", s.Name, *r.Figure, span, limit)
	return r
}

func (c Drift) missing(s Series) Reason {
	rate := func(h Histogram) float64 { return float64(h.Missing) / float64(h.Missing+h.Total()) }
	now, before := rate(s.Day), rate(s.Training)
	r := Reason{Check: CheckMissing, Figure: finite(now), Against: finite(before), Passed: true}
	if r.Figure == nil || r.Against == nil {
		r.Detail = fmt.Sprintf("%s: nothing is known of its slots", s.Name)
		return r
	}
	r.Limit = copied(before + c.Missing)
	r.Passed = now <= *r.Limit
	r.Detail = fmt.Sprintf("%s: %.1f %% of the last day's slots are missing, %.1f %% in training; at most %.1f %%", s.Name, 100*now, 100*before, 100**r.Limit)
	return r
}

func (c Drift) residuals(in Seen) []Reason {
	below, above, n := Outside(in.Residuals)
	if n < c.MinSlots || !(in.Level > 0.5 && in.Level < 1) {
		return []Reason{{Check: CheckCUSUM, Passed: true, Detail: fmt.Sprintf("only %d slots with a forecast and its band, %d are needed", n, c.MinSlots)}}
	}
	nominal := 1 - in.Level
	side := func(check, where string, share float64) Reason {
		limit := nominal + c.Outside
		return Reason{Check: check, Figure: &share, Against: &nominal, Limit: &limit, Passed: share <= limit,
			Detail: fmt.Sprintf("%.1f %% of the actual values lie %s the band, nominally %.1f %%, at most %.1f %%", 100*share, where, 100*nominal, 100*limit)}
	}
	z := make([]float64, len(in.Residuals))
	for i, r := range in.Residuals {
		z[i] = r.Normalised(in.Level)
	}
	up, down := CUSUM(z, c.Slack, c.Clip)
	high := math.Max(up, down)
	way := "above"
	if down > up {
		way = "below"
	}
	return []Reason{
		side(CheckBelow, "below", below), side(CheckAbove, "above", above),
		{Check: CheckCUSUM, Figure: &high, Limit: copied(c.Alarm), Passed: high <= c.Alarm,
			Detail: fmt.Sprintf("the cumulative sum of residuals reaches %.2f, %s the forecast; limit %g", high, way, c.Alarm)},
	}
}
