package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/scaler/audit"
)

const explainManual = `forescale explain says why a group has the size that it has: what was measured and
forecast, the safety state and the orders in force, each step from the present size
to the desired one, what came of it, and what follows: how busy the group is with it,
and when it may change again at the earliest; then, when the group last changed.

  forescale explain web -config forescale.yaml                          # the newest decision
  forescale explain web -at 2026-03-02T12:07Z -store s3://lake/prod     # the one in force then

It reads the audit log and changes nothing. All times are UTC.`

// movesShown is how many of a group's last changes are told.
const movesShown = 10

// explain is the command line.
type explain struct {
	auditLog
	back        string
	lookBack    time.Duration
	output      string
	out, errOut io.Writer
}

func explainCommand() cli.Command {
	e := &explain{out: os.Stdout, errOut: os.Stderr}
	return cli.Command{Name: "forescale explain", Manual: explainManual, Flags: e.flags, Check: e.check, Run: e.run, Arguments: true}
}

func (e *explain) flags(fs *flag.FlagSet) {
	e.auditLog.flags(fs)
	fs.StringVar(&e.back, "back", "24h", "`LENGTH` of time before the decision in which the last ten changes are looked for")
	fs.StringVar(&e.output, "o", "table", "`FORM`: table, or json: the decision as it is recorded, with the text")
}

func (e *explain) check() error {
	var err error
	if e.lookBack, err = parseLength(e.back); err != nil {
		err = fmt.Errorf("-back: %w", err)
	} else if e.lookBack < 0 {
		err = fmt.Errorf("-back %s: must not be negative", e.back)
	}
	if e.output != "table" && e.output != "json" {
		err = errors.Join(err, fmt.Errorf("-o: %q is not table or json", e.output))
	}
	return errors.Join(e.auditLog.check(), err)
}

// answer is what -o json prints.
type answer struct {
	Tick    time.Time `json:"tick"`
	Scaler  string    `json:"scaler"`
	Version string    `json:"version,omitempty"`
	// Decision and Config are as they were recorded.
	Decision    api.Decision    `json:"decision"`
	Config      json.RawMessage `json:"config,omitempty"`
	Brake       *api.Brake      `json:"brake,omitempty"`
	Explanation []string        `json:"explanation"` // lines
	Moves       []move          `json:"moves"`       // the newest first
}

// move is a change of the group before the decision.
type move struct {
	Tick time.Time `json:"tick"`
	What string    `json:"what"`
	Why  string    `json:"why"`
}

func (e *explain) run(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return cli.Usagef("name one group, not %d", len(args))
	}
	j, err := e.open(ctx)
	if err != nil {
		return err
	}
	rec, err := e.record(ctx, j)
	if err != nil {
		return err
	}
	// The group may have left the fleet before the newest record.
	newest, group := rec, args[0]
	d, found := decisionOf(rec, group)
	var moves []move
	err = backwards(ctx, j, newest.Tick.Add(-e.lookBack), newest.Tick, func(r api.TickRecord) bool {
		earlier, ok := decisionOf(r, group)
		switch {
		case !ok:
		case !found:
			rec, d, found = r, earlier, true
		default:
			if what, why, ok := audit.Changed(earlier); ok {
				moves = append(moves, move{r.Tick, what, why})
			}
		}
		return len(moves) < movesShown
	})
	if !found {
		return errors.Join(fmt.Errorf("the record of %s, and the %s before it: %w", stamp(newest.Tick), e.back, notAmong(group, groupsOf(newest))), err)
	}
	if err != nil {
		fmt.Fprintf(e.errOut, "warning: not all of the audit log could be read: %v\n", err)
	}
	if !rec.Tick.Equal(newest.Tick) {
		fmt.Fprintf(e.errOut, "warning: the record of %s does not know %s any more; this is the last one that does\n", stamp(newest.Tick), group)
	}
	return e.print(rec, d, moves)
}

func (e *explain) print(rec api.TickRecord, d api.Decision, moves []move) error {
	text := audit.Explain(rec, d)
	if e.output == "json" {
		a := answer{Tick: rec.Tick, Scaler: rec.Scaler, Version: rec.Version, Decision: d, Brake: rec.Brake, Moves: moves,
			Explanation: strings.Split(strings.TrimSuffix(text, "\n"), "\n")}
		if d.Config >= 0 && d.Config < len(rec.Configs) {
			a.Config = rec.Configs[d.Config]
		}
		enc := json.NewEncoder(e.out)
		enc.SetIndent("", "  ")
		return enc.Encode(a)
	}
	fmt.Fprint(e.out, text)
	fmt.Fprintf(e.out, "\nWhat changed before\n")
	if len(moves) == 0 {
		_, err := fmt.Fprintf(e.out, "  nothing in the %s before\n", e.back)
		return err
	}
	w := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
	for _, m := range moves {
		fmt.Fprintf(w, "  %s\t%s\t%s\n", stamp(m.Tick), m.What, short(m.Why))
	}
	return w.Flush()
}

// short cuts a sentence that would not fit beside others.
func short(s string) string {
	const most = 90
	if r := []rune(s); len(r) > most {
		return strings.TrimSpace(string(r[:most])) + "…"
	}
	return s
}
