package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/internal/dataset"
	"github.com/forescale/forescale/internal/onnxtest"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/scaler/control"
)

// statusRun runs status in this process at a moment.
func statusRun(t *testing.T, now time.Time, args ...string) outcome {
	t.Helper()
	var out, errOut bytes.Buffer
	s := &status{out: &out, errOut: &errOut, getenv: os.Getenv, now: func() time.Time { return now }}
	c := statusCommand()
	c.Flags, c.Check, c.Run = s.flags, s.check, s.run
	code := cli.Execute(t.Context(), c, args, &out, &errOut)
	return outcome{code, out.String(), errOut.String()}
}

// measured puts the newest slots of groups into a lake.
func measured(t *testing.T, lake string, end time.Time, groups ...string) {
	t.Helper()
	var samples []api.Sample
	for _, g := range groups {
		for i := range 12 {
			at := end.Add(time.Duration(i-12) * systemStep)
			samples = append(samples, api.Sample{Group: g, Metric: api.MetricCPU, Stat: api.StatAvg, Time: at, Value: 50},
				api.Sample{Group: g, Metric: api.MetricInService, Stat: api.StatAvg, Time: at, Value: 4})
		}
	}
	if err := dataset.New(openLake(t, lake)).Append(t.Context(), "test", end, samples, end); err != nil {
		t.Fatal(err)
	}
}

// calm makes the newest decisions of recorded such that nobody needs to look.
func calm(rec *api.TickRecord) {
	for i := range rec.Decisions {
		rec.Decisions[i].Observed = map[string]float64{api.MetricCPU: 50}
	}
}

func TestTheStatusOfAFleet(t *testing.T) {
	lake := recorded(t, 3, calm)
	measured(t, lake, past, "web", "idle")
	now := past.Add(2 * time.Minute)
	o := statusRun(t, now, "-store", lake)
	o.said(t, 0, "2 groups, 0 to look at, decided at 2026-03-02 12:00 UTC, 2m ago, by host-1", "GROUP", "idle", "web", "reactive", "2m")

	before := content(t, lake)
	o = statusRun(t, past.Add(6*time.Hour), "-store", lake)
	o.said(t, exitAttention, "2 groups, 2 to look at", "!  idle", "!  web", "stale")
	o.expect(t, exitAttention, "2 of 2 groups to look at: idle, web")
	statusRun(t, past.Add(6*time.Hour), "-store", lake, "-at", "2026-03-02T12:02Z").said(t, 0, "0 to look at", "2m ago")
	unchanged(t, lake, before)

	o = statusRun(t, now, "-store", lake, "-o", "json", "web")
	var f api.Fleet
	if err := json.Unmarshal([]byte(o.stdout), &f); err != nil || len(f.Groups) != 1 || f.Groups[0].Group != "web" || f.Groups[0].State != api.StateReactive || f.Warnings == nil || f.StepSeconds != 300 {
		t.Errorf("%v\n%s", err, o.stdout)
	}
	statusRun(t, now, "-store", lake, "wbe").expect(t, 1, `there is no group "wbe"; there is idle, web`)
}

func TestAnOrderIsShownBeforeTheNextTick(t *testing.T) {
	lake := recorded(t, 3, calm)
	measured(t, lake, past, "web", "idle")
	order := api.Control{Kind: api.ControlFreeze, Group: "web", At: past.Add(time.Minute), Until: past.Add(time.Hour), Reason: "release 4.2", By: "ana"}
	if err := control.New(openLake(t, lake)).Put(t.Context(), order); err != nil {
		t.Fatal(err)
	}
	o := statusRun(t, past.Add(2*time.Minute), "-store", lake)
	o.said(t, 0, "-  web", "frozen", "frozen until 2026-03-02 13:00 UTC, by ana: release 4.2")
	if strings.Index(o.stdout, "web") > strings.Index(o.stdout, "idle") {
		t.Errorf("what needs attention is not first:\n%s", o.stdout)
	}
	if o = statusRun(t, past.Add(2*time.Hour), "-store", lake); strings.Contains(o.stdout, "frozen") {
		t.Errorf("the order is over:\n%s", o.stdout)
	}
}

func TestTheStatusByTheConfigurationKnowsModelsEventsAndWhatIsMissing(t *testing.T) {
	lake := recorded(t, 3, calm)
	measured(t, lake, past, "web", "idle")
	dir := t.TempDir()
	m, model := onnxtest.Persistence(onnxtest.Spec(4, 2), 1)
	m.Name, m.Groups, m.TrainedUntil, m.CreatedAt = "shop-model", []string{"web"}, past.Add(-3*day), past
	if _, err := models.NewRegistry(openLake(t, filepath.Join(dir, "models"))).Put(t.Context(), m, model); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "calendar.json"), []byte(`{"events": [{"name": "sale", "start": "2026-03-03T00:00:00Z", "end": "2026-03-04T00:00:00Z", "flag": "is_sale"}]}`))
	config := filepath.Join(dir, "forescale.yaml")
	write(t, config, []byte("data: "+lake+"\nmodels: "+dir+"/models\ncalendar: "+dir+"/calendar.json\nscaler:\n  groups: [{name: web}, {name: idle}, {name: shop}]\n"))
	o := statusRun(t, past.Add(2*time.Minute), "-config", config)
	o.said(t, 0, "3 groups", "next: sale Tue\n2026-03-03 00:00 UTC", "shop-model/1 3d 0h", "unknown", "nothing is stored of it")
	write(t, filepath.Join(dir, "calendar.json"), []byte(`{`))
	statusRun(t, past.Add(2*time.Minute), "-config", config).said(t, 0, "* calendar: ")
}

func TestTheStatusThatAServerTells(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer fst_open-sesame" {
			w.Header().Set("Content-Type", api.ProblemType)
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = w.Write([]byte(`{"title":"Unauthorized"}`))
			return
		}
		_ = json.NewEncoder(w).Encode(api.Fleet{Now: past, StepSeconds: 300, Warnings: []string{"a part\x1b[2J is damaged"}, Groups: []api.FleetRow{
			{Group: "shop", Attention: api.AttentionFault + 1, State: api.StateStale, Reason: "the newest data is 3 h old"},
			{Group: "web", State: api.StatePredictive, Reason: "forecasts decide", Mode: api.ModeDryRun, Load: &api.FleetLoad{Series: api.SeriesDemand, Value: 3.2, At: past},
				Forecast: &api.FleetForecast{Value: 4.4, At: past.Add(10 * time.Minute)}, Capacity: &api.FleetCapacity{InService: 4, Before: 4, Desired: 6, Min: 2, Max: 20}},
		}})
	}))
	defer server.Close()
	token := filepath.Join(t.TempDir(), "token")
	write(t, token, []byte("fst_open-sesame\n"))
	o := statusRun(t, past, "-server", server.URL, "-token-file", token)
	o.said(t, exitAttention, "!  shop", "predictive (dry-run)", "4.4 at 12:10", "4 -> 6", "2-20", "* a part [2J is damaged")
	statusRun(t, past, "-server", server.URL, "-token-file", token, "web").said(t, 0, "forecasts decide")
	statusRun(t, past, "-server", server.URL).expect(t, 1, "Unauthorized")
}

func TestTheCommandLineOfTheStatusIsChecked(t *testing.T) {
	lake := recorded(t, 1, nil)
	for want, args := range map[string][]string{
		"-store URL or -config FILE is needed":        {},
		`"yaml" is not table or json`:                 {"-store", lake, "-o", "yaml"},
		"go with -server":                             {"-store", lake, "-token-file", "x"},
		"-server excludes -store, -config and -at":    {"-server", "http://127.0.0.1:1", "-store", lake},
		"is not of the form http://HOST:PORT":         {"-server", "ftp://x"},
		"in clear text":                               {"-server", "http://forescale.example.com", "-token-file", "/nowhere/token"},
		"-token-file: open /nowhere/token":            {"-server", "http://127.0.0.1:1", "-token-file", "/nowhere/token"},
		"-server: certificate authorities: open /now": {"-server", "https://127.0.0.1:1", "-ca-file", "/nowhere/ca"},
	} {
		statusRun(t, past, args...).expect(t, 2, want)
	}
	statusRun(t, past, "-store", filepath.Join(lake, "lost")).expect(t, 1, "lost")
	statusRun(t, past, "-server", "http://127.0.0.1:1").expect(t, 1, "connection refused")
}

func TestATableFitsTheTerminal(t *testing.T) {
	rows := func() [][]string {
		return [][]string{{"", "GROUP", "WHY"}, {"!", "web", "the newest data is three hours old and nobody knows why that is so"}, {"", "a-group-with-a-name-that-is-far-too-long", "ok"}}
	}
	for _, c := range []struct {
		page terminal
		want string
	}{
		{terminal{width: 80}, "   GROUP                         WHY\n" +
			"!  web                           the newest data is three hours old and nobody\n" +
			"                                 knows why that is so\n" +
			"   a-group-with-a-name-that-is…  ok\n"},
		{terminal{width: 50, colours: true}, "   GROUP\n" +
			"\x1b[31m!  web\x1b[0m\n    \x1b[31mthe newest data is three hours old and nobody\x1b[0m\n    \x1b[31mknows why that is so\x1b[0m\n" +
			"   a-group-with-a-name-that-is…\n    ok\n"},
	} {
		var b strings.Builder
		writeTable(&b, c.page, rows())
		if b.String() != c.want {
			t.Errorf("at %d columns:\n%s\n%q", c.page.width, b.String(), b.String())
		}
	}
}
