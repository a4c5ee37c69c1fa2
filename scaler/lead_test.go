package scaler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/scaler/plan"
)

// starters is a provider whose instances take some time to start.
type starters struct {
	*world
	took  time.Duration
	asked [][]string
	err   error
}

func (s *starters) Launches(_ context.Context, groups []string, since time.Time) (map[string][]api.Launch, error) {
	s.asked = append(s.asked, groups)
	if s.err != nil {
		return nil, s.err
	}
	found := map[string][]api.Launch{}
	for _, name := range groups {
		if name == "same" {
			continue // it has never launched any
		}
		for i := range 200 {
			found[name] = append(found[name], api.Launch{At: since.Add(time.Duration(i) * time.Hour), Took: s.took})
		}
	}
	return found, nil
}

// recordedLead returns the lead time that a decision says it reckoned with.
func recordedLead(t *testing.T, rec api.TickRecord, name string) time.Duration {
	t.Helper()
	var g plan.Group
	if err := json.Unmarshal(rec.Configs[decisionOf(rec, name).Config], &g); err != nil {
		t.Fatal(err)
	}
	return g.Lead
}

func TestTheLeadTimeIsLearnedInTurnAndRecorded(t *testing.T) {
	w := newWorld(t)
	source := &starters{world: w, took: 4 * time.Minute}
	run := func(tick int, change ...func(*Config)) api.TickRecord {
		t.Helper()
		s := w.scaler(change...) // a fresh process each time: what was learned is in the state
		s.deps.Target = source
		rec, err := w.once(s, t0.Add(time.Duration(tick)*step))
		if err != nil {
			t.Fatal(err)
		}
		w.replay("learned", rec)
		return rec
	}
	var rec api.TickRecord
	for i := range 6 {
		rec = run(i)
	}
	if got := fmt.Sprint(source.asked); got != "[[up] [down] [same] [dry]]" {
		t.Errorf("asked for %s", got)
	}
	if got := recordedLead(t, rec, "same"); got != 5*time.Minute {
		t.Errorf("a group that never launched: %s", got)
	}
	if got := recordedLead(t, rec, "up"); got >= 5*time.Minute || got <= 4*time.Minute {
		t.Errorf("of launches that take 4m the lead time is %s", got)
	}
	source.err = errors.New("throttled")
	before := recordedLead(t, rec, "up")
	rec = run(12)
	if len(source.asked) != 5 || !slices.Equal(source.asked[4], []string{"up"}) || recordedLead(t, rec, "up") != before {
		t.Errorf("an hour later: asked for %v, lead %s", source.asked, recordedLead(t, rec, "up"))
	}
	if len(rec.Errors) != 1 || !strings.Contains(rec.Errors[0], "throttled") {
		t.Errorf("errors %v", rec.Errors)
	}
	if rec = run(13); !slices.Equal(source.asked[5], []string{"down"}) {
		t.Errorf("a group that cannot be looked at keeps the others from their turn: %v", source.asked)
	}
	source.err = errors.New("throttled")
	rec = run(14, func(c *Config) { c.Groups[0].LeadTime = 8 * time.Minute })
	if got := recordedLead(t, rec, "up"); got != 8*time.Minute || !slices.Equal(source.asked[6], []string{"up"}) {
		t.Errorf("configured anew, the lead time is %s; asked for %v", got, source.asked[6])
	}
}

func TestALearnedLeadTimeStaysWithinTheForecast(t *testing.T) {
	g := plan.Group{Step: step, Lead: 5 * time.Minute, Delay: time.Minute}
	for _, c := range []struct {
		name    string
		learned *learned
		horizon int
		want    time.Duration
	}{
		{"nothing is learned", nil, 3, 5 * time.Minute},
		{"nothing but the look", &learned{Prior: 5 * time.Minute}, 3, 5 * time.Minute},
		{"it is for another configuration", &learned{Prior: time.Minute, Lead: 2 * time.Minute}, 12, 5 * time.Minute},
		{"a shorter one", &learned{Prior: 5 * time.Minute, Lead: 2 * time.Minute}, 12, 2 * time.Minute},
		{"a longer one", &learned{Prior: 5 * time.Minute, Lead: 20 * time.Minute}, 12, 20 * time.Minute},
		{"one beyond the forecast", &learned{Prior: 5 * time.Minute, Lead: 20 * time.Minute}, 4, 14*time.Minute - time.Second},
		{"the configured one is beyond it too", &learned{Prior: 5 * time.Minute, Lead: 20 * time.Minute}, 2, 5 * time.Minute},
		{"there is no forecast", &learned{Prior: 5 * time.Minute, Lead: 20 * time.Minute}, 0, 20 * time.Minute},
	} {
		got := c.learned.lead(g, c.horizon)
		if got.Lead != c.want {
			t.Errorf("%s: %s, want %s", c.name, got.Lead, c.want)
		}
		if c.horizon > 2 && got.Steps() > c.horizon {
			t.Errorf("%s: %d steps of a forecast of %d", c.name, got.Steps(), c.horizon)
		}
	}
}

// Of a fleet, each group is looked at once in a turn, and never all at a time.
func TestAFleetTakesTurns(t *testing.T) {
	w := newWorld(t)
	source := &starters{world: w, took: time.Minute}
	s := w.scaler(w.fleetOf(140, 3))
	s.deps.Target = source
	for i := range leadTurn {
		if _, err := w.once(s, t0.Add(time.Duration(i)*step)); err != nil {
			t.Fatal(err)
		}
	}
	times := map[string]int{}
	for _, names := range source.asked {
		if len(names) > 2 {
			t.Errorf("%d groups at a tick", len(names))
		}
		for _, name := range names {
			times[name]++
		}
	}
	for name, n := range times {
		if n != 1 {
			t.Errorf("%s was looked at %d times", name, n)
		}
	}
	if len(times) != 144 {
		t.Errorf("%d groups were looked at", len(times))
	}
}
