package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/forescale/forescale/cmd/forescale/demo"
)

// soon bounds every wait for something that must happen soon.
const soon = time.Minute

// show is a running demo.
type show struct {
	t    *testing.T
	cmd  *exec.Cmd
	tmp  string // where its temporary folder is
	mu   sync.Mutex
	out  []byte // guarded by mu
	done bool
}

// Write takes what the demo prints, on either stream.
func (s *show) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out = append(s.out, p...)
	return len(p), nil
}

func (s *show) printed() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.out)
}

// startDemo starts a demo on a short load, in a folder of its own.
func startDemo(t *testing.T, args ...string) *show {
	t.Helper()
	s := &show{t: t, tmp: t.TempDir()}
	s.cmd = exec.Command(filepath.Join(programs(t), "forescale"), append([]string{"demo", "-headless", "-trace", shortTrace(t, 5)}, args...)...)
	s.cmd.Env = append(withoutCredentials(), "TMPDIR="+s.tmp)
	s.cmd.Dir, s.cmd.Stdout, s.cmd.Stderr = s.tmp, s, s
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !s.done { // the test failed
			_ = s.cmd.Process.Kill()
			_ = s.cmd.Wait()
		}
	})
	return s
}

// reach returns when the demo has begun a phase.
func (s *show) reach(phase string) {
	s.t.Helper()
	s.until("it comes to "+phase, func() bool { return strings.Contains(s.printed(), "\n"+phase) })
}

func (s *show) until(what string, holds func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(soon); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("not within %s: %s\n%s", soon, what, s.printed())
		}
	}
}

// wait returns the exit code.
func (s *show) wait() int {
	_ = s.cmd.Wait() // the code tells
	s.done = true
	return s.cmd.ProcessState.ExitCode()
}

// children returns the processes that the demo has started and that run.
func (s *show) children() (pids []int) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, path := range stats {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			s.t.Fatal(err)
		}
		if state, parent := process(pid); parent == s.cmd.Process.Pid && state != 'Z' {
			pids = append(pids, pid)
		}
	}
	return pids
}

// process returns the state and the parent of a process; the state of one that
// is gone is Z.
func process(pid int) (state byte, parent int) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	at := bytes.LastIndexByte(raw, ')') // of the name, which may hold anything
	if err != nil || at < 0 {
		return 'Z', 0
	}
	if _, err := fmt.Sscanf(string(raw[at+1:]), " %c %d", &state, &parent); err != nil {
		return 'Z', 0
	}
	return state, parent
}

func (s *show) untilGone(pids []int) {
	s.t.Helper()
	for _, pid := range pids {
		s.until(fmt.Sprintf("process %d ends", pid), func() bool { state, _ := process(pid); return state == 'Z' })
	}
}

func TestADemoStopsCleanlyInEveryPhase(t *testing.T) {
	for _, phase := range []string{"collect", "train", "serve", "live"} {
		for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
			t.Run(phase+" "+signal.String(), func(t *testing.T) {
				t.Parallel()
				s := startDemo(t, "-pace", "20")
				s.reach(phase)
				children := s.children()
				if phase == "live" && len(children) != 1 {
					t.Errorf("it has %d children, want the server", len(children))
				}
				if err := s.cmd.Process.Signal(signal); err != nil {
					t.Fatal(err)
				}
				if code := s.wait(); code != 0 || !strings.Contains(s.printed(), "stopped") {
					t.Errorf("exit code %d\n%s", code, s.printed())
				}
				s.untilGone(children)
				if left, err := os.ReadDir(s.tmp); err != nil || len(left) > 0 {
					t.Errorf("it left %v, %v", left, err)
				}
			})
		}
	}
}

func TestAKilledDemoTakesItsServerAlong(t *testing.T) {
	t.Parallel()
	s := startDemo(t, "-pace", "20")
	s.reach("live")
	children := s.children()
	if len(children) != 1 {
		t.Fatalf("it has %d children, want the server", len(children))
	}
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	s.wait()
	s.untilGone(children)
}

func TestAKilledServerIsStartedAgainAndCounted(t *testing.T) {
	t.Parallel()
	s := startDemo(t, "-pace", "20", "-steps", "120", "-report", "demo.json", "-dir", "kept in here") // a folder beside it, with spaces
	s.reach("live")
	const kills = 3
	last := 0
	for range kills {
		s.until("a new server runs", func() bool { c := s.children(); return len(c) == 1 && c[0] != last })
		last = s.children()[0]
		time.Sleep(300 * time.Millisecond) // some ticks
		if err := syscall.Kill(last, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	if code := s.wait(); code != 0 {
		t.Errorf("exit code %d\n%s", code, s.printed())
	}
	raw, err := os.ReadFile(filepath.Join(s.tmp, "demo.json"))
	if err != nil {
		t.Fatal(err)
	}
	var report demo.Report
	if err := json.Unmarshal(raw, &report); err != nil {
		t.Fatal(err)
	}
	if report.ServerRestarts != kills || report.Decisions != 2*120 || report.Errors != 0 {
		t.Errorf("%d restarts, %d decisions, %d errors %q; want %d, 240 and none", report.ServerRestarts, report.Decisions, report.Errors, report.Messages, kills)
	}
	if !strings.Contains(s.printed(), fmt.Sprintf("started again: %d", kills)) {
		t.Errorf("the summary does not count them:\n%s", s.printed())
	}
}

func TestTheCloudOnItsOwnHasAPresentAndStops(t *testing.T) {
	cmd := exec.Command(filepath.Join(programs(t), "forescale"), "cloud", "-listen", "127.0.0.1:0")
	s := &show{t: t, cmd: cmd}
	cmd.Stdout, cmd.Stderr = s, s
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan int, 1)
	go func() { gone <- s.wait() }()
	s.until("it listens", func() bool { return len(gone) > 0 || strings.Contains(s.printed(), "listening on http://127.0.0.1:") })
	_ = cmd.Process.Signal(os.Interrupt) // it may be gone, which the code tells
	if code := <-gone; code != 0 {
		t.Errorf("exit code %d: %s", code, s.printed())
	}
}
