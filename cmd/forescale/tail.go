package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/internal/journal"
	"github.com/forescale/forescale/scaler/audit"
)

const tailManual = `forescale tail follows the decisions as they are recorded: one line for each group at
each tick, with what was measured and foreseen, what became of its size, and why.

  forescale tail -config forescale.yaml                      from the newest tick on
  forescale tail web shop -store s3://lake/prod -since 2h    two groups, and the last two hours
  forescale tail -config forescale.yaml -changes             only what changes a size or a state, or warns
  forescale tail -config forescale.yaml -o json              for programs: one JSON object a line

Ctrl-C ends it, with exit code 0. While the store cannot be read it says so once and
tries again. 'forescale explain GROUP -at TIME' has the whole of a decision.`

// tail is the command line.
type tail struct {
	auditLog
	back, output string
	length       time.Duration // of back
	every        time.Duration
	changes      bool
	out, errOut  io.Writer
	getenv       func(string) string
	now          func() time.Time

	page   terminal
	groups []string // that are followed; none: all
	seen   map[time.Time]bool
	fault  string // the last that was told of
}

func tailCommand() cli.Command {
	t := &tail{out: os.Stdout, errOut: os.Stderr, getenv: os.Getenv, now: time.Now}
	return cli.Command{Name: "forescale tail", Manual: tailManual, Flags: t.flags, Check: t.check, Run: t.run, Arguments: true}
}

func (t *tail) flags(fs *flag.FlagSet) {
	t.place.flags(fs)
	fs.StringVar(&t.shard, "shard", journal.Default, "`SHARD` of the audit log; dry-run: what 'forescale-scaler -dry-run' records beside a live one")
	fs.StringVar(&t.back, "since", "", "`LENGTH` of time to begin with, for example 2h or 7d (default: the newest tick)")
	fs.DurationVar(&t.every, "every", 2*time.Second, "`LENGTH` of time between two looks at the store")
	fs.BoolVar(&t.changes, "changes", false, "only decisions that change a size or a state, or warn")
	fs.StringVar(&t.output, "o", "table", "`FORM`: table, for people, or json, a line each")
}

// check returns all faults of the command line at once.
func (t *tail) check() error {
	faults := []error{t.auditLog.check()}
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if t.back != "" {
		var err error
		if t.length, err = parseLength(t.back); err != nil {
			bad("-since: %w", err)
		} else if t.length <= 0 || t.length > longestTail {
			bad("-since %s: must be positive and at most %d days", t.back, longestTail/day)
		}
	}
	if t.every < 100*time.Millisecond || t.every > time.Hour {
		bad("-every %s: must be 100ms to 1h", t.every)
	}
	if t.output != "table" && t.output != "json" {
		bad("-o: %q is not table or json", t.output)
	}
	return errors.Join(faults...)
}

const (
	longestTail = 90 * day
	// overlap is how far behind the newest tick records are still looked for: of a
	// scaler that died in the middle, the next one writes the record later.
	overlap = time.Hour
)

func (t *tail) run(ctx context.Context, groups []string) error {
	t.groups, t.page, t.seen = groups, terminalOf(t.out, t.getenv), map[time.Time]bool{}
	if err := t.unknown(groups); err != nil {
		return cli.Usagef("%w", err)
	}
	j, err := t.open(ctx)
	if err != nil {
		return err
	}
	from, err := t.begin(ctx, j)
	if err != nil {
		return err
	}
	ticker := time.NewTicker(t.every)
	defer ticker.Stop()
	for {
		newest, err := t.follow(ctx, j, from)
		if errors.Is(err, errOutput) {
			return err
		}
		if ctx.Err() != nil {
			return nil // Ctrl-C is how it ends
		}
		t.tell(err)
		if next := newest.Add(-overlap); next.After(from) {
			from = next
			for tick := range t.seen {
				if tick.Before(from) {
					delete(t.seen, tick)
				}
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// begin returns the first tick to show: that of the newest record, or of the first
// after -since. An empty audit log is followed all the same.
func (t *tail) begin(ctx context.Context, j *journal.Journal) (time.Time, error) {
	now := t.now()
	if t.length > 0 {
		return now.Add(-t.length), nil
	}
	ticks, err := j.Ticks(ctx, now.Add(-day), now.Add(skew))
	if len(ticks) > 0 {
		return ticks[len(ticks)-1], nil
	}
	if err == nil {
		fmt.Fprintf(t.errOut, "%s has no decision of the last day (shard %s); waiting for the next\n", t.url, t.shard)
	}
	return now, err
}

// errOutput marks that nobody reads any more.
var errOutput = errors.New("cannot write")

// follow shows the records since from that have not been shown, and returns the
// newest tick that has been, or from.
func (t *tail) follow(ctx context.Context, j *journal.Journal, from time.Time) (newest time.Time, err error) {
	newest = from
	ticks, err := j.Ticks(ctx, from, t.now().Add(skew))
	faults := []error{err}
	for _, tick := range ticks {
		if ctx.Err() != nil {
			break
		}
		if t.seen[tick] {
			newest = tick
			continue
		}
		rec, err := j.Get(ctx, tick)
		if err != nil {
			faults = append(faults, fmt.Errorf("the record of %s: %w", stamp(tick), err))
			continue
		}
		if err := t.show(rec); err != nil {
			return newest, fmt.Errorf("%w: %w", errOutput, err)
		}
		t.seen[tick], newest = true, tick
	}
	return newest, errors.Join(faults...)
}

// tell tells of a fault once, until it is another one or over.
func (t *tail) tell(err error) {
	text := printable(errorText(err))
	if text != "" && text != t.fault {
		fmt.Fprintf(t.errOut, "warning: %s\n", text)
	}
	if text == "" && t.fault != "" {
		fmt.Fprintln(t.errOut, "the store can be read again")
	}
	t.fault = text
}

// tailed is a line of -o json: one decision, or, with Errors alone, what went wrong at
// a tick outside of any group.
type tailed struct {
	Tick     time.Time     `json:"tick"`
	Scaler   string        `json:"scaler"`
	Version  string        `json:"version,omitempty"`
	Decision *api.Decision `json:"decision,omitempty"`
	Errors   []string      `json:"errors,omitempty"`
	Brake    *api.Brake    `json:"brake,omitempty"`
}

// show writes a record.
func (t *tail) show(rec api.TickRecord) error {
	enc := json.NewEncoder(t.out)
	for _, d := range rec.Decisions {
		if len(t.groups) > 0 && !slices.Contains(t.groups, d.Group) || t.changes && !eventful(d) {
			continue
		}
		var err error
		if t.output == "json" {
			err = enc.Encode(tailed{Tick: rec.Tick, Scaler: rec.Scaler, Version: rec.Version, Decision: &d})
		} else {
			_, err = io.WriteString(t.out, t.line(d))
		}
		if err != nil {
			return err
		}
	}
	if len(rec.Errors) == 0 && rec.Brake == nil {
		return nil
	}
	if t.output == "json" {
		return enc.Encode(tailed{Tick: rec.Tick, Scaler: rec.Scaler, Version: rec.Version, Errors: rec.Errors, Brake: rec.Brake})
	}
	var b strings.Builder
	for _, fault := range rec.Errors {
		b.WriteString(t.page.paint(yellow, fmt.Sprintf("%s  tick error: %s", clock(rec.Tick), printable(fault))) + "\n")
	}
	if n := rec.Brake; n != nil {
		b.WriteString(t.page.paint(yellow, fmt.Sprintf("%s  the brake holds scale-ins: %s wished to shrink at once", clock(rec.Tick), counted(n.Groups, "group"))) + "\n")
	}
	_, err := io.WriteString(t.out, b.String())
	return err
}

// eventful reports whether a decision is one to show with -changes.
func eventful(d api.Decision) bool {
	_, _, changed := audit.Changed(d)
	return changed || len(d.Alerts) > 0 || d.CapacityError != "" || d.Outcome.Status == api.OutcomeFailed
}

// line writes a decision for people: a line, or two on a narrow terminal.
func (t *tail) line(d api.Decision) string {
	load := "load ?"
	if v, ok := d.Observed[api.SeriesDemand]; ok {
		load = fmt.Sprintf("load %.4g", v)
	} else if v, ok := d.Observed[api.MetricCPU]; ok {
		load = fmt.Sprintf("cpu %.3g %%", v)
	}
	if f := d.Forecast; f != nil && f.Error == nil && len(f.Point) > 0 {
		load += fmt.Sprintf(" -> %.4g", f.Point[len(f.Point)-1])
	}
	colour := ""
	switch {
	case d.Outcome.Status == api.OutcomeFailed || !d.Capacity.Known():
		colour = red
	case len(d.Alerts) > 0 || d.Basis == api.BasisHold:
		colour = yellow
	case d.Capacity.Desired != d.Desired:
		colour = green
	}
	head := fmt.Sprintf("%s  %s  %s  ", clock(d.Tick), printable(d.Group), load)
	why := ""
	if _, reason, ok := audit.Changed(d); ok {
		why = reason
	} else if n := len(d.Reasons); n > 0 {
		why = d.Reasons[n-1].Rule + ": " + d.Reasons[n-1].Detail
	}
	text := audit.Result(d)
	if d.Outcome.Detail != "" {
		text += " (" + d.Outcome.Detail + ")"
	}
	if len(d.Alerts) > 0 {
		text += " [" + strings.Join(d.Alerts, ", ") + "]"
	}
	text = printable(text)
	if why = printable(why); why != "" {
		why = ": " + why
	}
	return head + t.page.paint(colour, text) + why + "\n"
}

// clock writes a tick, with its day: what is followed goes on over midnight.
func clock(t time.Time) string { return t.UTC().Format("01-02 15:04Z") }
