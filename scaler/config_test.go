package scaler

import (
	"os"
	"path/filepath"
	"reflect"
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
	if !reflect.DeepEqual(cfg.Groups, []Group{web, db}) {
		t.Errorf("got %+v", cfg.Groups)
	}
	if web.Mode != api.ModeDryRun {
		t.Error("a new group is live")
	}
}

func TestThePolicyOfAGroup(t *testing.T) {
	for name, c := range map[string]struct {
		yaml     string
		want     plan.Policies
		cooldown Cooldown
	}{
		"what pays, and no cooldown, is the default": {"{}", plan.Policies{Cost: &plan.Cost{InstanceHour: 1, ViolationPeaks: 8, Utilisation: 0.9, Fallback: plan.Fallback{Utilisation: 0.65}}}, Cooldown{}},
		"the threshold rule has cooldowns": {"{rule: threshold, out: 60, in: 20, step: 2}",
			plan.Policies{Threshold: &plan.Threshold{Out: 60, In: 20, Step: 2}}, Cooldown{5 * time.Minute, 10 * time.Minute}},
		"several rules and a schedule": {`{rule: [target, threshold], utilisation: 0.8, fallback: 0.5, quantile: 0.99, schedule: [{name: sale, days: [Mon], from: "08:30", to: "17:00", zone: Europe/Berlin, flag: is_sale, min: 4}]}`,
			plan.Policies{Threshold: &plan.Threshold{Out: 70, In: 35, Step: 1}, Target: &plan.Target{Quantile: 0.99, Utilisation: 0.8, Fallback: plan.Fallback{Utilisation: 0.5}},
				Schedule: &plan.Schedule{Entries: []plan.Entry{{Name: "sale", Days: []string{"mon"}, From: 510, To: 1020, Zone: "Europe/Berlin", Flag: "is_sale", Min: 4}}}},
			Cooldown{5 * time.Minute, 10 * time.Minute}},
		"own prices": {"{instance_hour: 0.2, violation_minute: 3}",
			plan.Policies{Cost: &plan.Cost{InstanceHour: 0.2, ViolationMinute: 3, ViolationPeaks: 8, Utilisation: 0.9, Fallback: plan.Fallback{Utilisation: 0.65}}}, Cooldown{}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := load(t, "scaler:\n  groups:\n    - {name: web, policy: "+c.yaml+"}\n")
			if err != nil {
				t.Fatal(err)
			}
			g := cfg.Groups[0]
			if got := g.Plan(step, time.Minute).Policies; !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
			if g.Cooldown != c.cooldown {
				t.Errorf("cooldown %v, want %v", g.Cooldown, c.cooldown)
			}
		})
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
  brake: 1.5
  metrics_listen: nowhere
  deadlines: {store: 0s, act: 2m}
  groups:
    - {name: "", mode: on, min: 5, max: 2, lead_time: -1m, stale_after: 99, cooldown: {out: -1s}}
    - {name: web, policy: {rule: magic, signal: guessed, out: 30, in: 40, step: 0, utilisation: 2, fallback: 0, quantile: 1, instance_hour: 0, violation_minute: -1, schedule: [{from: "8", to: ""}, {days: [noday]}, {zone: Nowhere}, {min: 3, max: 2}, {zone: Local, min: 1}]}, objective: 90,
       guard: {max_out: -1, max_in_share: 2, stabilise: 25h, daily_hours: -1}, safety: {anomaly: 2, recover: -1, drift_enter: 0.4}, rivals: {ghost: warn, target-tracking: fight}}
    - {name: web}
    - {name: shop, target_name: web}
    - {name: paris, target_name: web, region: eu-west-3}
    - {name: other, target_name: web, account: other}
    - {name: lyon, target_name: web, region: eu-west-3}
`)
	for _, want := range []string{"scaler.server", "scaler.settle", "scaler.lease_ttl", "scaler.parallel", "scaler.brake", "scaler.metrics_listen", "deadlines.store", "deadlines.act",
		"groups[0] (): name", "mode:", "min, max:", "lead_time:", "stale_after:", "cooldown:", "policy.rule:", "policy.signal:", "policy.in, out:", "policy.step:",
		"policy.utilisation:", "policy.fallback:", "policy.quantile:", "policy.instance_hour:", "policy.violation_minute:",
		"policy.schedule[0].from and to", "policy.schedule[1].days", "policy.schedule[2].zone", "policy.schedule[3].min, max", `policy.schedule[4].zone: "Local"`, "objective:",
		"guard.max_out:", "guard.max_in_share:", "guard.stabilise:", "guard.daily_hours:", "safety.anomaly:", "safety.drift_leave:", "safety.recover, anomaly_slots:",
		`rivals: "ghost"`, `rivals.target-tracking: "fight"`,
		`"web" is listed twice`, `groups[3] (shop): web is scaled as "web" already`,
		`groups[6] (lyon): web is scaled as "paris" already`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no mention of %q in\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "groups[5]") || strings.Contains(err.Error(), "groups[4] (paris): web") {
		t.Errorf("a name in another account or region is another group: %v", err)
	}
	if err := DefaultConfig().Validate(5 * time.Minute); err == nil || !strings.Contains(err.Error(), "groups") {
		t.Errorf("no groups: %v", err)
	}
}

// Each is right by itself, or looks like something that is.
func TestWhatCannotWorkIsRefusedWithWhatToDo(t *testing.T) {
	for name, c := range map[string]struct{ group, want string }{
		"the name of all groups":           {`name: "*"`, "stands for all groups"},
		"a schedule as a rule":             {"name: web, policy: {rule: schedule}", "write policy: {rule: cost, schedule: [...]}"},
		"a floor above the maximum":        {"name: web, max: 20, policy: {schedule: [{min: 50}]}", "schedule[0].min: 50 is more than the group's max, 20"},
		"a ceiling below the minimum":      {"name: web, min: 5, policy: {schedule: [{max: 4}]}", "schedule[0].max: 4 is less than the group's min, 5"},
		"a CPU that nobody reaches":        {"name: web, policy: {rule: threshold, out: 150}", "in < out <= 100"},
		"the zone of the machine":          {"name: web, policy: {schedule: [{zone: Local, min: 2}]}", `"Local" is not a time zone such as Europe/Berlin`},
		"a quota below the minimum":        {"name: web, min: 10, guard: {quota: 5}", "guard.quota: 5 is less"},
		"a budget that the minimum breaks": {"name: web, min: 2, guard: {daily_hours: 47}", "needs in a day: 48"},
		"a trust that comes too early":     {"name: web, safety: {drift_enter: 0.4}", "drift_leave: 0.5 is more than drift_enter, 0.4"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, "scaler:\n  groups:\n    - {"+c.group+"}\n")
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want one fault with %q", err, c.want)
			}
		})
	}
	const fits = "name: web, min: 2, max: 20, policy: {schedule: [{min: 20}, {max: 2, zone: UTC}]}, guard: {quota: 2, daily_hours: 48}, safety: {drift_enter: 0.5}"
	if _, err := load(t, "scaler:\n  groups:\n    - {"+fits+"}\n"); err != nil {
		t.Errorf("what just fits is refused: %v", err)
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
