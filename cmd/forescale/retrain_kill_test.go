package main

import (
	"bufio"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/models"
)

func TestARetrainThatIsKilledLeavesTheChampionAsItWas(t *testing.T) {
	w := newWorkshop(t, directory(t), "web")
	w.put("web", old, weak, nil)
	for _, moment := range []string{"training", "champion in the backtest"} {
		cmd := w.command("retrain", "-group", "web", "-end", w.end.Format(time.RFC3339))
		stderr, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		reached := false
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			if reached = strings.Contains(lines.Text(), moment); reached {
				break
			}
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // killed
		if !reached {
			t.Fatalf("it never came to %q", moment)
		}
		w.want("web", "champion 1 of [1]: 1<0")
	}
	if report, printed := w.retrain(cli.ExitOK, "-group", "web"); report.Groups[0].Outcome != promoted {
		t.Errorf("afterwards: %+v\n%s", report, printed)
	}
}

// Between the steps of its end, a retrain leaves objects behind, from which the next
// one of the day goes on.
func TestARetrainThatWasKilledAtItsEndIsCompleted(t *testing.T) {
	today := func(m *models.Manifest) { m.CreatedAt = time.Now().UTC() }
	t.Run("a challenger without a verdict is judged and not trained again", func(t *testing.T) {
		w := newWorkshop(t, directory(t), "web")
		w.put("web", old, weak, nil)
		w.put("web", recent, strong, today)
		report, printed := w.retrain(cli.ExitOK, "-group", "web")
		if report.Groups[0].Outcome != promoted || strings.Contains(printed, "training") {
			t.Errorf("%+v\n%s", report, printed)
		}
		w.want("web", "champion 2 of [1 2]: 2<1 1<0")
	})
	t.Run("a promotion that was decided is carried out", func(t *testing.T) {
		w := newWorkshop(t, directory(t), "web")
		first := w.put("web", old, weak, nil)
		w.put("web", recent, strong, today)
		if report, _ := w.retrain(cli.ExitOK, "-group", "web", "-dry-run"); report.Groups[0].Outcome != dryPromoted {
			t.Fatalf("%+v", report)
		} else {
			raw, err := json.Marshal(evidence{Input: *report.Groups[0].Input, Verdict: *report.Groups[0].Verdict})
			if err != nil {
				t.Fatal(err)
			}
			if err := w.registry().PutVerdict(t.Context(), "web", 2, raw); err != nil {
				t.Fatal(err)
			}
		}
		w.want("web", "champion 1 of [1 2]: 1<0")
		if report, printed := w.retrain(cli.ExitOK, "-group", "web"); report.Groups[0].Outcome != promoted || strings.Contains(printed, "backtest") {
			t.Errorf("%+v\n%s", report, printed)
		}
		w.want("web", "champion 2 of [1 2]: 2<1 1<0")
		// What was rolled back since is not promoted again by the same verdict.
		if _, err := w.registry().RollBack(t.Context(), "web", models.Change{From: 2, At: time.Now(), By: "test"}); err != nil {
			t.Fatal(err)
		}
		if report, _ := w.retrain(cli.ExitOK, "-group", "web"); report.Groups[0].Outcome != passedOver {
			t.Errorf("after the roll-back: %+v", report.Groups[0])
		}
		w.want("web", "champion 1 of [1 2]: 1<2! 2<1 1<0")
		if first.Version != 1 {
			t.Errorf("the first version is %d", first.Version)
		}
	})
}

func TestEveryGroupInTurnAndAgainOnlyWhatIsMissing(t *testing.T) {
	w := newWorkshop(t, directory(t), "web", "api", "cold")
	for _, group := range []string{"web", "api"} {
		w.put(group, old, weak, nil)
	}
	w.put("cold", workshopDays*24*12-100, weak, nil) // it has seen nearly all
	w.grids["any"] = w.grids["web"]
	w.put("any", old, weak, func(m *models.Manifest) { m.Groups = []string{models.AnyGroup} })
	report, printed := w.retrain(cli.ExitFailed, "-all-groups")
	want := map[string]string{"api": promoted, "cold": failed, "web": promoted}
	check := func() {
		t.Helper()
		if len(report.Groups) != len(want) {
			t.Fatalf("%+v\n%s", report, printed)
		}
		for _, res := range report.Groups {
			if res.Outcome != want[res.Group] {
				t.Errorf("%s: %s, want %s\n%s", res.Group, res.Outcome, want[res.Group], printed)
			}
		}
	}
	check()
	for _, says := range []string{"any: left out", "1 of 3 groups failed; their champions serve on", "has learned from the history up to"} {
		if !strings.Contains(printed, says) {
			t.Errorf("it does not say %q:\n%s", says, printed)
		}
	}
	w.want("any", "champion 1 of [1]: 1<0")
	report, printed = w.retrain(cli.ExitFailed, "-all-groups")
	want = map[string]string{"api": passedOver, "cold": failed, "web": passedOver}
	check()
	w.want("web", "champion 2 of [1 2]: 2<1 1<0")
}
