package cloudwatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/collector"
)

const step = 5 * time.Minute

var t0 = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

func slot(i int) time.Time { return t0.Add(time.Duration(i) * step) }

// script answers calls by a function, and keeps them.
type script struct {
	mu     sync.Mutex
	calls  []*cloudwatch.GetMetricDataInput
	answer func(n int, in *cloudwatch.GetMetricDataInput) (*cloudwatch.GetMetricDataOutput, error)
}

func (s *script) GetMetricData(_ context.Context, in *cloudwatch.GetMetricDataInput, _ ...func(*cloudwatch.Options)) (*cloudwatch.GetMetricDataOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := *in
	s.calls = append(s.calls, &seen)
	return s.answer(len(s.calls), in)
}

// result returns one answer whose points stand in descending order, as is the
// API's default.
func result(id string, status types.StatusCode, slots ...int) types.MetricDataResult {
	r := types.MetricDataResult{Id: aws.String(id), StatusCode: status}
	for _, i := range slices.Backward(slots) {
		r.Timestamps = append(r.Timestamps, slot(i))
		r.Values = append(r.Values, float64(i))
	}
	return r
}

func page(token string, results ...types.MetricDataResult) *cloudwatch.GetMetricDataOutput {
	out := &cloudwatch.GetMetricDataOutput{MetricDataResults: results}
	if token != "" {
		out.NextToken = aws.String(token)
	}
	return out
}

// pages answers call n with page n, and with an error after the last one.
func pages(list ...*cloudwatch.GetMetricDataOutput) *script {
	return &script{answer: func(n int, _ *cloudwatch.GetMetricDataInput) (*cloudwatch.GetMetricDataOutput, error) {
		if n > len(list) {
			return nil, fmt.Errorf("call %d was not expected", n)
		}
		if list[n-1] == nil {
			return nil, errRefused
		}
		return list[n-1], nil
	}}
}

var errRefused = errors.New("rate exceeded")

// source returns one of a single group with three metrics: q0 CPU, q1 network,
// q2 requests.
func source(t *testing.T, api API, groups ...Group) *Source {
	t.Helper()
	if groups == nil {
		groups = []Group{{Name: "web", LoadBalancer: "app/web/1", Metrics: []string{"cpu_utilization", "network_in", "request_count"}}}
	}
	s, err := New("cloudwatch", Config{Groups: groups}, api, step, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// shape writes samples as metric:slots, in order.
func shape(samples []api.Sample) string {
	by := map[string][]string{}
	for _, s := range samples {
		by[s.Metric] = append(by[s.Metric], fmt.Sprint(int(s.Time.Sub(t0)/step)))
	}
	var out []string
	for _, m := range []string{"cpu_utilization", "network_in", "request_count"} {
		if by[m] != nil {
			out = append(out, m+":"+strings.Join(by[m], ","))
		}
	}
	return strings.Join(out, " ")
}

func TestFetch(t *testing.T) {
	const (
		complete = types.StatusCodeComplete
		partial  = types.StatusCodePartialData
	)
	for name, c := range map[string]struct {
		api    *script
		want   string // samples
		failed []string
		err    string // part of the message; empty with failed: no error
		whole  bool   // the error speaks of the whole call
	}{
		"joins pages that are cut in the middle of a series, in any order": {
			api: pages(
				page("a", result("q0", partial, 3, 4), result("q1", partial, 4)),
				page("b", result("q1", complete, 0, 1, 2, 3), result("q0", partial, 2)),
				page("", result("q0", complete, 0, 1), result("q2", complete))),
			want: "cpu_utilization:0,1,2,3,4 network_in:0,1,2,3,4",
		},
		"counts a point at the seam of two pages once": {
			api: pages(
				page("a", result("q0", partial, 2, 3), result("q1", complete), result("q2", complete)),
				page("", result("q0", complete, 1, 2))),
			want: "cpu_utilization:1,2,3",
		},
		"takes a load balancer without requests for missing values": {
			api:  pages(page("", result("q0", complete, 0), result("q1", complete, 0), result("q2", complete))),
			want: "cpu_utilization:0 network_in:0",
		},
		"names the series that is forbidden and reads the others": {
			api:    pages(page("", result("q0", complete, 0), result("q1", types.StatusCodeForbidden), result("q2", complete, 1))),
			want:   "cpu_utilization:0 request_count:1",
			failed: []string{"web/network_in"}, err: "web/network_in: Forbidden",
		},
		"keeps what came of a series with an internal error, and names it": {
			api:    pages(page("", result("q0", types.StatusCodeInternalError, 0), result("q1", complete, 0), result("q2", complete))),
			want:   "cpu_utilization:0 network_in:0",
			failed: []string{"web/cpu_utilization"}, err: "InternalError",
		},
		"does not forget an error of an earlier page": {
			api: pages(
				page("a", result("q0", types.StatusCodeInternalError, 3), result("q1", complete), result("q2", complete)),
				page("", result("q0", complete, 1))),
			want:   "cpu_utilization:1,3",
			failed: []string{"web/cpu_utilization"}, err: "InternalError",
		},
		"names a series whose data stay partial on the last page": {
			api:    pages(page("", result("q0", partial, 0), result("q1", complete), result("q2", complete))),
			want:   "cpu_utilization:0",
			failed: []string{"web/cpu_utilization"}, err: "PartialData",
		},
		"names a series without any result": {
			api:    pages(page("", result("q0", complete, 0), result("q1", complete))),
			want:   "cpu_utilization:0",
			failed: []string{"web/request_count"}, err: "no result",
		},
		"names a status that it does not know": {
			api:    pages(page("", result("q0", "Melted"), result("q1", complete, 0), result("q2", complete))),
			want:   "network_in:0",
			failed: []string{"web/cpu_utilization"}, err: "Melted",
		},
		"refuses timestamps that do not match the values": {
			api: pages(page("", types.MetricDataResult{Id: aws.String("q0"), StatusCode: complete, Timestamps: []time.Time{t0}},
				result("q1", complete, 0), result("q2", complete))),
			want:   "network_in:0",
			failed: []string{"web/cpu_utilization"}, err: "1 timestamps with 0 values",
		},
		"ignores results for queries that it did not ask": {
			api:  pages(page("", result("q0", complete, 0), result("q1", complete), result("q2", complete), result("q7", complete, 1), result("zz", complete, 1), result("q-1", complete, 1))),
			want: "cpu_utilization:0",
		},
		"keeps what is complete when a later page fails": {
			api: pages(
				page("a", result("q0", complete, 0, 1), result("q1", partial, 1)),
				nil),
			want:   "cpu_utilization:0,1 network_in:1",
			failed: []string{"web/network_in", "web/request_count"}, err: "page 2: rate exceeded",
		},
		"fails as a whole when the first page is refused": {
			api: pages(nil), err: "page 1: rate exceeded", whole: true,
		},
		"ends when the pages do not": {
			api: &script{answer: func(int, *cloudwatch.GetMetricDataInput) (*cloudwatch.GetMetricDataOutput, error) {
				return page("again", result("q0", partial, 0)), nil
			}},
			want: "cpu_utilization:0", err: "do not end", whole: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			samples, err := source(t, c.api).Fetch(t.Context(), slot(0), slot(5))
			if got := shape(samples); got != c.want {
				t.Errorf("samples %q, want %q", got, c.want)
			}
			if (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("error %v, want %q", err, c.err)
			}
			var se *collector.SeriesError
			var failed []string
			if errors.As(err, &se) {
				for _, s := range se.Series {
					failed = append(failed, s.String())
				}
			}
			if !slices.Equal(failed, c.failed) {
				t.Errorf("failed series %v, want %v", failed, c.failed)
			}
			if c.whole && se != nil {
				t.Error("the error speaks of some series only")
			}
		})
	}
}

// inABubble runs a test in which waiting for the pace of calls takes no time.
func inABubble(test func(t *testing.T)) func(t *testing.T) {
	return func(t *testing.T) { synctest.Test(t, test) }
}

func TestRequests(t *testing.T) {
	answer := func(_ int, in *cloudwatch.GetMetricDataInput) (*cloudwatch.GetMetricDataOutput, error) {
		var results []types.MetricDataResult
		for _, q := range in.MetricDataQueries {
			results = append(results, result(*q.Id, types.StatusCodeComplete))
		}
		return page("", results...), nil
	}
	fleet := func(n int) []Group {
		var groups []Group
		for i := range n {
			groups = append(groups, Group{Name: fmt.Sprintf("g%04d", i), LoadBalancer: fmt.Sprintf("app/g%04d/1", i)})
		}
		return groups
	}
	t.Run("1200 groups take 12 calls a tick, each series once", func(t *testing.T) {
		s := &script{answer: answer}
		if _, err := source(t, s, fleet(1200)...).Fetch(t.Context(), slot(0), slot(3)); err != nil {
			t.Fatal(err)
		}
		if len(s.calls) != 12 {
			t.Errorf("%d calls", len(s.calls))
		}
		id := regexp.MustCompile(`^[a-z][A-Za-z0-9_]*$`)
		seen := map[string]bool{}
		for _, c := range s.calls {
			if n := len(c.MetricDataQueries); n > 500 {
				t.Errorf("%d queries in a call", n)
			}
			ids := map[string]bool{}
			for _, q := range c.MetricDataQueries {
				if !id.MatchString(*q.Id) || ids[*q.Id] {
					t.Fatalf("id %q", *q.Id)
				}
				ids[*q.Id] = true
				m := q.MetricStat.Metric
				seen[*m.MetricName+" "+*m.Dimensions[0].Value] = true
			}
		}
		if len(seen) != 6000 {
			t.Errorf("%d different series, want 6000", len(seen))
		}
	})
	t.Run("a call asks for no more points than a page holds", inABubble(func(t *testing.T) {
		s := &script{answer: answer}
		src := source(t, s, fleet(1200)...)
		if _, err := src.Fetch(t.Context(), slot(0), slot(288)); err != nil {
			t.Fatal(err)
		}
		for _, c := range s.calls {
			points := len(c.MetricDataQueries) * int(c.EndTime.Sub(*c.StartTime)/step)
			if points > maxPoints {
				t.Errorf("%d points asked for", points)
			}
		}
		if len(s.calls) != 18 { // 350 series a call
			t.Errorf("%d calls", len(s.calls))
		}
	}))
	t.Run("asks with the definitions of the reference", func(t *testing.T) {
		s := &script{answer: answer}
		src := source(t, s, Group{Name: "web", AutoScalingGroup: "web-asg", LoadBalancer: "app/web/1", TargetGroup: "targetgroup/web/2"})
		if _, err := src.Fetch(t.Context(), slot(0), slot(3)); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, q := range s.calls[0].MetricDataQueries {
			m := q.MetricStat
			line := fmt.Sprintf("%s %s %s %d", *m.Metric.Namespace, *m.Metric.MetricName, *m.Stat, *m.Period)
			for _, d := range m.Metric.Dimensions {
				line += " " + *d.Name + "=" + *d.Value
			}
			got = append(got, line)
		}
		want := []string{
			"AWS/EC2 CPUUtilization Average 300 AutoScalingGroupName=web-asg",
			"AWS/EC2 NetworkIn Sum 300 AutoScalingGroupName=web-asg",
			"AWS/AutoScaling GroupInServiceInstances Average 300 AutoScalingGroupName=web-asg",
			"AWS/AutoScaling GroupDesiredCapacity Average 300 AutoScalingGroupName=web-asg",
			"AWS/ApplicationELB RequestCount Sum 300 LoadBalancer=app/web/1 TargetGroup=targetgroup/web/2",
		}
		if !slices.Equal(got, want) {
			t.Errorf("asked for\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if in := s.calls[0]; !in.StartTime.Equal(slot(0)) || !in.EndTime.Equal(slot(3)) {
			t.Errorf("range %s to %s", in.StartTime, in.EndTime)
		}
	})
	t.Run("one refused call of several fails its own series only", func(t *testing.T) {
		s := &script{}
		s.answer = func(n int, in *cloudwatch.GetMetricDataInput) (*cloudwatch.GetMetricDataOutput, error) {
			if n == 2 {
				return nil, errRefused
			}
			return answer(n, in)
		}
		_, err := source(t, s, fleet(300)...).Fetch(t.Context(), slot(0), slot(3))
		var se *collector.SeriesError
		if !errors.As(err, &se) || len(se.Series) != 500 || !errors.Is(err, errRefused) {
			t.Fatalf("got %v", err)
		}
		if text := err.Error(); len(text) > 500 || !strings.Contains(text, "and 497 more") {
			t.Errorf("message %q", text)
		}
	})
}

func TestOldestFollowsTheRetentionOfThePeriod(t *testing.T) {
	for step, days := range map[time.Duration]int{time.Minute: 15, 7 * time.Minute: 15, 5 * time.Minute: 63, 15 * time.Minute: 63, time.Hour: 455} {
		s := &Source{step: step}
		if got := t0.Sub(s.Oldest(t0)); got != time.Duration(days)*24*time.Hour {
			t.Errorf("step %s: %s", step, got)
		}
	}
}

func TestConfig(t *testing.T) {
	for name, c := range map[string]struct {
		config Config
		want   []string
	}{
		"needs a group":              {Config{}, []string{"at least one"}},
		"names an unknown metric":    {Config{Groups: []Group{{Name: "web", Metrics: []string{"cpu"}}}}, []string{`"web"`, `"cpu"`, "cpu_utilization"}},
		"needs a load balancer":      {Config{Groups: []Group{{Name: "web", Metrics: []string{"request_count"}}}}, []string{`"web"`, "no load_balancer"}},
		"refuses a series twice":     {Config{Groups: []Group{{Name: "web"}, {Name: "web"}}}, []string{"web/cpu_utilization is asked for twice"}},
		"refuses a nameless group":   {Config{Groups: []Group{{}}}, []string{"groups[0]"}},
		"needs tags, or all":         {Config{Discover: []Discovery{{}}}, []string{"discover[0]", "all: true"}},
		"refuses tags and all":       {Config{Discover: []Discovery{{All: true, Tags: map[string]string{"a": "b"}}}}, []string{"not both"}},
		"refuses one name for all":   {Config{Discover: []Discovery{{All: true, Name: "web"}}}, []string{"{auto_scaling_group}"}},
		"knows the metrics of found": {Config{Discover: []Discovery{{All: true, Metrics: []string{"cpu"}}}}, []string{"discover[0]", `"cpu"`}},
		"refuses negative figures": {
			Config{Groups: []Group{{Name: "web"}}, Refresh: -1, CallsPerSecond: -1, Price: -1}, []string{"refresh", "calls_per_second", "price"}},
		"reports all faults at once": {
			Config{
				Groups:  []Group{{}, {Name: "web", Metrics: []string{"nope", "tg"}}},
				Metrics: map[string]Metric{"bad": {Stat: "median", Of: []string{"moon"}}, "tg": {Namespace: "N", Name: "n", Of: []string{"target_group"}}},
			},
			[]string{"groups[0]", "nope", "namespace and name", "median", "moon", "no target_group"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.config.Validate()
			for _, want := range c.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error %v does not mention %q", err, want)
				}
			}
		})
	}
	t.Run("takes a definition of one's own", func(t *testing.T) {
		c := Config{
			Groups: []Group{{Name: "web", Metrics: []string{"slow"}}},
			Metrics: map[string]Metric{"slow": {Metric: "response_time", Namespace: "My", Name: "Latency", Stat: api.StatP95,
				Of: []string{"auto_scaling_group"}, Dimensions: map[string]string{"Zone": "a"}}},
		}
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		queries, err := queries(c.Groups, c.Metrics)
		if err != nil {
			t.Fatal(err)
		}
		want := query{collector.Series{Group: "web", Metric: "response_time", Stat: api.StatP95}, "My", "Latency", "p95", 1,
			[]dimension{{"AutoScalingGroupName", "web"}, {"Zone", "a"}}}
		if len(queries) != 1 || queries[0].series != want.series || queries[0].statistic != want.statistic || !slices.Equal(queries[0].dimensions, want.dimensions) {
			t.Errorf("got %+v", queries)
		}
	})
}
