package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/forescale/forescale/collector/sources"
	"github.com/forescale/forescale/internal/calendar"
	"github.com/forescale/forescale/internal/conf"
	"github.com/forescale/forescale/internal/registry"
	"github.com/forescale/forescale/models/gate"
	"github.com/forescale/forescale/scaler"
	"github.com/forescale/forescale/scaler/targets"
	"github.com/forescale/forescale/server"
	"github.com/forescale/forescale/trainer"
)

// configuration reads every section as its program does, and judges it as that does
// for -check. It reports whether there is a configuration that the other
// examinations can rest on.
func (d *doctor) configuration(s *section) bool {
	d.collecting, d.scaling, d.serving = sources.DefaultConfig(), scaler.DefaultConfig(), server.Defaults()
	limits, training := gate.DefaultConfig(), trainer.DefaultConfig()
	told, readable := map[string]bool{}, true
	complain := func(err error) {
		for line := range strings.SplitSeq(errorText(err), "\n") {
			if line != "" && !told[line] { // what all sections share is at fault in each
				told[line] = true
				s.tell(levelError, "keys", line, "The programs refuse to start with it.", "correct it in "+d.config)
			}
		}
	}
	for _, part := range []struct {
		name string
		into any
	}{{"collector", &d.collecting}, {"scaler", &d.scaling}, {"server", &d.serving}, {"trainer", &training}, {"gate", &limits}} {
		common, err := conf.Load(d.config, part.name, part.into)
		d.common = common
		if err != nil {
			readable = false
			complain(err)
		}
	}
	if !readable {
		s.tell(levelNote, "rest", "nothing else was looked at", "The other checks need a configuration that can be read.")
		return false
	}
	if d.scaling.ID == "" {
		d.scaling.ID, _ = os.Hostname()
	}
	complain(errors.Join(registry.Check(d.common), d.serving.Validate(), limits.Validate(), training.Validate(), d.collecting.Validate(d.common.Step)))
	switch {
	case len(d.scaling.Groups) == 0:
		s.tell(levelWarning, "groups", "scaler.groups: there are none", "Nothing is scaled, and forescale-scaler does not start.", "list the groups under scaler: in "+d.config)
	default:
		complain(errors.Join(d.scaling.Validate(d.common.Step), targets.Validate(d.scaling, d.common)))
		if d.predicts() {
			complain(d.scaling.CheckServer())
		}
	}
	if len(d.collecting.Sources) == 0 {
		s.tell(levelWarning, "sources", "collector.sources: none is configured", "Nothing is measured, and forescale-collector does not start.", "list them under collector: in "+d.config)
	}
	live := 0
	for _, g := range d.scaling.Groups {
		if g.Mode == "live" {
			live++
		}
	}
	if s.worst() == levelOK {
		s.ok("keys", "%s: every section is sound; %d of %s live", d.config, live, counted(len(d.scaling.Groups), "group"))
	}
	return true
}

// errorText is the text of an error, or "".
func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// predicts reports whether any group wants forecasts.
func (d *doctor) predicts() bool {
	for _, g := range d.scaling.Groups {
		if g.Predicted() {
			return true
		}
	}
	return false
}

// names returns the groups that are scaled, as the configuration calls them.
func (d *doctor) names() []string {
	names := []string{}
	for _, g := range d.scaling.Groups {
		names = append(names, g.Name)
	}
	return names
}

// calendar looks whether the business calendar can be read and knows what is ahead.
func (d *doctor) calendar(_ context.Context, s *section) {
	path := d.common.Calendar
	if path == "" {
		s.tell(levelNote, "configured", "no business calendar is configured", "Sales and holidays come as a surprise: models learn them only by the clock.",
			"docs/calendar.md says how to write one")
		return
	}
	plans, err := calendar.Load(path)
	if err != nil {
		s.tell(levelError, "sound", err.Error(), "Collector and scaler do not start with it; those that run keep the version before.", "forescale calendar check "+shellWord(path))
		return
	}
	now := d.now()
	const ahead = 365 * day
	switch next := plans.Events(now, now.Add(ahead)); {
	case len(next) > 0:
		s.ok("ahead", "%s: %s, next %q from %s", path, counted(len(next), "event")+" in the coming year", next[0].Name, stamp(next[0].Start))
	case len(plans.Always()) > 0:
		s.ok("ahead", "%s: only flags that hold always", path)
	default:
		old := ""
		if info, err := os.Stat(path); err == nil {
			old = fmt.Sprintf("; the file is of %s", info.ModTime().UTC().Format(time.DateOnly))
		}
		s.tell(levelWarning, "ahead", path+": nothing is planned for the coming year"+old, "Models are told that nothing will happen: is this the newest version?",
			"forescale calendar show "+shellWord(path))
	}
}

// shellWord quotes a word of a command that is shown to be copied.
func shellWord(word string) string {
	if word != "" && !strings.ContainsFunc(word, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=,@+%", r)
	}) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
