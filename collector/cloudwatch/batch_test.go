package cloudwatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/collector"
	"github.com/forescale/forescale/internal/fleet"
)

// one returns groups with one metric each.
func one(n int) []Group {
	var groups []Group
	for i := range n {
		groups = append(groups, Group{Name: fmt.Sprintf("g%04d", i), Metrics: []string{api.MetricCPU}})
	}
	return groups
}

// picky answers every series of a call with a point, unless refuse has an error
// for the call.
func picky(refuse func(in *cloudwatch.GetMetricDataInput) error) *script {
	return &script{answer: func(_ int, in *cloudwatch.GetMetricDataInput) (*cloudwatch.GetMetricDataOutput, error) {
		if err := refuse(in); err != nil {
			return nil, err
		}
		var results []types.MetricDataResult
		for _, q := range in.MetricDataQueries {
			results = append(results, result(*q.Id, types.StatusCodeComplete, 0))
		}
		return page("", results...), nil
	}}
}

// tooLarge is what the SDK makes of the status 413.
func tooLarge() error {
	return &smithyhttp.ResponseError{Response: &smithyhttp.Response{Response: &http.Response{StatusCode: http.StatusRequestEntityTooLarge}}, Err: errors.New("too large")}
}

func overLimit(n int, err error) func(*cloudwatch.GetMetricDataInput) error {
	return func(in *cloudwatch.GetMetricDataInput) error {
		if len(in.MetricDataQueries) > n {
			return err
		}
		return nil
	}
}

func TestBatchesGiveWay(t *testing.T) {
	for name, cause := range map[string]error{
		"when an attempt takes too long": fmt.Errorf("attempt: %w", context.DeadlineExceeded),
		"when the request is too large":  tooLarge(),
	} {
		t.Run(name, func(t *testing.T) {
			s := picky(overLimit(130, cause))
			src := source(t, s, one(1000)...)
			samples, err := src.Fetch(t.Context(), slot(0), slot(3))
			if err != nil || len(samples) != 1000 {
				t.Fatalf("%d samples, %v", len(samples), err)
			}
			if size := src.places[0].size(); size > 250 || size < 100 {
				t.Errorf("the next call may have %d queries", size)
			}
			t.Run("and come back with calls that succeed", func(t *testing.T) {
				s.answer = picky(func(*cloudwatch.GetMetricDataInput) error { return nil }).answer
				for range 20 {
					if _, err := src.Fetch(t.Context(), slot(0), slot(3)); err != nil {
						t.Fatal(err)
					}
				}
				if size := src.places[0].size(); size != maxQueries {
					t.Errorf("still %d queries a call", size)
				}
			})
		})
	}
	t.Run("down to single series, and no further", func(t *testing.T) {
		s := picky(func(*cloudwatch.GetMetricDataInput) error { return tooLarge() })
		_, err := source(t, s, one(4)...).Fetch(t.Context(), slot(0), slot(3))
		var se *collector.SeriesError
		if err == nil || errors.As(err, &se) {
			t.Errorf("got %v", err)
		}
		if len(s.calls) != 7 {
			t.Errorf("%d calls for four series", len(s.calls))
		}
	})
	t.Run("not when the caller's own time is over", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := picky(func(*cloudwatch.GetMetricDataInput) error { cancel(); return context.DeadlineExceeded })
		if _, err := source(t, s, one(100)...).Fetch(ctx, slot(0), slot(3)); err == nil {
			t.Error("no error")
		}
		if len(s.calls) != 1 {
			t.Errorf("%d calls", len(s.calls))
		}
	})
}

func TestAQueryThatIsRefusedCostsNoOther(t *testing.T) {
	refuse := func(bad ...string) func(*cloudwatch.GetMetricDataInput) error {
		return func(in *cloudwatch.GetMetricDataInput) error {
			for _, q := range in.MetricDataQueries {
				if slices.Contains(bad, *q.MetricStat.Metric.Dimensions[0].Value) {
					return &smithy.GenericAPIError{Code: "InvalidParameterValue", Message: "no such thing"}
				}
			}
			return nil
		}
	}
	t.Run("among 500", func(t *testing.T) {
		s := picky(refuse("g0007", "g0399"))
		src := source(t, s, one(500)...)
		samples, err := src.Fetch(t.Context(), slot(0), slot(3))
		var se *collector.SeriesError
		if len(samples) != 498 || !errors.As(err, &se) || len(se.Series) != 2 {
			t.Errorf("%d samples, %v", len(samples), err)
		}
		if src.places[0].size() != maxQueries {
			t.Error("calls became smaller, though their size was no fault")
		}
	})
	t.Run("and thousands of them do not make thousands of calls", func(t *testing.T) {
		var bad []string
		for _, g := range one(2000) {
			bad = append(bad, g.Name)
		}
		s := picky(refuse(bad...))
		_, err := source(t, s, one(2000)...).Fetch(t.Context(), slot(0), slot(3))
		if err == nil || len(s.calls) > 4+2*maxSplits {
			t.Errorf("%d calls, %v", len(s.calls), err)
		}
	})
}

// The deadline of an attempt is the client's, behind the SDK's retries.
func TestACloudThatHangsOnceIsAskedInHalves(t *testing.T) {
	s := newSite(t, fleet.GroupConfig{Name: "web"})
	src := s.open(Config{CallTimeout: 200 * time.Millisecond, Groups: []Group{{Name: "web"}}})
	s.SetTraps(fleet.Traps{Faults: []fleet.Fault{{Kind: fleet.FaultHang, Count: 1}}})
	if got := s.series(src); len(got) != 4 {
		t.Errorf("read %v", got)
	}
	if n := s.made("GetMetricData"); n != 3 {
		t.Errorf("%d calls, want the one that hung and two halves", n)
	}
}

func TestCallsKeepToOnePace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := new(Paces)
		first, again := p.of("", "a", 40), p.of("", "a", 40)
		if first != again || first == p.of("", "b", 40) || first == p.of("1", "a", 40) {
			t.Error("the buckets are not those of accounts and regions")
		}
		bucket := p.of("", "a", 10) // the slower of two sources counts
		start := time.Now()
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if err := bucket.calls.Wait(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if took := time.Since(start).Round(time.Millisecond); took < 4*time.Second-time.Millisecond || took > 5*time.Second {
			t.Errorf("50 calls at 10 a second, with a burst, took %s", took)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		bucket := newPace(40)
		start := time.Now()
		for range 8 {
			if err := bucket.waitPoints(t.Context(), maxPoints, true); err != nil {
				t.Fatal(err)
			}
		}
		if rate := 8 * maxPoints / time.Since(start).Seconds(); rate > 396_000*1.5 || rate < 100_000 {
			t.Errorf("%.0f points a second", rate)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := bucket.waitPoints(ctx, maxPoints, false); err == nil || !strings.Contains(err.Error(), "held back") {
			t.Errorf("got %v", err)
		}
	})
}

func TestDivide(t *testing.T) {
	var groups []Group
	for i := range 30 { // interleaved, as configurations are
		groups = append(groups, Group{Name: fmt.Sprintf("g%02d", i*7%30), Metrics: []string{api.MetricCPU, api.MetricNetworkIn}})
	}
	src := source(t, picky(func(*cloudwatch.GetMetricDataInput) error { return nil }), groups...)
	for series, want := range map[int]int{1: 30, 2: 30, 3: 30, 7: 10, 60: 1, 1000: 1} {
		parts, err := src.Divide(t.Context(), series)
		if err != nil || len(parts) != want {
			t.Errorf("%d series a part: %d parts, want %d (%v)", series, len(parts), want, err)
		}
		var all []api.Sample
		for _, p := range parts {
			samples, err := p.Fetch(t.Context(), slot(0), slot(1))
			if err != nil || p.Name() != src.Name() {
				t.Fatal(err)
			}
			if len(samples) > max(2, series) {
				t.Errorf("a part of %d series, want at most %d", len(samples), series)
			}
			all = append(all, samples...)
		}
		if got := seriesIn(all); len(all) != 60 || len(got) != 60 {
			t.Errorf("the parts of %d have %d samples of %d series", series, len(all), len(got))
		}
	}
}

func TestStatisticsAndUnits(t *testing.T) {
	for name, c := range map[string]struct {
		metric Metric
		series string // under which it is stored
		stat   string // that is asked for
		fault  string
	}{
		"the usual statistic of the metric":     {Metric{}, "web/m", "Average", ""},
		"our name of a statistic":               {Metric{Stat: api.StatMax}, "web/m_max", "Maximum", ""},
		"CloudWatch's name of a statistic":      {Metric{Statistic: "SampleCount"}, "web/m_count", "SampleCount", ""},
		"p95, which is one of ours":             {Metric{Statistic: "p95"}, "web/m_p95", "p95", ""},
		"another percentile":                    {Metric{Statistic: "p99.9"}, "web/m", "p99.9", ""},
		"both names, if they agree":             {Metric{Stat: api.StatSum, Statistic: "Sum"}, "web/m_sum", "Sum", ""},
		"not both, if they do not":              {Metric{Stat: api.StatSum, Statistic: "Average"}, "", "", "stored as avg, not as sum"},
		"no percentile as a sum":                {Metric{Stat: api.StatSum, Statistic: "p50"}, "", "", "stored as avg, not as sum"},
		"no percentile under a well-known name": {Metric{Metric: api.MetricResponse, Statistic: "p99"}, "", "", "metric: response_time_p99"},
		"no percentile above 100":               {Metric{Statistic: "p101"}, "", "", "above p100"},
		"no unknown statistic":                  {Metric{Statistic: "Median"}, "", "", `"Median" is not`},
		"no negative scale":                     {Metric{Scale: -1}, "", "", "must be positive"},
		"no scale of a count":                   {Metric{Stat: api.StatCount, Scale: 2}, "", "", "no unit"},
		"no unknown placeholder":                {Metric{Dimensions: map[string]string{"D": "{moon}"}}, "", "", "{moon} is not {group}"},
	} {
		t.Run(name, func(t *testing.T) {
			c.metric.Namespace, c.metric.Name = "N", "n"
			config := Config{Groups: []Group{{Name: "web", Metrics: []string{"m"}}}, Metrics: map[string]Metric{"m": c.metric}}
			err := config.Validate()
			if c.fault != "" {
				if err == nil || !strings.Contains(err.Error(), c.fault) {
					t.Errorf("got %v, want %q", err, c.fault)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			list, err := queries(config.Groups, config.Metrics)
			if err != nil || list[0].series.String() != c.series || list[0].statistic != c.stat {
				t.Errorf("got %+v, %v", list, err)
			}
		})
	}
	t.Run("dimensions hold names of the group", func(t *testing.T) {
		g := Group{Name: "shop", AutoScalingGroup: "web", LoadBalancer: "app/web/1", TargetGroup: "targetgroup/web/2"}
		m := Metric{Namespace: "N", Name: "n", Dimensions: map[string]string{
			"A": "{group}", "B": "x-{auto_scaling_group}-y", "C": "{load_balancer}:{target_group}", "D": "fixed"}}
		q, err := m.query("m", g)
		want := []dimension{{"A", "shop"}, {"B", "x-web-y"}, {"C", "app/web/1:targetgroup/web/2"}, {"D", "fixed"}}
		if err != nil || !slices.Equal(q.dimensions, want) {
			t.Errorf("got %v, %v", q.dimensions, err)
		}
		if _, err := m.query("m", Group{Name: "shop"}); err == nil || !strings.Contains(err.Error(), "no load_balancer") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("values are converted to the metric's unit", func(t *testing.T) {
		s := picky(func(*cloudwatch.GetMetricDataInput) error { return nil })
		s.answer = func(int, *cloudwatch.GetMetricDataInput) (*cloudwatch.GetMetricDataOutput, error) {
			return page("", result("q0", types.StatusCodeComplete, 2, 4)), nil
		}
		src, err := New("cloudwatch", Config{Groups: []Group{{Name: "web", Metrics: []string{"response_time"}}},
			Metrics: map[string]Metric{"response_time": {Namespace: "My", Name: "Millis", Scale: 0.001}}}, s, step, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		samples, err := src.Fetch(t.Context(), slot(0), slot(5))
		if err != nil || len(samples) != 2 || samples[0].Value != 0.002 || samples[1].Value != 0.004 {
			t.Errorf("got %v, %v", samples, err)
		}
	})
}

func TestCost(t *testing.T) {
	src := source(t, nil, one(1201)...)
	c := src.Cost(3)
	if c.Billed != 1201 || c.Calls != 3 || c.Price != 0.01 || c.Quota != 50 || c.CallsPerSecond != 40 || !strings.Contains(c.Basis, "us-east-1") {
		t.Errorf("got %+v", c)
	}
	if got := src.Cost(288).Calls; got != 4 { // 350 series a call
		t.Errorf("%d calls for a day", got)
	}
	s := newSite(t, fleet.GroupConfig{Name: "web"})
	found := s.open(Config{Price: 0.02, Discover: []Discovery{{Tags: map[string]string{"a": "b"}, LoadBalancers: true}}})
	c = found.Cost(3)
	if want := "groups with the tags a=b of us-east-1: 5 metrics for each group that is found"; c.Billed != 0 || !slices.Equal(c.Unknown, []string{want}) || c.Basis != "the configured price" {
		t.Errorf("got %+v", c)
	}
}
