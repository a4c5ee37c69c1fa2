package function

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestDetect(t *testing.T) {
	const runtime = "AWS_LAMBDA_RUNTIME_API"
	for name, c := range map[string]struct {
		env  map[string]string
		want Env
		is   bool
	}{
		"a shell is no function":            {map[string]string{"FORESCALE_CONFIG": "x.yaml"}, Env{}, false},
		"the file lies beside the program":  {map[string]string{runtime: "a", "LAMBDA_TASK_ROOT": "/var/task"}, Env{Config: "/var/task/forescale.yaml"}, true},
		"the configuration may be named":    {map[string]string{runtime: "a", "FORESCALE_CONFIG": "env:X"}, Env{Config: "env:X"}, true},
		"each environment has its own name": {map[string]string{runtime: "a", "AWS_LAMBDA_FUNCTION_NAME": "f", "AWS_LAMBDA_LOG_STREAM_NAME": "s"}, Env{"f", "s", "forescale.yaml"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got, is := Detect(func(k string) string { return c.env[k] }); got != c.want || is != c.is {
				t.Errorf("got %+v, %t", got, is)
			}
		})
	}
}

var now = time.Date(2026, 3, 2, 12, 6, 30, 0, time.UTC)

func TestTheContextEndsBeforeTheInvocation(t *testing.T) {
	for name, c := range map[string]struct{ left, margin, want time.Duration }{
		"the margin is kept for the end":           {2 * time.Hour, time.Hour, time.Hour},
		"of a short invocation it is a half":       {time.Hour, time.Hour, 30 * time.Minute},
		"of one that is over already nothing more": {-time.Hour, time.Minute, -time.Hour - time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			ctx, cancel := context.WithDeadline(t.Context(), began.Add(c.left))
			defer cancel()
			run := func(ctx context.Context) (Outcome, error) {
				if d, ok := ctx.Deadline(); c.left > 0 && (!ok || !d.Equal(began.Add(c.want))) {
					t.Errorf("it ends at %s after %s", d, began)
				}
				return Outcome{}, ctx.Err()
			}
			_, err := handler(Env{}, c.margin, func() time.Time { return began }, new(bytes.Buffer), run)(ctx)
			if over := c.left < 0; over != errors.Is(err, context.DeadlineExceeded) || over && !strings.Contains(err.Error(), "timeout") {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestMetricsAreALineOfTheLog(t *testing.T) {
	run := func(err error, out Outcome) (string, error) {
		var b bytes.Buffer
		_, got := handler(Env{Name: "f"}, time.Second, func() time.Time { return now }, &b, func(context.Context) (Outcome, error) { return out, err })(t.Context())
		return b.String(), got
	}
	line, err := run(nil, Outcome{Tick: now.Add(-90 * time.Second), Counts: map[string]int{"Rows": 7, "Faults": 0}})
	var doc struct {
		AWS struct {
			Timestamp         int64
			CloudWatchMetrics []struct {
				Namespace  string
				Dimensions [][]string
				Metrics    []struct{ Name, Unit string }
			}
		} `json:"_aws"`
		Function              string
		TickAge, Rows, Faults float64
	}
	if err != nil || strings.Count(line, "\n") != 1 || json.Unmarshal([]byte(line), &doc) != nil {
		t.Fatalf("%q, %v", line, err)
	}
	if m := doc.AWS.CloudWatchMetrics; doc.AWS.Timestamp != now.UnixMilli() || len(m) != 1 || m[0].Namespace != "Forescale" || m[0].Dimensions[0][0] != "Function" ||
		len(m[0].Metrics) != 3 || m[0].Metrics[0].Unit != "Seconds" || doc.Function != "f" || doc.TickAge != 90 || doc.Rows != 7 || doc.Faults != 0 {
		t.Errorf("%s", line)
	}
	if line, err := run(nil, Outcome{}); err != nil || line != "" {
		t.Errorf("nothing to tell: %q, %v", line, err)
	}
	// What failed has no age: an alarm is to miss it.
	if line, err := run(errors.New("no"), Outcome{Tick: now}); err == nil || line != "" {
		t.Errorf("a failure: %q, %v", line, err)
	}
}
