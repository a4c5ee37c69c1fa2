// Package view finds out what the web page shows: all groups in a row each, one
// group over time, and how models fare with what came true. It reads the data lake,
// the audit log and the calendar, and writes nothing. It is not HTTP: the server asks
// it and bounds how often.
//
// Invariants:
//
//   - What cannot be read is a warning beside the rest, and never looks like nothing.
//   - No answer is longer for a longer range: slots become buckets, and the memory
//     that it takes to make it is bounded too.
//   - A missing value is NaN here and null in JSON, never zero.
package view

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"sync"
	"time"

	"github.com/forescale/forescale/api"
)

// Samples reads the data lake.
type Samples interface {
	// Scan returns the samples of one group in [from, to), in order of time per series.
	Scan(ctx context.Context, group string, from, to time.Time) ([]api.Sample, error)
	// Newest returns the samples of all groups in [from, to), a stretch of few slots.
	// Beside an error it returns what could be read.
	Newest(ctx context.Context, from, to time.Time) ([]api.Sample, error)
	// Groups returns the groups with a sample in [from, to).
	Groups(ctx context.Context, from, to time.Time) ([]string, error)
}

// Journal reads the scaler's audit log.
type Journal interface {
	// Latest returns the newest record of a tick before the given time; ok is false
	// when there is none.
	Latest(ctx context.Context, before time.Time) (rec api.TickRecord, ok bool, err error)
	// Ticks returns the ticks in [from, to) that have a record, oldest first. Beside an
	// error it returns what could be listed.
	Ticks(ctx context.Context, from, to time.Time) ([]time.Time, error)
	// Group returns what was decided on one group at ticks, in their order; those that
	// know nothing of it are passed over. Beside an error it returns what could be read.
	Group(ctx context.Context, group string, ticks []time.Time) ([]api.Decision, error)
}

// Calendar knows the events of the business.
type Calendar interface {
	// Events returns those that take place, in part at least, in [from, to), by start.
	Events(from, to time.Time) []api.Event
	// Flags returns the names of all flags.
	Flags() []string
}

// Models knows which model serves which group. It does no I/O.
type Models interface {
	NameFor(group string) string // "": none
	Target(group string) string  // the series that the group's model forecasts; "": unknown
	Standings() map[string]Standing
}

// Standing is how a model stands, as far as a row of the fleet tells.
type Standing struct {
	Version      int       // that serves, or would; 0: none
	TrainedUntil time.Time // zero: unknown
	Problem      string
}

// Config says what a View looks at. All is required but Calendar.
type Config struct {
	Samples  Samples
	Journal  Journal
	Models   Models
	Calendar Calendar
	Now      func() time.Time
	Step     time.Duration // length of a slot
	// Replay says that the data carries the times of a past that is recorded or
	// simulated: what is newest then counts as now.
	Replay bool
}

// View answers what pages ask. It is safe for concurrent use.
type View struct {
	Config
	past past

	mu       sync.Mutex
	newest   *api.TickRecord    // guarded by mu, with what follows; nil: none known
	arrivals map[string]arrival // by group
	groups   []string           // of the last day, as of listed
	listed   time.Time
}

// New returns a view.
func New(c Config) *View {
	return &View{Config: c, past: past{by: map[string]*remembered{}}, arrivals: map[string]arrival{}}
}

// farFuture is later than any tick, and has four digits in its year.
var farFuture = time.Date(9000, 1, 1, 0, 0, 0, 0, time.UTC)

// FarFuture is a time that no range may reach.
func FarFuture() time.Time { return farFuture }

// latest returns the newest record of the journal, nil when there is none. Records
// never change, so that it is read once.
func (v *View) latest(ctx context.Context) (*api.TickRecord, error) {
	v.mu.Lock()
	known := v.newest
	v.mu.Unlock()
	if known != nil {
		ticks, err := v.Journal.Ticks(ctx, known.Tick, farFuture)
		if err != nil {
			return known, err
		}
		if len(ticks) == 1 && ticks[0].Equal(known.Tick) {
			return known, nil
		}
	}
	rec, ok, err := v.Journal.Latest(ctx, farFuture)
	if err != nil || !ok {
		return known, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.newest = &rec
	return &rec, nil
}

// present returns the time that ages are reckoned from: the clock, or in a replay
// the newest tick.
func (v *View) present(newest *api.TickRecord) time.Time {
	now := v.Now().UTC()
	if newest != nil && (v.Replay || newest.Tick.After(now)) {
		return newest.Tick.UTC()
	}
	return now
}

// events returns the calendar's events in a range, as pages show them.
func (v *View) events(from, to time.Time) []api.FleetEvent {
	found := []api.FleetEvent{}
	if v.Calendar == nil {
		return found
	}
	for _, e := range v.Calendar.Events(from, to) {
		if len(found) == maxEvents {
			break
		}
		found = append(found, api.FleetEvent{Name: e.Name, From: e.Start.UTC(), To: e.End.UTC()})
	}
	return found
}

// maxEvents bounds the events of one answer.
const maxEvents = 500

// problem returns a problem whose title is the meaning of the status.
func problem(status int, field, format string, args ...any) *api.Problem {
	return &api.Problem{Title: http.StatusText(status), Status: status, Field: field, Detail: fmt.Sprintf(format, args...)}
}

func missing(n int) api.Series {
	s := make(api.Series, n)
	for i := range s {
		s[i] = math.NaN()
	}
	return s
}

// unitOf returns the unit of a metric, "" where it is nobody's.
func unitOf(metric string) string {
	if metric == api.SeriesDemand {
		return unitDemand
	}
	for _, m := range api.Metrics {
		if m.Name == metric {
			return m.Unit
		}
	}
	return ""
}

const unitDemand = "instances of work"

// rounded keeps five significant digits: more are noise on a page, and a third of
// its bytes.
func rounded(x float64) float64 {
	if x == 0 || math.IsNaN(x) || math.IsInf(x, 0) {
		return x
	}
	scale := math.Pow(10, 4-math.Floor(math.Log10(math.Abs(x))))
	if r := math.Round(x*scale) / scale; !math.IsNaN(r) && !math.IsInf(r, 0) {
		return r
	}
	return x // beyond what can be scaled
}
