package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/forescale/forescale/internal/calendar"
	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/internal/conf"
	"github.com/forescale/forescale/scaler"
)

const calendarManual = `forescale calendar checks and shows the business calendar.

  forescale calendar check FILE…              is it sound? All faults at once, with line and fix
  forescale calendar show [FILE] -days 30     what is planned, and what models will see of it`

const calendarCheckManual = `forescale calendar check reads calendars, JSON or ICS, with the files that they
name, and lists every fault with its file, line and column and what to do about it.

  forescale calendar check business_calendar.json team.ics

Of a sound one it says what it holds. It exits with 1 when one is broken.`

const calendarShowManual = `forescale calendar show prints what is planned: each occurrence of each event, each
holiday, and at which slots models and schedules will see each flag.

  forescale calendar show business_calendar.json -days 30
  forescale calendar show -config forescale.yaml -from 2026-12-01 -zone Europe/Berlin
  forescale calendar show business_calendar.json -o json

A flag holds at a slot when it holds at the slot's start. An event that no slot sees
is pointed out: begin and end events on whole slots.`

func calendarCommand() cli.Command {
	return cli.Command{Name: "forescale calendar", Manual: calendarManual, Arguments: true, Run: func(_ context.Context, args []string) error {
		if len(args) > 0 {
			return cli.Usagef("there is no command calendar %q; there are calendar check and calendar show", args[0])
		}
		return cli.Usagef("calendar check or calendar show?")
	}}
}

func calendarCheckCommand() cli.Command {
	return cli.Command{Name: "forescale calendar check", Manual: calendarCheckManual, Arguments: true,
		Run: func(_ context.Context, args []string) error { return checkCalendars(os.Stdout, args, time.Now()) }}
}

// checkCalendars says of each file what is wrong with it, or what it holds.
func checkCalendars(out io.Writer, paths []string, now time.Time) error {
	if len(paths) == 0 {
		return cli.Usagef("which calendar? Name its FILE")
	}
	var faults []error
	for _, path := range paths {
		c, err := calendar.Load(path)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		flags := "no flags"
		if names := c.Flags(); len(names) > 0 {
			flags = strings.Join(names, ", ")
		}
		fmt.Fprintf(out, "%s is sound: it sets %s; hash %.12s\n", path, flags, c.Hash())
		const ahead = 365 * day
		switch next := c.Events(now, now.Add(ahead)); {
		case len(next) > 0:
			fmt.Fprintf(out, "  in the coming year %d events, the next is %q from %s to %s\n", len(next), next[0].Name, stamp(next[0].Start), stamp(next[0].End))
		case len(c.Always()) == 0:
			fmt.Fprintf(out, "  NOTHING is planned for the coming year: is this the newest version?\n")
		}
	}
	return errors.Join(faults...)
}

// calendarShow is the command line of calendar show.
type calendarShow struct {
	config, fromText, zoneName, output string
	days                               int
	step                               time.Duration

	path string // of -config
	from time.Time
	zone *time.Location
	now  func() time.Time
	out  io.Writer
}

func calendarShowCommand() cli.Command {
	c := &calendarShow{now: time.Now, out: os.Stdout}
	return cli.Command{Name: "forescale calendar show", Manual: calendarShowManual, Flags: c.flags, Check: c.check, Run: c.run, Arguments: true}
}

func (c *calendarShow) flags(fs *flag.FlagSet) {
	fs.StringVar(&c.config, "config", "", "configuration `FILE` whose calendar and step are meant")
	fs.IntVar(&c.days, "days", 30, "`N` days to show, at most 3660")
	fs.StringVar(&c.fromText, "from", "", "`TIME` from which on (default: now)")
	fs.StringVar(&c.zoneName, "zone", "UTC", "time `ZONE` to print times in, for example Europe/Berlin")
	fs.DurationVar(&c.step, "step", 5*time.Minute, "`LENGTH` of a slot (default: the configuration's)")
	fs.StringVar(&c.output, "o", "table", "`FORM`: table or json")
}

// check returns all faults of the command line at once.
func (c *calendarShow) check() error {
	var faults []error
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if c.days < 1 || c.days > maxShownDays {
		bad("-days: %d is not in 1..%d", c.days, maxShownDays)
	}
	if c.output != "table" && c.output != "json" {
		bad("-o: %q is not table or json", c.output)
	}
	if c.step < time.Minute || c.step > day {
		bad("-step: %s is not between a minute and a day", c.step)
	}
	var err error
	if c.zone, err = time.LoadLocation(c.zoneName); err != nil {
		bad("-zone: %.60q is no time zone; write one like Europe/Berlin", c.zoneName)
	}
	if c.fromText != "" {
		if c.from, err = c.parseFrom(); err != nil {
			bad("-from: %w", err)
		}
	}
	if c.config != "" {
		section := scaler.DefaultConfig()
		common, err := conf.Load(c.config, "scaler", &section)
		switch {
		case err != nil:
			faults = append(faults, err)
		case common.Calendar == "":
			bad("configuration %s: calendar: none is configured", c.config)
		}
		c.path, c.step = common.Calendar, common.Step
	}
	return errors.Join(faults...)
}

const maxShownDays = 3660

// parseFrom reads -from; a time without a zone is in -zone.
func (c *calendarShow) parseFrom() (time.Time, error) {
	if c.zone != nil {
		for _, layout := range []string{time.DateOnly, "2006-01-02T15:04"} {
			if t, err := time.ParseInLocation(layout, c.fromText, c.zone); err == nil {
				return t.UTC(), nil
			}
		}
	}
	return parseTime(c.fromText)
}

func (c *calendarShow) run(_ context.Context, args []string) error {
	path := c.path
	switch {
	case len(args) == 1 && path == "":
		path = args[0]
	case len(args) > 0:
		return cli.Usagef("one calendar is shown: name its FILE, or -config")
	case path == "":
		return cli.Usagef("which calendar? Name its FILE, or a -config that names it")
	}
	plans, err := calendar.Load(path)
	if err != nil {
		return err
	}
	from := c.from
	if from.IsZero() {
		from = c.now().UTC()
	}
	view := viewOf(plans, from.Truncate(c.step), c.days, c.step)
	if c.output == "json" {
		e := json.NewEncoder(c.out)
		e.SetIndent("", "  ")
		return e.Encode(view)
	}
	return view.print(c.out, c.zone)
}

// calendarView is what calendar show prints; its JSON is the output of -o json.
type calendarView struct {
	From        time.Time          `json:"from"`
	To          time.Time          `json:"to"` // exclusive
	StepSeconds int                `json:"step_seconds"`
	Hash        string             `json:"hash"`
	Always      map[string]float64 `json:"always,omitempty"` // flags that hold always
	Events      []shownEvent       `json:"events"`           // that set a flag in [From, To), by start
	Flags       []flagRun          `json:"flags"`            // by flag and time
	Next        *shownEvent        `json:"next,omitempty"`   // the first to start from From on, within ten years
}

type shownEvent struct {
	Name        string             `json:"name"`
	Start       time.Time          `json:"start"`
	End         time.Time          `json:"end"`
	Flags       map[string]float64 `json:"flags"`
	LeadSeconds float64            `json:"lead_seconds,omitempty"`
	TailSeconds float64            `json:"tail_seconds,omitempty"`
	// Unseen says that no slot starts while the event takes place.
	Unseen bool `json:"unseen,omitempty"`
}

// flagRun is a run of slots at which a flag has one value other than 0.
type flagRun struct {
	Flag  string    `json:"flag"`
	Value float64   `json:"value"`
	Start time.Time `json:"start"` // of the first slot
	End   time.Time `json:"end"`   // of the last slot
	Slots int       `json:"slots"`
}

// viewOf looks at a calendar from a slot's start on.
func viewOf(c *calendar.Calendar, from time.Time, days int, step time.Duration) calendarView {
	v := calendarView{From: from, To: from.AddDate(0, 0, days), StepSeconds: int(step.Seconds()), Hash: c.Hash(), Always: c.Always(),
		Events: []shownEvent{}, Flags: []flagRun{}}
	show := func(e calendar.Event) shownEvent {
		first := e.Start.Truncate(step) // the first slot to start within the event
		if first.Before(e.Start) {
			first = first.Add(step)
		}
		return shownEvent{Name: e.Name, Start: e.Start, End: e.End, Flags: e.Flags, LeadSeconds: e.Lead.Seconds(), TailSeconds: e.Tail.Seconds(), Unseen: !first.Before(e.End)}
	}
	for _, e := range c.Occurrences(v.From, v.To) {
		v.Events = append(v.Events, show(e))
	}
	// A year at a time: what is next is mostly near, and a rule may have many.
	for year := 0; year < 10 && v.Next == nil; year++ {
		for _, e := range c.Occurrences(from.AddDate(year, 0, 0), from.AddDate(year+1, 0, 0)) {
			if !e.Start.Before(from) {
				next := show(e)
				v.Next = &next
				break
			}
		}
	}
	for _, flag := range c.Flags() {
		var run *flagRun
		for at := v.From; at.Before(v.To); at = at.Add(step) {
			value := c.Flag(flag, at)
			if run == nil || run.Value != value || !run.End.Equal(at) {
				run = nil
				if value == 0 {
					continue
				}
				v.Flags = append(v.Flags, flagRun{Flag: flag, Value: value, Start: at})
				run = &v.Flags[len(v.Flags)-1]
			}
			run.End, run.Slots = at.Add(step), run.Slots+1
		}
	}
	return v
}

// print writes the view for people, with times in a zone.
func (v calendarView) print(out io.Writer, zone *time.Location) error {
	at := func(t time.Time) string { return t.In(zone).Format("Mon 2006-01-02 15:04 MST") }
	fmt.Fprintf(out, "From %s to %s, hash %.12s\n", at(v.From), at(v.To), v.Hash)
	if len(v.Always) > 0 {
		fmt.Fprintf(out, "Always: %s\n", valuesText(v.Always))
	}
	switch {
	case v.Next == nil:
		fmt.Fprintln(out, "Next: nothing in ten years")
	default:
		fmt.Fprintf(out, "Next: %s, %s\n", plain(v.Next.Name), at(v.Next.Start))
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if len(v.Events) > 0 {
		fmt.Fprintln(w, "\nSTART\tEND\tEVENT\tFLAGS\tLEAD\tTAIL\t")
	}
	for _, e := range v.Events {
		note := ""
		if e.Unseen {
			note = "NO SLOT SEES IT: it takes place between two slots' starts"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", at(e.Start), at(e.End), plain(e.Name), valuesText(e.Flags), lengthCell(e.LeadSeconds), lengthCell(e.TailSeconds), note)
	}
	if len(v.Flags) > 0 {
		fmt.Fprintf(w, "\nFLAG\tVALUE\tFIRST SLOT\tUNTIL\tSLOTS OF %s\t\n", time.Duration(v.StepSeconds)*time.Second)
	}
	for _, r := range v.Flags {
		fmt.Fprintf(w, "%s\t%g\t%s\t%s\t%d\t\n", r.Flag, r.Value, at(r.Start), at(r.End), r.Slots)
	}
	return w.Flush()
}

// valuesText writes flags as is_a, is_b=2.
func valuesText(flags map[string]float64) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(flags)) {
		if v := flags[name]; v == 1 {
			out = append(out, name)
		} else {
			out = append(out, fmt.Sprintf("%s=%g", name, v))
		}
	}
	return strings.Join(out, ", ")
}

func lengthCell(seconds float64) string {
	if seconds == 0 {
		return "-"
	}
	return (time.Duration(seconds) * time.Second).String()
}
