package blob_test

import (
	"bufio"
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/internal/blob"
)

// The tests below run this test binary again as a child process, which the
// environment tells what to do.
const (
	childJob = "FORESCALE_BLOB_TEST_CHILD" // writer, counter
	childDir = "FORESCALE_BLOB_TEST_DIR"
	childID  = "FORESCALE_BLOB_TEST_ID"
)

func TestMain(m *testing.M) {
	switch os.Getenv(childJob) {
	case "":
		os.Exit(m.Run())
	case "writer":
		childWrites()
	case "counter":
		childCounts()
	}
}

func child(t *testing.T, job, dir, id string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childJob+"="+job, childDir+"="+dir, childID+"="+id)
	cmd.Stderr = os.Stderr
	return cmd
}

func fatal(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
}

// content returns what the object with this key holds: it can be checked without
// knowing what was written, and any part of it is wrong.
func content(key string) string {
	n := 0
	for _, c := range key {
		n = n*31 + int(c)
	}
	return strings.Repeat(key+"\n", 1+n%3000) + "end of " + key
}

// childWrites puts objects until it is killed, and says so on its standard
// output after each.
func childWrites() {
	s, err := blob.NewDir(os.Getenv(childDir))
	fatal(err)
	ctx, id := context.Background(), os.Getenv(childID)
	out := bufio.NewWriter(os.Stdout)
	for i := 0; ; i++ {
		key := fmt.Sprintf("tick=%d/%s-%d", i%20, id, i)
		cond := blob.Condition{}
		if i%2 == 0 {
			cond = blob.IfAbsent()
		}
		_, err := s.Put(ctx, key, []byte(content(key)), cond)
		fatal(err)
		fatal(increment(ctx, s, "pointer", fmt.Sprintf("%s-%d\n", id, i)))
		fmt.Fprintln(out, key, i)
		fatal(out.Flush())
	}
}

func TestADirOutlivesKilledWriters(t *testing.T) {
	root := t.TempDir()
	s := openDir(t, root)
	put(t, s, "pointer", "", blob.IfAbsent())
	acknowledged := map[string]string{} // key to the line of its increment
	rng := rand.New(rand.NewPCG(1, 2))
	for round := range 30 {
		id := fmt.Sprintf("r%d", round)
		cmd := child(t, "writer", root, id)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// Counted from its first acknowledgement, so that the kill meets writes.
		lines := bufio.NewScanner(out)
		var kill *time.Timer
		for lines.Scan() {
			if kill == nil {
				kill = time.AfterFunc(time.Duration(rng.IntN(80_000))*time.Microsecond, func() { cmd.Process.Kill() })
			}
			if key, i, ok := strings.Cut(lines.Text(), " "); ok {
				acknowledged[key] = id + "-" + i
			}
		}
		if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
			t.Fatalf("round %d: the writer ended by itself: %v", round, err)
		}
	}
	if len(acknowledged) <= 30 {
		t.Fatalf("only %d objects in 30 rounds; the test shows little", len(acknowledged))
	}
	pointer, _ := get(t, s, "pointer")
	counted := map[string]bool{}
	for line := range strings.Lines(pointer) {
		if counted[line] || !strings.HasSuffix(line, "\n") {
			t.Errorf("increment %q is there twice or in part", line)
		}
		counted[line] = true
	}
	for key, line := range acknowledged {
		if got, _ := get(t, s, key); got != content(key) {
			t.Errorf("acknowledged object %s has %d bytes, want %d", key, len(got), len(content(key)))
		}
		if !counted[line+"\n"] {
			t.Errorf("the acknowledged increment %s is lost", line)
		}
	}
	extra := 0
	for _, key := range list(t, s, "tick=", "") {
		if acknowledged[key] == "" {
			extra++
		}
		if got, _ := get(t, s, key); got != content(key) {
			t.Errorf("%s is visible in part: %d bytes", key, len(got))
		}
	}
	t.Logf("%d acknowledged, %d not, %d temporary files left", len(acknowledged), extra, countFiles(t, filepath.Join(root, ".forescale", "tmp")))
}

func countFiles(t *testing.T, dir string) (n int) {
	err := filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			n++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// childCounts increments the counter as often as its id says before the colon.
func childCounts() {
	s, err := blob.NewDir(os.Getenv(childDir))
	fatal(err)
	count, name, _ := strings.Cut(os.Getenv(childID), ":")
	n, err := strconv.Atoi(count)
	fatal(err)
	for i := range n {
		fatal(increment(context.Background(), s, "counter", fmt.Sprintf("%s-%d\n", name, i)))
	}
}

func TestProcessesRacingForACounterLoseNothing(t *testing.T) {
	root := t.TempDir()
	s := openDir(t, root)
	put(t, s, "counter", "", blob.IfAbsent())
	const processes, each = 3, 60
	var running []*exec.Cmd
	for p := range processes {
		cmd := child(t, "counter", root, fmt.Sprintf("%d:p%d", each, p))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		running = append(running, cmd)
	}
	for _, cmd := range running {
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
	got, _ := get(t, s, "counter")
	seen := map[string]bool{}
	for line := range strings.Lines(got) {
		seen[line] = true
	}
	if len(seen) != processes*each || strings.Count(got, "\n") != processes*each {
		t.Errorf("%d different increments in %d lines, want %d", len(seen), strings.Count(got, "\n"), processes*each)
	}
}

func BenchmarkDirPutIfAbsent(b *testing.B) {
	s, err := blob.NewDir(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	data := make([]byte, 2000)
	for i := 0; b.Loop(); i++ {
		if _, err := s.Put(b.Context(), fmt.Sprintf("open/%d/part", i), data, blob.IfAbsent()); err != nil {
			b.Fatal(err)
		}
	}
}
