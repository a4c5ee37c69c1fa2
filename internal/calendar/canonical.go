package calendar

import (
	"bytes"
	"cmp"
	"encoding/json"
	"strings"
	"time"
)

// eventJSON is an event in the fixed form of MarshalJSON.
type eventJSON struct {
	Name   string             `json:"name"`
	Start  string             `json:"start"`
	End    string             `json:"end"`
	Flags  map[string]float64 `json:"flags"`
	Lead   string             `json:"lead,omitempty"`
	Tail   string             `json:"tail,omitempty"`
	Zone   string             `json:"zone,omitempty"`
	Repeat string             `json:"repeat,omitempty"`
	Except []string           `json:"except,omitempty"`
	Also   []string           `json:"also,omitempty"`
}

// holidaysJSON is a request for holidays in the fixed form of MarshalJSON.
type holidaysJSON struct {
	Country string             `json:"country"`
	Region  string             `json:"region,omitempty"`
	Zone    string             `json:"zone,omitempty"`
	Flags   map[string]float64 `json:"flags"`
	Lead    string             `json:"lead,omitempty"`
	Tail    string             `json:"tail,omitempty"`
}

func (r *recurring) json() eventJSON {
	e := eventJSON{Name: r.name, Flags: r.flags, Lead: lengthText(r.lead), Tail: lengthText(r.tail), Zone: r.zoneName,
		Repeat: r.rule, Except: stamps(r.except), Also: stamps(r.also)}
	if r.days > 0 {
		e.Start, e.End = r.start.Format(time.DateOnly), r.start.AddDate(0, 0, r.days).Format(time.DateOnly)
		return e
	}
	// The end is an instant, because the length is exact even over a change of the clock.
	e.Start, e.End = r.start.Format("2006-01-02T15:04:05"), stamp(instant(r.start, r.zone).Add(r.length))
	return e
}

func stamps(times []time.Time) []string {
	var out []string
	for _, t := range times {
		out = append(out, stamp(t))
	}
	return out
}

// lengthText writes a length of time as parseLength reads it, and 0 as nothing.
func lengthText(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

func compareRepeats(a, b *recurring) int {
	return cmp.Or(a.start.Compare(b.start), strings.Compare(a.name, b.name), compareJSON(a.json(), b.json()))
}

// compareJSON orders values by how they are written.
func compareJSON(a, b any) int {
	x, _ := json.Marshal(a) // strings and finite numbers
	y, _ := json.Marshal(b)
	return bytes.Compare(x, y)
}
