package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/internal/onnxtest"
	"github.com/forescale/forescale/models"
)

// registryOf returns the URL of a registry with versions of web, a foreign model, and
// a model whose champion cannot be told.
func registryOf(t *testing.T, versions int) (string, *models.Registry) {
	t.Helper()
	dir := t.TempDir()
	url := "file://" + dir
	store, err := blob.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	r := models.NewRegistry(store)
	for i := range versions {
		m, model := onnxtest.Persistence(onnxtest.Spec(4, 2), float32(i+1))
		m.Name, m.CreatedAt, m.TrainedUntil = "web", time.Date(2026, 3, 1, i, 0, 0, 0, time.UTC), time.Date(2026, 2, 28, i, 0, 0, 0, time.UTC)
		m.Scores = []models.HorizonScore{{Steps: 1, Minutes: 5, Model: models.Score{WAPE: 0.125}}}
		if _, err := r.Put(t.Context(), m, model); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := store.Put(t.Context(), "other/1/model.onnx", onnxtest.Foreign(), blob.Condition{}); err != nil {
		t.Fatal(err)
	}
	return url, r
}

// modelsRun runs a command of models on a registry and returns its exit code and all
// that it wrote.
func modelsRun(t *testing.T, url string, args ...string) (int, string) {
	t.Helper()
	var out, errOut bytes.Buffer
	var c cli.Command
	place := func(s *shelf) {
		s.out, s.now = &out, func() time.Time { return time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC) }
	}
	if args[0] == "list" {
		l := &modelsList{shelf: newShelf()}
		place(&l.shelf)
		c = l.command()
	} else {
		o := &modelOrder{shelf: newShelf(), verb: args[0], by: "ana"}
		place(&o.shelf)
		c = cli.Command{Name: "forescale models " + args[0], Flags: o.flags, Check: o.check, Run: o.run, Arguments: true}
	}
	if url != "" {
		args = append(args, "-models", url)
	}
	code := cli.Execute(context.Background(), c, args[1:], &out, &errOut)
	return code, out.String() + errOut.String()
}

func TestModelsAreMovedPinnedAndShadowedByTheirOrders(t *testing.T) {
	url, r := registryOf(t, 4)
	for _, step := range []struct {
		args string
		code int
		want string
	}{
		{"promote web 2 -reason tested -by ana", 0, `2026-03-02 12:00 UTC model="web" promoted 1 -> 2 by "ana": tested`},
		{"promote web 2 -reason again -by ana", 1, "is the champion already"},
		{"promote web 3 -from 1 -reason late -by ana", 1, "champion is version 2, not 1"},
		{"promote web 9 -reason none -by ana", 1, "no such model"},
		{"promote other 1 -from 7 -reason none -by ana", 1, "its highest version serves"},
		{"pin web 2 -reason audit -by ana", 0, `model="web" pinned 2 by "ana": audit`},
		{"promote web 3 -reason tested -by ana", 1, `version 2, by "ana": "audit": the champion is pinned`},
		{"rollback web -reason high -by ana", 1, "the champion is pinned"},
		{"pin web 4 -reason keep -by ana", 0, "pinned 4"},
		{"shadow web 3 -reason trial -by ana", 0, `shadow 3 by "ana": trial`},
		{"shadow web 7 -reason trial -by ana", 1, "there is [1 2 3 4]"},
		{"list", 0, "web    2         2026-03-02 12:00 UTC  ana  2026-02-28 01:00 UTC  0.1250  1-4       2,4     3"},
		{"list", 0, "other  1         -                     -    -                     -       1         -       -       foreign"},
		{"list web", 0, `model="web" promoted 1 -> 2 by "ana": tested`},
		{"list -history", 0, `model="web" promoted 1 -> 2 by "ana": tested`},
		{"list nobody web", 1, "web    2"}, // what there is, is shown
		{"list nobody web anybody", 1, `no model ["anybody" "nobody"]`},
		{"pin web 2 -remove -by ana", 0, "no longer pinned 2 by \"ana\"\n"},
		{"pin web 2 -remove -by ana", 1, "is not pinned"},
		{"shadow web -remove -by ana", 0, "no longer shadow"},
		{"rollback web -reason high -by ana", 0, `rolled back 2 -> 1 by "ana": high`},
		{"rollback web -reason high -by ana", 1, "no former champion"},
		{"list -o json", 0, `"pinned": [`},
	} {
		code, out := modelsRun(t, url, strings.Fields(step.args)...)
		if code != step.code || !strings.Contains(out, step.want) {
			t.Errorf("%s: exit code %d, want %d\n%s\nlacks %s", step.args, code, step.code, out, step.want)
		}
	}
	changes, err := r.History(t.Context(), "web")
	if err != nil || len(changes) != 3 || !changes[0].RollBack || changes[0].By != "ana" || changes[1].Why != "tested" {
		t.Errorf("history %+v, %v", changes, err)
	}
}

func TestModelsTellEveryFaultOfTheirCommandLineAtOnce(t *testing.T) {
	url, _ := registryOf(t, 2)
	for args, wants := range map[string][]string{
		"promote web 2":                     {"-reason is 0 characters"},
		"promote web 2 -reason no -from -1": {"-reason is 2 characters", "-from -1"},
		"promote web -reason tested":        {"1 arguments, must be NAME VERSION"},
		"promote web v2 -reason tested":     {`"v2" is no version`},
		"rollback web 1 -reason tested":     {"2 arguments, must be NAME"},
		"list -o yaml":                      {`"yaml" is not table or json`},
		"list -config x":                    {"exclude each other"},
		"shadow web -reason tested":         {"NAME VERSION"},
		"pin web 2 -reason tested -from 1":  {"-from"},
		"promote web 2 -reason tested -by " + strings.Repeat("x", 101): {"-by is 101 characters"},
	} {
		code, out := modelsRun(t, url, strings.Fields(args)...)
		if code != cli.ExitUsage {
			t.Errorf("%s: exit code %d", args, code)
		}
		for _, want := range wants {
			if !strings.Contains(out, want) {
				t.Errorf("%s: %s\nlacks %s", args, out, want)
			}
		}
	}
	if code, out := modelsRun(t, url, "promote", "web", "2", "-reason", "one\n\x1b[2Jtwo"); code != cli.ExitUsage || !strings.Contains(out, "one line of a terminal") {
		t.Errorf("exit code %d: %s", code, out)
	}
	if code, out := modelsRun(t, "", "list"); code != cli.ExitUsage || !strings.Contains(out, "which registry is meant") {
		t.Errorf("exit code %d: %s", code, out)
	}
	if code, out := modelsRun(t, "file://"+filepath.Join(t.TempDir(), "mistyped"), "list"); code != cli.ExitFailed || !strings.Contains(out, "mistyped") {
		t.Errorf("exit code %d: %s", code, out)
	}
}

func TestAModelThatCannotBeReadIsShownBesideTheOthers(t *testing.T) {
	url, _ := registryOf(t, 2)
	dir := strings.TrimPrefix(url, "file://")
	for name, file := range map[string]string{"orders.json": "{", "champion.json": `{"version":`} {
		if err := os.WriteFile(filepath.Join(dir, "web", name), []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	code, out := modelsRun(t, url, "list", "-o", "json")
	var rows []modelRow
	if err := json.NewDecoder(strings.NewReader(out)).Decode(&rows); err != nil || len(rows) != 2 || code != cli.ExitFailed {
		t.Fatalf("exit code %d, %v\n%s", code, err, out)
	}
	if web := rows[1]; web.Champion != 0 || !strings.Contains(web.Error, "web/orders.json") || !strings.Contains(web.Error, "web/champion.json") || rows[0].Error != "" {
		t.Errorf("rows %+v", rows)
	}
}

func TestRangesAreShort(t *testing.T) {
	for want, numbers := range map[string][]int{"": nil, "3": {3}, "1-2": {1, 2}, "1,3-5,9": {1, 3, 4, 5, 9}} {
		if got := ranges(numbers); got != want {
			t.Error(fmt.Sprint(numbers), got, want)
		}
	}
}

func TestAVersionThatNobodySignedIsNotPromotedWhereKeysAreTrusted(t *testing.T) {
	url, _ := registryOf(t, 2)
	_, public, err := models.NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(t.TempDir(), "forescale.yaml")
	run := func(keys string) (int, string) {
		text := "data: " + url + "\nmodels: " + url + "\nmodel_keys: [" + keys + "]\n"
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return modelsRun(t, "", "promote", "web", "2", "-reason", "tested", "-by", "ana", "-config", config)
	}
	if code, out := run(models.FormatPublicKey(public)); code != cli.ExitFailed || !strings.Contains(out, models.ErrUntrusted.Error()) {
		t.Errorf("exit code %d: %s", code, out)
	}
	if code, out := run("nonsense"); code != cli.ExitUsage || !strings.Contains(out, "model_keys[0]") {
		t.Errorf("exit code %d: %s", code, out)
	}
	if code, out := run(""); code != cli.ExitOK {
		t.Errorf("exit code %d: %s", code, out)
	}
}

func TestWhatSomebodyElseWroteIntoTheRegistryCommandsNoTerminal(t *testing.T) {
	url, r := registryOf(t, 2)
	if err := r.Move(t.Context(), "web", models.Change{Version: 2, From: 1, At: time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC), By: "a\x1b[31m", Why: "b\x1b[2J\nweb  1"}); err != nil {
		t.Fatal(err)
	}
	if code, out := modelsRun(t, url, "list", "-history"); code != cli.ExitOK || strings.Contains(out, "\x1b") || !strings.Contains(out, `"b\x1b[2J\nweb  1"`) {
		t.Errorf("exit code %d: %q", code, out)
	}
}
