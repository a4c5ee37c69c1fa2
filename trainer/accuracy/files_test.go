package accuracy

import (
	"compress/gzip"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/trainer"
)

// write writes a file into dir.
func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// writeTrace writes hours of a daily wave as a tidy trace.
func writeTrace(t *testing.T, dir, name, column string, hours int) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, name+".csv.gz"))
	if err != nil {
		t.Fatal(err)
	}
	z := gzip.NewWriter(f)
	fmt.Fprintf(z, "timestamp,%s\n", column)
	start := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	for i := range hours {
		fmt.Fprintf(z, "%s,%.3f\n", start.Add(time.Duration(i)*time.Hour).Format(time.RFC3339), 20+8*math.Sin(2*math.Pi*float64(i)/24)+math.Sin(float64(i*i)))
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestAManifestThatCannotBeFollowedIsRefused(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"nothing in it", "", "empty"},
		{"no trace", "name,file,target,kind\n", "no trace"},
		{"a column is missing", "name,file,kind\na,b,c\n", `no column "target"`},
		{"a target is missing", "name,file,target,kind\na,a.csv,,k\n", "row 2"},
		{"a trace twice", "name,file,target,kind\na,a.csv,y,k\na,b.csv,y,k\n", `row 3: the trace "a" is there twice`},
		{"a file elsewhere", "name,file,target,kind\na,../a.csv,y,k\n", "must lie in the folder"},
		{"no CSV", "name,file,target,kind\na,\"b\n", "quote"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := readManifest(write(t, t.TempDir(), "m.csv", c.text))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
	got, err := readManifest(write(t, t.TempDir(), "m.csv", "sha,kind,target,file,name\nx,\"web, requests\",y,a.csv.gz,a\n"))
	if want := (Trace{"a", "a.csv.gz", "y", "web, requests"}); err != nil || len(got) != 1 || got[0] != want {
		t.Errorf("%+v, %v; want %+v, columns in any order and others aside", got, err, want)
	}
}

func TestBaselinesThatMeanNothingAreRefused(t *testing.T) {
	const head = "trace,target,h,model,WAPE,skill\n"
	for _, c := range []struct{ name, text, want string }{
		{"no number of steps", head + "a,y,one,ridge,0.1,\n", "row 2: h"},
		{"no error", head + "a,y,1,ridge,,\n", "row 2: WAPE"},
		{"a negative error", head + "a,y,1,ridge,-0.1,\n", "row 2: WAPE"},
		{"an error that is not a number", head + "a,y,1,ridge,NaN,\n", "row 2: WAPE"},
		{"a forecaster twice", head + "a,y,1,ridge,0.1,\na,y,1,ridge,0.2,\n", "row 3: ridge of a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := readBaselines(write(t, t.TempDir(), "b.csv", c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
	b, err := readBaselines(write(t, t.TempDir(), "b.csv", head+"a,y,1,ridge,0.1,\na,z,1,ridge,0.2,\na,y,12,ridge,0.3,\n"))
	if err != nil || b[question{"a", "y", 1}]["ridge"] != 0.1 || b[question{"a", "z", 1}]["ridge"] != 0.2 || b[question{"a", "y", 12}]["ridge"] != 0.3 {
		t.Errorf("%v, %v", b, err)
	}
}

// folder is a folder of traces with a manifest of a and b.
func folder(t *testing.T) Config {
	t.Helper()
	dir := t.TempDir()
	writeTrace(t, dir, "a", "y", 500)
	writeTrace(t, dir, "b", "z", 600)
	write(t, dir, "manifest.csv", "name,file,target,kind\na,a.csv.gz,y,web\nb,b.csv.gz,z,cpu\n")
	return Config{Traces: dir, Preset: trainer.PresetFast, Seed: 1, Now: func() time.Time { return time.Time{} }}.complete()
}

func names(jobs []*job) (names []string) {
	for _, j := range jobs {
		names = append(names, j.trace.Name+" "+j.config.Preset)
	}
	return names
}

func TestWhatIsMeasured(t *testing.T) {
	c := folder(t)
	for _, step := range []struct {
		name   string
		before func()
		want   []string
	}{
		{"every trace of the manifest", func() {}, []string{"a fast", "b fast"}},
		{"and the reference trace with three presets where it is there", func() {
			writeTrace(t, c.Traces, reference.Name, reference.Target, 400)
		}, []string{"a fast", "b fast", "reference_multi_metric reference", "reference_multi_metric advanced", "reference_multi_metric fast"}},
		{"once for each preset", func() { c.Preset = trainer.PresetReference },
			[]string{"a reference", "b reference", "reference_multi_metric reference", "reference_multi_metric advanced"}},
		{"some of them", func() { c.Only = []string{"b", reference.Name} }, []string{"b reference", "reference_multi_metric reference", "reference_multi_metric advanced"}},
		{"one of them", func() { c.Only = []string{"a"} }, []string{"a reference"}},
	} {
		step.before()
		jobs, err := c.jobs()
		if err != nil || !slices.Equal(names(jobs), step.want) {
			t.Errorf("%s: %q, %v; want %q", step.name, names(jobs), err, step.want)
		}
	}
	c.Only = []string{"c"}
	if _, err := c.jobs(); err == nil || !strings.Contains(err.Error(), `"c"`) {
		t.Errorf("a trace that is not there: %v", err)
	}
}

func TestAFingerprintTellsApartWhatGivesOtherFigures(t *testing.T) {
	c := folder(t)
	of := func(change func(*Config)) string {
		t.Helper()
		d := c
		change(&d)
		jobs, err := d.jobs()
		if err != nil {
			t.Fatal(err)
		}
		return jobs[0].fingerprint
	}
	same := of(func(*Config) {})
	seen := map[string]string{same: "nothing"}
	for name, change := range map[string]func(*Config){
		"the seed":    func(c *Config) { c.Seed = 2 },
		"the preset":  func(c *Config) { c.Preset = trainer.PresetReference },
		"the program": func(c *Config) { c.Program = "another" },
		"-dev":        func(c *Config) { c.Dev = true },
	} {
		f := of(change)
		if other, there := seen[f]; there {
			t.Errorf("%s and %s give the same fingerprint", name, other)
		}
		seen[f] = name
	}
	for name, change := range map[string]func(*Config){
		"the number of workers": func(c *Config) { c.Workers = 7 },
		"the cache":             func(c *Config) { c.Cache = "elsewhere" },
	} {
		if of(change) != same {
			t.Errorf("%s gives another fingerprint", name)
		}
	}
	writeTrace(t, c.Traces, "a", "y", 501)
	if of(func(*Config) {}) == same {
		t.Error("another history gives the same fingerprint")
	}
}

func TestDevNeverSeesTheLastFifth(t *testing.T) {
	c := folder(t)
	a := Trace{Name: "a", File: "a.csv.gz"}
	whole, err := a.load(c.Traces, false)
	if err != nil {
		t.Fatal(err)
	}
	dev, err := a.load(c.Traces, true)
	if err != nil {
		t.Fatal(err)
	}
	if whole.Grid.Len() != 500 || dev.Grid.Len() != 400 || cap(dev.Grid.Columns["y"]) > 450 {
		t.Errorf("%d of %d slots are left, with room for %d; want 400 of 500, and the rest out of reach", dev.Grid.Len(), whole.Grid.Len(), cap(dev.Grid.Columns["y"]))
	}
	if !slices.Equal(dev.Grid.Columns["y"], whole.Grid.Columns["y"][:400]) {
		t.Error("what is left is not the beginning")
	}
}

func TestAConfigurationWithFaultsIsRefusedWithAllOfThem(t *testing.T) {
	err := Config{Traces: "no such folder", Preset: "none", Workers: -1, Dev: true, Baselines: "b.csv"}.Validate()
	if err == nil {
		t.Fatal("no fault was found")
	}
	for _, want := range []string{"no such folder", `"none"`, "workers", "baselines"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q: %v", want, err)
		}
	}
}

func TestADamagedFileOfTheCacheIsAsGoodAsNone(t *testing.T) {
	c := folder(t)
	c.Cache = filepath.Join(t.TempDir(), "deep", "cache")
	jobs, err := c.jobs()
	if err != nil {
		t.Fatal(err)
	}
	j := jobs[0]
	if _, ok, err := c.recall(j); ok || err != nil {
		t.Errorf("an empty cache answers %v, %v", ok, err)
	}
	if err := c.keep(j, measurement("a", "web", "y", 0.1)); err != nil {
		t.Fatal(err)
	}
	m, ok, err := c.recall(j)
	if err != nil || !ok || m.Trace != "a" || m.Ablation.Report.Horizons[0].Model.WAPE != 0.1 {
		t.Fatalf("the cache answers %+v, %v, %v", m, ok, err)
	}
	whole, err := os.ReadFile(c.cached(j))
	if err != nil {
		t.Fatal(err)
	}
	for _, damaged := range []string{"", string(whole[:len(whole)/2]), "{}", strings.Replace(string(whole), j.fingerprint, strings.Repeat("0", 64), 1),
		fmt.Sprintf(`{"fingerprint":%q,"measurement":{}}`, j.fingerprint)} {
		write(t, c.Cache, filepath.Base(c.cached(j)), damaged)
		if _, ok, err := c.recall(j); ok || err != nil {
			t.Errorf("%.40q is taken for a measurement (%v)", damaged, err)
		}
	}
	write(t, c.Cache, filepath.Base(c.cached(j)), string(whole))
	c.Fresh = true
	if _, ok, _ := c.recall(j); ok {
		t.Error("-fresh takes what was measured before")
	}
}

func TestProgressEstimatesTheTimeLeftFromTheSlotsThatWereMeasured(t *testing.T) {
	var log strings.Builder
	now := time.Time{}
	c := folder(t)
	c.Log, c.Now = &log, func() time.Time { return now }
	jobs, err := c.jobs()
	if err != nil {
		t.Fatal(err)
	}
	jobs = append(jobs, &job{trace: Trace{Name: "c"}, data: jobs[0].data, done: true})
	p := newProgress(c, jobs)
	report := p.begin(0, jobs[0])
	now = now.Add(9 * time.Second)
	report(trainer.Progress{Stage: "trees", Done: 0.4})
	now = now.Add(2 * time.Second)
	report(trainer.Progress{Stage: "trees", Done: 0.5})
	now = now.Add(39 * time.Second)
	jobs[0].measured = measurement("a", "web", "y", 0.1)
	jobs[0].done = true
	p.end(jobs[0])
	p.begin(1, jobs[1])
	want := `3 measurements, 1 of them done before
[1/3] a, preset fast, 500 slots
        50 % of the training, at trees
        50.0 s, of them 10.0 s for the training itself
[2/3] b, preset fast, 600 slots, about 1m0s left in all
`
	if log.String() != want {
		t.Errorf("it says\n%s\nwant\n%s", log.String(), want)
	}
}
