package fleet

import "math"

// Static keeps a constant number of instances.
type Static int

// StaticPeak returns the constant that the highest demand before the scored part
// calls for: ceil(max d / 0.9). It is what a careful owner without autoscaling runs.
func StaticPeak(d *Demand) Static {
	peak := 0.0
	for _, v := range d.Slots[:d.ScoreStart()] {
		peak = max(peak, v)
	}
	return Static(Required(peak))
}

// Decide returns the constant.
func (s Static) Decide(View) int { return int(s) }

// Rule is the reference rule: whenever a slot becomes visible, one instance more
// when the CPU is above High, one less when it is below Low. Both are fractions
// of 1. The CPU is that of the slot, or, with Next, the one that a forecast means
// for the slot after it.
type Rule struct {
	High, Low float64
	// Next, when set, returns the demand forecast for the slot after a visible one,
	// in instance-equivalents. NaN: there is no forecast, and the slot's own CPU
	// counts.
	Next func(slot int) float64
}

// ReferenceRule adds above 70 % CPU and removes below 35 %.
var ReferenceRule = Rule{High: 0.70, Low: 0.35}

// Decide applies the rule to the instances that exist, starting ones included.
func (r Rule) Decide(v View) int {
	n := v.InService() + v.Starting()
	if !v.NewSlot() {
		return n
	}
	// A comparison with NaN is false: without an observation nothing changes.
	switch u := r.cpu(v); {
	case u > r.High:
		return n + 1
	case u < r.Low:
		return n - 1
	}
	return n
}

func (r Rule) cpu(v View) float64 {
	slot := v.Slots() - 1
	if r.Next != nil {
		if next := r.Next(slot); !math.IsNaN(next) {
			return min(1, next/float64(v.InService()))
		}
	}
	return v.Utilisation(slot)
}

// How the baselines of cloud providers look at the load.
const (
	trackingDelay = 2   // minutes from the start of a minute until its CPU is judged
	trackingHigh  = 3   // consecutive minutes above the target that add
	trackingLow   = 15  // consecutive minutes below trackingSlack of it that remove
	trackingSlack = 0.9 // of the target
	hpaTolerance  = 0.1 // of the target
	hpaStabilise  = 5   // minutes whose wishes a scale-in has to wait for, besides its own
	forecastDays  = 7   // of the same hour, in the provider's forecast
	forecastWeeks = 2   // of the same hour of the week

	minutesPerHour = 60
	hoursPerDay    = 24
	hoursPerWeek   = 7 * hoursPerDay
)

// TargetTracking keeps CPU near a target as the alarms of a target-tracking policy
// do. Each minute it looks at minute k = m-2, with u its CPU and s its instances
// in service:
//
//	out   u > t on 3 consecutive minutes:             max(n, ceil(u_k·s_k / t))
//	in    u < 0.9·t on 15 of them, nothing starting:  min(n, ceil(max u·s / t)) over those 15
//
// Once that has removed something, the 15 minutes are counted anew. It remembers a fleet and serves one simulation.
type TargetTracking struct {
	target    float64 // fraction of 1
	high, low int     // consecutive minutes so far
}

// NewTargetTracking returns the policy for a target that is a fraction of 1.
func NewTargetTracking(target float64) *TargetTracking { return &TargetTracking{target: target} }

// Decide implements Controller.
func (t *TargetTracking) Decide(v View) int {
	n := v.InService() + v.Starting()
	k := v.Minute() - trackingDelay
	if k < 0 {
		return n
	}
	u := v.UtilisationAt(k)
	// With NaN, before the simulation, both runs end.
	t.high = longer(t.high, u > t.target)
	t.low = longer(t.low, u < trackingSlack*t.target)
	if t.high >= trackingHigh {
		return max(n, ceilTolerant(u*float64(v.InServiceAt(k))/t.target))
	}
	if t.low >= trackingLow && v.Starting() == 0 {
		most := 0.0
		for j := k - trackingLow + 1; j <= k; j++ {
			most = max(most, v.UtilisationAt(j)*float64(v.InServiceAt(j)))
		}
		if fewer := ceilTolerant(most / t.target); fewer < n {
			t.low = 0
			return fewer
		}
	}
	return n
}

func longer(run int, goesOn bool) int {
	if goesOn {
		return run + 1
	}
	return 0
}

func ceilTolerant(x float64) int { return int(math.Ceil(x - tolerance)) }

// HPA is the rule of Kubernetes' HorizontalPodAutoscaler on CPU. Each minute, with
// k = m-1, a instances in service of n and r = u_k/t:
//
//	|r - 1| <= 0.1                  n
//	r > 1 and some are starting     r' = u_k·a/(n·t); n if r' < 1 or |r' - 1| <= 0.1, else ceil(r'·n)
//	otherwise                       ceil(r·a)
//
// A scale-in takes the highest of the wishes of minutes m-5 .. m. It remembers
// those and serves one simulation.
type HPA struct {
	target float64 // fraction of 1
	wishes []int   // of the latest minutes, the newest last
}

// NewHPA returns the policy for a target that is a fraction of 1.
func NewHPA(target float64) *HPA { return &HPA{target: target} }

// Decide implements Controller.
func (h *HPA) Decide(v View) int {
	n := v.InService() + v.Starting()
	wish := h.wish(v, n)
	if len(h.wishes) > hpaStabilise {
		h.wishes = append(h.wishes[:0], h.wishes[1:]...)
	}
	h.wishes = append(h.wishes, wish)
	if wish >= n {
		return wish
	}
	for _, w := range h.wishes {
		wish = max(wish, w)
	}
	return min(n, wish)
}

func (h *HPA) wish(v View, n int) int {
	if v.Minute() == 0 {
		return n
	}
	u := v.UtilisationAt(v.Minute() - 1)
	a := float64(v.InService())
	r := u / h.target
	switch {
	case math.IsNaN(r) || math.Abs(r-1) <= hpaTolerance:
		return n
	case r > 1 && v.Starting() > 0:
		r = u * a / (float64(n) * h.target)
		if r < 1 || r-1 <= hpaTolerance {
			return n
		}
		return ceilTolerant(r * float64(n))
	}
	return ceilTolerant(r * a)
}

// AWSPredictive is target tracking with a floor, in the manner of the predictive
// scaling of AWS: for every minute whose hour, or the hour of minute m+L, has the
// hourly mean forecast f, at least ceil(f/t). f is the mean of the same hour on
// the last 7 days, averaged with the mean of the same hour of the week over the
// last 2 weeks where one is known. Hours are counted from the start of the demand.
// It serves one simulation.
type AWSPredictive struct {
	tracking TargetTracking
	lead     int            // minutes
	floors   [2]floorOfHour // of the hours looked at last, by the parity of the hour
}

type floorOfHour struct {
	hour, floor int
	known       bool
}

// NewAWSPredictive returns the policy for a target that is a fraction of 1 and a
// lead time in minutes.
func NewAWSPredictive(target float64, lead int) *AWSPredictive {
	return &AWSPredictive{tracking: TargetTracking{target: target}, lead: lead}
}

// Decide implements Controller.
func (a *AWSPredictive) Decide(v View) int {
	n := a.tracking.Decide(v)
	return max(n, a.floor(v, v.Minute()/minutesPerHour), a.floor(v, (v.Minute()+a.lead)/minutesPerHour))
}

func (a *AWSPredictive) floor(v View, hour int) int {
	kept := &a.floors[hour%2]
	if !kept.known || kept.hour != hour {
		*kept = floorOfHour{hour: hour, known: true, floor: ceilTolerant(v.hourlyForecast(hour) / a.tracking.target)}
	}
	return kept.floor
}

// hourlyForecast returns the mean demand that past days and weeks suggest for an
// hour, 0 where nothing is known.
func (v View) hourlyForecast(hour int) float64 {
	mean := func(period, times int) float64 {
		sum, n := 0.0, 0
		for i := 1; i <= times; i++ {
			if m := v.hourMean(hour - i*period); !math.IsNaN(m) {
				sum += m
				n++
			}
		}
		return sum / float64(n)
	}
	days, weeks := mean(hoursPerDay, forecastDays), mean(hoursPerWeek, forecastWeeks)
	switch {
	case math.IsNaN(days):
		return 0
	case math.IsNaN(weeks):
		return days
	}
	return (days + weeks) / 2
}

// hourMean returns the mean demand of the slots of an hour, as far as they are
// visible; NaN when none was observed. A slot longer than an hour is of the hours
// that it covers.
func (v View) hourMean(hour int) float64 {
	if hour < 0 {
		return math.NaN()
	}
	sum, n := 0.0, 0
	step := v.SlotMinutes()
	last := ((hour+1)*minutesPerHour - 1) / step
	for slot := hour * minutesPerHour / step; slot <= min(last, v.Slots()-1); slot++ {
		if d := v.Demand(slot); !math.IsNaN(d) {
			sum += d
			n++
		}
	}
	return sum / float64(n)
}
