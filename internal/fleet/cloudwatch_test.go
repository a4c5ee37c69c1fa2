package fleet_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/smithy-go"

	"github.com/forescale/forescale/internal/fleet"
)

// point is one data point.
type point struct {
	at    time.Time
	value float64
}

// fetch returns the points of one query, all pages, the oldest first.
func fetch(t *testing.T, cw *cloudwatch.Client, q cwtypes.MetricDataQuery, from, to time.Time) []point {
	t.Helper()
	var points []point
	pages := cloudwatch.NewGetMetricDataPaginator(cw, &cloudwatch.GetMetricDataInput{
		StartTime: &from, EndTime: &to, ScanBy: cwtypes.ScanByTimestampAscending, MetricDataQueries: []cwtypes.MetricDataQuery{q},
	})
	for pages.HasMorePages() {
		out, err := pages.NextPage(context.Background())
		must(t, err)
		for _, r := range out.MetricDataResults {
			for i := range r.Timestamps {
				points = append(points, point{r.Timestamps[i], r.Values[i]})
			}
		}
	}
	return points
}

// code returns the code of an API error, or the error's text.
func code(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode()
	}
	return fmt.Sprint(err)
}

func TestMetricsHaveTheirUnitsAndStatistics(t *testing.T) {
	now := monday.Add(24 * time.Hour)
	_, cw, _ := start(t, fleet.Config{Start: monday, Now: now, Groups: []fleet.GroupConfig{web(2)}})
	for _, c := range []struct {
		namespace, metric, stat string
		want                    float64
	}{
		{"AWS/EC2", "CPUUtilization", "Average", 60},
		{"AWS/EC2", "CPUUtilization", "Maximum", 60},
		{"AWS/EC2", "CPUUtilization", "p95", 60},
		{"AWS/EC2", "NetworkIn", "Sum", 5 * 6 * 600 * 2000},
		{"AWS/EC2", "NetworkIn", "Average", 6 * 600 * 2000 / 10},
		{"AWS/ApplicationELB", "RequestCount", "Sum", 5 * 6 * 600},
		{"AWS/ApplicationELB", "RequestCount", "SampleCount", 5 * 6 * 600},
		{"AWS/ApplicationELB", "TargetResponseTime", "Average", 0.05 / (1 - 0.6)},
		{"AWS/ApplicationELB", "TargetResponseTime", "p95", 0.05 / (1 - 0.6)},
		{"AWS/AutoScaling", "GroupInServiceInstances", "Average", 10},
		{"AWS/AutoScaling", "GroupDesiredCapacity", "Minimum", 10},
		{"AWS/AutoScaling", "GroupPendingInstances", "Sum", 0},
		{"AWS/AutoScaling", "GroupMaxSize", "Average", 60},
	} {
		points := fetch(t, cw, ask("q", "web", c.namespace, c.metric, c.stat, 300), monday, now)
		if len(points) != 288 {
			t.Errorf("%s %s: %d points of a day, want 288", c.metric, c.stat, len(points))
			continue
		}
		if p := points[7]; !p.at.Equal(monday.Add(35 * time.Minute)) {
			t.Errorf("%s: point 7 is at %v", c.metric, p.at)
		}
		near(t, c.metric+" "+c.stat, points[7].value, c.want)
	}
}

func TestCPUIsTheMeanOfTheMinutesAndSaturates(t *testing.T) {
	g := web(1)
	g.History = fleet.Static(5) // 6 instance-equivalents on 5 instances
	c, cw, _ := start(t, fleet.Config{Start: monday, Now: monday.Add(time.Hour), Groups: []fleet.GroupConfig{g}})
	five := 12
	must(t, c.Schedule(fleet.GroupChange{Group: "web", At: monday.Add(62 * time.Minute), Desired: &five}))
	advance(t, c, 10*time.Minute)
	points := fetch(t, cw, ask("q", "web", "AWS/EC2", "CPUUtilization", "Average", 300), monday.Add(time.Hour), c.Now())
	if len(points) != 2 {
		t.Fatalf("%d points", len(points))
	}
	near(t, "CPU while the new instances start", points[0].value, 100)
	near(t, "CPU with two minutes of 5 and three of 12", points[1].value, (2*100.0+3*50)/5)
}

func TestRangesAreHalfOpenAndTheNewestPointComesFirst(t *testing.T) {
	now := monday.Add(24 * time.Hour)
	_, cw, _ := start(t, fleet.Config{Start: monday, Now: now, Groups: []fleet.GroupConfig{web(2)}})
	from, to := monday.Add(time.Hour), monday.Add(2*time.Hour)
	q := []cwtypes.MetricDataQuery{ask("q", "web", "AWS/EC2", "CPUUtilization", "Average", 300)}
	out, err := cw.GetMetricData(t.Context(), &cloudwatch.GetMetricDataInput{StartTime: &from, EndTime: &to, MetricDataQueries: q})
	must(t, err)
	r := out.MetricDataResults[0]
	if r.StatusCode != cwtypes.StatusCodeComplete || len(r.Timestamps) != 12 || out.NextToken != nil {
		t.Fatalf("%v with %d points", r.StatusCode, len(r.Timestamps))
	}
	if !r.Timestamps[0].Equal(to.Add(-5*time.Minute)) || !r.Timestamps[11].Equal(from) {
		t.Errorf("from %v to %v, want the newest first, start inclusive, end exclusive", r.Timestamps[0], r.Timestamps[11])
	}
}

func TestPagesBreakInTheMiddleOfASeries(t *testing.T) {
	now := monday.Add(24 * time.Hour)
	for _, order := range []cwtypes.ScanBy{"", cwtypes.ScanByTimestampAscending} {
		_, cw, _ := start(t, fleet.Config{Start: monday, Now: now, PageDatapoints: 100, Groups: []fleet.GroupConfig{web(2)}})
		in := &cloudwatch.GetMetricDataInput{StartTime: &monday, EndTime: &now, ScanBy: order, MetricDataQueries: []cwtypes.MetricDataQuery{
			ask("a", "web", "AWS/EC2", "CPUUtilization", "Average", 300),
			ask("b", "web", "AWS/EC2", "NetworkIn", "Sum", 300),
			ask("none", "nobody", "AWS/EC2", "NetworkIn", "Sum", 300),
		}}
		seen, status, pages := map[string][]time.Time{}, map[string]cwtypes.StatusCode{}, 0
		for {
			out, err := cw.GetMetricData(t.Context(), in)
			must(t, err)
			pages++
			n := 0
			for _, r := range out.MetricDataResults {
				seen[*r.Id] = append(seen[*r.Id], r.Timestamps...)
				status[*r.Id] = r.StatusCode
				n += len(r.Timestamps)
			}
			if n > 100 {
				t.Errorf("a page of %d points", n)
			}
			if in.NextToken = out.NextToken; in.NextToken == nil {
				break
			}
		}
		if pages != 6 {
			t.Errorf("%d pages for 576 points", pages)
		}
		for _, id := range []string{"a", "b"} {
			slices.SortFunc(seen[id], time.Time.Compare)
			if n := len(slices.CompactFunc(seen[id], time.Time.Equal)); n != 288 || len(seen[id]) != 288 || status[id] != cwtypes.StatusCodeComplete {
				t.Errorf("series %s: %d points, %d different, %s", id, len(seen[id]), n, status[id])
			}
		}
		if status["none"] != cwtypes.StatusCodeComplete {
			t.Errorf("an unknown series is %q, want an empty complete one", status["none"])
		}
	}
}

func TestRequestsThatMakeNoSenseAreRefused(t *testing.T) {
	now := monday.Add(24 * time.Hour)
	_, cw, _ := start(t, fleet.Config{Start: monday, Now: now, Groups: []fleet.GroupConfig{web(2)}})
	good := ask("q", "web", "AWS/EC2", "CPUUtilization", "Average", 300)
	many := make([]cwtypes.MetricDataQuery, 501)
	for i := range many {
		many[i] = ask(fmt.Sprintf("q%d", i), "web", "AWS/EC2", "CPUUtilization", "Average", 300)
	}
	for name, c := range map[string]struct {
		change func(*cloudwatch.GetMetricDataInput)
		code   string
		text   string
	}{
		"501 queries":        {func(in *cloudwatch.GetMetricDataInput) { in.MetricDataQueries = many }, "InvalidParameterValue", "size greater than 500"},
		"an id in capitals":  {func(in *cloudwatch.GetMetricDataInput) { in.MetricDataQueries[0].Id = aws.String("Q") }, "InvalidParameterValue", "expected pattern"},
		"an id with a dash":  {func(in *cloudwatch.GetMetricDataInput) { in.MetricDataQueries[0].Id = aws.String("a-b") }, "InvalidParameterValue", "expected pattern"},
		"an id twice":        {func(in *cloudwatch.GetMetricDataInput) { in.MetricDataQueries = append(in.MetricDataQueries, good) }, "InvalidParameterValue", "not unique"},
		"a period of 90 s":   {func(in *cloudwatch.GetMetricDataInput) { in.MetricDataQueries[0].MetricStat.Period = aws.Int32(90) }, "InvalidParameterValue", "multiple of 60"},
		"a statistic p200":   {func(in *cloudwatch.GetMetricDataInput) { in.MetricDataQueries[0].MetricStat.Stat = aws.String("p200") }, "InvalidParameterValue", "p200"},
		"an end before":      {func(in *cloudwatch.GetMetricDataInput) { in.EndTime = &monday }, "InvalidParameterValue", "less than"},
		"a made-up token":    {func(in *cloudwatch.GetMetricDataInput) { in.NextToken = aws.String("abc") }, "InvalidNextToken", "invalid"},
		"too large a page":   {func(in *cloudwatch.GetMetricDataInput) { in.MaxDatapoints = aws.Int32(100_801) }, "InvalidParameterValue", "100800"},
		"an unknown scan":    {func(in *cloudwatch.GetMetricDataInput) { in.ScanBy = "Up" }, "InvalidParameterValue", "ScanBy"},
		"a metric math term": {func(in *cloudwatch.GetMetricDataInput) { in.MetricDataQueries[0].Expression = aws.String("1+1") }, "InvalidParameterValue", "metric math"},
	} {
		in := &cloudwatch.GetMetricDataInput{StartTime: &monday, EndTime: &now, MetricDataQueries: []cwtypes.MetricDataQuery{ask("q", "web", "AWS/EC2", "CPUUtilization", "Average", 300)}}
		c.change(in)
		_, err := cw.GetMetricData(t.Context(), in)
		if code(err) != c.code || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v, want %s with %q", name, err, c.code, c.text)
		}
	}
}

func TestATokenBelongsToItsRequest(t *testing.T) {
	now := monday.Add(24 * time.Hour)
	_, cw, _ := start(t, fleet.Config{Start: monday, Now: now, PageDatapoints: 10, Groups: []fleet.GroupConfig{web(2)}})
	in := &cloudwatch.GetMetricDataInput{StartTime: &monday, EndTime: &now, MetricDataQueries: []cwtypes.MetricDataQuery{ask("q", "web", "AWS/EC2", "CPUUtilization", "Average", 300)}}
	out, err := cw.GetMetricData(t.Context(), in)
	must(t, err)
	if in.NextToken = out.NextToken; in.NextToken == nil || out.MetricDataResults[0].StatusCode != cwtypes.StatusCodePartialData {
		t.Fatalf("first page: token %v, %s", in.NextToken, out.MetricDataResults[0].StatusCode)
	}
	in.StartTime = aws.Time(monday.Add(time.Hour))
	if _, err := cw.GetMetricData(t.Context(), in); code(err) != "InvalidNextToken" {
		t.Errorf("the token with another range: %v", err)
	}
}

func TestOldPointsNeedALongerPeriod(t *testing.T) {
	const days = 70
	now := monday.Add(days * 24 * time.Hour)
	_, cw, _ := start(t, fleet.Config{Start: monday, Now: now, Groups: []fleet.GroupConfig{web(days + 1)}})
	day := 24 * time.Hour
	for _, c := range []struct {
		period int32
		oldest time.Time
	}{
		{60, now.Add(-15 * day)},
		{300, now.Add(-63 * day)},
		{3600, monday},
	} {
		points := fetch(t, cw, ask("q", "web", "AWS/AutoScaling", "GroupInServiceInstances", "Average", c.period), monday, now)
		if len(points) == 0 || !points[0].at.Equal(c.oldest) {
			t.Errorf("period %d: %d points, the oldest at %v, want %v", c.period, len(points), points[0].at, c.oldest)
		}
	}
}

func TestBasicMonitoringHasNoPointOfAMinute(t *testing.T) {
	now := monday.Add(time.Hour)
	detailed := web(1)
	detailed.Name, detailed.DetailedMonitoring = "detailed", true
	_, cw, _ := start(t, fleet.Config{Start: monday, Now: now, Groups: []fleet.GroupConfig{web(1), detailed}})
	for name, want := range map[string]int{"web": 12, "detailed": 60} {
		if n := len(fetch(t, cw, ask("q", name, "AWS/EC2", "CPUUtilization", "Average", 60), monday, now)); n != want {
			t.Errorf("%s: %d points of 60 s in an hour, want %d", name, n, want)
		}
	}
}

func TestMissingLateAndSilentPoints(t *testing.T) {
	g := web(2)
	demand := *g.Demand
	demand.Slots, demand.Missing = slices.Clone(demand.Slots), slices.Clone(demand.Missing)
	demand.Missing[30], demand.Slots[31] = true, 0
	g.Demand = &demand
	at := func(slot int) time.Time { return monday.Add(time.Duration(slot) * 5 * time.Minute) }
	c, cw, _ := start(t, fleet.Config{Start: monday, Now: at(40), Groups: []fleet.GroupConfig{g}, PublishDelay: time.Minute})
	c.SetTraps(fleet.Traps{
		Gaps: []fleet.Gap{{Points: fleet.Points{Metric: "CPUUtilization", From: at(10), To: at(12)}}},
		Late: []fleet.Late{{Points: fleet.Points{Group: "web", Metric: "NetworkIn", From: at(38)}, Delay: 10 * time.Minute}},
	})
	has := func(namespace, metric string, slot int) bool {
		t.Helper()
		return len(fetch(t, cw, ask("q", "web", namespace, metric, "Sum", 300), at(slot), at(slot+1))) == 1
	}
	expect := func(what string, got, want bool) {
		t.Helper()
		if got != want {
			t.Errorf("%s: there is a point: %v", what, got)
		}
	}
	expect("before the gap", has("AWS/EC2", "CPUUtilization", 9), true)
	expect("in the gap", has("AWS/EC2", "CPUUtilization", 10), false)
	expect("another metric in the gap", has("AWS/EC2", "NetworkIn", 10), true)
	expect("after the gap", has("AWS/EC2", "CPUUtilization", 12), true)
	expect("CPU of an unobserved slot", has("AWS/EC2", "CPUUtilization", 30), false)
	expect("capacity in an unobserved slot", has("AWS/AutoScaling", "GroupInServiceInstances", 30), true)
	expect("requests when there are none", has("AWS/ApplicationELB", "RequestCount", 31), false)
	expect("CPU when there are no requests", has("AWS/EC2", "CPUUtilization", 31), true)
	expect("the newest slot within the publishing delay", has("AWS/EC2", "CPUUtilization", 39), false)
	advance(t, c, time.Minute)
	expect("the newest slot after the delay", has("AWS/EC2", "CPUUtilization", 39), true)
	expect("a late point", has("AWS/EC2", "NetworkIn", 38), false)
	advance(t, c, 5*time.Minute)
	expect("a late point at last", has("AWS/EC2", "NetworkIn", 38), true)
}

func TestASlotUnderWayHasOnlyPartOfItsSum(t *testing.T) {
	c, cw, _ := start(t, fleet.Config{Start: monday, Now: monday.Add(62 * time.Minute), Groups: []fleet.GroupConfig{web(1)}})
	sum := func() float64 {
		return fetch(t, cw, ask("q", "web", "AWS/ApplicationELB", "RequestCount", "Sum", 300), monday.Add(time.Hour), monday.Add(65*time.Minute))[0].value
	}
	near(t, "requests after two minutes", sum(), 2*6*600)
	advance(t, c, 3*time.Minute)
	near(t, "requests of the whole slot", sum(), 5*6*600)
}

func TestAShareOfThePointsIsHitAndStaysHit(t *testing.T) {
	now := monday.Add(24 * time.Hour)
	c, cw, _ := start(t, fleet.Config{Start: monday, Now: now, Seed: 7, Groups: []fleet.GroupConfig{web(2)}})
	c.SetTraps(fleet.Traps{Gaps: []fleet.Gap{{Points: fleet.Points{Share: 0.25}}}})
	q := ask("q", "web", "AWS/EC2", "CPUUtilization", "Average", 300)
	first := fetch(t, cw, q, monday, now)
	if n := 288 - len(first); n < 45 || n > 100 {
		t.Errorf("%d of 288 points are missing, want about 72", n)
	}
	if again := fetch(t, cw, q, monday, now); !slices.Equal(first, again) {
		t.Error("asking again answers differently")
	}
}

func TestASeriesCanBeForbiddenOrFailForAWhile(t *testing.T) {
	now := monday.Add(time.Hour)
	c, cw, _ := start(t, fleet.Config{Start: monday, Now: now, Groups: []fleet.GroupConfig{web(1)}})
	c.SetTraps(fleet.Traps{Series: []fleet.SeriesFault{
		{Metric: "CPUUtilization", Status: "Forbidden"},
		{Metric: "NetworkIn", Status: "InternalError", Count: 1},
	}})
	get := func() map[string]cwtypes.MetricDataResult {
		out, err := cw.GetMetricData(t.Context(), &cloudwatch.GetMetricDataInput{StartTime: &monday, EndTime: &now, MetricDataQueries: []cwtypes.MetricDataQuery{
			ask("cpu", "web", "AWS/EC2", "CPUUtilization", "Average", 300),
			ask("net", "web", "AWS/EC2", "NetworkIn", "Sum", 300),
			ask("n", "web", "AWS/AutoScaling", "GroupInServiceInstances", "Average", 300),
		}})
		must(t, err)
		by := map[string]cwtypes.MetricDataResult{}
		for _, r := range out.MetricDataResults {
			by[*r.Id] = r
		}
		return by
	}
	for i, want := range []map[string]cwtypes.StatusCode{
		{"cpu": "Forbidden", "net": "InternalError", "n": "Complete"},
		{"cpu": "Forbidden", "net": "Complete", "n": "Complete"},
	} {
		got := get()
		for id, status := range want {
			if r := got[id]; r.StatusCode != status || (len(r.Values) == 0) != (status != "Complete") {
				t.Errorf("call %d: %s is %s with %d points, want %s", i+1, id, r.StatusCode, len(r.Values), status)
			}
		}
	}
}

func TestCallsFailAsTheFaultsSay(t *testing.T) {
	now := monday.Add(time.Hour)
	c, cw, _ := start(t, fleet.Config{Start: monday, Now: now, Groups: []fleet.GroupConfig{web(1)}})
	call := func(ctx context.Context, options ...func(*cloudwatch.Options)) error {
		_, err := cw.GetMetricData(ctx, &cloudwatch.GetMetricDataInput{StartTime: &monday, EndTime: &now,
			MetricDataQueries: []cwtypes.MetricDataQuery{ask("cpu", "web", "AWS/EC2", "CPUUtilization", "Average", 300)}}, options...)
		return err
	}
	for kind, want := range map[fleet.FaultKind]string{
		fleet.FaultThrottle: "Throttling", fleet.FaultInternal: "InternalFailure", fleet.FaultDenied: "AccessDenied",
	} {
		c.SetTraps(fleet.Traps{Faults: []fleet.Fault{{Operation: "GetMetricData", Kind: kind, Skip: 1, Count: 1}}})
		for i, want := range []string{"<nil>", want, "<nil>"} {
			if err := call(t.Context()); code(err) != want {
				t.Errorf("%s, call %d: %v, want %s", kind, i+1, err, want)
			}
		}
	}
	for _, kind := range []fleet.FaultKind{fleet.FaultLostRequest, fleet.FaultLostResponse} {
		c.SetTraps(fleet.Traps{Faults: []fleet.Fault{{Kind: kind, Count: 1}}})
		if err := call(t.Context()); err == nil || !strings.Contains(err.Error(), "EOF") {
			t.Errorf("%s: %v, want a broken connection", kind, err)
		}
	}
	c.SetTraps(fleet.Traps{Faults: []fleet.Fault{{Kind: fleet.FaultHang}}})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := call(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("hang: %v", err)
	}
	// The SDK's own retries get through a short throttle: it knows the code.
	c.SetTraps(fleet.Traps{Faults: []fleet.Fault{{Kind: fleet.FaultThrottle, Count: 2}}})
	retrying := func(o *cloudwatch.Options) {
		o.Retryer = retry.NewStandard(func(so *retry.StandardOptions) { so.MaxBackoff = time.Millisecond })
	}
	if err := call(t.Context(), retrying); err != nil {
		t.Errorf("two throttled attempts and one more: %v", err)
	}
	// An outage between two moments of simulated time.
	c.SetTraps(fleet.Traps{Faults: []fleet.Fault{{Kind: fleet.FaultInternal, From: now.Add(time.Minute), To: now.Add(3 * time.Minute)}}})
	for i, want := range []string{"<nil>", "InternalFailure", "InternalFailure", "<nil>"} {
		if err := call(t.Context()); code(err) != want {
			t.Errorf("minute %d: %v, want %s", i, err, want)
		}
		advance(t, c, time.Minute)
	}
}

func TestListMetricsFiltersAndPages(t *testing.T) {
	groups := make([]fleet.GroupConfig, 60)
	for i := range groups {
		groups[i] = web(1)
		groups[i].Name = fmt.Sprintf("web-%02d", i)
	}
	_, cw, _ := start(t, fleet.Config{Start: monday, Now: monday.Add(time.Hour), Groups: groups})
	n, pages := 0, cloudwatch.NewListMetricsPaginator(cw, &cloudwatch.ListMetricsInput{})
	for pages.HasMorePages() {
		out, err := pages.NextPage(t.Context())
		must(t, err)
		n += len(out.Metrics)
	}
	if n != 60*13 {
		t.Errorf("%d metrics of 60 groups", n)
	}
	out, err := cw.ListMetrics(t.Context(), &cloudwatch.ListMetricsInput{Namespace: aws.String("AWS/EC2"), MetricName: aws.String("CPUUtilization"),
		Dimensions: []cwtypes.DimensionFilter{{Name: aws.String("AutoScalingGroupName"), Value: aws.String("web-07")}}})
	must(t, err)
	if len(out.Metrics) != 1 || *out.Metrics[0].Dimensions[0].Value != "web-07" {
		t.Errorf("filtered: %v", out.Metrics)
	}
}

func TestOnlyRPCv2CBORIsSpoken(t *testing.T) {
	c, err := fleet.New(fleet.Config{Start: monday, Now: monday, Groups: []fleet.GroupConfig{web(1)}})
	must(t, err)
	const path = "/service/GraniteServiceVersion20100801/operation/"
	for _, r := range []struct {
		operation, protocol string
		body                []byte
		want                int
	}{
		{"GetMetricData", "", nil, 415},
		{"DeleteAlarms", "rpc-v2-cbor", nil, 404},
		{"GetMetricData", "rpc-v2-cbor", []byte{0xff, 0x00}, 400},
		{"GetMetricData", "rpc-v2-cbor", []byte{0x80}, 400}, // a list
		{"GetMetricData", "rpc-v2-cbor", bytes.Repeat([]byte{0}, 5<<20), 413},
		{"ListMetrics", "rpc-v2-cbor", nil, 200},
	} {
		in := httptest.NewRequest(http.MethodPost, path+r.operation, bytes.NewReader(r.body))
		in.Header.Set("Smithy-Protocol", r.protocol)
		in.Header.Set("Content-Type", "application/cbor")
		out := httptest.NewRecorder()
		fleet.Handler(c).ServeHTTP(out, in)
		if out.Code != r.want {
			t.Errorf("%s with protocol %q: %d, want %d", r.operation, r.protocol, out.Code, r.want)
		}
	}
}

func FuzzAnyBodyOfGetMetricDataIsAnswered(f *testing.F) {
	c, err := fleet.New(fleet.Config{Start: monday, Now: monday.Add(time.Hour), Groups: []fleet.GroupConfig{web(1)}})
	if err != nil {
		f.Fatal(err)
	}
	h := fleet.Handler(c)
	f.Add([]byte{})
	f.Add([]byte("\xbfqMetricDataQueries\x9f\xbf\xff\xff\xff"))
	f.Add([]byte("\xa3iStartTime\xc1\xfb\x41\xda\x69\x28\x00\x00\x00\x00gEndTime\xc1\xfb\x41\xda\x69\x29\x00\x00\x00\x00qMetricDataQueries\x81\xa2bIdaqjMetricStat\xa3fPeriod\x19\x01\x2cdStatcSumfMetric\xa3iNamespacegAWS/EC2jMetricNamenCPUUtilizationjDimensions\x81\xa2dNametAutoScalingGroupNameeValuecweb"))
	f.Fuzz(func(t *testing.T, body []byte) {
		in := httptest.NewRequest(http.MethodPost, "/service/GraniteServiceVersion20100801/operation/GetMetricData", bytes.NewReader(body))
		in.Header.Set("Smithy-Protocol", "rpc-v2-cbor")
		in.Header.Set("Content-Type", "application/cbor")
		out := httptest.NewRecorder()
		h.ServeHTTP(out, in)
		if out.Code != 200 && out.Code != 400 {
			t.Errorf("status %d: %s", out.Code, out.Body)
		}
	})
}

func TestSeriesAreFoundByAllTheirDimensions(t *testing.T) {
	now := monday.Add(time.Hour)
	_, cw, _ := start(t, fleet.Config{Start: monday, Now: now, Groups: []fleet.GroupConfig{web(1)}})
	dimension := func(name, value string) cwtypes.Dimension {
		return cwtypes.Dimension{Name: &name, Value: &value}
	}
	balancer, target, group := dimension("LoadBalancer", "app/web"), dimension("TargetGroup", "targetgroup/web"), dimension("AutoScalingGroupName", "web")
	for _, c := range []struct {
		metric     string
		dimensions []cwtypes.Dimension
		want       int
		value      float64
	}{
		{"RequestCount", []cwtypes.Dimension{balancer}, 12, 18000},
		{"RequestCount", []cwtypes.Dimension{target, balancer}, 12, 18000},
		{"RequestCount", []cwtypes.Dimension{target}, 0, 0},
		{"RequestCount", []cwtypes.Dimension{balancer, group}, 0, 0},
		{"RequestCount", nil, 0, 0},
		{"RequestCountPerTarget", []cwtypes.Dimension{target}, 12, 1800},
	} {
		q := ask("q", "web", "AWS/ApplicationELB", c.metric, "Sum", 300)
		q.MetricStat.Metric.Dimensions = c.dimensions
		points := fetch(t, cw, q, monday, now)
		if len(points) != c.want || c.want > 0 && points[0].value != c.value {
			t.Errorf("%s by %d dimensions: %d points, want %d of %v", c.metric, len(c.dimensions), len(points), c.want, c.value)
		}
	}
}

func TestPercentilesAreWeightedBySamples(t *testing.T) {
	g := web(1)
	demand := *g.Demand
	demand.Step, demand.Slots, demand.Missing = time.Minute, slices.Repeat([]float64{5, 5, 5, 5, 9}, 20), make([]bool, 100)
	g.Demand, g.History = &demand, fleet.Static(10)
	now := monday.Add(time.Hour)
	_, cw, _ := start(t, fleet.Config{Start: monday, Now: now, Groups: []fleet.GroupConfig{g}})
	for stat, want := range map[string]float64{"p50": 0.05 / 0.5, "p65": 0.05 / 0.5, "p95": 0.05 / 0.1, "p100": 0.05 / 0.1} {
		near(t, stat, fetch(t, cw, ask("q", "web", "AWS/ApplicationELB", "TargetResponseTime", stat, 300), monday, now)[3].value, want)
	}
}
