package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/internal/dataset"
	"github.com/forescale/forescale/internal/fleet"
	"github.com/forescale/forescale/internal/journal"
	"github.com/forescale/forescale/internal/onnxtest"
	"github.com/forescale/forescale/models"
)

// patient is an installation for the doctor, with nothing wrong until ail changes it.
type patient struct {
	now           time.Time
	dir           string
	group         fleet.GroupConfig
	traps         fleet.Traps
	change        *fleet.GroupChange // a minute ago
	env           map[string]string
	skew          time.Duration // of this machine's clock
	days          int           // of history
	every         int           // steps between two values of it
	hole          time.Duration // at its end
	without       string        // a metric that it has not
	trained       time.Duration // how long ago the model's data end
	modelled      bool
	decided       time.Duration // how long ago the newest decision was; negative: there is none
	record        api.TickRecord
	refuses       int // status of the server's answers to predictions; 0: 400
	serverDown    bool
	calendar      string
	serving       string // URL of the server, once admitted
	replaceConfig func(string) string
}

func newPatient(t *testing.T) *patient {
	now := time.Now().UTC().Truncate(time.Minute) // near the clock of the file system
	demand := &fleet.Demand{Start: now.Add(-20 * day).Truncate(day), Step: systemStep, Slots: make([]float64, 40*288), Missing: make([]bool, 40*288), Unit: 1}
	for i := range demand.Slots {
		demand.Slots[i] = 3
	}
	return &patient{now: now, dir: t.TempDir(), days: 15, every: 1, trained: day, modelled: true, decided: time.Minute,
		group: fleet.GroupConfig{Name: "web-asg", Demand: demand, Min: 2, Max: 20, Desired: 6, History: fleet.Static(6), LoadBalancer: "app/web"},
		env:   map[string]string{"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_PROFILE": "", "AWS_SESSION_TOKEN": "", "PATH": "/nowhere"},
		calendar: fmt.Sprintf(`{"events": [{"name": "sale", "start": %q, "end": %q, "flag": "is_sale"}]}`,
			now.Add(24*time.Hour).Format(time.RFC3339), now.Add(48*time.Hour).Format(time.RFC3339)),
		replaceConfig: func(s string) string { return s },
	}
}

// admit builds the installation and returns its configuration file.
func (p *patient) admit(t *testing.T) (config string, cloud *fleet.Cloud) {
	t.Helper()
	for name, value := range p.env {
		t.Setenv(name, value)
	}
	cloud, err := fleet.New(fleet.Config{Start: p.group.Demand.Start, Now: p.now, Groups: []fleet.GroupConfig{p.group}})
	if err != nil {
		t.Fatal(err)
	}
	if p.change != nil {
		p.change.Group, p.change.At = p.group.Name, p.now
		if err := errors.Join(cloud.Schedule(*p.change), cloud.Advance(p.now.Add(time.Minute))); err != nil {
			t.Fatal(err)
		}
	}
	cloud.SetTraps(p.traps)
	provider := httptest.NewServer(fleet.Handler(cloud))
	t.Cleanup(provider.Close)
	serving := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == api.RouteReady:
			fmt.Fprint(w, `{"status":"ready"}`)
		case r.URL.Path == api.RouteFleet:
			fmt.Fprint(w, `{"now":"2026-03-02T12:00:00Z","step_seconds":300,"warnings":[],"groups":[]}`)
		default:
			w.Header().Set("Content-Type", api.ProblemType)
			w.WriteHeader(max(p.refuses, http.StatusBadRequest))
			fmt.Fprint(w, `{"title":"refused","detail":"for a reason"}`)
		}
	}))
	if t.Cleanup(serving.Close); p.serverDown {
		serving.Close()
	}
	p.serving = serving.URL
	p.fill(t)
	write(t, filepath.Join(p.dir, "calendar.json"), []byte(p.calendar))
	config = filepath.Join(p.dir, "forescale.yaml")
	write(t, config, []byte(p.replaceConfig(fmt.Sprintf(`data: %[1]s/data
models: %[1]s/models
calendar: %[1]s/calendar.json
aws: {region: eu-central-1, cloudwatch_endpoint: "%[2]s", autoscaling_endpoint: "%[2]s"}
collector:
  sources:
    - cloudwatch: {groups: [{name: web, auto_scaling_group: web-asg, load_balancer: app/web}]}
scaler:
  id: one
  server: %[3]s
  groups:
    - {name: web, target_name: web-asg, mode: live, min: 2, max: 20}
`, p.dir, provider.URL, serving.URL))))
	return config, cloud
}

// fill puts history, a model and a decision into the stores.
func (p *patient) fill(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	lake, registry := openLake(t, filepath.Join(p.dir, "data")), openLake(t, filepath.Join(p.dir, "models"))
	var samples []api.Sample
	end := p.now.Truncate(systemStep).Add(-p.hole)
	for at := end.Add(-time.Duration(p.days) * day); at.Before(end); at = at.Add(time.Duration(p.every) * systemStep) {
		for metric, value := range map[string]float64{api.MetricCPU: 50, api.MetricInService: 6} {
			if metric != p.without {
				samples = append(samples, api.Sample{Group: "web", Metric: metric, Stat: api.StatAvg, Time: at, Value: value})
			}
		}
	}
	if err := dataset.New(lake).Append(ctx, "test", end, samples, end); err != nil {
		t.Fatal(err)
	}
	if p.modelled {
		m, model := onnxtest.Persistence(onnxtest.Spec(4, 2), 1)
		m.Name, m.Groups, m.TrainedUntil, m.CreatedAt = "web", []string{"web"}, p.now.Add(-p.trained), p.now
		if _, err := models.NewRegistry(registry).Put(ctx, m, model); err != nil {
			t.Fatal(err)
		}
	}
	if p.decided < 0 {
		return
	}
	rec := p.record
	rec.Tick, rec.Scaler = p.now.Add(-p.decided).Truncate(time.Second), "one"
	rec.Decisions = []api.Decision{{Group: "web"}}
	if err := journal.New(lake).Append(ctx, rec); err != nil {
		t.Fatal(err)
	}
}

// examine runs the doctor in this process, whose clock the patient sets.
func (p *patient) examine(t *testing.T, config string) (int, diagnosis, string) {
	t.Helper()
	var out, errOut bytes.Buffer
	d := &doctor{out: &out, getenv: func(string) string { return "" }, now: func() time.Time { return p.now.Add(p.skew) }, quiet: slog.New(slog.DiscardHandler)}
	code := cli.Execute(t.Context(), cli.Command{Name: "forescale doctor", Flags: d.flags, Check: d.check, Run: d.run}, []string{"-config", config, "-o", "json"}, &out, &errOut)
	var found diagnosis
	if err := json.Unmarshal(out.Bytes(), &found); err != nil {
		t.Fatalf("%v:\n%s%s", err, out.String(), errOut.String())
	}
	return code, found, errOut.String()
}

func TestTheDoctorFindsNothingWrongWithASoundInstallation(t *testing.T) {
	p := newPatient(t)
	config, cloud := p.admit(t)
	before := content(t, p.dir)
	code, found, text := p.examine(t, config)
	if code != 0 || found.Errors+found.Warnings > 0 {
		t.Errorf("exit code %d: %s", code, text)
	}
	var checks []string
	for _, f := range found.Findings {
		if f.Level == levelError || f.Level == levelWarning {
			t.Errorf("%+v", f)
		}
		checks = append(checks, string(f.Level)+" "+f.Check)
	}
	for _, want := range []string{"ok configuration.keys", "ok calendar.ahead", "ok store.data", "ok store.models", "ok store.clock", "ok credentials.found", "ok credentials.clock", "ok credentials.permission",
		"ok groups.settings", "ok sources.cloudwatch", "ok history.complete", "ok models.fresh", "ok server.ready", "note onnxruntime.library", "ok scaler.deciding"} {
		if !slices.Contains(checks, want) {
			t.Errorf("no %s among %q", want, checks)
		}
	}
	unchanged(t, p.dir, before)
	for call := range cloud.Calls() {
		if !strings.HasPrefix(call.Operation, "Describe") && call.Operation != "SetDesiredCapacity" && call.Operation != "GetMetricData" {
			t.Errorf("the doctor called %+v", call)
		}
	}
	if g := cloud.State().Groups[0]; g.Desired != 6 {
		t.Errorf("the doctor set the size to %d", g.Desired)
	}
}

func TestTheDoctorFindsWhatIsWrong(t *testing.T) {
	for name, c := range map[string]struct {
		ail   func(*patient)
		level level
		check string
		found string // in the finding
		do    string // in what to do
	}{
		"an unknown key": {func(p *patient) {
			p.replaceConfig = func(s string) string { return strings.Replace(s, "target_name", "tarket_name", 1) }
		},
			levelError, "configuration.keys", "tarket_name", "correct it"},
		"a value that makes no sense": {func(p *patient) {
			p.replaceConfig = func(s string) string { return strings.Replace(s, "min: 2", "min: -2", 1) }
		},
			levelError, "configuration.keys", "-2 to 20 is not a range", ""},
		"no groups": {func(p *patient) {
			p.replaceConfig = func(s string) string { return s[:strings.Index(s, "  groups:\n    - {name")] }
		},
			levelWarning, "configuration.groups", "there are none", "list the groups"},
		"a broken calendar":             {func(p *patient) { p.calendar = `{"sale": 1}` }, levelError, "calendar.sound", "sale", "forescale calendar check"},
		"an empty calendar":             {func(p *patient) { p.calendar = `{}` }, levelWarning, "calendar.ahead", "nothing is planned", "forescale calendar show"},
		"no credentials":                {func(p *patient) { p.env["AWS_ACCESS_KEY_ID"] = "" }, levelError, "credentials.credentials", "our own account, eu-central-1", "AWS_PROFILE"},
		"a clock that is wrong":         {func(p *patient) { p.skew = 7 * time.Minute }, levelError, "credentials.clock", "behind this machine's", "timedatectl"},
		"a clock that is nearly right":  {func(p *patient) { p.skew = -3 * time.Minute }, levelWarning, "credentials.clock", "ahead of this machine's", "timedatectl"},
		"groups may not be read":        {forbid("DescribeAutoScalingGroups"), levelError, "credentials.permission", "AccessDenied", "autoscaling:DescribeAutoScalingGroups"},
		"sizes may not be set":          {forbid("SetDesiredCapacity"), levelError, "credentials.permission", "AccessDenied", "autoscaling:SetDesiredCapacity"},
		"policies may not be read":      {forbid("DescribePolicies"), levelWarning, "credentials.permission", "AccessDenied", "autoscaling:DescribePolicies"},
		"schedules may not be read":     {forbid("DescribeScheduledActions"), levelWarning, "credentials.permission", "AccessDenied", "autoscaling:DescribeScheduledActions"},
		"refreshes may not be read":     {forbid("DescribeInstanceRefreshes"), levelWarning, "credentials.permission", "AccessDenied", "autoscaling:DescribeInstanceRefreshes"},
		"activities may not be read":    {forbid("DescribeScalingActivities"), levelWarning, "credentials.permission", "AccessDenied", "autoscaling:DescribeScalingActivities"},
		"metrics may not be read":       {forbid("GetMetricData"), levelError, "sources.cloudwatch", "AccessDenied", "cloudwatch:GetMetricData"},
		"a group that is not there":     {func(p *patient) { p.group.Name = "shop-asg" }, levelError, "groups.exists", `no "web-asg"`, "target_name"},
		"a policy that tracks":          {policy(fleet.ScalingPolicy{Name: "cpu", Type: fleet.PolicyTracking, Target: 55}), levelWarning, "groups.rival-target-tracking", "cpu", "delete-policy"},
		"a policy that foresees":        {policy(fleet.ScalingPolicy{Name: "seer", Type: fleet.PolicyPredictive}), levelWarning, "groups.rival-predictive-policy", "seer", "ForecastOnly"},
		"a process that is suspended":   {func(p *patient) { p.change = &fleet.GroupChange{Suspend: []string{"Launch"}} }, levelError, "groups.rival-suspended-process", "Launch", "resume-processes"},
		"a warm-up that hides load":     {func(p *patient) { p.group.Warmup = time.Hour }, levelWarning, "groups.warm-up", "1h0m0s", "--default-instance-warmup 300"},
		"bounds that do not reach":      {func(p *patient) { p.group.Max = 10 }, levelWarning, "groups.bounds", "lets it grow to 10", "--max-size 20"},
		"a group that cannot be scaled": {func(p *patient) { p.group.Min, p.group.Max = 6, 6 }, levelWarning, "groups.bounds", "holds it at 6", "--max-size"},
		"nothing stored":                {func(p *patient) { p.days = 0 }, levelError, "history.measured", "cpu_utilization and instances_in_service", "-backfill 14d"},
		"no count of instances":         {func(p *patient) { p.without = api.MetricInService }, levelError, "history.measured", "nothing is stored of instances_in_service", "-backfill 14d"},
		"a short history":               {func(p *patient) { p.days = 3 }, levelWarning, "history.length", "3.0 days", "-backfill 14d"},
		"a history that has ended":      {func(p *patient) { p.hole = 2 * time.Hour }, levelError, "history.fresh", "2h", "forescale-collector"},
		"values too far apart":          {func(p *patient) { p.every = 3 }, levelError, "history.irregular", "every 15m0s", "step:"},
		"no model":                      {func(p *patient) { p.modelled = false }, levelWarning, "models.trained", "has no model", "forescale retrain"},
		"an old model":                  {func(p *patient) { p.trained = 40 * day }, levelWarning, "models.fresh", "40d", "forescale retrain"},
		"a token that is refused":       {func(p *patient) { p.refuses = http.StatusUnauthorized }, levelError, "server.token", "for a reason", "forescale token"},
		"a server that fails":           {func(p *patient) { p.refuses = http.StatusInternalServerError }, levelError, "server.predict", "for a reason", "journalctl"},
		"a server that is not there":    {func(p *patient) { p.serverDown = true }, levelError, "server.ready", "connection refused", "journalctl"},
		"a scaler that stands still":    {func(p *patient) { p.decided = 3 * time.Hour }, levelError, "scaler.deciding", "3h", "-once"},
		"a tick that went wrong":        {func(p *patient) { p.record.Errors = []string{"history: slow"} }, levelWarning, "scaler.tick", "history: slow", "forescale tail"},
		"a lake that is not there": {func(p *patient) {
			p.replaceConfig = func(s string) string { return strings.Replace(s, "/data\n", "/date\n", 1) }
		},
			levelError, "store.data", "/date", "mkdir -p"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPatient(t)
			c.ail(p)
			config, _ := p.admit(t)
			code, found, text := p.examine(t, config)
			i := slices.IndexFunc(found.Findings, func(f symptom) bool {
				return f.Check == c.check && f.Level == c.level && strings.Contains(f.Found, c.found) && strings.Contains(strings.Join(f.Do, "\n"), c.do)
			})
			if i < 0 {
				t.Fatalf("not found: %s %s %q, do %q, in\n%+v\n%s", c.level, c.check, c.found, c.do, found.Findings, text)
			}
			if want := map[level]int{levelError: 1, levelWarning: 0}[c.level]; code != want && found.Errors == 0 == (want == 0) {
				t.Errorf("exit code %d", code)
			}
			if found.Findings[i].Means == "" {
				t.Error("what it means is not said")
			}
		})
	}
}

func forbid(operation string) func(*patient) {
	return func(p *patient) {
		p.traps.Faults = []fleet.Fault{{Operation: operation, Kind: fleet.FaultDenied}}
	}
}

func policy(s fleet.ScalingPolicy) func(*patient) {
	return func(p *patient) { p.group.Policies = []fleet.ScalingPolicy{s} }
}

func TestTheDoctorsTableIsReadable(t *testing.T) {
	var out bytes.Buffer
	s := section{check: "groups"}
	for i := range 9 {
		s.group(levelWarning, "bounds", fmt.Sprint("web-", i), "is held\x1b[2J", "It cannot grow.", "aws autoscaling update-auto-scaling-group --auto-scaling-group-name web --max-size 20")
	}
	s.ok("settings", "%s as it should be", "1 group")
	if err := printSymptoms(&out, terminal{width: 60}, s.found); err != nil {
		t.Fatal(err)
	}
	const want = `WARNING  groups.bounds (9 groups): web-0: is held [2J;
         web-1: is held [2J; web-2: is held [2J; web-3: is
         held [2J; web-4: is held [2J; and others
         It cannot grow.
         -> aws autoscaling update-auto-scaling-group --auto-scaling-group-name web --max-size 20
OK       groups.settings: 1 group as it should be
`
	if out.String() != want {
		t.Errorf("got\n%s", out.String())
	}
	if len(s.found[0].Groups) != 9 {
		t.Errorf("%d groups are named in the JSON", len(s.found[0].Groups))
	}
}

func TestTheDoctorsCommandLineIsChecked(t *testing.T) {
	invoke(t, "forescale", "doctor").expect(t, 2, "-config FILE is needed")
	invoke(t, "forescale", "doctor", "-config", "x", "-o", "yaml").expect(t, 2, `"yaml" is not table or json`)
	invoke(t, "forescale", "doctor", "-config", "x", "more").expect(t, 2, `"more"`)
	o := invoke(t, "forescale", "doctor", "-config", "/nowhere/forescale.yaml")
	o.expect(t, 1, "1 error found")
	o.said(t, 1, "ERROR    configuration.keys: ", "/nowhere/forescale.yaml", "nothing else was looked at")
}
