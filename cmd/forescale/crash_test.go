package main

import (
	"context"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/dataset"
	"github.com/forescale/forescale/internal/journal"
	"github.com/forescale/forescale/scaler/plan"
)

// The crash test runs the real programs against the simulated cloud and ends each
// of them with SIGKILL, at random and at the moments that matter, over and over.
// Mostly they are started again until they get through; for some ticks they stay
// dead, the collector for longer than it looks back.
const (
	crashTicks    = 64
	crashStep     = 5 * time.Minute
	crashCooldown = 10 * time.Minute
	// Of every crashRound ticks, the collector is dead for the first crashOutage.
	crashRound, crashOutage = 16, 5
)

func TestKilledAtAnyMomentNothingIsLostOrDoubled(t *testing.T) {
	s := newSystem(t)
	begin := s.cloud.Now()
	history := begin.Add(-4 * 24 * time.Hour)
	s.untilDone("collector", "-backfill", history.Format(time.RFC3339)+"/"+begin.Format(time.RFC3339))
	s.trainModel(history, begin)
	s.startServer()
	abandoned := map[time.Time]bool{}
	for i := range crashTicks {
		tick := begin.Add(time.Duration(i+1) * crashStep)
		s.at(tick)
		args := []string{"-once", "-at", tick.Format(time.RFC3339)}
		if i%crashRound < crashOutage && i >= crashRound {
			s.killed(moment{name: "at its request", request: 1}, "collector", args...)
		} else {
			s.untilDone("collector", args...)
		}
		if s.rng.IntN(3) == 0 {
			s.killServer()
		}
		if i%4 == 3 && i < crashTicks-1 && s.killed(s.anyMoment("scaler"), "scaler", args...) {
			abandoned[tick] = true
		} else {
			s.untilDone("scaler", args...)
			s.checkCooldowns(begin, tick)
		}
		s.startServer()
	}
	end := begin.Add(crashTicks * crashStep)
	s.checkLake(history, end)
	s.checkDecisions(begin.Add(crashStep), end, abandoned)
	t.Logf("killed: %v; %v", s.kills, s.moments)
	for _, name := range []string{"collector", "scaler", "server"} {
		if s.kills[name] < 5 {
			t.Errorf("the %s was killed only %d times: the test proves little", name, s.kills[name])
		}
	}
	for _, m := range moments {
		if s.moments[m.name] < 2 {
			t.Errorf("the scaler was killed only %d times %s: the test proves little", s.moments[m.name], m.name)
		}
	}
}

// checkLake compares the lake with one that an undisturbed collector fills.
func (s *system) checkLake(from, to time.Time) {
	s.t.Helper()
	ctx := context.Background()
	got, err := s.lake().Scan(ctx, dataset.Query{From: from, To: to})
	if err != nil {
		s.t.Fatal(err)
	}
	calm := &system{t: s.t, dir: s.t.TempDir(), bin: s.bin, cloud: s.cloud, endpoint: s.endpoint, serverAt: s.serverAt,
		rng: rand.New(rand.NewPCG(1, 1)), kills: map[string]int{}, moments: map[string]int{}}
	calm.configure()
	if out, err := calm.command("collector", "-backfill", from.Format(time.RFC3339)+"/"+to.Format(time.RFC3339)).CombinedOutput(); err != nil {
		s.t.Fatalf("%v\n%s", err, out)
	}
	want, err := calm.lake().Scan(ctx, dataset.Query{From: from, To: to})
	if err != nil {
		s.t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		s.t.Errorf("the lake has %d samples, an undisturbed one %d, and they differ", len(got), len(want))
	}
	if slots := int(to.Sub(from) / crashStep); len(want) < 4*slots {
		s.t.Errorf("the comparison holds only %d samples for %d slots", len(want), slots)
	}
}

// checkCooldowns compares the cooldowns in the scaler's state with the actions in
// the audit log up to a tick.
func (s *system) checkCooldowns(first, tick time.Time) {
	s.t.Helper()
	records, err := journal.New(s.store("data")).Scan(context.Background(), first, tick.Add(time.Second))
	if err != nil {
		s.t.Fatal(err)
	}
	var want plan.State
	for _, r := range records {
		for _, d := range r.Decisions {
			want = want.After(d)
		}
	}
	var got struct{ Groups map[string]plan.State }
	raw, err := os.ReadFile(filepath.Join(s.dir, "data", "scaler", "state.json"))
	if err == nil {
		err = json.Unmarshal(raw, &got)
	}
	if g := got.Groups["web"]; err != nil || !g.LastOut.Equal(want.LastOut) || !g.LastIn.Equal(want.LastIn) {
		s.t.Errorf("%s: the cooldowns are %+v, the audit log says %+v: %v", tick, g, want, err)
	}
}

// checkDecisions compares the audit log with what took effect at the provider. An
// abandoned tick, at which the scaler never got through, may lack a record, if
// nothing was done.
func (s *system) checkDecisions(first, last time.Time, abandoned map[time.Time]bool) {
	s.t.Helper()
	records, err := journal.New(s.store("data")).Scan(context.Background(), first, last.Add(time.Second))
	if err != nil {
		s.t.Fatal(err)
	}
	asked := map[time.Time][]int{} // by tick: the sizes that the provider was asked for
	for _, c := range s.calls {
		asked[c.tick] = append(asked[c.tick], c.desired)
	}
	tick, predicted, actions := first, 0, 0
	var lastOut, lastAction time.Time
	for _, r := range records {
		for abandoned[tick] && r.Tick.After(tick) {
			tick = tick.Add(crashStep)
		}
		if !r.Tick.Equal(tick) || len(r.Decisions) != 1 {
			s.t.Fatalf("record of %s with %d decisions, expected one of %s", r.Tick, len(r.Decisions), tick)
		}
		tick = tick.Add(crashStep)
		d := r.Decisions[0]
		if d.Basis == api.BasisPredictive {
			predicted++
		}
		sizes := asked[r.Tick]
		delete(asked, r.Tick)
		if d.Outcome.Status == api.OutcomeAccepted {
			if len(sizes) == 0 {
				s.t.Errorf("%s: recorded as accepted, but the provider was never asked", r.Tick)
			}
			out := d.Desired > d.Capacity.Desired
			since := lastAction // a scale-in waits for both, a scale-out for the last one of its kind
			if out {
				since = lastOut
			}
			if !since.IsZero() && r.Tick.Sub(since) < crashCooldown {
				s.t.Errorf("%s: acted within the cooldown of the action of %s", r.Tick, since)
			}
			lastAction = r.Tick
			if out {
				lastOut = r.Tick
			}
			actions++
		} else if len(sizes) > 0 {
			s.t.Errorf("%s: recorded as %s, but the provider was asked for %v", r.Tick, d.Outcome.Status, sizes)
		}
		for _, n := range sizes {
			if n != d.Desired {
				s.t.Errorf("%s: the provider was asked for %d, the decision was %d", r.Tick, n, d.Desired)
			}
		}
	}
	if !tick.Equal(last.Add(crashStep)) {
		s.t.Errorf("the audit log ends before %s, the last tick was %s", tick, last)
	}
	if len(asked) > 0 {
		s.t.Errorf("the provider was asked at ticks without a record: %v", slices.Collect(maps.Keys(asked)))
	}
	if actions < crashTicks/4 || predicted < crashTicks/3 {
		s.t.Errorf("too little happened: %d actions, %d of %d decisions with a forecast", actions, predicted, crashTicks)
	}
}
