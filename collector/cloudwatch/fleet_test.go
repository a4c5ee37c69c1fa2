package cloudwatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/collector"
	"github.com/forescale/forescale/internal/conf"
	"github.com/forescale/forescale/internal/fleet"
)

// These tests speak to the simulated cloud through the real SDK client, with the
// real protocol in between.

// began is the start of the simulated demand.
var began = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

func fslot(i int) time.Time { return began.Add(time.Duration(i) * step) }

// wave returns a demand of some slots that goes down to nothing at times: a load
// balancer is silent then.
func wave(slots int) *fleet.Demand {
	d := &fleet.Demand{Start: began, Step: step, Slots: make([]float64, slots), Missing: make([]bool, slots), Unit: 1}
	for i := range d.Slots {
		d.Slots[i] = max(0, 4*math.Sin(float64(i)/9)+2)
	}
	return d
}

// cloud is a simulated cloud, with a source on it and the number of calls made.
type cloud struct {
	*fleet.Cloud
	source *Source
	calls  atomic.Int64
}

func simulate(t *testing.T, config fleet.Config, now int) *cloud {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("AWS_CONFIG_FILE", "/dev/null")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
	config.Start, config.Now = began, fslot(now)
	c, err := fleet.New(config)
	if err != nil {
		t.Fatal(err)
	}
	out := &cloud{Cloud: c}
	handler := fleet.Handler(c)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out.calls.Add(1)
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	cfg := Config{CallsPerSecond: 1e6} // the pace has a test of its own
	for _, g := range config.Groups {
		cfg.Groups = append(cfg.Groups, Group{Name: g.Name, LoadBalancer: "app/" + g.Name})
	}
	client, err := NewClient(t.Context(), cfg, conf.AWS{Region: "us-east-1", CloudWatchEndpoint: srv.URL}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	out.source, err = New("cloudwatch", cfg, client, step, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// expected computes from the simulation's own account what CloudWatch has of the
// slots [from, to): the oracle of these tests, which knows no protocol.
func (c *cloud) expected(t *testing.T, group string, from, to int) map[string]float64 {
	t.Helper()
	minutes, err := c.Minutes(group, fslot(from), fslot(to))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]float64{}
	for i := from; i < to; i++ {
		var cpu, inService, requests float64
		for k, m := range minutes[(i-from)*5 : (i-from)*5+5] {
			cpu += 100 * min(1, m.Demand/float64(m.InService)) / 5
			inService += float64(m.InService) / 5
			requests += math.Floor(600*m.Demand*float64(k+1)+1e-9) - math.Floor(600*m.Demand*float64(k)+1e-9)
		}
		key := func(metric string) string { return fmt.Sprintf("%s/%s/%d", group, metric, i) }
		want[key("cpu_utilization")] = cpu
		want[key("instances_in_service")] = inService
		want[key("instances_desired")] = inService // nobody orders anything in these tests
		want[key("network_in")] = 2000 * requests
		if requests > 0 {
			want[key("request_count")] = requests
		}
	}
	return want
}

func byKey(samples []api.Sample) map[string]float64 {
	got := map[string]float64{}
	for _, s := range samples {
		got[fmt.Sprintf("%s/%s/%d", s.Group, s.Metric, int(s.Time.Sub(began)/step))] = s.Value
	}
	return got
}

// same compares up to the rounding of a sum of five floats.
func same(t *testing.T, got, want map[string]float64) {
	t.Helper()
	wrong := 0
	for key, w := range want {
		if g, ok := got[key]; !ok || math.Abs(g-w) > 1e-9*max(1, math.Abs(w)) {
			if wrong++; wrong <= 5 {
				t.Errorf("%s: got %v (there: %t), want %v", key, g, ok, w)
			}
		}
	}
	for key, g := range got {
		if _, ok := want[key]; !ok {
			if wrong++; wrong <= 5 {
				t.Errorf("%s = %v was never offered", key, g)
			}
		}
	}
	if wrong > 5 {
		t.Errorf("%d differences in all", wrong)
	}
}

func TestAgainstTheSimulatedCloud(t *testing.T) {
	web := []fleet.GroupConfig{{Name: "web", Demand: wave(600)}, {Name: "../../x", Demand: wave(600)}}
	t.Run("reads every point of two days, whatever the size of the pages", func(t *testing.T) {
		for _, size := range []int{0, 7, 1000} {
			c := simulate(t, fleet.Config{Groups: web, PageDatapoints: size}, 576)
			samples, err := c.source.Fetch(t.Context(), fslot(0), fslot(576))
			if err != nil {
				t.Fatal(err)
			}
			want := c.expected(t, "web", 0, 576)
			for key, v := range c.expected(t, "../../x", 0, 576) {
				want[key] = v
			}
			if len(want) == 2*5*576 {
				t.Fatal("the load balancer was never silent: the demand of this test is wrong")
			}
			same(t, byKey(samples), want)
			if size == 7 && c.calls.Load() < int64(len(want)/7) {
				t.Errorf("%d points came in %d calls of 7", len(want), c.calls.Load())
			}
		}
	})
	t.Run("start is included, end is not", func(t *testing.T) {
		c := simulate(t, fleet.Config{Groups: web}, 100)
		samples, err := c.source.Fetch(t.Context(), fslot(10), fslot(13))
		if err != nil {
			t.Fatal(err)
		}
		want := c.expected(t, "web", 10, 13)
		for key, v := range c.expected(t, "../../x", 10, 13) {
			want[key] = v
		}
		same(t, byKey(samples), want)
	})
	t.Run("a gap stays a gap", func(t *testing.T) {
		c := simulate(t, fleet.Config{Groups: web[:1]}, 100)
		c.SetTraps(fleet.Traps{Gaps: []fleet.Gap{{Points: fleet.Points{Group: "web", Metric: "CPUUtilization", From: fslot(20), To: fslot(30)}}}})
		samples, err := c.source.Fetch(t.Context(), fslot(0), fslot(100))
		if err != nil {
			t.Fatal(err)
		}
		want := c.expected(t, "web", 0, 100)
		for i := 20; i < 30; i++ {
			delete(want, fmt.Sprintf("web/cpu_utilization/%d", i))
		}
		same(t, byKey(samples), want)
	})
	t.Run("a forbidden series and one with an internal error cost no other", func(t *testing.T) {
		c := simulate(t, fleet.Config{Groups: web[:1], PageDatapoints: 11}, 100)
		c.SetTraps(fleet.Traps{Series: []fleet.SeriesFault{
			{Metric: "NetworkIn", Status: "Forbidden"}, {Metric: "GroupDesiredCapacity", Status: "InternalError"}}})
		samples, err := c.source.Fetch(t.Context(), fslot(0), fslot(100))
		if err == nil || !strings.Contains(err.Error(), "web/network_in: Forbidden") || !strings.Contains(err.Error(), "web/instances_desired: InternalError") {
			t.Errorf("got %v", err)
		}
		want := c.expected(t, "web", 0, 100)
		for i := range 100 {
			delete(want, fmt.Sprintf("web/network_in/%d", i))
			delete(want, fmt.Sprintf("web/instances_desired/%d", i))
		}
		same(t, byKey(samples), want)
	})
	t.Run("a throttled call, a broken one and a server error are tried again", func(t *testing.T) {
		c := simulate(t, fleet.Config{Groups: web[:1]}, 100)
		c.SetTraps(fleet.Traps{Faults: []fleet.Fault{
			{Kind: fleet.FaultThrottle, Count: 1}, {Kind: fleet.FaultLostResponse, Count: 1}, {Kind: fleet.FaultInternal, Count: 1}}})
		samples, err := c.source.Fetch(t.Context(), fslot(0), fslot(100))
		if err != nil {
			t.Fatal(err)
		}
		same(t, byKey(samples), c.expected(t, "web", 0, 100))
		if c.calls.Load() < 4 {
			t.Errorf("%d calls", c.calls.Load())
		}
	})
	t.Run("refused credentials fail the whole fetch, at once", func(t *testing.T) {
		c := simulate(t, fleet.Config{Groups: web[:1]}, 100)
		c.SetTraps(fleet.Traps{Faults: []fleet.Fault{{Kind: fleet.FaultDenied}}})
		_, err := c.source.Fetch(t.Context(), fslot(0), fslot(100))
		var se *collector.SeriesError
		if err == nil || errors.As(err, &se) || !strings.Contains(err.Error(), "AccessDenied") {
			t.Errorf("got %v", err)
		}
		if c.calls.Load() != 1 {
			t.Errorf("a call without hope was made %d times", c.calls.Load())
		}
	})
	t.Run("a cloud that hangs is left at the deadline", func(t *testing.T) {
		c := simulate(t, fleet.Config{Groups: web[:1]}, 100)
		c.SetTraps(fleet.Traps{Faults: []fleet.Fault{{Kind: fleet.FaultHang}}})
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		start := time.Now()
		if _, err := c.source.Fetch(ctx, fslot(0), fslot(100)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("took %s", d)
		}
	})
	t.Run("1200 groups come with 12 calls a tick", func(t *testing.T) {
		demand := wave(60)
		var groups []fleet.GroupConfig
		for i := range 1200 {
			groups = append(groups, fleet.GroupConfig{Name: fmt.Sprintf("g%04d", i), Demand: demand})
		}
		c := simulate(t, fleet.Config{Groups: groups}, 12)
		samples, err := c.source.Fetch(t.Context(), fslot(9), fslot(12))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := len(samples), 1200*len(c.expected(t, "g0000", 9, 12)); got != want {
			t.Errorf("%d samples, want %d", got, want)
		}
		if c.calls.Load() != 12 {
			t.Errorf("%d calls", c.calls.Load())
		}
		names := map[string]bool{}
		for _, s := range samples {
			names[s.Group] = true
		}
		if len(names) != 1200 {
			t.Errorf("%d groups answered", len(names))
		}
		same(t, byKey(slices.DeleteFunc(samples, func(s api.Sample) bool { return s.Group != "g1199" })), c.expected(t, "g1199", 9, 12))
	})
}
