package main

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/dataset"
)

func TestTheLakeIsInspectedAndVerified(t *testing.T) {
	dir := t.TempDir()
	in, lake := filepath.Join(dir, "in.csv"), filepath.Join(dir, "lake")
	write(t, in, []byte(twoDays()))
	invoke(t, "forescale", "import", in, "-group", "web", "-store", "file://"+lake).said(t, 0, "values stored")
	write(t, in, []byte("timestamp,cpu_utilization\n2026-03-28T12:00:00Z,99\n2026-03-28T12:05:00Z,98\n"))
	invoke(t, "forescale", "import", in, "-group", "web", "-store", "file://"+lake).said(t, 0, "2 values stored")
	invoke(t, "forescale", "data", "-store", lake, "-gaps").said(t, 0, "GROUP", "web    cpu_utilization", "web request_count sum: nothing from 2026-03-28 12:35 UTC to 2026-03-28 12:40 UTC")
	var v inventoryJSON
	shown := invoke(t, "forescale", "data", "web", "-store", lake, "-o", "json", "-from", "2026-03-28")
	if err := json.Unmarshal([]byte(shown.stdout), &v); err != nil {
		t.Fatalf("%v\n%s%s", err, shown.stdout, shown.stderr)
	}
	cpu := v.Series[0]
	if len(v.Series) != 4 || v.Rows != 1558 || v.Revisions != 2 || cpu.Metric != "cpu_utilization" || cpu.Revisions != 2 || cpu.Missing != 18 || len(cpu.Gaps) != 18 || v.Days != 2 || v.OpenBytes == 0 {
		t.Errorf("got %+v", v)
	}
	invoke(t, "forescale", "data", "idle", "-store", lake).expect(t, 1, `has nothing of group "idle"`)
	invoke(t, "forescale", "data", "-store", lake, "-o", "xml", "-step", "0s", "-from", "soon").expect(t, 2, "-o:", "-step:", "-from:")
	invoke(t, "forescale", "data", "verify", "-store", lake).said(t, 0, "all objects are sound")
	broken := ""
	err := filepath.WalkDir(lake, func(path string, d fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".parquet") {
			broken = path
		}
		return err
	})
	raw := []byte(read(t, broken))
	raw[len(raw)/3] ^= 1
	if err != nil || os.WriteFile(broken, raw, 0o600) != nil {
		t.Fatal(err)
	}
	got := invoke(t, "forescale", "data", "verify", "-store", lake)
	got.expect(t, 1, "1 objects cannot be trusted")
	if name := filepath.Base(broken); !strings.Contains(got.stdout, "BAD ") || !strings.Contains(got.stdout, name) {
		t.Errorf("%s is not named:\n%s", name, got.stdout)
	}
}

// A name may come from a label or a file that somebody else has written.
func TestNamesFromOutsideDoNotReachTheTerminalAsTheyAre(t *testing.T) {
	dir := t.TempDir()
	in, lake, plans := filepath.Join(dir, "in.csv"), filepath.Join(dir, "lake"), filepath.Join(dir, "plans.json")
	write(t, in, []byte("timestamp,g,power\n2026-03-28T12:00:00Z,\"x\x1b[2Jy\",1\n2026-03-28T12:05:00Z,\"x\x1b[2Jy\",1\n2026-03-28T12:30:00Z,\"x\x1b[2Jy\",1\n"))
	write(t, plans, []byte(`{"events": [{"name": "a\u001b[2Jb", "start": "2026-03-28T00:00:00Z", "end": "2026-03-29T00:00:00Z", "flag": "is_x"}]}`))
	for _, c := range []struct {
		args    []string
		refused bool
	}{
		{[]string{"import", in, "-group-column", "g", "-dry-run"}, true},
		{[]string{"import", in, "-group-column", "g", "-store", "file://" + lake}, true},
		{[]string{"calendar", "show", plans, "-from", "2026-03-27"}, false},
	} {
		got := invoke(t, "forescale", c.args...)
		if (got.code != 0) != c.refused || strings.ContainsRune(got.stdout+got.stderr, '\x1b') {
			t.Errorf("%q: %+v", c.args, got)
		}
	}
}

func TestWhatTheLakeHoldsCannotSpeakToATerminal(t *testing.T) {
	var out strings.Builder
	i := inventory{gaps: true, step: time.Minute}
	i.out = &out
	from := time.Unix(0, 0)
	v := dataset.Inventory{Series: []dataset.SeriesInventory{{Group: "\x1b[2J", Metric: "a\nb", Stat: api.StatAvg, Missing: 2, Gaps: []dataset.Gap{{From: from, To: from.Add(time.Minute)}}}}}
	if err := i.print(v); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); strings.Contains(got, "\x1b") || strings.Count(got, `"a\nb"`) != 3 {
		t.Errorf("%q", got)
	}
}
