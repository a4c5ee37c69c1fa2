package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/dataset"
	"github.com/forescale/forescale/internal/fleet"
)

// The tests of bad input put it to the real programs and ask three things: is the
// exit code right, does the message name the input and the place, and is
// everything that was there before still there, with nothing half written.

// outcome is what a program left behind.
type outcome struct {
	code           int // -1: ended by a signal, or by the deadline
	stdout, stderr string
}

// invoke runs one of the programs without credentials of any cloud.
func invoke(t *testing.T, name string, args ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(programs(t), name), args...)
	cmd.Env = withoutCredentials()
	cmd.Dir = t.TempDir()
	return finish(t, cmd)
}

// finish runs a command to its end.
func finish(t *testing.T, cmd *exec.Cmd) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", cmd, err)
	}
	return outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// withoutCredentials is the environment of a machine that knows of no cloud.
func withoutCredentials() []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "AWS_") })
	return append(env, "AWS_EC2_METADATA_DISABLED=true", "AWS_CONFIG_FILE="+os.DevNull, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull)
}

// expect compares an outcome with an exit code and parts of its messages.
func (o outcome) expect(t *testing.T, code int, parts ...string) {
	t.Helper()
	if o.code != code {
		t.Errorf("exit code %d, want %d:\n%s%s", o.code, code, o.stdout, o.stderr)
	}
	for _, part := range parts {
		if !strings.Contains(o.stderr, part) {
			t.Errorf("the message does not say %q:\n%s", part, o.stderr)
		}
	}
	for _, bad := range []string{"panic", "goroutine", "%!"} {
		if strings.Contains(o.stderr, bad) {
			t.Errorf("a program fell over:\n%s", o.stderr)
		}
	}
}

// content returns every file below a folder but those that a directory store
// keeps for itself. A folder that is missing holds nothing.
func content(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case d.Name() == ".forescale":
			return fs.SkipDir
		case !d.IsDir():
			raw, err := os.ReadFile(path)
			files[strings.TrimPrefix(path, dir)] = string(raw)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// unchanged checks that a folder holds what it held, and nothing else.
func unchanged(t *testing.T, dir string, before map[string]string) {
	t.Helper()
	after := content(t, dir)
	for name, old := range before {
		if now, there := after[name]; !there || now != old {
			t.Errorf("%s%s: was changed or is gone", dir, name)
		}
	}
	for name := range after {
		if _, there := before[name]; !there {
			t.Errorf("%s%s: was left behind", dir, name)
		}
	}
}

// recentRows returns n rows of a daily wave that ends an hour ago, so that a
// trainer that reads the last weeks of a lake finds them.
func recentRows(n int) []string {
	start := time.Now().UTC().Truncate(5 * time.Minute).Add(-time.Hour - time.Duration(n)*5*time.Minute)
	rows := make([]string, n)
	for i := range rows {
		rows[i] = fmt.Sprintf("%s,%d", start.Add(time.Duration(i)*5*time.Minute).Format(time.RFC3339), 30+(i%288)/8+i%7)
	}
	return rows
}

const header = "timestamp,cpu_utilization"

func table(rows ...string) []byte { return []byte(header + "\n" + strings.Join(rows, "\n") + "\n") }

// with returns the rows with one of them replaced.
func with(rows []string, i int, row string) []string {
	rows = slices.Clone(rows)
	rows[i] = row
	return rows
}

// valued returns a row with another value.
func valued(row, value string) string { return strings.Split(row, ",")[0] + "," + value }

func zipped(t *testing.T, chunk []byte, times int) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	for range times {
		if _, err := w.Write(chunk); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestABadFileIsNamedWithThePlaceAndNothingOfItIsStored(t *testing.T) {
	rows := recentRows(1000)
	whole := zipped(t, table(rows...), 1)
	bomb := append(zipped(t, []byte(header+"\n"), 1), zipped(t, bytes.Repeat([]byte("\n"), 1<<20), 256)...)
	dir := t.TempDir()
	lake, registry, out := filepath.Join(dir, "lake"), filepath.Join(dir, "models"), filepath.Join(dir, "out")
	good := filepath.Join(dir, "good.csv")
	write(t, good, table(rows...))
	invoke(t, "forescale-collector", "-data", lake, "-import", good, "-group", "web").expect(t, 0)
	before := content(t, lake)
	if len(before) == 0 {
		t.Fatal("the good file was not stored")
	}
	for name, c := range map[string]struct {
		file    string
		content []byte
		want    []string
	}{
		"empty":                  {"empty.csv", nil, []string{"empty.csv: the file is empty", "timestamp"}},
		"a header alone":         {"header.csv", []byte(header + "\n"), []string{"header.csv:1", "no rows"}},
		"no timestamp column":    {"nots.csv", []byte("time,cpu_utilization\n" + rows[0] + "\n"), []string{"nots.csv:1", "no column is called timestamp", "time, cpu_utilization"}},
		"text for a number":      {"text.csv", table(with(rows, 10, valued(rows[10], "lots"))...), []string{"text.csv:12", "column 2 (cpu_utilization)", `"lots" is not a number`}},
		"text for a time":        {"when.csv", table(with(rows, 10, "noon,4")...), []string{"when.csv:12", "column 1 (timestamp)", `"noon" is not a time`}},
		"infinity":               {"inf.csv", table(with(rows, 10, valued(rows[10], "Inf"))...), []string{"inf.csv:12", "column 2 (cpu_utilization)", "not finite"}},
		"beyond a float":         {"huge.csv", table(with(rows, 10, valued(rows[10], "-1e999"))...), []string{"huge.csv:12", "not finite"}},
		"one time, two values":   {"twice.csv", table(with(rows, 10, valued(rows[9], "99"))...), []string{"twice.csv:12", "line 11 has the same time", "99"}},
		"a field too many":       {"fields.csv", table(with(rows, 10, rows[10]+",1")...), []string{"fields.csv:12", "3 fields"}},
		"gzip cut short":         {"cut.csv.gz", whole[:len(whole)/2], []string{"cut.csv.gz:", "the gzip data ends early"}},
		"no gzip":                {"plain.csv.gz", table(rows...), []string{"plain.csv.gz: ", "not gzip"}},
		"a gzip bomb":            {"bomb.csv.gz", bomb, []string{"bomb.csv.gz:", "lines or more"}},
		"a gzip bomb, one line":  {"line.csv.gz", zipped(t, bytes.Repeat([]byte("0"), 1<<20), 64), []string{"line.csv.gz:1", "longer than"}},
		"bytes that are no text": {"noise.csv", bytes.Repeat([]byte("\x00\x1b[2J\xff\n"), 99), []string{"noise.csv:1", "no column is called timestamp"}},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), c.file)
			write(t, path, c.content)
			for _, o := range []outcome{
				invoke(t, "forescale-collector", "-data", lake, "-import", path, "-group", "web"),
				invoke(t, "forescale-trainer", "-data", path, "-target", "cpu_utilization", "-out", out, "-models", registry),
				invoke(t, "forescale", "demo", "-headless", "-trace", path, "-target", "cpu_utilization"),
				invoke(t, "forescale", "cloud", "-listen", "127.0.0.1:0", "-trace", path, "-target", "cpu_utilization"),
			} {
				o.expect(t, 1, c.want...)
				if strings.ContainsRune(o.stderr, '\x1b') {
					t.Errorf("control characters of the file reach the terminal: %q", o.stderr)
				}
			}
			unchanged(t, lake, before)
			unchanged(t, out, nil)
			unchanged(t, registry, nil)
		})
	}
	t.Run("a missing column", func(t *testing.T) {
		invoke(t, "forescale-trainer", "-data", good, "-target", "memory", "-out", out).expect(t, 1, good, `"memory"`, "cpu_utilization")
		invoke(t, "forescale-collector", "-data", lake, "-import", good, "-group", "web", "-column", "cpu_utilization=memory").
			expect(t, 1, good, `"memory"`, "cpu_utilization")
		invoke(t, "forescale", "demo", "-headless", "-trace", good, "-target", "memory").expect(t, 1, good, `"memory"`, "cpu_utilization")
		unchanged(t, lake, before)
		unchanged(t, out, nil)
	})
}

func TestWhatCanBeMendedInAFileIsMendedAndSaid(t *testing.T) {
	rows := recentRows(1000)
	swapped := with(with(rows, 10, rows[500]), 500, rows[10])
	for name, c := range map[string]struct {
		rows []string
		note string
		lost int // slots that the lake then lacks
	}{
		"unsorted":           {swapped, "not in the order of time, first at line 13", 0},
		"a row twice":        {slices.Insert(slices.Clone(rows), 11, rows[10]), "1 rows repeat", 0},
		"a gap of a day":     {slices.Delete(slices.Clone(rows), 300, 300+288), "1 gaps", 288},
		"NaN is not there":   {with(rows, 10, valued(rows[10], "NaN")), "", 1},
		"an empty value too": {with(rows, 10, valued(rows[10], "")), "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path, lake, out := filepath.Join(dir, "in.csv"), filepath.Join(dir, "lake"), filepath.Join(dir, "out")
			write(t, path, table(c.rows...))
			invoke(t, "forescale-collector", "-data", lake, "-import", path, "-group", "web").expect(t, 0, c.note)
			if got := len(scan(t, lake)); got != len(rows)-c.lost {
				t.Errorf("the lake has %d samples of %d slots, %d are missing in the file", got, len(rows), c.lost)
			}
			invoke(t, "forescale-trainer", "-data", path, "-epochs", "1", "-out", out).expect(t, 0, c.note)
			if files := content(t, out); len(files) != 4 {
				t.Errorf("the trainer wrote %d files, want 4", len(files))
			}
		})
	}
}

func TestAnUnknownKeyOfACalendarIsNamedWithItsPlace(t *testing.T) {
	dir := t.TempDir()
	calendar, config, data := filepath.Join(dir, "calendar.json"), filepath.Join(dir, "forescale.yaml"), filepath.Join(dir, "in.csv")
	write(t, data, table(recentRows(400)...))
	write(t, config, fmt.Appendf(nil, "data: %s/lake\nmodels: %s/models\ncalendar: %s\nscaler:\n  groups: [{name: web, min: 1, max: 2}]\n", dir, dir, calendar))
	for _, c := range []struct{ text, want string }{
		{`{"is_sale_active": 1, "sale": 2}`, `line 1, column 23: unknown key "sale"`},
		{"{\"events\": [\n  {\"name\": \"x\", \"colour\": \"red\"}]}", `line 2, column 17: events[0]: unknown key "colour"`},
		{`{"is_sale_active": "yes"}`, "is_sale_active"},
		{``, "calendar.json"},
	} {
		write(t, calendar, []byte(c.text))
		invoke(t, "forescale-collector", "-config", config, "-import", data, "-group", "web").expect(t, 2, calendar, c.want)
		invoke(t, "forescale-scaler", "-config", config, "-once").expect(t, 2, calendar, c.want)
		invoke(t, "forescale-trainer", "-data", data, "-calendar", calendar, "-out", filepath.Join(dir, "out")).expect(t, 2, calendar, c.want)
	}
	for _, made := range []string{"lake", "models", "out"} {
		unchanged(t, filepath.Join(dir, made), nil)
	}
}

func TestATruncatedPartIsNamedAndHidesNothingElse(t *testing.T) {
	rows := recentRows(1000)
	dir := t.TempDir()
	lake, data := filepath.Join(dir, "lake"), filepath.Join(dir, "in.csv")
	write(t, data, table(rows...))
	imported := func() outcome {
		return invoke(t, "forescale-collector", "-data", lake, "-import", data, "-group", "web")
	}
	imported().expect(t, 0)
	victim, damaged := truncatePart(t, lake)
	before := content(t, lake)

	trained := invoke(t, "forescale-trainer", "-data", "file://"+lake, "-group", "web", "-target", "cpu_utilization", "-epochs", "1", "-out", filepath.Join(dir, "out"))
	trained.expect(t, 0, "left out of the history", strings.TrimPrefix(victim, "/"))
	unchanged(t, lake, before)

	// What the part held is stored again beside it, and the part stays for
	// somebody to look at.
	imported().expect(t, 0)
	if got := len(scan(t, lake)); got != len(rows) {
		t.Errorf("after the import the lake has %d samples, want %d", got, len(rows))
	}
	if content(t, lake)[victim] != damaged {
		t.Error("the damaged part was changed")
	}
}

func TestTheScalerDecidesBesideATruncatedPart(t *testing.T) {
	s := newSystem(t, directory(t))
	now := s.cloud.Now()
	run := func(name string, args ...string) outcome { return finish(t, s.command(name, args...)) }
	run("collector", "-backfill", between(now.Add(-48*time.Hour), now)).expect(t, 0)
	tick := now.Add(systemStep)
	s.at(tick)
	run("collector", "-once", "-at", tick.Format(time.RFC3339)).expect(t, 0)
	lake := strings.TrimPrefix(s.places.data, "file://")
	victim, damaged := truncatePart(t, lake)
	o := run("scaler", "-once", "-at", tick.Format(time.RFC3339))
	o.expect(t, 0)
	if !strings.Contains(o.stdout, "web") || !strings.Contains(o.stdout+o.stderr, strings.TrimPrefix(victim, "/")) {
		t.Errorf("a decision about web, and the name of the part, are wanted:\n%s%s", o.stdout, o.stderr)
	}
	if content(t, lake)[victim] != damaged {
		t.Error("the damaged part was changed")
	}
}

// truncatePart halves the newest part of a lake, and returns its path below the
// lake with what is left of it.
func truncatePart(t *testing.T, lake string) (path, left string) {
	t.Helper()
	for name := range content(t, lake) {
		if strings.HasSuffix(name, ".parquet") && name > path {
			path = name
		}
	}
	if path == "" {
		t.Fatal("the lake has no part")
	}
	raw, err := os.ReadFile(lake + path)
	if err != nil {
		t.Fatal(err)
	}
	left = string(raw[:len(raw)/2])
	write(t, lake+path, []byte(left))
	return path, left
}

// scan returns the samples of a lake, as far as it can be read.
func scan(t *testing.T, dir string) []api.Sample {
	t.Helper()
	store, err := blob.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	samples, err := dataset.New(store).Scan(t.Context(), dataset.Query{})
	if err != nil && !dataset.OnlyCorrupt(err) {
		t.Fatal(err)
	}
	return samples
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// shortTrace writes days of a generated load, and returns the path.
func shortTrace(t *testing.T, days int) string {
	t.Helper()
	g, err := fleet.Generate(fleet.GenerateConfig{Seed: 3, Days: days})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	b.WriteString("timestamp,request_count\n")
	for i, v := range g.Requests {
		if v == v {
			fmt.Fprintf(&b, "%s,%g\n", g.Start.Add(time.Duration(i)*g.Step).Format(time.RFC3339), v)
		}
	}
	path := filepath.Join(t.TempDir(), "load.csv")
	write(t, path, b.Bytes())
	return path
}
