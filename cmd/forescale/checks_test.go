package main

import (
	"context"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/dataset"
	"github.com/forescale/forescale/internal/journal"
	"github.com/forescale/forescale/scaler/plan"
)

// checkLake compares the lake with one that an undisturbed collector fills.
func (s *system) checkLake(from, to time.Time) {
	s.t.Helper()
	ctx := context.Background()
	got, err := s.lake().Scan(ctx, dataset.Query{From: from, To: to})
	if err != nil {
		s.t.Fatal(err)
	}
	calm := &system{t: s.t, places: places{data: "file://" + s.t.TempDir(), models: s.places.models}, dir: s.t.TempDir(), bin: s.bin, cloud: s.cloud, endpoint: s.endpoint, serverAt: s.serverAt,
		rng: rand.New(rand.NewPCG(1, 1)), kills: map[string]int{}, moments: map[string]int{}}
	calm.configure()
	if out, err := calm.command("collector", "-backfill", between(from, to)).CombinedOutput(); err != nil {
		s.t.Fatalf("%v\n%s", err, out)
	}
	want, err := calm.lake().Scan(ctx, dataset.Query{From: from, To: to})
	if err != nil {
		s.t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		s.t.Errorf("the lake has %d samples, an undisturbed one %d, and they differ", len(got), len(want))
	}
	if slots := int(to.Sub(from) / systemStep); len(want) < 4*slots {
		s.t.Errorf("the comparison holds only %d samples for %d slots", len(want), slots)
	}
}

// checkCooldowns compares the cooldowns in the scaler's state with the actions in
// the audit log up to a tick.
func (s *system) checkCooldowns(first, tick time.Time) {
	s.t.Helper()
	records, err := journal.New(s.store(s.places.data)).Scan(context.Background(), first, tick.Add(time.Second))
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
	raw, err := os.ReadFile(filepath.Join(s.places.dataDir(), "scaler", "state.json"))
	if err == nil {
		raw, err = journal.Unpack(raw)
	}
	if err == nil {
		err = json.Unmarshal(raw, &got)
	}
	if g := got.Groups["web"]; err != nil || !g.LastOut.Equal(want.LastOut) || !g.LastIn.Equal(want.LastIn) {
		s.t.Errorf("%s: the cooldowns are %+v, the audit log says %+v: %v", tick, g, want, err)
	}
}

// checkDecisions compares the audit log with what took effect at the provider. An
// abandoned tick, at which the scaler never got through, may lack a record, if
// nothing was done. It returns the number of accepted changes.
func (s *system) checkDecisions(first, last time.Time, abandoned map[time.Time]bool) (actions int) {
	s.t.Helper()
	records, err := journal.New(s.store(s.places.data)).Scan(context.Background(), first, last.Add(time.Second))
	if err != nil {
		s.t.Fatal(err)
	}
	asked := map[time.Time][]int{} // by tick: the sizes that the provider was asked for
	for _, c := range s.calls {
		asked[c.tick] = append(asked[c.tick], c.desired)
	}
	tick, predicted := first, 0
	var lastOut, lastAction time.Time
	for _, r := range records {
		for abandoned[tick] && r.Tick.After(tick) {
			tick = tick.Add(systemStep)
		}
		if !r.Tick.Equal(tick) || len(r.Decisions) != 1 {
			s.t.Fatalf("record of %s with %d decisions, expected one of %s", r.Tick, len(r.Decisions), tick)
		}
		tick = tick.Add(systemStep)
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
			if !since.IsZero() && r.Tick.Sub(since) < systemCooldown {
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
	if !tick.Equal(last.Add(systemStep)) {
		s.t.Errorf("the audit log ends before %s, the last tick was %s", tick, last)
	}
	if len(asked) > 0 {
		s.t.Errorf("the provider was asked at ticks without a record: %v", slices.Collect(maps.Keys(asked)))
	}
	if actions == 0 || predicted < len(records)/3 {
		s.t.Errorf("too little happened: %d actions, %d of %d decisions with a forecast", actions, predicted, len(records))
	}
	return actions
}
