package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/dataset"
	"github.com/forescale/forescale/internal/fleet"
	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/trainer"
)

// workshop is a lake and a registry for tests of forescale retrain and watch, and a
// configuration whose gate is content with a day.
type workshop struct {
	t      *testing.T
	places places
	config string
	end    time.Time // of the histories
	grids  map[string]*window.Grid
}

// workshopDays is how long its histories are.
const workshopDays = 12

// newWorkshop returns a workshop with histories of the groups in its lake.
func newWorkshop(t *testing.T, p places, groups ...string) *workshop {
	t.Helper()
	w := &workshop{t: t, places: p, config: filepath.Join(t.TempDir(), "forescale.yaml"), grids: map[string]*window.Grid{}}
	w.configure(strong)
	for _, group := range groups {
		trace, err := fleet.Generate(fleet.GenerateConfig{Seed: 6, Days: workshopDays})
		if err != nil {
			t.Fatal(err)
		}
		w.fill(group, trace)
	}
	return w
}

// configure writes the configuration; challengers have members of one kind.
func (w *workshop) configure(member string) {
	w.t.Helper()
	text := fmt.Sprintf("data: %q\nmodels: %q\ngate: {min_slots: 288, rollback: {min_slots: 200}}\ntrainer: {preset: fast, members: [%s]}\n", w.places.data, w.places.models, member)
	if err := os.WriteFile(w.config, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// fill puts a workload into the lake: what twenty instances measured that served it.
func (w *workshop) fill(group string, trace *fleet.Trace) {
	w.t.Helper()
	demand, err := fleet.NewDemand(trace.Start, trace.Step, trace.Requests)
	if err != nil {
		w.t.Fatal(err)
	}
	const instances = 40
	var samples []api.Sample
	for i, v := range demand.Slots {
		if demand.Missing[i] {
			continue
		}
		at := demand.Start.Add(time.Duration(i) * demand.Step)
		samples = append(samples, api.Sample{Group: group, Metric: api.MetricCPU, Stat: api.StatAvg, Time: at, Value: 100 * v / instances},
			api.Sample{Group: group, Metric: api.MetricInService, Stat: api.StatAvg, Time: at, Value: instances})
	}
	if err := dataset.New(w.store(w.places.data)).Append(w.t.Context(), "test", demand.Start, samples, demand.End()); err != nil {
		w.t.Fatal(err)
	}
	w.end = demand.End()
	g := window.FromSamples(samples, demand.Step, demand.Start, w.end)[group]
	g.AddDemand()
	w.grids[group] = g
}

func (w *workshop) store(url string) blob.Store {
	w.t.Helper()
	store, err := blob.Open(context.Background(), url)
	if err != nil {
		w.t.Fatal(err)
	}
	return store
}

func (w *workshop) registry() *models.Registry { return models.NewRegistry(w.store(w.places.models)) }

// weak makes a model of naive forecasters, strong one of linear models.
const (
	weak   = "naive"
	strong = "linear"
)

// put registers a model of a group that was fitted on the slots before one, by its
// own account long ago.
func (w *workshop) put(group string, until int, member string, change func(*models.Manifest)) models.Manifest {
	w.t.Helper()
	c := trainer.DefaultConfig()
	c.Preset, c.Target, c.Members, c.Horizon = trainer.PresetFast, api.SeriesDemand, []string{member}, 12
	key := fmt.Sprint(member, until) // histories are the same, and models are quicker kept than made
	kept, ok := trained.Load(key)
	if !ok {
		result, err := trainer.Train(w.t.Context(), c, trainer.Data{Grid: w.grids[group]}.FitUntil(until))
		if err != nil {
			w.t.Fatal(err)
		}
		kept, _ = trained.LoadOrStore(key, result)
	}
	result := kept.(*trainer.Result)
	m := result.Manifest
	m.Name, m.Groups, m.CreatedAt = group, []string{group}, m.TrainedUntil
	if change != nil {
		change(&m)
	}
	m, err := w.registry().Put(w.t.Context(), m, result.Model)
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

// trained holds the models that put has made, by member and slot.
var trained sync.Map

// command returns the real program with the configuration.
func (w *workshop) command(name string, args ...string) *exec.Cmd {
	args = append([]string{name, "-config", w.config}, args...)
	cmd := exec.Command(filepath.Join(programs(w.t), "forescale"), args...)
	cmd.Env = append(os.Environ(), "AWS_EC2_METADATA_DISABLED=true")
	return cmd
}

// retrain runs the real program up to the end of the histories and returns what it
// printed.
func (w *workshop) retrain(code int, args ...string) (report retrainReport, printed string) {
	w.t.Helper()
	path := filepath.Join(w.t.TempDir(), "report.json")
	printed = w.run(code, w.command("retrain", append([]string{"-end", w.end.Format(time.RFC3339), "-report", path}, args...)...))
	if raw, err := os.ReadFile(path); err == nil {
		if err := json.Unmarshal(raw, &report); err != nil {
			w.t.Fatal(err)
		}
	}
	return report, printed
}

// run runs a program that must end with an exit code.
func (w *workshop) run(code int, cmd *exec.Cmd) string {
	w.t.Helper()
	out, err := cmd.CombinedOutput()
	if got := cmd.ProcessState.ExitCode(); got != code {
		w.t.Fatalf("%v: exit code %d, want %d (%v)\n%s", cmd.Args, got, code, err, out)
	}
	return string(out)
}

// state is what the registry says of a model: its champion, its versions, and the
// moves of the champion, the newest first.
func (w *workshop) state(name string) string {
	w.t.Helper()
	ctx, r := w.t.Context(), w.registry()
	versions, err := r.Versions(ctx, name)
	if err != nil {
		w.t.Fatal(err)
	}
	if len(versions) == 0 {
		return "nothing"
	}
	m, err := r.Champion(ctx, name)
	if err != nil {
		w.t.Fatal(err)
	}
	changes, err := r.History(ctx, name)
	if err != nil {
		w.t.Fatal(err)
	}
	text := fmt.Sprintf("champion %d of %v:", m.Version, versions)
	for _, c := range changes {
		text += fmt.Sprintf(" %d<%d%s", c.Version, c.From, map[bool]string{true: "!"}[c.RollBack])
	}
	return text
}

func (w *workshop) want(name, state string) {
	w.t.Helper()
	if got := w.state(name); got != state {
		w.t.Errorf("the registry says of %s: %s; want: %s", name, got, state)
	}
}

// Slots before which models were trained: old ones and recent ones, none of which
// has seen the test or its warm-up.
const (
	old    = (workshopDays - 5) * 24 * 12
	recent = old + 36*12
)
