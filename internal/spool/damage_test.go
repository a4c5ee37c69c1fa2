package spool

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

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
