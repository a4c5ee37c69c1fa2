package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/models"
)

func TestWorkIsRepeatedFromStartToStartAndAFailureEndsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var starts []time.Duration
		var faults []string
		ctx, cancel := context.WithCancel(t.Context())
		work := func(ctx context.Context) error {
			starts = append(starts, time.Since(begin))
			switch len(starts) {
			case 1:
				time.Sleep(7 * time.Hour)
			case 2:
				return errors.New("no disk")
			case 3:
				time.Sleep(30 * time.Hour) // longer than the interval
			case 5:
				cancel()
				return ctx.Err()
			}
			return nil
		}
		err := repeat(ctx, 24*time.Hour, work, func(err error) { faults = append(faults, err.Error()) })
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if want := []time.Duration{0, 24 * time.Hour, 48 * time.Hour, 78 * time.Hour, 102 * time.Hour}; !slices.Equal(starts, want) {
			t.Errorf("started after %v, want %v", starts, want)
		}
		if !slices.Equal(faults, []string{"no disk"}) {
			t.Errorf("told of %q", faults)
		}
	})
}

// A process that stays trains a group's first model without being told its name, and
// goes on after a round that failed.
func TestEveryGroupIsEveryModelAndEveryConfiguredGroupWithoutOne(t *testing.T) {
	w := newWorkshop(t, directory(t), "web", "fresh")
	w.put("web", old, weak, nil)
	w.grids["pair"] = w.grids["web"]
	w.put("pair", old, weak, func(m *models.Manifest) { m.Groups = []string{"left", "right"} })
	text, err := os.ReadFile(w.config)
	if err != nil {
		t.Fatal(err)
	}
	groups := "scaler:\n  groups:\n"
	for _, name := range []string{"web", "left", "fresh", "cpu"} {
		groups += fmt.Sprintf("    - {name: %s, min: 1, max: 9", name)
		if name == "cpu" { // steered without forecasts
			groups += ", policy: {rule: threshold, signal: observed}"
		}
		groups += "}\n"
	}
	if err := os.WriteFile(w.config, append(text, groups...), 0o600); err != nil {
		t.Fatal(err)
	}
	report, printed := w.retrain(cli.ExitOK, "-all-groups", "-dry-run")
	var names []string
	for _, res := range report.Groups {
		names = append(names, res.Group)
	}
	if !slices.Equal(names, []string{"fresh", "web"}) || report.Groups[0].Outcome != dryPromoted {
		t.Errorf("%+v\n%s", report, printed)
	}
	w.put("pair", old, weak, func(m *models.Manifest) { m.Name, m.Groups = "any", []string{models.AnyGroup} })
	if report, printed := w.retrain(cli.ExitOK, "-all-groups", "-dry-run"); len(report.Groups) != 1 || report.Groups[0].Group != "web" {
		t.Errorf("with a model for all: %+v\n%s", report, printed)
	}
	if _, printed := w.retrain(cli.ExitUsage, "-all-groups", "-every", "1s"); !strings.Contains(printed, "at least a minute") {
		t.Errorf("it says %s", printed)
	}
}
