package server

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/window"
)

// Samples reads the data lake.
type Samples interface {
	// Scan returns the samples of one group in [from, to), in order of time per series.
	Scan(ctx context.Context, group string, from, to time.Time) ([]api.Sample, error)
	// Groups returns the groups with a sample in [from, to).
	Groups(ctx context.Context, from, to time.Time) ([]string, error)
}

// Journal reads the scaler's audit log.
type Journal interface {
	// Scan returns the records of the ticks in [from, to), oldest first. Beside an
	// error it returns what could be read.
	Scan(ctx context.Context, from, to time.Time) ([]api.TickRecord, error)
	// Latest returns the newest record of a tick before the given time; ok is false
	// when there is none.
	Latest(ctx context.Context, before time.Time) (rec api.TickRecord, ok bool, err error)
}

const (
	defaultRange  = 24 * time.Hour
	longestRange  = 32 * 24 * time.Hour
	defaultLead   = 2   // steps: the first slot that instances ordered now can serve in full
	maxDecisions  = 100 // in one answer
	maxRemembered = 256 // groups whose newest slot is remembered
)

// history answers what the web page asks. Any number of viewers cost the stores
// one reading a second and range.
type history struct {
	samples Samples
	journal Journal
	target  func(group string) string // the series that the group's model forecasts; empty: unknown
	now     func() time.Time
	step    time.Duration
	replay  bool

	answers answers

	mu     sync.Mutex
	newest map[string]arrival // by group; guarded by mu
}

// arrival is when a slot was first seen.
type arrival struct{ end, seen time.Time }

// groups lists the groups of the latest tick and of the last day's data.
func (h *history) groups(ctx context.Context, nameFor func(group string) string) (api.GroupList, error) {
	list := api.GroupList{Now: h.now().UTC(), Replay: h.replay, Groups: []api.GroupSummary{}}
	newest := map[string]*api.Decision{}
	end := list.Now
	switch rec, ok, err := h.journal.Latest(ctx, farFuture); {
	case err != nil:
		list.Warnings = append(list.Warnings, "journal: "+err.Error())
	case ok:
		end = rec.Tick
		for _, d := range rec.Decisions {
			newest[d.Group] = withoutForecast(d)
		}
	}
	found, err := h.samples.Groups(ctx, end.Add(-defaultRange), end.Add(h.step))
	if err != nil {
		list.Warnings = append(list.Warnings, "data: "+err.Error())
	}
	for group := range newest {
		found = append(found, group)
	}
	slices.Sort(found)
	for _, group := range slices.Compact(found) {
		list.Groups = append(list.Groups, api.GroupSummary{Group: group, Decision: newest[group], Model: nameFor(group)})
	}
	return list, ctx.Err()
}

// farFuture is later than any tick, and has four digits in its year.
var farFuture = time.Date(9000, 1, 1, 0, 0, 0, 0, time.UTC)

func withoutForecast(d api.Decision) *api.Decision {
	d.Forecast = nil
	return &d
}

// query is a range of one group's history.
type query struct {
	group    string
	from, to time.Time // zero: up to the newest tick or slot, and a day back
	lead     int       // steps
}

// group returns one group over a range. It is a 404 problem when neither the data
// nor the journal knows the group there.
func (h *history) group(ctx context.Context, q query) (api.GroupHistory, error) {
	out := api.GroupHistory{Group: q.group, Now: h.now().UTC(), Replay: h.replay, StepSeconds: int(h.step / time.Second),
		Series: map[string]api.Series{}, Units: map[string]string{}, Lead: api.LeadForecast{Steps: q.lead},
		Capacity: []api.CapacityPoint{}, Decisions: []api.Decision{}}
	if err := h.settle(ctx, &q, &out); err != nil {
		return out, err
	}
	out.From, out.To = q.from, q.to
	decisions := h.decisions(ctx, q, &out)
	samples, err := h.samples.Scan(ctx, q.group, q.from, q.to)
	if err != nil {
		out.Warnings = append(out.Warnings, "data: "+err.Error())
	}
	if ctx.Err() != nil {
		return out, context.Cause(ctx)
	}
	if len(samples) == 0 && len(decisions) == 0 && len(out.Warnings) == 0 {
		return out, problem(http.StatusNotFound, "group", "nothing is known of group %.80q from %s to %s",
			q.group, q.from.Format(time.RFC3339), q.to.Format(time.RFC3339))
	}
	h.addSeries(&out, samples)
	addDecisions(&out, decisions, q.lead)
	h.addArrival(&out)
	return out, nil
}

// settle fills in the range that the query leaves open. Its end is the newest
// tick, because the data of a replay knows nothing of the server's clock.
func (h *history) settle(ctx context.Context, q *query, out *api.GroupHistory) error {
	if q.to.IsZero() {
		q.to = out.Now
		switch rec, ok, err := h.journal.Latest(ctx, farFuture); {
		case err != nil:
			out.Warnings = append(out.Warnings, "journal: "+err.Error())
		case ok && (h.replay || rec.Tick.After(q.to)):
			q.to = rec.Tick
		}
	}
	if q.from.IsZero() {
		q.from = q.to.Add(-defaultRange)
	}
	q.from = q.from.UTC().Truncate(h.step)
	if end := q.to.UTC().Truncate(h.step); end.Before(q.to) {
		q.to = end.Add(h.step)
	} else {
		q.to = end
	}
	if !q.from.Before(q.to) || q.to.Sub(q.from) > longestRange {
		return problem(http.StatusBadRequest, "from", "the range from %s to %s must be longer than nothing and at most %d days",
			q.from.Format(time.RFC3339), q.to.Format(time.RFC3339), longestRange/(24*time.Hour))
	}
	return nil
}

// decisions returns the group's decisions in the range, oldest first, and those
// before it whose forecasts reach into it.
func (h *history) decisions(ctx context.Context, q query, out *api.GroupHistory) []api.Decision {
	records, err := h.journal.Scan(ctx, q.from.Add(-time.Duration(q.lead)*h.step), q.to.Add(1)) // the tick at the end of the range too
	if err != nil {
		out.Warnings = append(out.Warnings, "journal: "+err.Error())
	}
	var decisions []api.Decision
	for _, rec := range records {
		for _, d := range rec.Decisions {
			if d.Group == q.group {
				decisions = append(decisions, d)
			}
		}
	}
	return decisions
}

// addSeries puts the samples on the grid.
func (h *history) addSeries(out *api.GroupHistory, samples []api.Sample) {
	slots := int(out.To.Sub(out.From) / h.step)
	if g := window.FromSamples(samples, h.step, out.From, out.To)[out.Group]; g != nil {
		g.AddDemand()
		for name, column := range g.Columns {
			out.Series[name] = column
		}
	}
	for _, s := range samples {
		out.Units[api.SeriesName(s.Metric, s.Stat)] = unitOf(s.Metric)
	}
	if out.Series[api.SeriesDemand] != nil {
		out.Units[api.SeriesDemand] = "instances of work"
	}
	out.Target = h.target(out.Group)
	for _, name := range []string{api.SeriesDemand, api.MetricRequests, api.MetricCPU} {
		if out.Target == "" && out.Series[name] != nil {
			out.Target = name // what a model would most likely forecast
		}
	}
	if out.Target == "" {
		out.Target = api.SeriesDemand
	}
	newest := -1
	for name, column := range out.Series {
		if len(column) != slots { // FromSamples promises it
			delete(out.Series, name)
			continue
		}
		for i := slots - 1; i > newest; i-- {
			if !math.IsNaN(column[i]) {
				newest = i
			}
		}
	}
	if newest >= 0 {
		out.NewestEnd = out.From.Add(time.Duration(newest+1) * h.step)
	}
}

func unitOf(metric string) string {
	for _, m := range api.Metrics {
		if m.Name == metric {
			return m.Unit
		}
	}
	return ""
}

// addDecisions derives the forecast at the lead, the capacity and the newest
// forecast from the decisions, oldest first.
func addDecisions(out *api.GroupHistory, decisions []api.Decision, lead int) {
	step := time.Duration(out.StepSeconds) * time.Second
	// The forecast for the lead reaches past the newest slot.
	slots := int(out.To.Sub(out.From)/step) + lead
	out.Lead.Values = missing(slots)
	for i := range decisions {
		d := &decisions[i]
		if f := d.Forecast; f != nil && f.Error == nil && len(f.Point) >= lead && f.StepSeconds == out.StepSeconds {
			slot := int(f.IssuedAt.Add(time.Duration(lead-1)*step).Sub(out.From) / step)
			if slot >= 0 && slot < slots && !f.IssuedAt.Add(time.Duration(lead-1)*step).Before(out.From) {
				out.Lead.Values[slot] = f.Point[lead-1]
				addBand(&out.Lead, f, slot, slots, lead)
			}
			out.Forecast = f
		}
		if d.Tick.Before(out.From) {
			continue
		}
		out.Capacity = append(out.Capacity, api.CapacityPoint{At: d.Tick, InService: d.Capacity.InService,
			Pending: d.Capacity.Pending, Before: d.Capacity.Desired, Desired: d.Desired})
	}
	for i := len(decisions) - 1; i >= 0 && len(out.Decisions) < maxDecisions; i-- {
		out.Decisions = append(out.Decisions, *withoutForecast(decisions[i]))
	}
}

// addBand notes the outermost quantiles of a forecast at the lead.
func addBand(l *api.LeadForecast, f *api.Forecast, slot, slots, lead int) {
	n := len(f.Quantiles)
	if n < 2 || len(f.Values) < lead || len(f.Values[lead-1]) != n {
		return
	}
	if l.Low == nil {
		l.Low, l.High = missing(slots), missing(slots)
	}
	l.Level = []float64{f.Quantiles[0], f.Quantiles[n-1]}
	l.Low[slot], l.High[slot] = f.Values[lead-1][0], f.Values[lead-1][n-1]
}

func missing(n int) api.Series {
	s := make(api.Series, n)
	for i := range s {
		s[i] = math.NaN()
	}
	return s
}

// addArrival notes when the group's newest slot was first seen here.
func (h *history) addArrival(out *api.GroupHistory) {
	if out.NewestEnd.IsZero() {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	old, known := h.newest[out.Group]
	if !known && len(h.newest) >= maxRemembered {
		clear(h.newest) // forgotten groups are merely seen anew
	}
	if out.NewestEnd.After(old.end) {
		old = arrival{out.NewestEnd, out.Now}
		h.newest[out.Group] = old
	}
	if out.NewestEnd.Equal(old.end) {
		out.NewestAt = old.seen
	}
}

// parseQuery reads the parameters of the route.
func parseQuery(c echo.Context) (query, error) {
	q := query{lead: defaultLead}
	var err error
	if q.group, err = groupParam(c); err != nil {
		return q, err
	}
	for name, into := range map[string]*time.Time{"from": &q.from, "to": &q.to} {
		text := c.QueryParam(name)
		if text == "" {
			continue
		}
		if err := into.UnmarshalText([]byte(text)); err != nil || into.IsZero() || into.Year() >= farFuture.Year() {
			return q, problem(http.StatusBadRequest, name, "%.40q is not a time such as 2006-01-02T15:04:05Z", text)
		}
	}
	if text := c.QueryParam("lead"); text != "" {
		if q.lead, err = strconv.Atoi(text); err != nil || q.lead < 1 || q.lead > 1000 {
			return q, problem(http.StatusBadRequest, "lead", "%.40q is not a number of steps from 1 to 1000", text)
		}
	}
	return q, nil
}

// groupParam returns the group that the path names. A group may hold any
// character, slashes too, when the path escapes them.
func groupParam(c echo.Context) (string, error) {
	group := c.Param("group")
	if c.Request().URL.RawPath != "" { // then the router has matched the escaped path
		var err error
		if group, err = url.PathUnescape(group); err != nil {
			return "", problem(http.StatusBadRequest, "group", "%v", err)
		}
	}
	if group == "" || len(group) > api.MaxNameLen {
		return "", problem(http.StatusBadRequest, "group", "must be 1 to %d bytes long", api.MaxNameLen)
	}
	return group, nil
}

// answers remembers answers for a moment, and lets one caller find each out while
// the others wait.
type answers struct {
	mu sync.Mutex
	by map[string]*answer // guarded by mu
}

type answer struct {
	done  chan struct{} // closed when value and err are set
	at    time.Time
	value any
	err   error
}

const (
	answerAge  = time.Second
	maxAnswers = 64
)

// get returns the answer under key, at most answerAge old.
func (a *answers) get(ctx context.Context, key string, now time.Time, find func(ctx context.Context) (any, error)) (any, error) {
	a.mu.Lock()
	if got := a.by[key]; got != nil && now.Sub(got.at) < answerAge {
		a.mu.Unlock()
		select {
		case <-got.done:
			return got.value, got.err
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	if a.by == nil || len(a.by) >= maxAnswers {
		a.by = map[string]*answer{}
	}
	mine := &answer{done: make(chan struct{}), at: now}
	a.by[key] = mine
	a.mu.Unlock()
	defer func() {
		if mine.value == nil && mine.err == nil {
			mine.err = errors.New("the answer could not be found") // find panicked
		}
		close(mine.done)
	}()
	// Others wait for the answer: it must not end with this caller's request, but
	// still within its deadline.
	free := context.WithoutCancel(ctx)
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		free, cancel = context.WithDeadline(free, deadline)
		defer cancel()
	}
	mine.value, mine.err = find(free)
	return mine.value, mine.err
}

// showGroups answers GET /api/v1/groups.
func (s *Server) showGroups(c echo.Context) error {
	list, err := s.history.answers.get(c.Request().Context(), "", s.deps.Now(), func(ctx context.Context) (any, error) {
		return s.history.groups(ctx, s.catalog.NameFor)
	})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, list)
}

// showGroup answers GET /api/v1/groups/{group}.
func (s *Server) showGroup(c echo.Context) error {
	q, err := parseQuery(c)
	if err != nil {
		return err
	}
	key := fmt.Sprint(q.lead, q.from, q.to, q.group)
	found, err := s.history.answers.get(c.Request().Context(), key, s.deps.Now(), func(ctx context.Context) (any, error) {
		return s.history.group(ctx, q)
	})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, found)
}
