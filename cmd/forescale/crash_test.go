package main

import (
	"testing"
	"time"
)

// The crash test runs the real programs against the simulated cloud and ends each
// of them with SIGKILL, at random and at the moments that matter, over and over.
// Mostly they are started again until they get through; for some ticks they stay
// dead, the collector for longer than it looks back.
const (
	crashTicks = 64
	// Of every crashRound ticks, the collector is dead for the first crashOutage.
	crashRound, crashOutage = 16, 5
)

func TestKilledAtAnyMomentNothingIsLostOrDoubled(t *testing.T) {
	s := newSystem(t, directory(t))
	begin := s.cloud.Now()
	history := begin.Add(-4 * 24 * time.Hour)
	s.untilDone("collector", "-backfill", between(history, begin))
	s.trainModel(history, begin)
	s.startServer()
	abandoned := map[time.Time]bool{}
	for i := range crashTicks {
		tick := begin.Add(time.Duration(i+1) * systemStep)
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
	end := begin.Add(crashTicks * systemStep)
	s.checkLake(history, end)
	if actions := s.checkDecisions(begin.Add(systemStep), end, abandoned); actions < crashTicks/4 {
		t.Errorf("only %d actions in %d ticks: the test proves little", actions, crashTicks)
	}
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
