package main

import (
	"testing"
	"time"
)

// The crash test runs the real programs against the simulated cloud and ends each
// of them with SIGKILL at random moments, over and over, until it gets through.
const crashTicks = 40

func TestKilledAtAnyMomentNothingIsLostOrDoubled(t *testing.T) {
	s := newSystem(t, directory(t))
	begin := s.cloud.Now()
	history := begin.Add(-4 * 24 * time.Hour)
	s.untilDone("collector", "-backfill", between(history, begin))
	s.trainModel(history, begin)
	s.startServer()
	end := begin.Add(crashTicks * systemStep)
	for tick := begin.Add(systemStep); !tick.After(end); tick = tick.Add(systemStep) {
		s.at(tick)
		s.untilDone("collector", "-once", "-at", tick.Format(time.RFC3339))
		if s.rng.IntN(3) == 0 {
			s.killServer()
		}
		s.untilDone("scaler", "-once", "-at", tick.Format(time.RFC3339))
		s.startServer()
	}
	s.checkLake(history, end)
	s.checkDecisions(begin.Add(systemStep), end)
	t.Logf("killed: %v", s.kills)
	for _, name := range []string{"collector", "scaler", "server"} {
		if s.kills[name] < 5 {
			t.Errorf("the %s was killed only %d times: the test proves little", name, s.kills[name])
		}
	}
}
