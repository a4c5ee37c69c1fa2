package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func mustOpen(t *testing.T, dir string) *Spool {
	t.Helper()
	s, err := Open(Config{Dir: dir, MaxBytes: MinBytes})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func mustAppend(t *testing.T, s *Spool, payloads ...string) (last uint64) {
	t.Helper()
	for _, p := range payloads {
		seq, err := s.Append([]byte(p))
		if err != nil {
			t.Fatal(err)
		}
		if seq <= last {
			t.Fatalf("sequence number %d after %d", seq, last)
		}
		last = seq
	}
	return last
}

func payloads(t *testing.T, s *Spool) []string {
	t.Helper()
	var list []string
	for r, err := range s.All() {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, string(r.Payload))
	}
	return list
}

func want(t *testing.T, s *Spool, list ...string) {
	t.Helper()
	if got := payloads(t, s); !slices.Equal(got, list) {
		t.Errorf("the spool holds %.300q, want %.300q", got, list)
	}
	if n := s.Stats().Records; n != len(list) {
		t.Errorf("the spool counts %d records, want %d", n, len(list))
	}
}

func numbered(from, to, size int) []string {
	var list []string
	for i := from; i < to; i++ {
		list = append(list, fmt.Sprintf("%d %s", i, strings.Repeat("x", size)))
	}
	return list
}

func diskUse(t *testing.T, dir string) (n int64) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		n += info.Size()
	}
	return n
}

func TestSpool(t *testing.T) {
	t.Run("gives back what was appended, in order, over a restart", func(t *testing.T) {
		dir := t.TempDir()
		s := mustOpen(t, dir)
		mustAppend(t, s, "a", "", "c\x00d")
		want(t, s, "a", "", "c\x00d")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = mustOpen(t, dir)
		want(t, s, "a", "", "c\x00d")
		mustAppend(t, s, "e")
		want(t, s, "a", "", "c\x00d", "e")
	})
	t.Run("forgets what was removed and leaves no file behind when that was all", func(t *testing.T) {
		dir := t.TempDir()
		s := mustOpen(t, dir)
		mustAppend(t, s, "a")
		seq := mustAppend(t, s, "b")
		mustAppend(t, s, "c")
		if err := s.Remove(seq); err != nil {
			t.Fatal(err)
		}
		want(t, s, "c")
		if err := s.Remove(seq + 1000); err != nil { // more than there is
			t.Fatal(err)
		}
		want(t, s)
		if n := diskUse(t, dir); n != 0 {
			t.Errorf("%d bytes are left", n)
		}
		mustAppend(t, s, "d")
		want(t, s, "d")
	})
	t.Run("never takes more of the disk than it may, and counts the oldest that it drops", func(t *testing.T) {
		dir := t.TempDir()
		s := mustOpen(t, dir)
		all := numbered(0, 3000, 1000)
		for i, p := range all {
			mustAppend(t, s, p)
			if i%100 == 0 && diskUse(t, dir) > MinBytes {
				t.Fatalf("%d bytes are used after %d records", diskUse(t, dir), i)
			}
		}
		st := s.Stats()
		if st.Dropped == 0 || st.Dropped+st.Records != 3000 || st.Records < 700 {
			t.Errorf("got %+v", st)
		}
		want(t, s, all[st.Dropped:]...)
		if s.First() != uint64(st.Dropped+1) {
			t.Errorf("the first record is %d", s.First())
		}
	})
	t.Run("of one record that fills a quarter, keeps the newest", func(t *testing.T) {
		s := mustOpen(t, t.TempDir())
		list := numbered(0, 9, MinBytes/4-10)
		mustAppend(t, s, list...)
		want(t, s, list[6:]...)
	})
	t.Run("refuses a record that is too large, and goes on", func(t *testing.T) {
		s := mustOpen(t, t.TempDir())
		if _, err := s.Append(make([]byte, MinBytes/4+1)); !errors.Is(err, ErrTooLarge) {
			t.Errorf("got %v", err)
		}
		mustAppend(t, s, "a")
		want(t, s, "a")
	})
	t.Run("shrinks to a smaller bound when it is opened", func(t *testing.T) {
		dir := t.TempDir()
		big, err := Open(Config{Dir: dir, MaxBytes: 4 * MinBytes})
		if err != nil {
			t.Fatal(err)
		}
		mustAppend(t, big, numbered(0, 3000, 1000)...)
		big.Close()
		s := mustOpen(t, dir)
		if n := diskUse(t, dir); n > MinBytes {
			t.Errorf("%d bytes are used", n)
		}
		if st := s.Stats(); st.Dropped == 0 || st.Dropped+st.Records != 3000 {
			t.Errorf("got %+v", st)
		}
	})
	t.Run("is open once only", func(t *testing.T) {
		dir := t.TempDir()
		s := mustOpen(t, dir)
		if _, err := Open(Config{Dir: dir, MaxBytes: MinBytes}); !errors.Is(err, ErrLocked) {
			t.Errorf("got %v", err)
		}
		s.Close()
		mustOpen(t, dir)
	})
	t.Run("refuses records when it is closed", func(t *testing.T) {
		s := mustOpen(t, t.TempDir())
		s.Close()
		if _, err := s.Append(nil); !errors.Is(err, ErrClosed) {
			t.Errorf("got %v", err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("a second Close: %v", err)
		}
	})
	t.Run("says what is wrong with its bounds and its directory", func(t *testing.T) {
		if _, err := Open(Config{Dir: t.TempDir(), MaxBytes: 5}); err == nil {
			t.Error("a bound of 5 bytes is accepted")
		}
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(Config{Dir: file, MaxBytes: MinBytes}); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("can be read while it grows and shrinks", func(t *testing.T) {
		s := mustOpen(t, t.TempDir())
		mustAppend(t, s, numbered(0, 2000, 400)...)
		n := 0
		for r, err := range s.All() {
			if err != nil {
				t.Fatal(err)
			}
			if n++; n == 5 {
				mustAppend(t, s, "new")
				if err := s.Remove(r.Seq + 500); err != nil {
					t.Fatal(err)
				}
			}
		}
		if n < 1400 || n > 2000 {
			t.Errorf("%d records were read", n)
		}
	})
}

// gate is a disk whose syncs wait.
type gate struct {
	disk
	mu    sync.Mutex
	syncs int
	open  chan struct{}
}

func (g *gate) create(path string) (file, error) {
	f, err := g.disk.create(path)
	return gated{f, g}, err
}

type gated struct {
	file
	g *gate
}

func (f gated) Sync() error {
	f.g.mu.Lock()
	f.g.syncs++
	f.g.mu.Unlock()
	<-f.g.open
	return f.file.Sync()
}

func TestAppendsThatComeTogetherShareOneSync(t *testing.T) {
	g := &gate{open: make(chan struct{})}
	s, err := open(Config{Dir: t.TempDir(), MaxBytes: MinBytes}, g)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const n = 50
	var wg sync.WaitGroup
	appendOne := func() {
		wg.Go(func() {
			if _, err := s.Append([]byte("x")); err != nil {
				t.Error(err)
			}
		})
	}
	waiting := func(n int) {
		for range 5000 {
			g.mu.Lock()
			syncs := g.syncs
			g.mu.Unlock()
			s.mu.Lock()
			queued := len(s.queue)
			s.mu.Unlock()
			if syncs == 1 && queued == n {
				return
			}
			time.Sleep(time.Millisecond)
		}
		t.Fatal("the appends do not queue")
	}
	appendOne()
	waiting(0)
	for range n {
		appendOne()
	}
	waiting(n)
	close(g.open)
	wg.Wait()
	if g.syncs != 2 {
		t.Errorf("%d syncs for 1 and then %d records, want 2", g.syncs, n)
	}
	if st := s.Stats(); st.Records != n+1 {
		t.Errorf("%+v", st)
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, writers := range []int{1, 64} {
		b.Run(fmt.Sprintf("%d writers", writers), func(b *testing.B) {
			s, err := Open(Config{Dir: b.TempDir(), MaxBytes: 256 << 20})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			payload := make([]byte, 200)
			b.SetParallelism(writers)
			b.SetBytes(int64(len(payload)))
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := s.Append(payload); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
