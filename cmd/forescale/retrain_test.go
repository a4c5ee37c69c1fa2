package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/blob/s3test"
	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/internal/dataset"
	"github.com/forescale/forescale/internal/fleet"
	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/models/gate"
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

func TestABetterChallengerIsPromotedAndAWorseOneIsNot(t *testing.T) {
	for name, where := range map[string]func(*testing.T) places{
		"on a directory": directory,
		"on a real S3 server": func(t *testing.T) places {
			s := s3test.StartServer(t)
			return places{data: s.URL("data"), models: s.URL("models")}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorkshop(t, where(t), "web")
			w.put("web", old, weak, nil)
			if report, printed := w.retrain(cli.ExitOK, "-group", "web", "-dry-run"); report.Groups[0].Outcome != dryPromoted || !strings.Contains(printed, "promote the challenger") {
				t.Errorf("dry run: %+v\n%s", report, printed)
			}
			w.want("web", "champion 1 of [1]: 1<0")
			report, printed := w.retrain(cli.ExitOK) // there is only one group
			if report.Groups[0].Outcome != promoted || !strings.Contains(printed, "version 2 serves now") {
				t.Errorf("%+v\n%s", report, printed)
			}
			w.want("web", "champion 2 of [1 2]: 2<1 1<0")
			w.checkEvidence(2)
			if report, _ := w.retrain(cli.ExitOK); report.Groups[0].Outcome != passedOver {
				t.Errorf("the same day: %+v", report.Groups[0])
			}
			w.configure(weak)
			report, printed = w.retrain(cli.ExitOK, "-again")
			if report.Groups[0].Outcome != kept || !strings.Contains(printed, "FAILED error: WAPE") || !strings.Contains(printed, "web version 2 serves on") {
				t.Errorf("%+v\n%s", report, printed)
			}
			w.want("web", "champion 2 of [1 2 3]: 2<1 1<0")
			if raw, err := w.registry().Verdict(t.Context(), "web", 3); err != nil || !bytes.Contains(raw, []byte(`"promote":false`)) {
				t.Errorf("verdict on version 3: %s, %v", raw, err)
			}
		})
	}
}

// checkEvidence checks what is kept of a promotion to a version.
func (w *workshop) checkEvidence(version int) {
	w.t.Helper()
	changes, err := w.registry().History(w.t.Context(), "web")
	if err != nil {
		w.t.Fatal(err)
	}
	c := changes[0]
	var e evidence
	if err := json.Unmarshal(c.Evidence, &e); err != nil {
		w.t.Fatal(err)
	}
	in := e.Input
	if c.Version != version || c.By != programName || c.Why == "" || !e.Verdict.Promote || in.Champion == nil || in.Champion.Version != c.From || in.Challenger.Version != version {
		w.t.Errorf("change %+v\nevidence %+v", c, e)
	}
	if in.Challenger.Slots < 288 || in.Challenger.TrainedUntil.After(in.Challenger.From) || in.Champion.TrainedUntil.After(in.Champion.From) || !in.Challenger.From.Equal(in.Champion.From) {
		w.t.Errorf("they were judged on %+v and %+v", in.Challenger, in.Champion)
	}
	// What was judged is what serves, and the gate says the same of it again.
	if again := (gateOf(w.t, w.config)).Judge(in); again.String() != e.Verdict.String() {
		w.t.Errorf("the gate now says %s\nand said %s", again, e.Verdict)
	}
}

// gateOf returns the limits of a configuration.
func gateOf(t *testing.T, config string) gate.Config {
	t.Helper()
	s := &site{file: config, history: day}
	if err := s.load(); err != nil {
		t.Fatal(err)
	}
	return s.gate
}

func TestTheFirstModelMustBeatTheLastValue(t *testing.T) {
	w := newWorkshop(t, directory(t), "web")
	w.configure(weak)
	report, printed := w.retrain(cli.ExitOK, "-group", "web")
	if report.Groups[0].Outcome != kept || !strings.Contains(printed, "against persistence") || !strings.Contains(printed, "not put into the registry") {
		t.Errorf("%+v\n%s", report, printed)
	}
	w.want("web", "nothing")
	w.configure(strong)
	if report, printed = w.retrain(cli.ExitOK, "-group", "web"); report.Groups[0].Outcome != promoted {
		t.Errorf("%+v\n%s", report, printed)
	}
	w.want("web", "champion 1 of [1]: 1<0")
	changes, err := w.registry().History(t.Context(), "web")
	if err != nil || changes[0].By != programName || len(changes[0].Evidence) == 0 {
		t.Errorf("history %+v, %v", changes, err)
	}
}

func TestAChampionThatHasSeenTheTestIsNotFlattered(t *testing.T) {
	const slots = workshopDays * 24 * 12
	t.Run("both are judged on what it has not seen", func(t *testing.T) {
		w := newWorkshop(t, directory(t), "web")
		m := w.put("web", slots-288-340, weak, nil) // a day of warm-up and 340 slots are left
		report, printed := w.retrain(cli.ExitOK, "-group", "web")
		in := report.Groups[0].Input
		if in == nil || in.Champion == nil || !strings.Contains(printed, "has learned from the history up to") {
			t.Fatalf("%+v\n%s", report, printed)
		}
		if from := m.TrainedUntil.Add(day); in.Champion.From.Before(from) || !in.Challenger.From.Equal(in.Champion.From) || in.Challenger.TrainedUntil.After(in.Champion.From.Add(-day)) {
			t.Errorf("trained until %s, judged on %+v, the challenger on %+v", m.TrainedUntil, in.Champion, in.Challenger)
		}
	})
	t.Run("where too little is left, nothing is judged", func(t *testing.T) {
		w := newWorkshop(t, directory(t), "web")
		w.put("web", slots-400, weak, nil)
		report, printed := w.retrain(cli.ExitFailed, "-group", "web")
		if report.Groups[0].Outcome != failed || !strings.Contains(printed, "112 slots are left to judge it on, and gate.min_slots asks for 288: try again after") {
			t.Errorf("%+v\n%s", report, printed)
		}
		w.want("web", "champion 1 of [1]: 1<0")
	})
}

func TestWhatCannotBeJudgedIsRefusedAndTheChampionStays(t *testing.T) {
	w := newWorkshop(t, directory(t), "web")
	w.put("web", old, weak, nil)
	w.grids["cold"] = w.grids["web"]
	w.put("cold", old, weak, nil)
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"too little history":           {[]string{"-group", "web", "-history", "96h"}, cli.ExitFailed, "too little history: 1152 slots (4.0 days), and a test of 288 slots, a fifth of it, needs 1440"},
		"no samples":                   {[]string{"-group", "cold"}, cli.ExitFailed, `no samples of group "cold"`},
		"no such series":               {[]string{"-group", "web", "-target", "requests"}, cli.ExitFailed, `no series "requests"`},
		"another target":               {[]string{"-group", "web", "-target", "cpu_utilization"}, cli.ExitFailed, `web version 1 forecasts "demand", not "cpu_utilization"`},
		"a lead time beyond forecasts": {[]string{"-group", "web", "-lead", "60m"}, cli.ExitFailed, "forecasts 12 slots ahead, and a lead time of 1h0m0s needs"},
		"a file without values":        {[]string{"-group", "web", "-data", csvOf(t, "timestamp,demand\n2026-01-05T00:00:00Z,\n2026-01-05T00:05:00Z,\n")}, cli.ExitFailed, "demand has no value at all"},
		"a file that is not there":     {[]string{"-group", "web", "-data", filepath.Join(t.TempDir(), "x.csv")}, cli.ExitFailed, "no such file"},
		"a policy without forecasts":   {[]string{"-group", "web", "-policy", "hpa"}, cli.ExitUsage, "does not compare models"},
		"a preset that is not there":   {[]string{"-group", "web", "-preset", "best"}, cli.ExitUsage, `"best" is unknown`},
		"a group and all groups":       {[]string{"-group", "web", "-all-groups"}, cli.ExitUsage, "exclude each other"},
		"an argument":                  {[]string{"web"}, cli.ExitUsage, `unexpected argument "web"`},
	} {
		t.Run(name, func(t *testing.T) {
			if _, printed := w.retrain(c.code, c.args...); !strings.Contains(printed, c.says) {
				t.Errorf("it says %s", printed)
			}
		})
	}
	w.want("web", "champion 1 of [1]: 1<0")
}

func TestModelsOfUnknownOriginAreLeftAlone(t *testing.T) {
	w := newWorkshop(t, directory(t), "web", "api")
	w.put("web", old, weak, func(m *models.Manifest) { m.TrainedUntil = time.Time{} })
	if _, printed := w.retrain(cli.ExitFailed, "-group", "web"); !strings.Contains(printed, "does not say until when it was trained") {
		t.Errorf("it says %s", printed)
	}
	w.want("web", "champion 1 of [1]: 1<0")
	w.put("api", old, weak, func(m *models.Manifest) { m.Groups = []string{"api", "shop"} })
	if _, printed := w.retrain(cli.ExitFailed, "-group", "api"); !strings.Contains(printed, "a model that groups share") {
		t.Errorf("it says %s", printed)
	}
	w.want("api", "champion 1 of [1]: 1<0")
}

func csvOf(t *testing.T, text string) string {
	path := filepath.Join(t.TempDir(), "web.csv")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// parsedRetrain returns the command line after its check, with nothing printed.
func parsedRetrain(t *testing.T, args ...string) *retrain {
	t.Helper()
	r := &retrain{now: time.Now, out: io.Discard, errOut: io.Discard, show: newMeter(io.Discard)}
	fs := flag.NewFlagSet("retrain", flag.ContinueOnError)
	r.flags(fs)
	if err := errors.Join(fs.Parse(args), r.check()); err != nil {
		t.Fatal(err)
	}
	return r
}

// Both have read the champion before either of them moves it.
func TestARaceOfTwoRetrainsEndsWithOneMove(t *testing.T) {
	w := newWorkshop(t, directory(t), "web")
	w.put("web", old, weak, nil)
	var arrived, done sync.WaitGroup
	arrived.Add(2)
	outcomes := make([]string, 2)
	for i := range outcomes {
		r := parsedRetrain(t, "-config", w.config, "-group", "web", "-end", w.end.Format(time.RFC3339))
		r.reg = w.registry()
		done.Go(func() {
			res, err := r.attempt(t.Context(), func(ctx context.Context, group string) (*window.Grid, error) {
				arrived.Done()
				arrived.Wait()
				read, err := r.fromLake(ctx, []string{group})
				if err != nil {
					return nil, err
				}
				return read(ctx, group)
			}, "web")
			if err != nil {
				t.Error(err)
			}
			outcomes[i] = res.Outcome
		})
	}
	done.Wait()
	if strings.Count(strings.Join(outcomes, ","), promoted) != 1 || strings.Count(strings.Join(outcomes, ","), overtaken) != 1 {
		t.Errorf("outcomes %v", outcomes)
	}
	if got := w.state("web"); got != "champion 2 of [1 2 3]: 2<1 1<0" && got != "champion 3 of [1 2 3]: 3<1 1<0" {
		t.Errorf("the registry says %s", got)
	}
}
