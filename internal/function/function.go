// Package function lets a program of Forescale be a scheduled function of AWS
// Lambda: the same binary under the name bootstrap, which the runtime starts without
// arguments and which then does one thing, a tick say, at each invocation.
//
// The invariant: an invocation knows nothing of the one before. Lambda freezes,
// copies and kills processes as it likes, so that run makes everything anew, and
// whatever must last is in the store. Who reads a field of a previous invocation
// here has made a mistake.
package function

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
)

// Env is what the environment says of the function that this process is.
type Env struct {
	// Name is the function's, Instance that of the one of its execution environments
	// that this process lives in. An environment that Lambda sets up again after a
	// time-out keeps its name.
	Name, Instance string
	// Config is where the configuration is, as conf.Load takes it.
	Config string
}

// configFile is the configuration's name in the archive of the function.
const configFile = "forescale.yaml"

// Detect reports whether Lambda has started this process, and as what.
// FORESCALE_CONFIG names the configuration (a path, or env:NAME); without it, it is
// the forescale.yaml beside the program.
func Detect(getenv func(string) string) (Env, bool) {
	if getenv("AWS_LAMBDA_RUNTIME_API") == "" {
		return Env{}, false
	}
	e := Env{Name: getenv("AWS_LAMBDA_FUNCTION_NAME"), Instance: getenv("AWS_LAMBDA_LOG_STREAM_NAME"), Config: getenv("FORESCALE_CONFIG")}
	if e.Config == "" {
		e.Config = filepath.Join(getenv("LAMBDA_TASK_ROOT"), configFile)
	}
	return e, true
}

// Outcome is what an invocation came to, and the function's answer.
type Outcome struct {
	// Tick is the tick that was run, or found to have been; zero: there is none.
	Tick time.Time `json:"tick,omitzero"`
	// Counts are metrics of the invocation, by their name in CloudWatch.
	Counts map[string]int `json:"counts,omitempty"`
}

// Run is one invocation. Its context ends the margin before Lambda would kill the
// process.
type Run func(ctx context.Context) (Outcome, error)

// Serve answers invocations by run, one after another, and does not return. What
// the events say is not looked at: a tick is decided by the clock, because an event
// that is delivered late, or again, must not bring back an old one. An error of run
// is reported as the invocation's, and the process goes on.
//
// margin is what run needs for its end once its context has ended; of a short
// invocation it is half at most.
func Serve(e Env, margin time.Duration, stdout io.Writer, run Run) {
	lambda.Start(handler(e, margin, time.Now, stdout, run))
}

func handler(e Env, margin time.Duration, now func() time.Time, stdout io.Writer, run Run) func(context.Context) (Outcome, error) {
	return func(ctx context.Context) (Outcome, error) {
		if deadline, ok := ctx.Deadline(); ok {
			var cancel context.CancelFunc
			ctx, cancel = context.WithDeadline(ctx, deadline.Add(-min(margin, deadline.Sub(now())/2)))
			defer cancel()
		}
		out, err := run(ctx)
		switch {
		case err != nil && ctx.Err() != nil:
			return out, fmt.Errorf("the time of the invocation was up, raise the function's timeout if that repeats: %w", err)
		case err != nil:
			return out, err
		}
		_, _ = stdout.Write(e.metrics(out, now())) // it is Lambda's pipe; there is nobody to tell
		return out, nil
	}
}

// namespace is that of the metrics in CloudWatch.
const namespace = "Forescale"

// metrics returns the line of the log that CloudWatch makes metrics of, by the
// dimension Function: TickAge, in seconds from the tick to now, and the counts. See
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
func (e Env) metrics(out Outcome, now time.Time) []byte {
	type metric struct {
		Name string
		Unit string
	}
	var list []metric
	line := map[string]any{"Function": e.Name}
	add := func(name, unit string, value float64) {
		list = append(list, metric{name, unit})
		line[name] = value
	}
	if !out.Tick.IsZero() {
		add("TickAge", "Seconds", now.Sub(out.Tick).Seconds())
	}
	for _, name := range slices.Sorted(maps.Keys(out.Counts)) {
		add(name, "Count", float64(out.Counts[name]))
	}
	if len(list) == 0 {
		return nil
	}
	line["_aws"] = map[string]any{
		"Timestamp":         now.UnixMilli(),
		"CloudWatchMetrics": []any{map[string]any{"Namespace": namespace, "Dimensions": [][]string{{"Function"}}, "Metrics": list}},
	}
	text, err := json.Marshal(line)
	if err != nil { // a number that is none; the tick itself is not to fail for that
		return nil
	}
	return append(text, '\n')
}
