package main

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/forescale/forescale/internal/blob/s3test"
	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/models"
)

const s3Ticks = 12

// The whole pipeline with lake and registry on a real S3 server. The server is
// killed while the programs work: at random moments, coming back within their
// patience; once for so long that the collector, which would wait for longer, is
// killed too; and at the worst moment of a scaler, when the provider has been asked
// and the outcome is not recorded, until the scaler gives up.
func TestOnS3TheStoreDiesAmidTicksAndNothingIsLostOrDoubled(t *testing.T) {
	store := &mortalStore{Server: s3test.StartServer(t), t: t, rng: rand.New(rand.NewPCG(3, 3)),
		usual: map[string]time.Duration{}, repeated: map[string]int{}}
	s := newSystem(t, places{data: store.URL("data"), models: store.URL("models")})
	begin := s.cloud.Now()
	history := begin.Add(-2 * 24 * time.Hour)
	store.run(s.command("collector", "-backfill", between(history, begin)), store.brief())
	store.run(s.command("trainer", "-data", s.places.data, "-models", s.places.models, "-group", "web", "-epochs", "2",
		"-out", filepath.Join(s.dir, "model")), store.brief())
	s.startServer()
	actions := 0
	s.onAction = func() { // the first one is the worst: the store stays away until the scaler has given up
		if actions++; actions == 1 {
			store.die(untilTheEnd)
		} else {
			store.die(100 * time.Millisecond)
		}
	}
	end := begin.Add(s3Ticks * systemStep)
	for tick := begin.Add(systemStep); !tick.After(end); tick = tick.Add(systemStep) {
		s.at(tick)
		at := []string{"-once", "-at", tick.Format(time.RFC3339)}
		outage := store.brief()
		if tick.Equal(begin.Add(s3Ticks / 2 * systemStep)) {
			outage = untilTheEnd
		}
		store.run(s.command("collector", at...), outage)
		store.run(s.command("scaler", at...), store.brief())
	}
	s.checkLake(history, end)
	s.checkDecisions(begin.Add(systemStep), end, nil)
	versions, err := models.NewRegistry(s.store(s.places.models)).Versions(t.Context(), "web")
	if err != nil || !slices.Equal(versions, []int{1}) {
		t.Errorf("the registry holds the versions %v of the one model that was trained (%v)", versions, err)
	}
	t.Logf("the store died %d times while a program ran; %d actions; ended and were run again: %v", store.deaths, actions, store.repeated)
	if store.deaths < s3Ticks || store.repeated["forescale-collector"] == 0 || store.repeated["forescale-scaler"] == 0 || actions < 2 {
		t.Error("that is too little to prove anything")
	}
}

// mortalStore is an S3 server that dies and comes back.
type mortalStore struct {
	*s3test.Server
	t        *testing.T
	rng      *rand.Rand
	usual    map[string]time.Duration // how long a program runs
	repeated map[string]int           // runs that ended early, by program

	mu      sync.Mutex
	running bool // guarded by mu; a program runs
	down    bool // guarded by mu
	forGood bool // guarded by mu; it does not come back while the program runs
	deaths  int  // guarded by mu
}

const (
	// untilTheEnd is an outage that lasts for as long as the program does.
	untilTheEnd time.Duration = -1
	// patience is how long a program may wait for a store that was gone before it.
	patience = 2 * time.Second
)

// brief returns an outage that is within a program's patience.
func (m *mortalStore) brief() time.Duration {
	return time.Duration(m.rng.Int64N(int64(250 * time.Millisecond)))
}

// run runs a program whose store dies at a random moment. A program that ended
// because the store did not come back is run again when it has, as its operator
// or cron would do.
func (m *mortalStore) run(cmd *exec.Cmd, outage time.Duration) {
	m.t.Helper()
	name := filepath.Base(cmd.Path)
	moment := time.Duration(m.rng.Int64N(int64(max(m.usual[name], 50*time.Millisecond))))
	m.mu.Lock()
	m.running, m.forGood = true, false
	m.mu.Unlock()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if outage == untilTheEnd {
		m.die(untilTheEnd)
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	death := time.AfterFunc(moment, func() { m.die(outage) })
	if outage == untilTheEnd {
		kill := time.AfterFunc(patience, func() { cmd.Process.Kill() })
		defer kill.Stop()
	}
	err := cmd.Wait()
	took := time.Since(start)
	death.Stop()
	m.mu.Lock()
	m.running = false
	forGood := m.forGood
	m.mu.Unlock()
	m.revive()
	var exit *exec.ExitError
	switch {
	case err == nil:
		m.usual[name] = took - max(0, outage)
	case forGood && errors.As(err, &exit) && exit.ExitCode() < cli.ExitUsage: // -1: killed
		m.repeated[name]++
		again := exec.Command(cmd.Path, cmd.Args[1:]...)
		again.Env = cmd.Env
		m.run(again, 0)
	default:
		m.t.Fatalf("%v: %v\n%s", cmd.Args, err, out.Bytes())
	}
}

// die ends the server for a while, unless no program runs that could notice.
func (m *mortalStore) die(outage time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.running {
		return
	}
	m.forGood = m.forGood || outage == untilTheEnd
	if m.down {
		return
	}
	m.Kill()
	m.down = true
	m.deaths++
	if !m.forGood {
		time.AfterFunc(outage, m.revive)
	}
}

func (m *mortalStore) revive() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.down || m.forGood && m.running {
		return
	}
	if err := m.Start(context.Background()); err != nil {
		m.t.Errorf("start the store again: %v", err)
	}
	m.down = false
}
