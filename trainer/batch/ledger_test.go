package batch

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/calendar"
	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/trainer"
)

func ledger(t *testing.T) *Ledger {
	t.Helper()
	l, err := OpenLedger(filepath.Join(t.TempDir(), "out", ".ledger"))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// marked returns the jobs with fingerprints.
func marked(all []Job, fingerprint string) []Job {
	for i := range all {
		all[i].Fingerprint = func(context.Context) (string, error) { return fingerprint + all[i].Group, nil }
	}
	return all
}

func TestAResumedRunTrainsWhatIsNotDelivered(t *testing.T) {
	l := ledger(t)
	broken := true
	train := func(_ context.Context, job Job) (Outcome, error) {
		if broken && job.Group == "g1" {
			return Outcome{}, errors.New("no")
		}
		return Outcome{Version: 4, Samples: 7}, nil
	}
	first, err := Run(t.Context(), Config{Ledger: l, Resume: true}, marked(jobs(3, 1), "a"), train)
	if got := statuses(first); err == nil || got != "g0 trained, g1 failed, g2 trained" {
		t.Fatalf("%s, %v", got, err)
	}
	broken = false
	gone := marked(jobs(3, 1), "a")
	gone[2].Delivered = func() bool { return false }
	for _, step := range []struct {
		name   string
		jobs   []Job
		resume bool
		want   string
	}{
		{"what failed is tried again", marked(jobs(3, 1), "a"), true, "g0 skipped, g1 trained, g2 skipped"},
		{"nothing is left to do", marked(jobs(3, 1), "a"), true, "g0 skipped, g1 skipped, g2 skipped"},
		{"what somebody removed", gone, true, "g0 skipped, g1 skipped, g2 trained"},
		{"changed data or configuration", marked(jobs(3, 1), "b"), true, "g0 trained, g1 trained, g2 trained"},
		{"a group that is new", marked(jobs(4, 1), "b"), true, "g0 skipped, g1 skipped, g2 skipped, g3 trained"},
		{"without resume", marked(jobs(2, 1), "b"), false, "g0 trained, g1 trained"},
	} {
		s, err := Run(t.Context(), Config{Ledger: l, Resume: step.resume}, step.jobs, train)
		if got := statuses(s); err != nil || got != step.want {
			t.Errorf("%s: %s, want %s; %v", step.name, got, step.want, err)
		}
		if s.Results[0].Version != 4 {
			t.Errorf("%s: the outcome of a skipped group is lost: %+v", step.name, s.Results[0])
		}
	}
	if err := l.Forget([]string{"g0", "nobody"}); err != nil {
		t.Fatal(err)
	}
	if s, err := Run(t.Context(), Config{Ledger: l, Resume: true}, marked(jobs(2, 1), "b"), train); err != nil || statuses(s) != "g0 trained, g1 skipped" {
		t.Errorf("after forgetting g0: %s, %v", statuses(s), err)
	}
}

func TestADamagedEntryOfTheLedgerIsAsGoodAsNone(t *testing.T) {
	l := ledger(t)
	train := func(context.Context, Job) (Outcome, error) { return Outcome{}, nil }
	run := func() string {
		s, err := Run(t.Context(), Config{Ledger: l, Resume: true}, marked(jobs(2, 1), "a"), train)
		if err != nil {
			t.Fatal(err)
		}
		return statuses(s)
	}
	run()
	other, err := os.ReadFile(l.path("g0"))
	if err != nil {
		t.Fatal(err)
	}
	for _, content := range []string{"", "{", "[]", string(other)} { // the last is of another group
		if err := os.WriteFile(l.path("g1"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := run(); got != "g0 skipped, g1 trained" {
			t.Errorf("entry %q: %s", content, got)
		}
	}
}

func TestEveryGroupHasAFileOfItsOwn(t *testing.T) {
	l := ledger(t)
	long := strings.Repeat("Ä", 120)
	seen := map[string]string{}
	for _, group := range []string{"web", "Web", "a/b", "a_b", "..", "", long, long + "x", "run"} {
		path := l.path(group)
		if other, taken := seen[strings.ToLower(path)]; taken {
			t.Errorf("%q and %q share %s", group, other, path)
		}
		seen[strings.ToLower(path)] = group
		if err := l.put(Result{Group: group, fingerprint: "f"}, time.Now()); err != nil {
			t.Error(err)
		}
		if e, ok := l.get(group); !ok || e.Fingerprint != "f" || filepath.Dir(path) != l.dir {
			t.Errorf("%q in %s: %+v, %v", group, path, e, ok)
		}
	}
}

func TestAFailingFingerprintIsAFailedGroup(t *testing.T) {
	all := marked(jobs(2, 1), "a")
	all[0].Fingerprint = func(context.Context) (string, error) { return "", errors.New("unreadable") }
	s, err := Run(t.Context(), Config{Ledger: ledger(t)}, all, func(context.Context, Job) (Outcome, error) { return Outcome{}, nil })
	if statuses(s) != "g0 failed, g1 trained" || err == nil || !strings.Contains(err.Error(), "g0: unreadable") {
		t.Errorf("%s, %v", statuses(s), err)
	}
}

func TestARunThatDidNotCompleteKeepsItsSpan(t *testing.T) {
	l := ledger(t)
	until := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	span := Span{From: until.AddDate(0, 0, -14), Until: until, Touched: until.Add(time.Hour)}
	second := Shard{Index: 1, Count: 3}
	if err := l.KeepSpan(second, span); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		shard Shard
		after time.Duration // since it was touched
		want  bool
	}{
		"soon after":     {second, time.Minute, true},
		"the next night": {second, 23 * time.Hour, false},
		"another shard":  {Shard{Index: 2, Count: 3}, time.Minute, false},
		"no shard":       {Shard{}, time.Minute, false},
	} {
		if got, ok := l.Span(c.shard, span.Touched.Add(c.after)); ok != c.want || ok && got != span {
			t.Errorf("%s: %v, %v", name, got, ok)
		}
	}
	if err := l.DropSpan(second); err != nil {
		t.Fatal(err)
	}
	if _, ok := l.Span(second, span.Touched); ok {
		t.Error("a complete run still has a span")
	}
	if err := l.DropSpan(second); err != nil {
		t.Errorf("dropped twice: %v", err)
	}
}

func data() trainer.Data {
	start := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	return trainer.Data{Grid: &window.Grid{Group: "web", Start: start, Step: time.Hour,
		Columns: map[string]api.Series{"cpu": {1, 2, 3}, "net": {4, 5, 6}}, Censored: []bool{false, false, false}}}
}

func TestTheHashOfAHistoryFollowsFromAllOfIt(t *testing.T) {
	base := DataHash(data())
	if DataHash(data()) != base {
		t.Fatal("the same history has two hashes")
	}
	seen := map[string]string{base: "the history itself"}
	for name, change := range map[string]func(*trainer.Data){
		"a value":         func(d *trainer.Data) { d.Grid.Columns["cpu"][2] = 3.0000000001 },
		"a missing value": func(d *trainer.Data) { d.Grid.Columns["cpu"][0] = nan() },
		"values moved over": func(d *trainer.Data) {
			d.Grid.Columns["cpu"], d.Grid.Columns["net"] = d.Grid.Columns["net"], d.Grid.Columns["cpu"]
		},
		"a series":             func(d *trainer.Data) { delete(d.Grid.Columns, "net") },
		"a name":               func(d *trainer.Data) { d.Grid.Columns["neu"] = d.Grid.Columns["net"]; delete(d.Grid.Columns, "net") },
		"another slot":         func(d *trainer.Data) { d.Grid.Columns["cpu"] = append(d.Grid.Columns["cpu"], 0) },
		"the time":             func(d *trainer.Data) { d.Grid.Start = d.Grid.Start.Add(time.Minute) },
		"the step":             func(d *trainer.Data) { d.Grid.Step = time.Minute },
		"the group":            func(d *trainer.Data) { d.Grid.Group = "api" },
		"what is censored":     func(d *trainer.Data) { d.Grid.Censored[1] = true },
		"a calendar":           func(d *trainer.Data) { *d = withCalendar(*d, "2026-03-02T01:00:00Z") },
		"a sale in the future": func(d *trainer.Data) { *d = withCalendar(*d, "2026-03-02T20:00:00Z") },
	} {
		d := data()
		change(&d)
		h := DataHash(d)
		if other, taken := seen[h]; taken {
			t.Errorf("%s and %s have the same hash", name, other)
		}
		seen[h] = name
	}
	a, b := data(), data()
	a.Grid.Columns["cpu"][0], b.Grid.Columns["cpu"][0] = nan(), -nan()
	if DataHash(a) != DataHash(b) {
		t.Error("two missing values have different hashes")
	}
}

func withCalendar(d trainer.Data, from string) trainer.Data {
	c, err := calendar.Parse([]byte(`{"events": [{"name": "sale", "start": "` + from + `", "end": "2026-03-02T23:00:00Z", "flags": {"is_sale_active": 1}}]}`))
	if err != nil {
		panic(err)
	}
	d.Flags, d.FlagNames = c, c.Flags()
	return d
}

func nan() float64 { return math.NaN() }

func TestTheHashOfAConfigurationFollowsFromWhatCounts(t *testing.T) {
	hash := func(c trainer.Config, settings ...string) string {
		h, err := ConfigHash(c, settings...)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	base := trainer.DefaultConfig()
	same := base
	same.Workers, same.Now, same.Progress = 7, time.Now, func(trainer.Progress) {}
	if hash(base) != hash(same) {
		t.Error("workers, clock or progress change the hash")
	}
	seed, none := base, base
	seed.Seed, none.Known = 1, []string{}
	for name, h := range map[string]string{"a seed": hash(seed), "no flags": hash(none), "a setting": hash(base, "s3://x"), "an empty setting": hash(base, "")} {
		if h == hash(base) {
			t.Errorf("%s does not change the hash", name)
		}
	}
	if hash(base, "a", "b") == hash(base, "ab") {
		t.Error("settings run together")
	}
	if Fingerprint("v1", "c", "d") == Fingerprint("v2", "c", "d") || Fingerprint("v", "c", "d") == Fingerprint("v", "d", "c") {
		t.Error("a fingerprint does not follow from all that it is made of")
	}
}
