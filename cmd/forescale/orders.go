package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/user"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/internal/journal"
	"github.com/forescale/forescale/scaler/control"
)

const freezeManual = `forescale freeze keeps groups from shrinking for a while: the scaler goes on, and a
live breach still adds instances, but none is removed. For a release, a sale, an
hour in which you do not trust the metrics.

  forescale freeze web -for 2h -reason "release 4.2" -config forescale.yaml
  forescale freeze -all -for 30m -reason "metrics are broken" -store s3://lake/prod

It ends by itself. The scaler takes it up at its next tick. Whoever asks
'forescale controls', 'forescale explain' or the audit log reads the reason and
the name. 'forescale resume' takes it back, and a second freeze replaces the first.`

const pauseManual = `forescale pause takes the scaler's hands off groups for a while: it still decides
and records, but changes nothing, NOT EVEN WHEN THE LOAD RISES. For work on a
group by hand. To keep a group from shrinking only, freeze it.

  forescale pause web -for 1h -reason "moving to new instances by hand" -config forescale.yaml

It ends by itself. The scaler takes it up at its next tick. 'forescale resume'
takes it back, and a second pause replaces the first.`

const resumeManual = `forescale resume takes the orders of 'forescale freeze' and 'forescale pause' back,
of both kinds.

  forescale resume web -config forescale.yaml     what was ordered for web alone
  forescale resume -all -config forescale.yaml    what was ordered with -all

An order for all groups is taken back for all or for none: while it stands,
resuming a single group does not help it, and you are told so. It fails (exit code
1) when there was nothing to take back, or when another order still holds.`

const controlsManual = `forescale controls lists the orders that are in force: who froze or paused which
groups, why, and until when.

  forescale controls -config forescale.yaml

A pause comes before a freeze, and a group's own order before one for all groups.`

// shortest is the least that an order may last: one that ends before the scaler
// looks says that something holds, and does nothing.
const shortest = time.Minute

// given says what each kind of order does.
var given = map[api.ControlKind]struct{ is, does string }{
	api.ControlFreeze: {"frozen", "None of it shrinks; a live breach still adds."},
	api.ControlPause:  {"paused", "Decisions are made and recorded, and none is carried out."},
}

// order is the command line of freeze and pause.
type order struct {
	place
	kind            api.ControlKind
	all             bool
	length, why, by string
	lasting         time.Duration // of length, once checked
	out, errOut     io.Writer
}

func freezeCommand() cli.Command { return orderCommand(api.ControlFreeze, freezeManual) }
func pauseCommand() cli.Command  { return orderCommand(api.ControlPause, pauseManual) }

func orderCommand(kind api.ControlKind, manual string) cli.Command {
	o := &order{kind: kind, out: os.Stdout, errOut: os.Stderr}
	return cli.Command{Name: "forescale " + string(kind), Manual: manual, Flags: o.flags, Check: o.check, Run: o.run, Arguments: true}
}

func (o *order) flags(fs *flag.FlagSet) {
	o.place.flags(fs)
	fs.BoolVar(&o.all, "all", false, "every group, those that are yet to come too")
	fs.StringVar(&o.length, "for", "", "`LENGTH` of time that it lasts, for example 90m, 2h or 7d; at most 30d")
	fs.StringVar(&o.why, "reason", "", "`TEXT` that tells others why, 3 to 500 characters")
	fs.StringVar(&o.by, "by", "", "`NAME` of who gives the order (default: your login name)")
}

// check returns all faults of the flags at once.
func (o *order) check() error {
	faults := []error{o.place.check()}
	if o.length == "" {
		faults = append(faults, fmt.Errorf("-for is missing: how long shall the %s last?", o.kind))
	} else {
		var err error
		if o.lasting, err = parseLength(o.length); err != nil {
			faults = append(faults, fmt.Errorf("-for: %w", err))
		} else if o.lasting < shortest || o.lasting > control.MaxLength {
			faults = append(faults, fmt.Errorf("-for %s: must be at least %d minute and at most %d days", o.length, shortest/time.Minute, control.MaxLength/day))
		}
	}
	switch {
	case o.why == "":
		faults = append(faults, errors.New("-reason is missing: others will ask why"))
	default:
		faults = append(faults, o.text())
	}
	return errors.Join(faults...)
}

// text returns what is wrong with the reason and the name, which it fills in.
func (o *order) text() error {
	if o.by == "" {
		if o.by = login(); o.by == "" {
			return errors.New("-by is missing, and this machine does not know your login name")
		}
	}
	// Any valid group and time: those are judged where they are told.
	at := time.Unix(0, 0)
	return control.Validate(api.Control{Kind: o.kind, Group: api.AllGroups, At: at, Until: at.Add(time.Hour), Reason: o.why, By: o.by})
}

// login returns the name of the person at the keyboard, who may have become root.
func login() string {
	if name := os.Getenv("SUDO_USER"); name != "" {
		return name
	}
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return os.Getenv("USER")
}

func (o *order) run(ctx context.Context, args []string) error {
	groups, err := addressed(o.all, args)
	if err != nil {
		return err
	}
	if err := o.unknown(groups); err != nil && !o.all {
		return cli.Usagef("%w", err)
	}
	store, err := o.open(ctx)
	if err != nil {
		return err
	}
	orders := control.New(store)
	for i, group := range groups {
		now := time.Now().UTC().Truncate(time.Second)
		c := api.Control{Kind: o.kind, Group: group, Until: now.Add(o.lasting), Reason: o.why, By: o.by, At: now}
		if err := orders.Put(ctx, c); err != nil {
			if i > 0 {
				err = fmt.Errorf("%w; the orders for %s stand", err, strings.Join(groups[:i], ", "))
			}
			return err
		}
		fmt.Fprintf(o.out, "%s %s until %s (%s), by %s: %s\n", subject(group), given[o.kind].is, stamp(c.Until), o.length, c.By, strings.TrimSpace(c.Reason))
	}
	fmt.Fprintf(o.out, "%s The scaler takes it up at its next tick.\n", given[o.kind].does)
	if o.groups == nil {
		o.warn(ctx, store, groups)
	}
	cs, err := orders.List(ctx)
	if err != nil {
		return err
	}
	for _, group := range groups {
		if c := control.InForce(cs, group, time.Now()); c != nil && c.Kind != o.kind {
			fmt.Fprintf(o.out, "Until then, the %s goes before it: %s\n", c.Kind, sentence(*c))
		}
	}
	return nil
}

// warn tells of names that the newest record of the audit log does not know. They
// may be right: another shard may hold the group, or it may be yet to come.
func (o *order) warn(ctx context.Context, store blob.Store, groups []string) {
	rec, err := journal.New(store).Latest(ctx, time.Now())
	if err != nil {
		return // a scaler that has not yet decided anything
	}
	for _, group := range groups {
		if group == api.AllGroups {
			continue
		}
		if err := notAmong(group, groupsOf(rec)); err != nil {
			fmt.Fprintf(o.errOut, "warning: in the newest record of the audit log, of %s, %v\n", stamp(rec.Tick), err)
		}
	}
}

func groupsOf(rec api.TickRecord) []string {
	names := make([]string, len(rec.Decisions))
	for i, d := range rec.Decisions {
		names[i] = d.Group
	}
	return names
}

// addressed returns the groups that a command is about, once each.
func addressed(all bool, args []string) ([]string, error) {
	switch {
	case all && len(args) > 0:
		return nil, cli.Usagef("-all and a group (%q) exclude each other", args[0])
	case all:
		return []string{api.AllGroups}, nil
	case len(args) == 0:
		return nil, cli.Usagef("name the groups, or say -all")
	}
	var groups []string
	for _, name := range args {
		if name == api.AllGroups {
			return nil, cli.Usagef("for all groups say -all")
		}
		if name == "" || len(name) > api.MaxNameLen {
			return nil, cli.Usagef("%.40q is no name of a group: it must be 1 to %d bytes long", name, api.MaxNameLen)
		}
		if !slices.Contains(groups, name) {
			groups = append(groups, name)
		}
	}
	return groups, nil
}

// subject begins a sentence about a group.
func subject(group string) string {
	if group == api.AllGroups {
		return "all groups are"
	}
	return group + " is"
}

// sentence tells of an order that stands.
func sentence(c api.Control) string {
	return fmt.Sprintf("%s %s until %s, by %s: %s", subject(c.Group), given[c.Kind].is, stamp(c.Until), c.By, c.Reason)
}

func resumeCommand() cli.Command {
	var p place
	var all bool
	return cli.Command{Name: "forescale resume", Manual: resumeManual, Check: p.check, Arguments: true,
		Flags: func(fs *flag.FlagSet) {
			p.flags(fs)
			fs.BoolVar(&all, "all", false, "take back what was ordered with -all")
		},
		Run: func(ctx context.Context, args []string) error {
			// A group that has left the configuration may have left an order behind.
			groups, err := addressed(all, args)
			if err != nil {
				return err
			}
			store, err := p.open(ctx)
			if err != nil {
				return err
			}
			return resume(ctx, control.New(store), groups, os.Stdout)
		}}
}

// resume takes the orders of groups back and tells which still hold. It goes on
// after a fault with one group.
func resume(ctx context.Context, orders *control.Store, groups []string, out io.Writer) error {
	var faults []error
	for _, group := range groups {
		any := false
		for _, kind := range []api.ControlKind{api.ControlPause, api.ControlFreeze} {
			found, err := orders.Withdraw(ctx, kind, group)
			if err != nil {
				return errors.Join(append(faults, err)...)
			}
			if found {
				any = true
				fmt.Fprintf(out, "%s no longer %s\n", subject(group), given[kind].is)
			}
		}
		if !any {
			faults = append(faults, fmt.Errorf("%s neither frozen nor paused by an order of that name", subject(group)))
		}
	}
	cs, err := orders.List(ctx)
	if err != nil {
		return errors.Join(append(faults, err)...)
	}
	for _, group := range groups {
		if group != api.AllGroups {
			if c := control.InForce(cs, group, time.Now()); c != nil {
				faults = append(faults, fmt.Errorf("an order still holds %s: %s; 'forescale resume -all' takes it back for all groups", group, sentence(*c)))
			}
			continue
		}
		for _, c := range cs { // its own orders of a group outlive that for all
			if !control.Expired(c, time.Now()) {
				fmt.Fprintf(out, "by its own order, %s\n", sentence(c))
			}
		}
	}
	return errors.Join(faults...)
}

func controlsCommand() cli.Command {
	var p place
	return cli.Command{Name: "forescale controls", Manual: controlsManual, Flags: p.flags, Check: p.check,
		Run: func(ctx context.Context, args []string) error {
			if len(args) > 0 {
				return cli.Usagef("unexpected argument %q", args[0])
			}
			store, err := p.open(ctx)
			if err != nil {
				return err
			}
			cs, err := control.New(store).List(ctx)
			if err != nil {
				return err
			}
			return printControls(os.Stdout, cs, time.Now())
		}}
}

// printControls writes the orders in force at a moment as a table.
func printControls(out io.Writer, cs []api.Control, now time.Time) error {
	cs = slices.DeleteFunc(slices.Clone(cs), func(c api.Control) bool { return control.Expired(c, now) })
	if len(cs) == 0 {
		_, err := fmt.Fprintln(out, "no order is in force")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "GROUP\tORDER\tUNTIL\tLEFT\tBY\tSINCE\tREASON")
	for _, c := range cs {
		group := c.Group
		if group == api.AllGroups {
			group = "all groups"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", group, c.Kind, stamp(c.Until), left(c.Until.Sub(now)), c.By, stamp(c.At), c.Reason)
	}
	return w.Flush()
}

// left writes a length of time to the minute.
func left(d time.Duration) string {
	switch d = d.Truncate(time.Minute); {
	case d >= day:
		return fmt.Sprintf("%dd %dh", d/day, d%day/time.Hour)
	case d >= time.Hour:
		return fmt.Sprintf("%dh %dm", d/time.Hour, d%time.Hour/time.Minute)
	case d >= time.Minute:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return "under 1m"
}
