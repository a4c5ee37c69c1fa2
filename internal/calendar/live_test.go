package calendar

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestAChangedFileCountsOnceItIsSound(t *testing.T) {
	path := filepath.Join(t.TempDir(), "calendar.json")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Open(path); err == nil {
		t.Error("a file that is not there was opened")
	}
	write(`{"is_x": 1}`)
	l, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		name    string
		change  func()
		changed bool
		fault   string
		want    float64
	}{
		{"the same file", func() {}, false, "", 1},
		{"another layout", func() { write("{ \"is_x\" : 1 }") }, false, "", 1},
		{"another value", func() { write(`{"is_x": 2}`) }, true, "", 2},
		{"a broken file", func() { write(`{"x": 3}`) }, false, "unknown key", 2},
		{"the same fault is told once", func() {}, false, "", 2},
		{"another fault is told", func() { write(`{"is_x": `) }, false, "ends early", 2},
		{"a file that is gone", func() { _ = os.Remove(path) }, false, "no such file", 2},
		{"a sound one again", func() { write(`{"is_x": 4}`) }, true, "", 4},
	} {
		step.change()
		changed, err := l.Reload()
		if changed != step.changed || (err == nil) != (step.fault == "") || err != nil && !strings.Contains(err.Error(), step.fault) || l.Flag("is_x", day) != step.want {
			t.Errorf("%s: changed %v, error %v, value %v", step.name, changed, err, l.Flag("is_x", day))
		}
	}
	if len(l.Flags()) != 1 || l.Hash() != l.Calendar().Hash() {
		t.Error("the parts of a version do not fit together")
	}
}

func TestWatchSaysWhatBecameOfAChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "calendar.json")
		write := func(text string) {
			t.Helper()
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write(`{"is_x": 1}`)
		l, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- l.Watch(ctx, time.Minute, slog.New(slog.NewTextHandler(&out, nil))) }()
		for _, step := range []struct {
			text, told string
			want       float64
		}{{`{"x": 1}`, "is broken, the earlier one holds", 1}, {`{"is_x": 2}`, "the calendar has changed", 2}} {
			write(step.text)
			time.Sleep(90 * time.Second)
			synctest.Wait()
			if !strings.Contains(out.String(), step.told) || l.Flag("is_x", day) != step.want {
				t.Errorf("after %s: %v\n%s", step.text, l.Flag("is_x", day), out.String())
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
