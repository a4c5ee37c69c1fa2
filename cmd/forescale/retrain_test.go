package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob/s3test"
	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/models/gate"
	"github.com/forescale/forescale/scaler/backtest"
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
		"a shard of one group":         {[]string{"-group", "web", "-shard", "0/2"}, cli.ExitUsage, "-shard: only goes with -all-groups"},
		"a shard that is none":         {[]string{"-all-groups", "-shard", "2/2"}, cli.ExitUsage, "must be 0 to 1"},
		"a shard of no indexed job":    {[]string{"-all-groups", "-shard", "auto/2"}, cli.ExitUsage, "JOB_COMPLETION_INDEX"},
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

// What is not a number is neither good nor bad: it is not known, and promotes nothing.
func TestFiguresThatAreNoneNeverPromote(t *testing.T) {
	w := newWorkshop(t, directory(t), "web")
	h := &history{name: "web", target: api.SeriesDemand, grid: w.grids["web"]}
	e, _, err := newExam(h, 14*day, 288, time.Time{}, "")
	if err != nil {
		t.Fatal(err)
	}
	e.policy, e.lead = parsedRetrain(t, "-config", w.config).policy, 5*time.Minute
	silent := backtest.Forecasts{All: make([]api.Forecast, len(e.demand.Slots))}
	for i := range silent.All {
		silent.All[i] = api.Forecast{Group: "web", Error: &api.Problem{Title: "none"}}
	}
	mute, err := e.grade(t.Context(), silent, func(float64) {})
	if err != nil {
		t.Fatal(err)
	}
	rival, err := e.persist(t.Context(), func(float64) {})
	if err != nil {
		t.Fatal(err)
	}
	mute.Model, mute.TrainedUntil = "web", e.start().Add(-day)
	if v := gateOf(t, w.config).Judge(gate.Input{Challenger: mute, Persistence: &rival}); v.Promote || !strings.Contains(v.String(), "FAILED coverage: the challenger has no upper quantiles") {
		t.Errorf("a model without forecasts: %s", v)
	}
	for name, r := range map[string]gate.Result{"of the one": mute, "of the other": rival} {
		if r.Slots < 288 || r.WAPE == nil || *r.WAPE != *rival.WAPE || r.InstanceHours == nil {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if number(math.NaN()) != nil || number(math.Inf(1)) != nil || number(0) == nil {
		t.Error("what is not a number became one")
	}
}

func TestTheExampleConfigurationIsOneOfRetrainAndWatch(t *testing.T) {
	example, err := filepath.Abs("../../deploy/forescale.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"retrain", "watch"} {
		invoke(t, "forescale", name, "-check", "-config", example).expect(t, cli.ExitOK)
		wrong := filepath.Join(t.TempDir(), "wrong.yaml")
		write(t, wrong, []byte("data: file:///x\nmodels: s3:/lake\ngate:\n  min_slots: 0\n  costs: 1\ncolour: red\n"))
		invoke(t, "forescale", name, "-check", "-config", wrong).expect(t, cli.ExitUsage, `line 5: unknown key "costs"`, `line 6: unknown key "colour"`, "gate.min_slots: 0", "s3:/lake")
	}
}
