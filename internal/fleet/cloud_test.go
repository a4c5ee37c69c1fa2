package fleet_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/forescale/forescale/internal/awshttp"
	"github.com/forescale/forescale/internal/fleet"
)

// monday is the start of the demands of these tests.
var monday = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

// flat returns a demand of some slots of five minutes with a constant value.
func flat(slots int, instances float64) *fleet.Demand {
	d := &fleet.Demand{Start: monday, Step: 5 * time.Minute, Slots: make([]float64, slots), Missing: make([]bool, slots), Unit: 1}
	for i := range d.Slots {
		d.Slots[i] = instances
	}
	return d
}

// start serves a cloud and returns it with the real clients, without retries.
func start(t *testing.T, config fleet.Config) (*fleet.Cloud, *cloudwatch.Client, *autoscaling.Client) {
	t.Helper()
	c, err := fleet.New(config)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(fleet.Handler(c))
	t.Cleanup(s.Close)
	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(client.CloseIdleConnections)
	keys := credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", "")
	cw := cloudwatch.New(cloudwatch.Options{Region: "us-east-1", BaseEndpoint: &s.URL, Credentials: keys, Retryer: aws.NopRetryer{}, HTTPClient: awshttp.Whole(client)})
	as := autoscaling.New(autoscaling.Options{Region: "us-east-1", BaseEndpoint: &s.URL, Credentials: keys, Retryer: aws.NopRetryer{}, HTTPClient: awshttp.Whole(client)})
	return c, cw, as
}

// ask returns a query for one metric of a group.
func ask(id, group, namespace, metric, stat string, period int32) cwtypes.MetricDataQuery {
	dimension := cwtypes.Dimension{Name: aws.String("AutoScalingGroupName"), Value: &group}
	if namespace == "AWS/ApplicationELB" {
		dimension = cwtypes.Dimension{Name: aws.String("LoadBalancer"), Value: aws.String("app/" + group)}
	}
	return cwtypes.MetricDataQuery{Id: &id, MetricStat: &cwtypes.MetricStat{
		Metric: &cwtypes.Metric{Namespace: &namespace, MetricName: &metric, Dimensions: []cwtypes.Dimension{dimension}},
		Period: &period, Stat: &stat,
	}}
}

// web is a group under six instance-equivalents for some days, run by ten
// instances.
func web(days int) fleet.GroupConfig {
	return fleet.GroupConfig{Name: "web", Demand: flat(days*288, 6), Lead: fleet.Lead{Minutes: 5}}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func advance(t *testing.T, c *fleet.Cloud, by time.Duration) {
	t.Helper()
	must(t, c.Advance(c.Now().Add(by)))
}

func TestHistoryRunsWithoutSaturationAndSummariesUseTheReplaysMetrics(t *testing.T) {
	trace, err := fleet.Generate(fleet.GenerateConfig{Seed: 11, Days: 6})
	must(t, err)
	d, err := trace.Demand()
	must(t, err)
	now := d.Start.Add(4 * 24 * time.Hour)
	c, err := fleet.New(fleet.Config{Now: now, Groups: []fleet.GroupConfig{
		{Name: "ample", Demand: d, Lead: fleet.Lead{Minutes: 5}, Live: fleet.ReferenceRule, Desired: 20},
		{Name: "ruled", Demand: d, Lead: fleet.Lead{Minutes: 5}, History: fleet.ReferenceRule, Live: fleet.ReferenceRule},
	}})
	must(t, err)
	history, err := c.Minutes("ample", d.Start, now)
	must(t, err)
	for _, m := range history {
		if m.Demand > 0.6*float64(m.InService)+1e-9 {
			t.Fatalf("%v: demand %v on %d instances", m.Time, m.Demand, m.InService)
		}
	}
	must(t, c.Advance(c.End()))

	// The rule ran all of the second group's life: the same as a simulation.
	run, err := fleet.Simulate(d, fleet.ReferenceRule, 0, d.Minutes(), 5)
	must(t, err)
	from := d.Minute(now)
	var demand []float64
	var seen []bool
	for m := from; m < d.Minutes(); m++ {
		demand, seen = append(demand, d.At(m)), append(seen, d.Scored(m))
	}
	want := fleet.Measure(demand, seen, fleet.Run{From: from, InService: run.InService[from:], Billed: run.Billed[from:], Before: run.Billed[from-1]})
	got, err := c.Summary("ruled", now, c.End())
	must(t, err)
	if got != want {
		t.Errorf("the cloud's summary is %+v, the replay's %+v", got, want)
	}
	live, err := c.Minutes("ample", now, now.Add(time.Minute))
	must(t, err)
	if live[0].Billed != 20 {
		t.Errorf("%d instances at the end of history, 20 were desired", live[0].Billed)
	}
}

func TestTheClockMovesForwardAndNotPastTheDemand(t *testing.T) {
	c, err := fleet.New(fleet.Config{Start: monday, Now: monday.Add(time.Hour), Groups: []fleet.GroupConfig{web(1)}})
	must(t, err)
	if err := c.Advance(monday); !errors.Is(err, fleet.ErrClockBack) {
		t.Errorf("back: %v", err)
	}
	if err := c.Advance(monday.Add(25 * time.Hour)); !errors.Is(err, fleet.ErrEnd) {
		t.Errorf("past the end: %v", err)
	}
	must(t, c.Advance(monday.Add(24*time.Hour)))
	if s := c.State(); !s.Now.Equal(s.End) || s.Groups[0].InService != 10 {
		t.Errorf("state %+v", s)
	}
	if _, err := c.Summary("web", monday, monday.Add(25*time.Hour)); !errors.Is(err, fleet.ErrOutOfRange) {
		t.Errorf("summary past the end: %v", err)
	}
	if _, err := c.Summary("nobody", monday, monday.Add(time.Hour)); !errors.Is(err, fleet.ErrNoGroup) {
		t.Errorf("summary of nobody: %v", err)
	}
}

func TestAMinuteRunsOnceTheClockHasPassedIt(t *testing.T) {
	c, err := fleet.New(fleet.Config{Start: monday, Now: monday.Add(time.Hour), Groups: []fleet.GroupConfig{web(1)}})
	must(t, err)
	for _, step := range []time.Duration{59 * time.Second, time.Second, 90 * time.Second} {
		advance(t, c, step)
	}
	if _, err := c.Minutes("web", monday, monday.Add(62*time.Minute)); err != nil {
		t.Errorf("two minutes and a half passed: %v", err)
	}
	if _, err := c.Minutes("web", monday, monday.Add(63*time.Minute)); !errors.Is(err, fleet.ErrOutOfRange) {
		t.Errorf("the third minute is under way: %v", err)
	}
}

func TestEveryFaultOfAConfigurationIsReported(t *testing.T) {
	bad := web(1)
	bad.Min, bad.Max = 5, 3
	slow := web(1)
	slow.Name, slow.Lead.Minutes = "slow", -1
	_, err := fleet.New(fleet.Config{Start: monday, Now: monday, Groups: []fleet.GroupConfig{bad, slow, {Name: "idle"}, {Demand: flat(1, 1)}}})
	for _, want := range []string{"bounds 5 to 3", "lead of -1", `"idle"): it has no demand`, "it has no name"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not contain %q", err, want)
		}
	}
	_, err = fleet.New(fleet.Config{Start: monday, Now: monday.Add(time.Hour), Groups: []fleet.GroupConfig{web(1), web(1)}})
	if err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("two groups of one name: %v", err)
	}
	_, err = fleet.New(fleet.Config{Start: monday.Add(-time.Hour), Now: monday, Groups: []fleet.GroupConfig{web(1)}})
	if err == nil || !strings.Contains(err.Error(), "does not cover") {
		t.Errorf("history before the demand: %v", err)
	}
}

func TestTheClockFollowsTheWallClock(t *testing.T) {
	c, err := fleet.New(fleet.Config{Start: monday, Now: monday.Add(time.Hour), Groups: []fleet.GroupConfig{web(1)}})
	must(t, err)
	if err := c.Run(t.Context(), 0); err == nil {
		t.Error("speed 0 must be refused")
	}
	// The 23 hours that are left take about 0.2 s.
	if err := c.Run(t.Context(), 400_000); !errors.Is(err, fleet.ErrEnd) {
		t.Errorf("run to the end: %v", err)
	}
	if !c.Now().Equal(c.End()) {
		t.Errorf("the clock stands at %v", c.Now())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Run(ctx, 1); err != nil {
		t.Errorf("run after cancel: %v", err)
	}
}

func TestAnotherProcessCanDriveTheSimulation(t *testing.T) {
	c, err := fleet.New(fleet.Config{Start: monday, Now: monday.Add(time.Hour), Groups: []fleet.GroupConfig{web(1)}})
	must(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- fleet.Serve(ctx, l, c) }()
	base := "http://" + l.Addr().String() + "/_simulation/"
	post := func(path, body string) (int, string) {
		r, err := http.Post(base+path, "application/json", strings.NewReader(body))
		must(t, err)
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		must(t, err)
		return r.StatusCode, string(b)
	}
	if status, body := post("change", `{"group": "web", "at": "2026-03-02T01:01:00Z", "desired": 4}`); status != 200 {
		t.Errorf("change: %d %s", status, body)
	}
	if status, body := post("advance", `{"to": "2026-03-02T01:10:00Z"}`); status != 200 || !strings.Contains(body, `"in_service":4`) {
		t.Errorf("advance: %d %s", status, body)
	}
	for path, body := range map[string]string{
		"advance": `{"to": "2026-03-02T00:00:00Z"}`, "traps": `{"gap": []}`, "change": `{"group": "nobody"}`,
	} {
		if status, answer := post(path, body); status < 400 || !strings.Contains(answer, "error") {
			t.Errorf("%s %s: %d %s", path, body, status, answer)
		}
	}
	for path, want := range map[string]string{
		"state": `"now":"2026-03-02T01:10:00Z"`,
		"summary?group=web&from=2026-03-02T01:00:00Z&to=2026-03-02T01:10:00Z": `"violation_minutes":9,`,
	} {
		r, err := http.Get(base + path)
		must(t, err)
		b, err := io.ReadAll(r.Body)
		must(t, err)
		r.Body.Close()
		if !strings.Contains(string(b), want) {
			t.Errorf("%s: %s", path, b)
		}
	}
	cancel()
	if err := <-served; err != nil {
		t.Errorf("serve: %v", err)
	}
}
