package scaler

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/conf"
	"github.com/forescale/forescale/scaler/plan"
)

func load(t *testing.T, text string) (Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "forescale.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := DefaultConfig()
	common, err := conf.Load(path, "scaler", &cfg)
	if err == nil {
		err = cfg.Validate(common.Step)
	}
	return cfg, err
}

func TestAGroupNeedsOnlyANameAndIsInDryRunMode(t *testing.T) {
	cfg, err := load(t, "scaler:\n  groups:\n    - name: web\n    - name: db\n      mode: live\n      cooldown: {in: 0s}\n      policy: {signal: observed}\n")
	if err != nil {
		t.Fatal(err)
	}
	web := DefaultGroup()
	web.Name = "web"
	db := DefaultGroup()
	db.Name, db.Mode, db.Cooldown.In, db.Policy.Signal = "db", api.ModeLive, 0, plan.SignalObserved
	if len(cfg.Groups) != 2 || cfg.Groups[0] != web || cfg.Groups[1] != db {
		t.Errorf("got %+v", cfg.Groups)
	}
	if web.Mode != api.ModeDryRun {
		t.Error("a new group is live")
	}
}

func TestUnknownKeysAreRefusedInsideOfGroupsToo(t *testing.T) {
	_, err := load(t, "scaler:\n  sever: x\n  groups:\n    - name: web\n      coldown: {in: 5m}\n      policy: {outt: 3}\n")
	for _, key := range []string{"sever", "coldown", "outt"} {
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("the error does not name %q: %v", key, err)
		}
	}
}

func TestValidateReportsEveryFaultAtOnce(t *testing.T) {
	_, err := load(t, `
scaler:
  server: "ftp://x"
  settle: 6m
  lease_ttl: 1s
  parallel: 0
  deadlines: {store: 0s, act: 2m}
  groups:
    - {name: "", mode: on, min: 5, max: 2, lead_time: -1m, stale_after: 99, cooldown: {out: -1s}}
    - {name: web, policy: {rule: magic, signal: guessed, out: 30, in: 40, step: 0}}
    - {name: web}
    - {name: shop, target_name: web}
`)
	for _, want := range []string{"scaler.server", "scaler.settle", "scaler.lease_ttl", "scaler.parallel", "deadlines.store", "deadlines.act",
		"groups[0] (): name", "mode:", "min, max:", "lead_time:", "stale_after:", "cooldown:", "policy.rule:", "policy.signal:", "policy.in, out:", "policy.step:",
		`"web" is listed twice`, `groups[3] (shop): web is scaled as "web" already`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no mention of %q in\n%v", want, err)
		}
	}
	if err := DefaultConfig().Validate(5 * time.Minute); err == nil || !strings.Contains(err.Error(), "groups") {
		t.Errorf("no groups: %v", err)
	}
}

func TestNewRefusesWhatItCannotWorkWith(t *testing.T) {
	w := newWorld(t)
	cfg := w.config()
	cfg.ID = ""
	if _, err := New(cfg, step, Deps{}); err == nil || !strings.Contains(err.Error(), "scaler.id") {
		t.Errorf("without an id: %v", err)
	}
	cfg.Groups = nil
	if _, err := New(cfg, step, Deps{}); err == nil {
		t.Error("an invalid configuration was accepted")
	}
}
