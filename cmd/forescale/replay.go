package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/internal/journal"
	"github.com/forescale/forescale/scaler/audit"
)

const replayManual = `forescale replay reaches decisions of the past anew, from the inputs that the audit
log has of each, and compares the result with the record, bit for bit.

  forescale replay -config forescale.yaml                                 # the newest record
  forescale replay web -at 2026-03-02T12:07Z -config forescale.yaml       # one group, the record in force then
  forescale replay -from 2026-03-02T00:00Z -to 2026-03-03T00:00Z -store s3://lake/prod

Nothing differs when the program is the one that decided, and the record is as it
was written. It prints each difference and exits with 1 when there is one, or when a
record cannot be replayed. A record of another version of the program is named: a
difference may then be a change of the program, which this shows before you install
it. Nothing is changed.`

// replay is the command line.
type replay struct {
	auditLog
	from, to   string
	start, end time.Time // half-open; zero: a single record
	out        io.Writer
	groups     []string // empty: all
}

func replayCommand() cli.Command {
	r := &replay{out: os.Stdout}
	return cli.Command{Name: "forescale replay", Manual: replayManual, Flags: r.flags, Check: r.check, Run: r.run, Arguments: true}
}

func (r *replay) flags(fs *flag.FlagSet) {
	r.auditLog.flags(fs)
	fs.StringVar(&r.from, "from", "", "replay all records from this `TIME` on")
	fs.StringVar(&r.to, "to", "", "with -from: up to this `TIME`, exclusive (default: now)")
}

func (r *replay) check() error {
	faults := []error{r.auditLog.check()}
	parse := func(name, text string) (t time.Time) {
		if text != "" {
			var err error
			if t, err = parseTime(text); err != nil {
				faults = append(faults, fmt.Errorf("%s: %w", name, err))
			}
		}
		return t
	}
	r.start, r.end = parse("-from", r.from), parse("-to", r.to)
	switch {
	case r.at != "" && (r.from != "" || r.to != ""):
		faults = append(faults, errors.New("-at and -from, -to exclude each other"))
	case r.to != "" && r.from == "":
		faults = append(faults, errors.New("-to needs -from"))
	case r.from != "" && r.to == "":
		r.end = time.Now().Add(skew)
	}
	if !r.start.IsZero() && !r.end.IsZero() && !r.start.Before(r.end) {
		faults = append(faults, fmt.Errorf("-from %s is not before -to %s", r.from, r.to))
	}
	return errors.Join(faults...)
}

// tally counts what was replayed.
type tally struct {
	records, decisions, differences, failed int
	versions                                map[string]bool
	seen                                    map[string]bool // which of the groups asked for
	last                                    api.TickRecord
}

func (r *replay) run(ctx context.Context, args []string) error {
	r.groups = args
	j, err := r.open(ctx)
	if err != nil {
		return err
	}
	t := &tally{versions: map[string]bool{}, seen: map[string]bool{}}
	if err = r.all(ctx, j, t); t.records == 0 {
		if err == nil {
			err = fmt.Errorf("the audit log of %s has no record from %s to %s", r.url, stamp(r.start), stamp(r.end))
		}
		return err
	}
	return errors.Join(err, r.conclude(t))
}

// all replays the records that are meant. A record that cannot be read is in the
// error, and the others are replayed.
func (r *replay) all(ctx context.Context, j *journal.Journal, t *tally) error {
	if r.start.IsZero() {
		rec, err := r.record(ctx, j)
		if err == nil {
			r.one(rec, t)
		}
		return err
	}
	// The range may be of years, and have records on few days of them.
	ticks, err := j.Ticks(ctx, r.start, r.end)
	faults := []error{err}
	for len(ticks) > 0 && ctx.Err() == nil {
		n, _ := slices.BinarySearchFunc(ticks, ticks[0].Add(chunk), time.Time.Compare)
		records, err := j.Scan(ctx, ticks[0], ticks[n-1].Add(1))
		faults, ticks = append(faults, err), ticks[n:]
		for _, rec := range records {
			r.one(rec, t)
		}
	}
	return errors.Join(append(faults, ctx.Err())...)
}

func (r *replay) wanted(group string) bool {
	return len(r.groups) == 0 || slices.Contains(r.groups, group)
}

// one replays a record and prints what differs.
func (r *replay) one(rec api.TickRecord, t *tally) {
	t.records++
	t.last = rec
	t.versions[rec.Version] = true
	for _, d := range rec.Decisions {
		if r.wanted(d.Group) {
			t.decisions++
			t.seen[d.Group] = true
		}
	}
	diffs, err := audit.Replay(rec)
	for _, d := range diffs {
		if r.wanted(d.Group) || d.Group == api.AllGroups {
			t.differences++
			fmt.Fprintf(r.out, "%s  %s\n", stamp(rec.Tick), d)
		}
	}
	for _, err := range parts(err) {
		var u *audit.Unreplayable
		if errors.As(err, &u) && !r.wanted(u.Group) && u.Group != api.AllGroups {
			continue
		}
		t.failed++
		fmt.Fprintf(r.out, "%s  cannot be replayed: %v\n", stamp(rec.Tick), err)
	}
}

// parts returns the errors that were joined into one.
func parts(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

// conclude prints the sum and returns the error that the exit code rests on.
func (r *replay) conclude(t *tally) error {
	fmt.Fprintf(r.out, "replayed %d records with %d decisions: %d differences\n", t.records, t.decisions, t.differences)
	delete(t.versions, cli.Version)
	var other []string
	for _, v := range slices.Sorted(maps.Keys(t.versions)) {
		if v == "" {
			v = "a version that is not named"
		}
		other = append(other, v)
	}
	if len(other) > 0 {
		fmt.Fprintf(r.out, "this program is %s; it was decided by %s\n", cli.Version, strings.Join(other, ", "))
	}
	for _, group := range r.groups {
		if !t.seen[group] {
			return fmt.Errorf("in none of the records: %w", notAmong(group, groupsOf(t.last)))
		}
	}
	switch {
	case t.differences > 0 && t.failed > 0:
		return fmt.Errorf("%d differences, and %d decisions could not be replayed", t.differences, t.failed)
	case t.differences > 0:
		return fmt.Errorf("%d differences between records and replay", t.differences)
	case t.failed > 0:
		return fmt.Errorf("%d decisions could not be replayed", t.failed)
	}
	return nil
}
