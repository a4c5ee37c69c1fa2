// Package demo replays a workload through the whole pipeline on one machine: a
// simulated cloud and an MQTT broker on loopback, the real collector, trainer and scaler in this
// process on the simulated clock, and the real server as a child process.
//
// Two groups live through the same load. One is steered by forecasts, the other
// by its measured CPU; both under the same rule with the same limits.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/collector"
	"github.com/forescale/forescale/internal/conf"
	"github.com/forescale/forescale/internal/fleet"
	"github.com/forescale/forescale/internal/journal"
	"github.com/forescale/forescale/internal/tell"
	"github.com/forescale/forescale/scaler"
	"github.com/forescale/forescale/scaler/plan"
)

// Config says what to replay and how.
type Config struct {
	Workload
	Steps  int           // slots that are replayed live
	Dir    string        // where lake, models and logs go; empty: a temporary folder, removed at the end
	Server string        // path of forescale-server; empty: looked for
	Lead   time.Duration // from the order of an instance until it serves
	// TicksPerSecond paces the live part; 0 runs as fast as it can.
	TicksPerSecond float64
	Out            io.Writer // progress and summary
	// Screen, when set, is a terminal that shows the live part.
	Screen *Screen
}

// Names of the two groups.
const (
	groupPredictive = "web"
	groupReactive   = "web-reactive"
)

// visibleAfter is how long after the end of a slot its metrics are there and the
// collector and the scaler act: the second minute of the next slot.
const visibleAfter = time.Minute

var nan = math.NaN()

func isNaN(v float64) bool { return math.IsNaN(v) }

// demo is one run.
type demo struct {
	Config
	load       workload
	begin, end time.Time // of the live part
	dir        string
	log        *slog.Logger
	report     Report
	cloud      *fleet.Cloud
	stores     stores
	collector  *collector.Collector
	sensors    *sensors
	server     *child
	scaler     *scaler.Scaler
	teller     *tell.Teller // tells the server's page of each tick
	aws        conf.AWS     // of the cloud
	files      []io.Closer  // logs, closed at the end
}

// Run replays the workload and returns what came of it. When ctx ends early it
// stops cleanly and returns the error of ctx.
func Run(ctx context.Context, c Config) (Report, error) {
	d := &demo{Config: c}
	defer d.close()
	if err := d.prepare(); err != nil {
		return Report{}, err
	}
	g, ctx := errgroup.WithContext(ctx)
	serving, stopCloud := context.WithCancel(ctx)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		stopCloud()
		return Report{}, err
	}
	if d.aws, err = useCloud("http://" + l.Addr().String()); err != nil {
		stopCloud()
		return Report{}, errors.Join(err, l.Close())
	}
	g.Go(func() error { return fleet.Serve(serving, l, d.cloud) })
	g.Go(func() error {
		defer stopCloud()
		return d.phases(ctx)
	})
	err = g.Wait()
	return d.report, err
}

// prepare reads the workload and builds the cloud and the folder.
func (d *demo) prepare() (err error) {
	d.report = Report{Seconds: map[string]float64{}, Policies: map[string]Policy{}, ByBasis: map[string]int{}}
	if d.Server, err = findServer(d.Server); err != nil { // before the work, not after it
		return err
	}
	if d.load, err = d.Workload.open(); err != nil {
		return err
	}
	if d.Steps == 0 { // two days
		d.Steps = int(48 * time.Hour / d.load.demand.Step)
	}
	if d.begin, d.end, err = d.load.split(d.Steps); err != nil {
		return err
	}
	d.report.Workload, d.report.From, d.report.To = d.load.name, d.begin, d.end
	if d.dir = d.Dir; d.dir == "" {
		if d.dir, err = os.MkdirTemp("", "forescale-demo-"); err != nil {
			return err
		}
	}
	for _, sub := range []string{"data", "models", "logs"} {
		if err := os.MkdirAll(filepath.Join(d.dir, sub), 0o755); err != nil {
			return err
		}
	}
	logs, err := os.Create(filepath.Join(d.dir, "logs", "demo.log"))
	if err != nil {
		return err
	}
	d.files = append(d.files, logs)
	d.log = slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	d.cloud, err = d.newCloud()
	return err
}

// newCloud returns a cloud whose clock stands at the begin of the live part,
// with both groups just large enough for the load at that moment.
func (d *demo) newCloud() (*fleet.Cloud, error) {
	w := d.load.demand
	first := w.At(w.Minute(d.begin))
	group := func(name string) fleet.GroupConfig {
		return fleet.GroupConfig{
			Name: name, Demand: w,
			Desired: max(fleet.MinInstances, int(math.Ceil(first/0.6))),
			Lead:    fleet.Lead{Minutes: d.Lead.Minutes()},
		}
	}
	return fleet.New(fleet.Config{
		Start: w.Start, Now: d.begin, Seed: d.Seed,
		Groups: []fleet.GroupConfig{group(groupPredictive), group(groupReactive)},
	})
}

// phases runs the pipeline from end to end.
func (d *demo) phases(ctx context.Context) error {
	fmt.Fprintf(d.Out, "Forescale demo: %s\n", d.load.name)
	for _, n := range d.load.notes {
		fmt.Fprintf(d.Out, "  note: %s\n", n)
	}
	steps := []struct {
		name string
		does string
		run  func(context.Context) error
	}{
		{"collect", "back-filling history from CloudWatch", d.collect},
		{"train", "training an LSTM on it", d.train},
		{"serve", "starting the inference server", d.serve},
		{"live", "", d.live},
		{"summary", "", d.summarise},
	}
	for _, s := range steps {
		if s.does != "" {
			fmt.Fprintf(d.Out, "%-8s %s …\n", s.name, s.does)
		}
		start := time.Now()
		err := s.run(ctx)
		d.report.Seconds[s.name] = math.Round(100*time.Since(start).Seconds()) / 100
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

// close stops what runs and removes what was temporary.
func (d *demo) close() {
	if d.server != nil {
		d.server.Stop()
	}
	if d.sensors != nil {
		d.sensors.close()
	}
	for _, f := range d.files {
		f.Close()
	}
	if d.Dir == "" && d.dir != "" {
		os.RemoveAll(d.dir)
	}
}

// failed counts an error. The demo goes on, as production does.
func (d *demo) failed(what string, err error) {
	if err == nil || errors.Is(err, context.Canceled) {
		return
	}
	d.report.Errors++
	d.log.Error("demo", "at", what, "err", err)
	if len(d.report.Messages) < 10 {
		d.report.Messages = append(d.report.Messages, what+": "+err.Error())
	}
}

// live moves the simulated clock from tick to tick; at each one the collector
// reads the slot that has just ended and the scaler decides.
func (d *demo) live(ctx context.Context) error {
	fmt.Fprintf(d.Out, "%-8s %d ticks of %s; page: %s/\n", "live", d.Steps, d.load.demand.Step, d.server.URL())
	if d.Screen != nil {
		d.Screen.open()
		defer d.Screen.close()
	}
	pace := newPace(d.TicksPerSecond)
	view := newTracker(d)
	for tick := d.begin; tick.Before(d.end); tick = tick.Add(d.load.demand.Step) {
		if err := d.cloud.Advance(tick.Add(visibleAfter)); err != nil {
			return err
		}
		d.failed("sensors", d.measure(ctx, tick))
		d.failed("collector", d.collector.Once(ctx, tick))
		record, err := d.scaler.Once(ctx, tick)
		d.failed("scaler", err)
		d.failedDecisions(record)
		d.teller.Tell(api.Changed{At: tick, What: []string{api.ChangedSamples, api.ChangedForecast, api.ChangedDecision}})
		if err := ctx.Err(); err != nil {
			return err
		}
		if d.Screen != nil {
			d.failed("view", view.show(d, tick, record))
		}
		if err := pace.wait(ctx); err != nil {
			return err
		}
	}
	return d.cloud.Advance(d.end)
}

// failedDecisions counts decisions that were not what they should have been: an
// action that failed, and a group with a model that had to do without it. A gap in
// the metrics is no error: the workload has it, and the reactive rule is there for it.
func (d *demo) failedDecisions(r api.TickRecord) {
	for _, e := range r.Errors {
		d.failed("scaler", errors.New(e))
	}
	for _, x := range r.Decisions {
		if x.Outcome.Status == api.OutcomeFailed {
			d.failed("decision "+x.Group, errors.New(x.Outcome.Detail))
		}
		switch {
		case x.Group != groupPredictive || x.Basis == api.BasisPredictive:
		case x.Forecast == nil:
			d.failed("forecast "+x.Group, errors.New("there is none"))
		case x.Forecast.Error == nil: // there was one, and plan refused it
			d.failed("forecast "+x.Group, errors.New(refusal(x)))
		case x.Forecast.Error.Type == scaler.ProblemGap:
			d.report.Gaps++
		default:
			d.failed("forecast "+x.Group, x.Forecast.Error)
		}
	}
}

// refusal returns why a decision did without the forecast that it had.
func refusal(x api.Decision) string {
	for _, r := range x.Reasons {
		if r.Rule == plan.RuleForecast || r.Rule == plan.RuleStale {
			return r.Detail
		}
	}
	return fmt.Sprintf("not used in the state %s, in which an earlier fault has left the group", x.Safety)
}

// summarise turns the audit log and the cloud's account into the report.
func (d *demo) summarise(ctx context.Context) error {
	for name, group := range map[string]string{predictive: groupPredictive, reactive: groupReactive} {
		m, err := d.cloud.Summary(group, d.begin, d.end)
		if err != nil {
			return err
		}
		d.report.Policies[name] = policyOf(m)
	}
	records, err := journal.New(d.stores.lake).Scan(ctx, d.begin, d.end)
	if err != nil {
		return err
	}
	for _, r := range records {
		d.report.Decisions += len(r.Decisions)
		for _, x := range r.Decisions {
			d.report.ByBasis[string(x.Basis)]++
		}
	}
	if want := 2 * d.Steps; d.report.Decisions != want {
		d.failed("audit log", fmt.Errorf("holds %d decisions, there were %d ticks of two groups", d.report.Decisions, d.Steps))
	}
	if d.report.Readings, err = d.storedReadings(ctx); err != nil {
		return err
	}
	if d.report.Readings != d.sensors.sent {
		d.failed("sensors", fmt.Errorf("the lake counts %d readings, %d were sent", d.report.Readings, d.sensors.sent))
	}
	d.report.Horizons = liveScores(d.load.demand, d.begin, groupPredictive, records)
	d.report.ServerRestarts = d.server.Restarts()
	d.report.print(d.Out)
	return nil
}
