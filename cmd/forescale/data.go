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
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/internal/conf"
	"github.com/forescale/forescale/internal/dataset"
	"github.com/forescale/forescale/scaler"
)

const dataManual = `forescale data says what the data lake holds: groups and metrics, from when to when,
the slots that are missing, rows that were revised or repeated, and sizes.

  forescale data -config forescale.yaml                    everything; a day is in memory at a time
  forescale data web -store s3://lake/prod -gaps           each gap of one group
  forescale data -config forescale.yaml -from 2026-03-01 -o json

REVISED counts rows that others have overruled, and repetitions; compaction removes
them. 'forescale data verify' checks every object.`

const dataVerifyManual = `forescale data verify reads every object of the data lake and checks its checksums,
its schema and its rows. It names what cannot be trusted, and exits with 1 then.

  forescale data verify -config forescale.yaml`

// inventory is the command line of data.
type inventory struct {
	place
	from, to, output string
	step             time.Duration
	gaps             bool
	start, end       time.Time // of from and to; zero: no bound
	out, warn        io.Writer
}

func dataCommand() cli.Command {
	i := &inventory{out: os.Stdout, warn: os.Stderr}
	return cli.Command{Name: "forescale data", Manual: dataManual, Flags: i.flags, Check: i.check, Run: i.run, Arguments: true}
}

func (i *inventory) flags(fs *flag.FlagSet) {
	i.place.flags(fs)
	fs.StringVar(&i.from, "from", "", "`TIME` from which on (default: all)")
	fs.StringVar(&i.to, "to", "", "`TIME` up to which, exclusive (default: all)")
	fs.DurationVar(&i.step, "step", 5*time.Minute, "`LENGTH` of a slot, to find gaps by (default: the configuration's)")
	fs.BoolVar(&i.gaps, "gaps", false, "list each gap")
	fs.StringVar(&i.output, "o", "table", "`FORM`: table or json")
}

// check returns all faults of the command line at once.
func (i *inventory) check() error {
	faults := []error{i.place.check()}
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	var err error
	if i.from != "" {
		if i.start, err = parseTime(i.from); err != nil {
			bad("-from: %w", err)
		}
	}
	if i.to != "" {
		if i.end, err = parseTime(i.to); err != nil {
			bad("-to: %w", err)
		}
	}
	if i.output != "table" && i.output != "json" {
		bad("-o: %q is not table or json", i.output)
	}
	if i.config != "" {
		section := scaler.DefaultConfig()
		if common, err := conf.Load(i.config, "scaler", &section); err == nil { // else place has said so
			i.step = common.Step
		}
	}
	if i.step < time.Second || i.step > day {
		bad("-step: %s is not between a second and a day", i.step)
	}
	return errors.Join(faults...)
}

func (i *inventory) run(ctx context.Context, groups []string) error {
	store, err := i.open(ctx)
	if err != nil {
		return err
	}
	found, err := dataset.New(store).Inspect(ctx, dataset.Query{Groups: groups, From: i.start, To: i.end, Step: i.step})
	if err != nil {
		if !dataset.OnlyCorrupt(err) {
			return err
		}
		fmt.Fprintf(i.warn, "left out: %v\n", err)
	}
	for _, group := range groups {
		if !slices.ContainsFunc(found.Series, func(s dataset.SeriesInventory) bool { return s.Group == group }) {
			return fmt.Errorf("%s has nothing of group %q in this range", i.url, group)
		}
	}
	if i.output == "json" {
		e := json.NewEncoder(i.out)
		e.SetIndent("", "  ")
		return e.Encode(shownInventory(found))
	}
	return i.print(found)
}

// inventoryJSON is the output of -o json.
type inventoryJSON struct {
	OpenObjects   int          `json:"open_objects"`
	OpenBytes     int64        `json:"open_bytes"`
	ClosedObjects int          `json:"closed_objects"`
	ClosedBytes   int64        `json:"closed_bytes"`
	Days          int          `json:"days"`
	Rows          int          `json:"rows"`
	Revisions     int          `json:"revisions"`
	Series        []seriesJSON `json:"series"`
}

type seriesJSON struct {
	Group     string    `json:"group"`
	Metric    string    `json:"metric"`
	Stat      string    `json:"stat"`
	Rows      int       `json:"rows"`
	Revisions int       `json:"revisions"`
	First     time.Time `json:"first"`
	Last      time.Time `json:"last"`
	Missing   int       `json:"missing"`        // slots between First and Last
	Gaps      []gapJSON `json:"gaps,omitempty"` // the first hundred
}

type gapJSON struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"` // exclusive
}

func shownInventory(v dataset.Inventory) inventoryJSON {
	out := inventoryJSON{OpenObjects: v.Open.Count, OpenBytes: v.Open.Bytes, ClosedObjects: v.Closed.Count, ClosedBytes: v.Closed.Bytes,
		Days: v.Days, Rows: v.Rows, Revisions: v.Revisions, Series: []seriesJSON{}}
	for _, s := range v.Series {
		shown := seriesJSON{Group: s.Group, Metric: s.Metric, Stat: string(s.Stat), Rows: s.Rows, Revisions: s.Revisions, First: s.First, Last: s.Last, Missing: s.Missing}
		for _, g := range s.Gaps {
			shown.Gaps = append(shown.Gaps, gapJSON{g.From.UTC(), g.To.UTC()})
		}
		out.Series = append(out.Series, shown)
	}
	return out
}

// print writes the inventory for people.
func (i *inventory) print(v dataset.Inventory) error {
	fmt.Fprintf(i.out, "%d rows of %d series on %d days; open: %d objects, %d bytes; closed: %d objects, %d bytes\n\n",
		v.Rows, len(v.Series), v.Days, v.Open.Count, v.Open.Bytes, v.Closed.Count, v.Closed.Bytes)
	w := tabwriter.NewWriter(i.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "GROUP\tMETRIC\tSTAT\tROWS\tFIRST\tLAST\tMISSING\tREVISED\t")
	for _, s := range v.Series {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\t%d\t%d\t\n", shownName(s.Group), shownName(s.Metric), s.Stat, s.Rows, stamp(s.First), stamp(s.Last), s.Missing, s.Revisions)
	}
	if err := w.Flush(); err != nil || !i.gaps {
		return err
	}
	fmt.Fprintln(i.out)
	for _, s := range v.Series {
		listed := 0
		for _, g := range s.Gaps {
			listed += int(g.To.Sub(g.From) / i.step)
			fmt.Fprintf(i.out, "%s %s %s: nothing from %s to %s\n", shownName(s.Group), shownName(s.Metric), s.Stat, stamp(g.From), stamp(g.To))
		}
		if listed < s.Missing {
			fmt.Fprintf(i.out, "%s %s %s: and more gaps; ask for a shorter range\n", shownName(s.Group), shownName(s.Metric), s.Stat)
		}
	}
	return nil
}

// verifier is the command line of data verify.
type verifier struct {
	place
	out, progress io.Writer
	now           func() time.Time
}

func dataVerifyCommand() cli.Command {
	v := &verifier{out: os.Stdout, progress: os.Stderr, now: time.Now}
	return cli.Command{Name: "forescale data verify", Manual: dataVerifyManual, Flags: v.place.flags, Check: v.place.check, Run: v.run}
}

func (v *verifier) run(ctx context.Context, args []string) error {
	if len(args) > 0 {
		return cli.Usagef("unexpected argument %q", args[0])
	}
	store, err := v.open(ctx)
	if err != nil {
		return err
	}
	objects, bytes, told := 0, int64(0), v.now()
	r, err := dataset.New(store).Verify(ctx, func(key string, size int64) {
		objects, bytes = objects+1, bytes+size
		if now := v.now(); now.Sub(told) >= 2*time.Second {
			told = now
			fmt.Fprintf(v.progress, "%d objects, %d bytes, at %s\n", objects, bytes, key)
		}
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(v.out, "open: %d objects, %d rows, %d bytes; closed: %d objects, %d rows, %d bytes\n",
		r.Open.Count, r.Open.Rows, r.Open.Bytes, r.Closed.Count, r.Closed.Rows, r.Closed.Bytes)
	for _, c := range r.Corrupt {
		fmt.Fprintf(v.out, "BAD %s: %v\n", c.Key, c.Err)
	}
	if n := len(r.Corrupt); n > 0 {
		return fmt.Errorf("%d objects cannot be trusted; readers leave them out. Restore them, or remove them and back-fill their days", n)
	}
	fmt.Fprintln(v.out, "all objects are sound")
	return nil
}

// shownName quotes a name that should not have been stored: others may have written
// to the lake, and a terminal does what it is told.
func shownName(name string) string {
	if api.CheckName(name) != nil {
		return strconv.Quote(name)
	}
	return name
}
