package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/forescale/forescale/internal/journal"
)

// moment is when a program is killed: at random, around one of its requests to
// the provider, or as soon as a file of its store shows something.
type moment struct {
	name    string
	request int  // 1: the first one
	answer  bool // once the request has taken effect, instead of before
	shows   func(s *system) bool
}

// moments are those at which a scaler's protocol changes its stage, as far as
// they can be told from outside. A tick that acts asks the provider three times:
// for the sizes, for the group just before the change, and for the change.
var moments = []moment{
	{name: "at random"},
	{name: "before the sizes are known", request: 1},
	{name: "with its intents stored", shows: (*system).pending},
	{name: "just before the change", request: 2},
	{name: "before the change takes effect", request: 3},
	{name: "after the change, without its answer", request: 3, answer: true},
	{name: "with its record written", shows: (*system).recorded},
	{name: "with its state settled", shows: (*system).settled},
}

// trap kills a program at a moment.
type trap struct {
	moment
	cmd     *exec.Cmd
	started chan struct{} // closed when cmd.Process is set
	seen    int           // requests so far; guarded by system.mu
}

const (
	before = -1
	after  = 1
)

// request counts one request and says whether the trap springs before or after it.
func (t *trap) request() int {
	if t == nil {
		return 0
	}
	t.seen++
	switch {
	case t.moment.request == 0 || t.seen != t.moment.request:
		return 0
	case t.answer:
		return after
	}
	return before
}

func (t *trap) spring() {
	<-t.started
	t.cmd.Process.Kill()
}

// killed runs a program that is killed at a moment, and reports whether it was:
// it may be over before that.
func (s *system) killed(m moment, name string, args ...string) bool {
	s.t.Helper()
	if m.shows != nil && m.shows(s) {
		m = moments[0] // it has passed
	}
	t := &trap{moment: m, cmd: s.command(name, args...), started: make(chan struct{})}
	s.mu.Lock()
	s.trap = t
	s.mu.Unlock()
	if err := t.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	close(t.started)
	over := make(chan struct{})
	switch {
	case m.shows != nil:
		go func() {
			for !m.shows(s) {
				select {
				case <-over:
					return
				case <-time.After(50 * time.Microsecond):
				}
			}
			t.spring()
		}()
	case m.request == 0:
		kill := time.AfterFunc(time.Duration(s.rng.IntN(120))*time.Millisecond, t.spring)
		defer kill.Stop()
	}
	err := t.cmd.Wait()
	close(over)
	s.mu.Lock()
	s.trap = nil
	s.mu.Unlock()
	if status, ok := t.cmd.ProcessState.Sys().(syscall.WaitStatus); err == nil || !ok || !status.Signaled() {
		return false
	}
	s.kills[name]++
	s.moments[m.name]++
	return true
}

// untilDone runs a program to its end, after some attempts that are killed.
func (s *system) untilDone(name string, args ...string) {
	s.t.Helper()
	for range s.rng.IntN(3) {
		s.killed(s.anyMoment(name), name, args...)
	}
	if out, err := s.command(name, args...).CombinedOutput(); err != nil {
		s.t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

// anyMoment returns a moment that a program has. Not every tick of a scaler acts,
// so that the moments that have come least often so far have precedence.
func (s *system) anyMoment(name string) moment {
	if name != "scaler" {
		return []moment{{name: "at random"}, {name: "at its request", request: 1}, {name: "with its answer", request: 1, answer: true}}[s.rng.IntN(3)]
	}
	if s.rng.IntN(4) == 0 {
		return moments[s.rng.IntN(len(moments))]
	}
	return slices.MinFunc(moments, func(a, b moment) int { return s.moments[a.name] - s.moments[b.name] })
}

// scalerState returns the newest tick whose record is in the scaler's state, and
// the tick that is under way in it.
func (s *system) scalerState() (settled, pending time.Time) {
	var state struct {
		Tick    time.Time
		Pending struct{ Tick time.Time }
	}
	raw, err := os.ReadFile(filepath.Join(s.places.dataDir(), "scaler", "state.json"))
	if err == nil {
		raw, err = journal.Unpack(raw)
	}
	if err != nil || json.Unmarshal(raw, &state) != nil {
		return time.Time{}, time.Time{}
	}
	return state.Tick, state.Pending.Tick
}

func (s *system) pending() bool {
	_, pending := s.scalerState()
	return pending.Equal(s.tick)
}

func (s *system) settled() bool {
	settled, pending := s.scalerState()
	return settled.Equal(s.tick) && pending.IsZero()
}

func (s *system) recorded() bool {
	_, err := os.Stat(filepath.Join(s.places.dataDir(), filepath.FromSlash(journal.New(nil).Key(s.tick))))
	return err == nil
}
