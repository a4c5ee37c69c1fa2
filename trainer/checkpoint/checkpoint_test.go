package checkpoint

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// store is what package trainer asks of a checkpoint.
type store interface {
	Load(stage string) (state []byte, err error)
	Save(stage string, state []byte) error
}

var _ store = (*Dir)(nil)

var mine = Identity{Program: "v1", Kernel: "k1", Config: "c1", Data: "d1", Until: time.Date(2026, 3, 2, 9, 5, 0, 0, time.UTC)}

// open opens a checkpoint and returns what it noted.
func open(t *testing.T, dir string, id Identity, resume bool) (d *Dir, notes string, err error) {
	t.Helper()
	d, err = Open(dir, id, resume, func(note string) { notes += note + "\n" })
	return d, notes, err
}

// saved returns a directory with two stages.
func saved(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), ".checkpoint")
	d, _, err := open(t, dir, mine, false)
	if err != nil || Any(dir) {
		t.Fatalf("%v, a new checkpoint holds something: %v", err, Any(dir))
	}
	for stage, state := range map[string]string{"linear": "weights", "member 1/2": ""} {
		if err := d.Save(stage, []byte(state)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestAResumedTrainingFindsWhatWasSaved(t *testing.T) {
	dir := saved(t)
	d, notes, err := open(t, dir, mine, true)
	if err != nil || !strings.Contains(notes, "continues from the checkpoint in "+dir) || !Any(dir) {
		t.Fatalf("%v, %q", err, notes)
	}
	if err := d.Save("linear", []byte("newer")); err != nil {
		t.Fatal(err)
	}
	for stage, want := range map[string][]byte{"linear": []byte("newer"), "member 1/2": {}, "never": nil} {
		if got, err := d.Load(stage); err != nil || !bytes.Equal(got, want) || (got == nil) != (want == nil) {
			t.Errorf("stage %q: %q, %v, want %q", stage, got, err, want)
		}
	}
	if until, ok := Until(dir); !ok || !until.Equal(mine.Until) {
		t.Errorf("until %v, %v", until, ok)
	}
	if err := d.Remove(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the directory is still there: %v", err)
	}
	if _, ok := Until(dir); ok {
		t.Error("what is removed has an end of its history")
	}
}

func TestWithoutResumeAnEarlierCheckpointIsDiscardedWithANote(t *testing.T) {
	dir := saved(t)
	_, notes, err := open(t, dir, mine, false)
	if err != nil || !strings.Contains(notes, "discarded") || Any(dir) {
		t.Errorf("%v, %q, something is left: %v", err, notes, Any(dir))
	}
	if _, notes, err = open(t, dir, mine, true); err != nil || !strings.Contains(notes, "begins afresh") {
		t.Errorf("nothing to resume: %v, %q", err, notes)
	}
}

func TestTheCheckpointOfAnotherTrainingIsRefusedWithTheFix(t *testing.T) {
	dir := saved(t)
	for want, change := range map[string]func(*Identity){
		"another configuration": func(id *Identity) { id.Config = "c2" },
		"other data":            func(id *Identity) { id.Data = "d2" },
		"another program version (v1; this is v2)": func(id *Identity) { id.Program = "v2" },
		"another kernel set (k1; this is k2)":      func(id *Identity) { id.Kernel = "k2" },
	} {
		id := mine
		change(&id)
		_, _, err := open(t, dir, id, true)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "remove "+dir+" or run without -resume") {
			t.Errorf("%s: %v", want, err)
		}
	}
	if _, _, err := open(t, dir, mine, true); err != nil || !Any(dir) {
		t.Errorf("a refused checkpoint is not touched: %v", err)
	}
}

// Every byte of a checkpoint counts, and so does every one that is missing.
func TestADamagedCheckpointIsNeverUsed(t *testing.T) {
	dir := saved(t)
	path := filepath.Join(dir, "linear.ckpt")
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	try := func(b []byte, what string, at int) {
		t.Helper()
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := read(path); err == nil {
			t.Errorf("%s at byte %d: it is read", what, at)
		}
	}
	for i := range sound {
		flipped := bytes.Clone(sound)
		flipped[i] ^= 0x10
		try(flipped, "a flipped bit", i)
		try(sound[:i], "cut short", i)
	}
	_, notes, err := open(t, dir, mine, true)
	if err != nil || !strings.Contains(notes, path+" is damaged") || !strings.Contains(notes, "begins afresh") || Any(dir) {
		t.Errorf("%v, %q, something is left: %v", err, notes, Any(dir))
	}
}

func TestDamageThatComesLaterCostsTheStage(t *testing.T) {
	dir := saved(t)
	notes := ""
	d, err := Open(dir, mine, true, func(note string) { notes = note })
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "linear.ckpt"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if state, err := d.Load("linear"); state != nil || err != nil || !strings.Contains(notes, "damaged") {
		t.Errorf("%q, %v, %q", state, err, notes)
	}
}

func TestRemovingSparesWhatIsSomebodyElses(t *testing.T) {
	dir := saved(t)
	for _, name := range []string{"notes.txt", ".linear.ckpt.123"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d, _, err := open(t, dir, mine, false)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != "notes.txt" {
		t.Errorf("%v, %v", entries, err)
	}
	if err := d.Save("linear", nil); err != nil {
		t.Error(err)
	}
}

func FuzzAnyFileIsReadOrRefused(f *testing.F) {
	f.Add([]byte(magic))
	f.Add([]byte(magic + "\xff\xff\xff\xff0123456789012345678901234567890123456789"))
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "x.ckpt")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, state, err := read(path); err == nil && len(state) > len(b) {
			t.Error("more came out than went in")
		}
	})
}
