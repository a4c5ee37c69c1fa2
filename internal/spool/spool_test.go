package spool

import (
	"bytes"
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

// What is on disk is input: whatever stands there, the spool opens, says nothing
// that was not appended, and works.
func TestDamage(t *testing.T) {
	t.Run("cut at any byte, the whole records before the cut are there", func(t *testing.T) {
		dir := t.TempDir()
		s := mustOpen(t, dir)
		all := []string{"first", "", "third record"}
		mustAppend(t, s, all...)
		s.Close()
		data := readOnly(t, dir)
		for cut := range data {
			broken := t.TempDir()
			writeSegment(t, broken, 1, data[:cut])
			s := mustOpen(t, broken)
			got := payloads(t, s)
			whole := 0
			for end, i := len(magic), 0; i < len(all); i++ {
				if end += headerLen + len(all[i]); end <= cut {
					whole++
				}
			}
			if !slices.Equal(got, all[:whole]) {
				t.Fatalf("cut at %d: got %q", cut, got)
			}
			mustAppend(t, s, "new")
			s.Close()
			want(t, mustOpen(t, broken), append(slices.Clone(all[:whole]), "new")...)
		}
	})
	t.Run("with any byte changed, no record is there that was not appended", func(t *testing.T) {
		dir := t.TempDir()
		s := mustOpen(t, dir)
		all := []string{"first", "", "third record"}
		mustAppend(t, s, all...)
		s.Close()
		data := readOnly(t, dir)
		for i := range data {
			bad := bytes.Clone(data)
			bad[i] ^= 0x40
			broken := t.TempDir()
			writeSegment(t, broken, 1, bad)
			s := mustOpen(t, broken)
			if got := payloads(t, s); len(got) > 2 || !slices.Equal(got, all[:len(got)]) {
				t.Fatalf("byte %d: got %q", i, got)
			}
			s.Close()
		}
	})
	t.Run("a hole in the middle is counted, and what follows is there", func(t *testing.T) {
		dir := t.TempDir()
		for _, p := range []string{"a", "b", "c"} { // one segment each
			s := mustOpen(t, dir)
			mustAppend(t, s, p)
			s.Close()
		}
		if err := os.Truncate(filepath.Join(dir, segmentName(2)), 12); err != nil {
			t.Fatal(err)
		}
		s := mustOpen(t, dir)
		want(t, s, "a", "c")
		if st := s.Stats(); st.Lost != 1 || st.Damaged != 1 {
			t.Errorf("got %+v", st)
		}
	})
	t.Run("a file of another kind is set aside", func(t *testing.T) {
		dir := t.TempDir()
		writeSegment(t, dir, 7, []byte("this is no segment"))
		writeSegment(t, dir, 9, appendRecord([]byte(magic), 9, []byte("good")))
		s := mustOpen(t, dir)
		want(t, s, "good")
		if _, err := os.Stat(filepath.Join(dir, segmentName(7)+".damaged")); err != nil {
			t.Error(err)
		}
		if st := s.Stats(); st.Damaged != 1 {
			t.Errorf("got %+v", st)
		}
	})
	t.Run("other files of the directory are left alone", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "note.txt"), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		s := mustOpen(t, dir)
		seq := mustAppend(t, s, "a")
		if err := s.Remove(seq); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(dir, "note.txt")); err != nil {
			t.Error(err)
		}
	})
}

// readOnly returns the one segment of the directory.
func readOnly(t *testing.T, dir string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, segmentName(1)))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func writeSegment(t *testing.T, dir string, first uint64, data []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, segmentName(first)), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func FuzzScanSegment(f *testing.F) {
	f.Add([]byte(magic), uint64(1))
	f.Add(appendRecord(appendRecord([]byte(magic), 5, []byte("a")), 6, nil), uint64(5))
	f.Add(append([]byte(magic), 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0), ^uint64(0))
	f.Fuzz(func(t *testing.T, data []byte, first uint64) {
		offsets, end, err := scanSegment(data, first)
		if err != nil {
			return
		}
		if end > int64(len(data)) {
			t.Fatalf("end %d of %d bytes", end, len(data))
		}
		again := []byte(magic)
		for i, at := range offsets { // what was read is what would be written
			payload, _, err := decodeRecord(data[at:], first+uint64(i))
			if err != nil {
				t.Fatal(err)
			}
			again = appendRecord(again, first+uint64(i), payload)
		}
		if len(data) >= len(magic) && !bytes.Equal(again, data[:end]) {
			t.Fatal("what was read is not what is there")
		}
	})
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
