package spool

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// faulty is a disk that calls step before and after everything that it does, and
// fails with what step returns.
type faulty struct {
	disk
	step func(op string) error
}

func (d faulty) create(path string) (file, error) {
	if err := d.step("create"); err != nil {
		return nil, err
	}
	f, err := d.disk.create(path)
	if err != nil {
		return nil, err
	}
	return faultyFile{f, d}, d.step("created")
}

func (d faulty) remove(path string) error {
	if err := d.step("remove"); err != nil {
		return err
	}
	return errors.Join(d.disk.remove(path), d.step("removed"))
}

func (d faulty) syncDir(path string) error {
	return errors.Join(d.step("sync dir"), d.disk.syncDir(path), d.step("synced dir"))
}

type faultyFile struct {
	file
	d faulty
}

// WriteAt writes half of the data first, as a disk may.
func (f faultyFile) WriteAt(data []byte, at int64) (int, error) {
	if err := f.d.step("write"); err != nil {
		return 0, err
	}
	half := len(data) / 2
	if n, err := f.file.WriteAt(data[:half], at); err != nil {
		return n, err
	}
	if err := f.d.step("half written"); err != nil {
		return half, err
	}
	n, err := f.file.WriteAt(data[half:], at+int64(half))
	return half + n, errors.Join(err, f.d.step("written"))
}

func (f faultyFile) Sync() error {
	return errors.Join(f.d.step("sync"), f.file.Sync(), f.d.step("synced"))
}

func (f faultyFile) Truncate(n int64) error {
	if err := f.d.step("truncate"); err != nil {
		return err
	}
	return f.file.Truncate(n)
}

// A process that is killed leaves the files as they are at that step. Whatever
// the step, a new process finds what was acknowledged.
func TestADeathAtEveryStepLosesNothing(t *testing.T) {
	var acked []string
	var asked string // being appended
	going := 0       // records that were asked to be removed
	steps, seen := 0, map[string]bool{}
	dir := t.TempDir()
	look := func(op string) error {
		steps++
		seen[op] = true
		corpse := t.TempDir()
		if err := os.CopyFS(corpse, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		s := mustOpen(t, corpse)
		defer s.Close()
		got := payloads(t, s)
		checkCrash(t, fmt.Sprintf("step %d, %s", steps, op), got, acked, asked, going)
		return nil
	}
	s, err := open(Config{Dir: dir, MaxBytes: MinBytes}, faulty{step: look})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i := range 24 { // some nine segments
		asked = fmt.Sprintf("%04d %s", i, strings.Repeat("x", 30_000))
		seq, err := s.Append([]byte(asked))
		if err != nil {
			t.Fatal(err)
		}
		acked, asked = append(acked, asked), ""
		if i%5 == 4 {
			going = i - 2
			if err := s.Remove(seq - 3); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, op := range []string{"create", "half written", "written", "synced", "synced dir", "remove", "removed"} {
		if !seen[op] {
			t.Errorf("the test never came to %q", op)
		}
	}
}

// checkCrash reports what a spool that was opened after a crash lacks or has too
// much: acked, from the record removed on, is to be there, then perhaps asked.
func checkCrash(t *testing.T, when string, got, acked []string, asked string, removed int) {
	t.Helper()
	if len(got) > 0 && asked != "" && got[len(got)-1] == asked {
		got = got[:len(got)-1]
	}
	must := acked[min(removed, len(acked)):]
	if len(got) < len(must) || !slices.Equal(got[len(got)-len(must):], must) {
		t.Errorf("%s: %d records are there, %d were acknowledged and not removed", when, len(got), len(must))
		return
	}
	if extra := got[:len(got)-len(must)]; !slices.Equal(extra, acked[len(acked)-len(must)-len(extra):len(acked)-len(must)]) {
		t.Errorf("%s: records are there that were never appended", when)
	}
}

// Whatever fails, what was acknowledged stays, and the spool works again when the
// disk does.
func TestAFailingDiskLosesNothingThatWasAcknowledged(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 7))
		dir, failing := t.TempDir(), false
		step := func(string) error {
			if failing && rng.IntN(4) == 0 {
				return syscall.ENOSPC
			}
			return nil
		}
		reopen := func() *Spool {
			s, err := open(Config{Dir: dir, MaxBytes: MinBytes}, faulty{step: step})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		s := reopen()
		var acked []string
		unsure := map[string]bool{}
		failures := 0
		for i := range 60 {
			failing = i%20 >= 5 && i%20 < 15
			p := fmt.Sprintf("%d %s", i, strings.Repeat("y", rng.IntN(3000)))
			switch _, err := s.Append([]byte(p)); {
			case err == nil:
				acked = append(acked, p)
			case errors.Is(err, syscall.ENOSPC) && failing:
				unsure[p] = true
				failures++
			default:
				t.Fatalf("seed %d: %v", seed, err)
			}
			if rng.IntN(10) == 0 {
				failing = false
				s.Close()
				s = reopen()
			}
		}
		s.Close()
		failing = false
		s = reopen()
		got := slices.DeleteFunc(payloads(t, s), func(p string) bool { return unsure[p] })
		if !slices.Equal(got, acked) {
			t.Fatalf("seed %d: %d records are there, %d were acknowledged", seed, len(got), len(acked))
		}
		if failures == 0 {
			t.Fatalf("seed %d: nothing failed", seed)
		}
		if st := s.Stats(); st.Lost > 0 {
			t.Fatalf("seed %d: %+v", seed, st)
		}
		s.Close()
	}
}

// childDir makes the test binary a process that appends until it is killed.
const childDir = "FORESCALE_SPOOL_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		os.Exit(child(dir))
	}
	os.Exit(m.Run())
}

func child(dir string) int {
	s, err := Open(Config{Dir: dir, MaxBytes: 64 << 20})
	if err != nil {
		fmt.Println("error", err)
		return 1
	}
	n := 0
	for r := range s.All() {
		n, _ = strconv.Atoi(string(r.Payload))
	}
	for {
		n++
		if _, err := s.Append([]byte(strconv.Itoa(n))); err != nil {
			fmt.Println("error", err)
			return 1
		}
		fmt.Println(n) // acknowledged
	}
}

func TestAKilledProcessLeavesWhatItAcknowledged(t *testing.T) {
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(3, 4))
	acked := 0
	for range 20 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childDir+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Duration(rng.IntN(30))*time.Millisecond, func() { _ = cmd.Process.Kill() })
		for lines := bufio.NewScanner(out); lines.Scan(); {
			n, err := strconv.Atoi(lines.Text())
			if err != nil {
				t.Fatal(lines.Text())
			}
			acked = max(acked, n)
		}
		_ = cmd.Wait()
	}
	s := mustOpen(t, filepath.Clean(dir))
	list := payloads(t, s)
	for i, p := range list {
		if p != strconv.Itoa(i+1) {
			t.Fatalf("record %d is %q", i, p)
		}
	}
	if len(list) < acked || acked == 0 {
		t.Errorf("%d records are there, %d were acknowledged", len(list), acked)
	}
}
