package plan

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Schedule keeps capacity between floors and ceilings at known times: by the
// clock, or while a flag of the business calendar holds. The greatest floor and
// the least ceiling apply; where they contradict each other, the floor does.
type Schedule struct {
	Entries []Entry `json:"entries"`
}

// Entry is one time span and its bounds. It applies when all that it names does.
type Entry struct {
	Name string `json:"name"`
	// Days are three-letter English weekdays, lower case; none: every day.
	Days []string `json:"days,omitempty"`
	// From and To are minutes after midnight in Zone, [From, To). To at or before
	// From: until To on the next day, whose own weekday does not matter. Both 0: the
	// whole day.
	From int    `json:"from,omitempty"`
	To   int    `json:"to,omitempty"`
	Zone string `json:"zone,omitempty"` // IANA name, empty: UTC
	// Flag names a flag of the calendar that must hold.
	Flag string `json:"flag,omitempty"`
	// Min and Max bound the capacity; 0: not.
	Min int `json:"min,omitempty"`
	Max int `json:"max,omitempty"`
}

// zones caches time zones by name, nil for those that do not exist. The time zone
// database is the one thing that decisions rest on without its being an argument:
// it is taken for a constant of the machine, and read once for each zone, not for
// each of ten thousand groups. It holds at most the names that are configured.
var zones sync.Map

func zoneOf(name string) *time.Location {
	if z, ok := zones.Load(name); ok {
		return z.(*time.Location)
	}
	z, err := time.LoadLocation(name)
	if err != nil || name == "Local" { // which is another zone on every machine
		z = nil
	}
	zones.Store(name, z)
	return z
}

// on reports whether the entry applies at a time. An unknown zone applies never:
// configurations are checked for it.
func (n Entry) on(at time.Time) bool {
	zone := zoneOf(n.Zone)
	if zone == nil {
		return false
	}
	local := at.In(zone)
	minute := local.Hour()*60 + local.Minute()
	day := local
	switch {
	case n.From == 0 && n.To == 0:
	case n.From < n.To:
		if minute < n.From || minute >= n.To {
			return false
		}
	case minute < n.To:
		day = local.AddDate(0, 0, -1) // it began yesterday
	case minute < n.From:
		return false
	}
	return len(n.Days) == 0 || slices.Contains(n.Days, strings.ToLower(day.Weekday().String()[:3]))
}

// flagged reports whether the entry's flag holds at a step, 0 being the slot that
// begins at the tick.
func (n Entry) flagged(flags map[string][]float64, step int) bool {
	if n.Flag == "" {
		return true
	}
	values := flags[n.Flag]
	return step < len(values) && values[step] != 0
}

// bound applies the schedule to the wish on p. A floor applies from a lead time
// before its span, so that instances serve when it begins; a ceiling only within.
func (s Schedule) bound(g Group, flags map[string][]float64, tick time.Time, p *path) {
	floor, ceiling := Entry{}, Entry{}
	for _, n := range s.Entries {
		for k := range g.Steps() {
			at := tick.Add(time.Duration(k) * g.Step)
			if n.Min > floor.Min && n.flagged(flags, k) && n.on(at) {
				floor = n
			}
		}
		if n.Max > 0 && (ceiling.Max == 0 || n.Max < ceiling.Max) && n.flagged(flags, 0) && n.on(tick) {
			ceiling = n
		}
	}
	if ceiling.Max > 0 && p.at > ceiling.Max {
		p.to(ceiling.Max, RuleSchedule, fmt.Sprintf("%s allows at most %d", ceiling.Name, ceiling.Max))
	}
	if p.at < floor.Min {
		p.to(floor.Min, RuleSchedule, fmt.Sprintf("%s asks for at least %d within the next %s", floor.Name, floor.Min, time.Duration(g.Steps())*g.Step))
	}
}
