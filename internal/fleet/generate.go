package fleet

import (
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/forescale/forescale/api"
)

// FlagSale is the calendar flag of the generated sale events.
const FlagSale = "is_sale_active"

// GenerateConfig describes a workload to generate. Zero fields take the defaults
// named beside them.
type GenerateConfig struct {
	Seed  uint64        // same seed, same workload
	Start time.Time     // start of the first slot, UTC; default Monday, 5 January 2026
	Days  int           // default 28
	Step  time.Duration // default 5 min
	// PeakPerMinute is the requests a minute of an ordinary weekday's busiest
	// hour, default 18,000.
	PeakPerMinute float64
}

// Trace is a generated workload on a regular grid.
type Trace struct {
	Start    time.Time
	Step     time.Duration
	Requests []float64   // request_count of each slot; NaN: the slot was not observed
	Sale     []float64   // is_sale_active of each slot, 0 or 1
	Events   []api.Event // the calendar, known in advance
}

// maxGeneratedSlots bounds a generated trace: ten years of minutes.
const maxGeneratedSlots = 10 * 366 * 24 * 60

// Generate returns a workload such as an online shop's: office hours with a
// lunch dip and an evening, quieter weekends that peak later, sharp marks on the
// hour and half hour where scheduled jobs start, sales that the calendar
// announces, bursts that nothing announces, shifts of the level that last for
// weeks, noise that remembers, and gaps in the observation.
//
//	requests(t) = peak · profile(t) · day · marks(t) · level(t) · sale(t) · (1 + burst(t)) · e^noise(t)
//
// Scaled by [NewDemand] it needs about 4 to 25 instances.
func Generate(config GenerateConfig) (*Trace, error) {
	setDefault(&config.Start, time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC))
	setDefault(&config.Days, 28)
	setDefault(&config.Step, 5*time.Minute)
	setDefault(&config.PeakPerMinute, 18_000)
	day := 24 * time.Hour
	switch {
	case config.Step < time.Minute || config.Step > time.Hour || time.Hour%config.Step != 0 || config.Step%time.Minute != 0:
		return nil, fmt.Errorf("generate: step %v, must be whole minutes that divide an hour", config.Step)
	case config.Days < 1 || config.Days > maxGeneratedSlots/int(day/config.Step):
		return nil, fmt.Errorf("generate: %d days of %v, must be positive and at most %d slots", config.Days, config.Step, maxGeneratedSlots)
	case !(config.PeakPerMinute > 0) || math.IsInf(config.PeakPerMinute, 0):
		return nil, fmt.Errorf("generate: peak of %v requests a minute, must be positive", config.PeakPerMinute)
	}
	n := config.Days * int(day/config.Step)
	g := &generator{config: config, log: make([]float64, n), burst: make([]float64, n)}
	t := &Trace{Start: config.Start.UTC().Truncate(config.Step), Step: config.Step, Sale: make([]float64, n)}
	g.start = t.Start
	g.rhythm()
	g.levels()
	t.Events = g.sales(t.Sale)
	g.bursts()
	g.noise()
	t.Requests = make([]float64, n)
	scale := config.PeakPerMinute * config.Step.Minutes()
	for i := range t.Requests {
		t.Requests[i] = math.Round(scale * math.Exp(g.log[i]) * (1 + g.burst[i]))
	}
	g.gaps(t.Requests)
	return t, nil
}

// generator holds a workload while its parts are laid over each other.
type generator struct {
	config GenerateConfig
	start  time.Time
	log    []float64 // logarithm of the product of the factors so far
	burst  []float64
}

// stream returns the source of randomness of one part: a part that draws more
// changes no other.
func (g *generator) stream(part string) *rand.Rand {
	return rand.New(rand.NewPCG(g.config.Seed, hash(part)))
}

// slots converts a duration to a whole number of slots, at least 1.
func (g *generator) slots(d time.Duration) int { return max(1, int(d/g.config.Step)) }

func (g *generator) time(i int) time.Time { return g.start.Add(time.Duration(i) * g.config.Step) }

// uniform draws from [lo, hi).
func uniform(r *rand.Rand, lo, hi float64) float64 { return lo + (hi-lo)*r.Float64() }

// bump is a bell of height 1 around a centre, in hours, on the circle of a day.
func bump(hour, centre, width float64) float64 {
	d := math.Abs(hour - centre)
	d = min(d, 24-d)
	return math.Exp(-d * d / (2 * width * width))
}

// profile is the share of the weekday peak that is there at an hour of a day.
func profile(day time.Weekday, hour float64) float64 {
	if day == time.Saturday || day == time.Sunday {
		return 0.37 + 0.22*bump(hour, 12, 2.8) + 0.34*bump(hour, 20, 2.6)
	}
	p := 0.37 + 0.50*bump(hour, 10.5, 2.0) + 0.56*bump(hour, 15.3, 2.2) - 0.12*bump(hour, 12.8, 0.6) + 0.26*bump(hour, 20.5, 1.5)
	if day == time.Friday && hour > 15 {
		p *= 1 - 0.12*min(1, (hour-15)/4) // people leave early
	}
	return p
}

// rhythm lays down the day, the week, the mood of single days and the marks of
// the clock.
func (g *generator) rhythm() {
	r := g.stream("rhythm")
	mood := 0.0
	for i := range g.log {
		t := g.time(i)
		minute := t.Hour()*60 + t.Minute()
		if i == 0 || minute == 0 {
			mood = 0.045 * r.NormFloat64()
		}
		hour := (float64(minute) + g.config.Step.Minutes()/2) / 60
		g.log[i] = math.Log(profile(t.Weekday(), hour)) + mood + math.Log1p(g.mark(minute))
	}
}

// mark is the share that scheduled jobs add to the slot that starts at a minute
// of the day: many start on the hour, some on the half hour, a nightly batch runs
// for most of an hour.
func (g *generator) mark(minute int) float64 {
	add := 0.0
	switch past := minute % 60; {
	case past < 5:
		add = 0.20
	case past < 10:
		add = 0.07
	case past >= 30 && past < 35:
		add = 0.08
	}
	if g.config.Step > 5*time.Minute { // a long slot averages its marks away
		add *= float64(5*time.Minute) / float64(g.config.Step)
	}
	if minute >= 2*60 && minute < 2*60+45 {
		add += 0.25
	}
	return add
}

// levels lays down shifts of the level that last for weeks: a customer comes, a
// feature goes. The level stays within a quarter of where it began.
func (g *generator) levels() {
	r := g.stream("levels")
	level, next := 0.0, g.slots(time.Duration(uniform(r, 8, 16)*24)*time.Hour)
	for i := range g.log {
		if i == next {
			shift := uniform(r, 0.08, 0.20)
			if level > 0 || level == 0 && r.IntN(2) == 0 {
				shift = -shift
			}
			level = max(-0.15, min(0.15, level+shift))
			next += g.slots(time.Duration(uniform(r, 10, 22)*24) * time.Hour)
		}
		g.log[i] += level
	}
}

// sales lays down announced events, about one in nine days, and returns their
// calendar entries: a rush when the doors open, then a raised level.
func (g *generator) sales(flag []float64) []api.Event {
	const everyDays = 9
	r := g.stream("sales")
	var events []api.Event
	for block := 0; block < g.config.Days; block += everyDays {
		day := block + 2 + r.IntN(everyDays-3)
		from := g.start.Truncate(24*time.Hour).AddDate(0, 0, day).Add(time.Duration(9+r.IntN(6)) * time.Hour)
		to := from.Add(time.Duration(4+r.IntN(6)) * time.Hour)
		lift, rush := uniform(r, 0.26, 0.40), uniform(r, 0.10, 0.25)
		first := int(from.Sub(g.start) / g.config.Step)
		if first >= len(g.log) {
			break
		}
		for i := first; i < len(g.log) && g.time(i).Before(to); i++ {
			opened := g.time(i).Sub(from).Minutes()
			g.log[i] += lift + rush*math.Exp(-opened/25)
			flag[i] = 1
		}
		events = append(events, api.Event{
			Name: fmt.Sprintf("sale %d", len(events)+1), Start: from, End: to, Flags: map[string]float64{FlagSale: 1},
		})
	}
	return events
}

// bursts lays down surges that nothing announces, one in three days: a steep
// rise, then a decay with a half-life of minutes.
func (g *generator) bursts() {
	const perDay = 1.0 / 3
	r := g.stream("bursts")
	chance := perDay * g.config.Step.Hours() / 24
	for i := range g.burst {
		if r.Float64() >= chance {
			continue
		}
		height := math.Exp(uniform(r, math.Log(0.2), math.Log(0.7)))
		halfLife := uniform(r, 8, 35) // minutes
		for k := i; k < len(g.burst); k++ {
			age := float64(k-i) * g.config.Step.Minutes()
			rise := 1.0
			if k == i {
				rise = 0.6 // it began somewhere within its first slot
			}
			h := rise * height * math.Exp2(-age/halfLife)
			if h < 0.005 {
				break
			}
			g.burst[k] += h
		}
	}
}

// noise multiplies by a slow, autocorrelated noise and by a white one.
func (g *generator) noise() {
	const slow, white, memory = 0.04, 0.018, 50.0 // deviations; minutes
	r := g.stream("noise")
	phi := math.Exp(-g.config.Step.Minutes() / memory)
	x := slow * r.NormFloat64()
	for i := range g.log {
		g.log[i] += x + white*r.NormFloat64()
		x = phi*x + slow*math.Sqrt(1-phi*phi)*r.NormFloat64()
	}
}

// gaps removes observations: single slots now and then, a short run every few
// days, an outage of hours about once a month. The first slot stays.
func (g *generator) gaps(values []float64) {
	r := g.stream("gaps")
	perDay := float64(g.slots(24 * time.Hour))
	for i := 1; i < len(values); {
		run := 0
		switch u := r.Float64() * perDay; {
		case u < 0.03:
			run = g.slots(time.Duration(uniform(r, 60, 240)) * time.Minute)
		case u < 0.25:
			run = g.slots(time.Duration(uniform(r, 10, 40)) * time.Minute)
		case u < 0.6:
			run = 1
		}
		for k := i; k < min(i+run, len(values)); k++ {
			values[k] = math.NaN()
		}
		i += run + 1
	}
}

// Demand returns the trace scaled to instance-equivalents.
func (t *Trace) Demand() (*Demand, error) { return NewDemand(t.Start, t.Step, t.Requests) }

// WriteCSV writes the columns timestamp, request_count (empty: missing) and
// is_sale_active.
func (t *Trace) WriteCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	if err := out.Write([]string{"timestamp", api.MetricRequests, FlagSale}); err != nil {
		return err
	}
	for i, v := range t.Requests {
		count := ""
		if !math.IsNaN(v) {
			count = strconv.FormatFloat(v, 'f', -1, 64)
		}
		row := []string{t.Start.Add(time.Duration(i) * t.Step).Format(time.RFC3339), count, strconv.FormatFloat(t.Sale[i], 'f', -1, 64)}
		if err := out.Write(row); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}
