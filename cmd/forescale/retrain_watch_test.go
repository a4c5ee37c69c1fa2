package main

import (
	"encoding/json"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/blob/s3test"
	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/internal/fleet"
	"github.com/forescale/forescale/internal/journal"
	"github.com/forescale/forescale/models"
)

// alike returns the same factors for every slot.
func alike(low, high float64) func(int) (float64, float64) {
	return func(int) (float64, float64) { return low, high }
}

// decide writes the records of the newest slots. Of each a version of the group's
// model had said that its quantiles are what came true times low and times high.
func (w *workshop) decide(group string, version, slots int, factors func(i int) (low, high float64)) {
	w.t.Helper()
	j := journal.New(w.store(w.places.data))
	g := w.grids[group]
	demand := g.Columns[api.SeriesDemand]
	known := func(v float64) bool { return !math.IsNaN(v) }
	for i := g.Len() - slots; i <= g.Len(); i++ {
		d := api.Decision{Group: group, Tick: g.Time(i), Model: group, ModelVersion: version, ObservedAt: g.Time(i - 1)}
		if v := demand[i-1]; known(v) {
			d.Observed = map[string]float64{api.SeriesDemand: v}
		}
		if i < g.Len() && known(demand[i]) {
			low, high := factors(i)
			d.Forecast = &api.Forecast{Group: group, Quantiles: []float64{0.1, 0.5, 0.9}, Point: []float64{demand[i]},
				Values: [][]float64{{demand[i] * low, demand[i], demand[i] * high}}}
		}
		if err := j.Append(w.t.Context(), api.TickRecord{Tick: d.Tick, Decisions: []api.Decision{d}}); err != nil {
			w.t.Fatal(err)
		}
	}
}

// tenth returns factors with which one slot in ten is above the upper quantile, and
// one below the lower one.
func tenth(i int) (low, high float64) {
	switch i % 10 {
	case 0:
		return 0.5, 0.9
	case 5:
		return 1.1, 1.2
	}
	return 0.5, 1.5
}

// watch runs the real program as of the end of the histories.
func (w *workshop) watch(code int, args ...string) (report watchReport, printed string) {
	w.t.Helper()
	path := filepath.Join(w.t.TempDir(), "report.json")
	printed = w.run(code, w.command("watch", append([]string{"-at", w.end.Format(time.RFC3339), "-report", path}, args...)...))
	raw, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(raw, &report)
	}
	if err != nil {
		w.t.Fatalf("%v\n%s", err, printed)
	}
	return report, printed
}

// promotedWorkshop returns a workshop in which version 2 was promoted over version 1 some
// slots before the end.
func promotedWorkshop(t *testing.T, p places, slots int) *workshop {
	w := newWorkshop(t, p, "web")
	w.put("web", old, weak, nil)
	w.put("web", recent, strong, nil)
	at := w.end.Add(-time.Duration(slots) * 5 * time.Minute)
	if err := w.registry().Move(t.Context(), "web", models.Change{Version: 2, From: 1, At: at, By: "test"}); err != nil {
		t.Fatal(err)
	}
	return w
}

func TestAPromotedModelWhoseCoverageLeavesItsBandIsRolledBack(t *testing.T) {
	for name, where := range map[string]func(*testing.T) places{
		"on a directory": directory,
		"on a real S3 server": func(t *testing.T) places {
			s := s3test.StartServer(t)
			return places{data: s.URL("data"), models: s.URL("models")}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := promotedWorkshop(t, where(t), 260)
			w.decide("web", 2, 260, alike(0.5, 0.9)) // always above the upper quantile
			if _, printed := w.watch(exitAsked, "-dry-run"); !strings.Contains(printed, "version 1 would serve again") {
				t.Errorf("dry run: %s", printed)
			}
			w.want("web", "champion 2 of [1 2]: 2<1 1<0")
			metrics := filepath.Join(t.TempDir(), "forescale.prom")
			report, printed := w.watch(exitAsked, "-metrics", metrics)
			if f := report.Models[0]; f.RolledBackTo != 1 || f.Version != 2 || !strings.Contains(printed, "rolled back, version 1 serves again") {
				t.Errorf("%+v\n%s", f, printed)
			}
			w.want("web", "champion 1 of [1 2]: 1<2! 2<1 1<0")
			changes, err := w.registry().History(t.Context(), "web")
			if err != nil || changes[0].By != "forescale watch" || !strings.Contains(changes[0].Why, "at or below the 90 % quantile") || !strings.Contains(string(changes[0].Evidence), `"covered":0`) {
				t.Errorf("history %+v, %v", changes, err)
			}
			raw, err := os.ReadFile(metrics)
			for _, line := range []string{`forescale_watch_rolled_back{model="web"} 1`, `forescale_watch_live_coverage_ratio{level="0.9",model="web"} 0`, `forescale_watch_champion_version{model="web"} 2`} {
				if err != nil || !strings.Contains(string(raw), line+"\n") {
					t.Errorf("metrics lack %s (%v):\n%s", line, err, raw)
				}
			}
		})
	}
}

func TestAModelIsNotRolledBackWithoutReason(t *testing.T) {
	for name, c := range map[string]struct {
		slots, version int
		factors        func(int) (float64, float64)
		says           string
	}{
		"its quantiles hold as often as they say": {260, 2, tenth, "0.9: 90"},
		"too few slots":                      {150, 2, alike(0.5, 0.9), "0.9: 0.0 %"},
		"another version made the forecasts": {260, 1, alike(0.5, 0.9), "not known"},
	} {
		t.Run(name, func(t *testing.T) {
			w := promotedWorkshop(t, directory(t), c.slots)
			w.decide("web", c.version, c.slots, c.factors)
			report, printed := w.watch(cli.ExitOK)
			if f := report.Models[0]; f.Return.Alert || f.RolledBackTo != 0 || len(f.drifted()) > 0 || !strings.Contains(printed, c.says) {
				t.Errorf("%+v\n%s", f, printed)
			}
			w.want("web", "champion 2 of [1 2]: 2<1 1<0")
		})
	}
}

// A version that came back is not sent away again for the one that it came back for.
func TestARollBackIsNotRolledBack(t *testing.T) {
	w := promotedWorkshop(t, directory(t), 800)
	back := w.end.Add(-260 * 5 * time.Minute)
	if _, err := w.registry().RollBack(t.Context(), "web", models.Change{From: 2, At: back, By: "test"}); err != nil {
		t.Fatal(err)
	}
	w.decide("web", 1, 260, alike(0.5, 0.9))
	if _, printed := w.watch(exitAsked); !strings.Contains(printed, "version 2 was rolled back itself") {
		t.Errorf("it says %s", printed)
	}
	w.want("web", "champion 1 of [1 2]: 1<2! 2<1 1<0")
}

func TestDriftAsksForARetrainingAndMayHaveIt(t *testing.T) {
	p := directory(t)
	w := newWorkshop(t, p)
	trace, err := fleet.Generate(fleet.GenerateConfig{Seed: 6, Days: workshopDays})
	if err != nil {
		t.Fatal(err)
	}
	for i := range trace.Requests { // from a week before the end, three times as much is asked for
		if i >= len(trace.Requests)-6*24*12 {
			trace.Requests[i] *= 3
		}
	}
	w.fill("web", trace)
	w.put("web", old-2*24*12, weak, nil)
	metrics := filepath.Join(t.TempDir(), "forescale.prom")
	report, printed := w.watch(exitAsked, "-metrics", metrics)
	if got := slices.Sorted(maps.Keys(report.Models[0].Drift)); len(got) != 1 || !report.Models[0].Drift["web"].Retrain || !strings.Contains(printed, "FAILED input-week: demand: stability index") {
		t.Errorf("%+v\n%s", report.Models[0], printed)
	}
	raw, err := os.ReadFile(metrics)
	if err != nil || !strings.Contains(string(raw), `forescale_watch_retraining_asked{group="web",model="web"} 1`) || !strings.Contains(string(raw), `forescale_watch_input_stability_index{group="web",model="web",series="demand",span="week"}`) {
		t.Errorf("metrics (%v):\n%s", err, raw)
	}
	w.want("web", "champion 1 of [1]: 1<0")
	report, printed = w.watch(cli.ExitOK, "-retrain-if-drifted")
	if len(report.Retrain) != 1 || report.Retrain[0].Verdict == nil {
		t.Errorf("%+v\n%s", report.Retrain, printed)
	}
}

func TestAWatchThatCannotLookFails(t *testing.T) {
	w := promotedWorkshop(t, directory(t), 260)
	w.decide("web", 2, 260, tenth)
	store := w.store(w.places.data)
	if _, err := store.Put(t.Context(), journal.New(store).Key(w.end.Add(-time.Minute)), []byte("{"), blob.IfAbsent()); err != nil {
		t.Fatal(err)
	}
	if _, printed := w.watch(cli.ExitFailed); !strings.Contains(printed, "audit") {
		t.Errorf("it says %s", printed)
	}
	if _, err := w.store(w.places.models).Put(t.Context(), "api/champion.json", []byte("{"), blob.IfAbsent()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.store(w.places.models).Put(t.Context(), "api/1/manifest.json", []byte("{}"), blob.IfAbsent()); err != nil {
		t.Fatal(err)
	}
	if report, printed := w.watch(cli.ExitFailed); len(report.Models) != 2 || len(report.Models[1].Live.Counts) == 0 || !strings.Contains(printed, "model api: ") {
		t.Errorf("%+v\n%s", report.Models, printed)
	}
	for says, args := range map[string][]string{
		"exclude each other": {"-dry-run", "-retrain-if-drifted"},
		"must end in .prom":  {"-metrics", "x.txt"},
		"is not a time":      {"-at", "noon"},
		"audit log":          {"-data", "x.csv"},
	} {
		if printed := w.run(cli.ExitUsage, w.command("watch", args...)); !strings.Contains(printed, says) {
			t.Errorf("%v: %s", args, printed)
		}
	}
}
