package calendar

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
)

var day = time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)

func parse(t *testing.T, text string) *Calendar {
	t.Helper()
	c, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const summer = `{
  "events": [
    {"name": "summer sale", "start": "2026-07-01T00:00:00Z", "end": "2026-07-04T00:00:00Z", "flags": {"is_sale_active": 1}},
    {"name": "flash sale", "start": "2026-07-02T12:00:00+02:00", "end": "2026-07-02T14:00:00+02:00", "flags": {"is_sale_active": 3, "is_event_active": true}},
    {"name": "quiet sale", "start": "2026-07-03T00:00:00Z", "end": "2026-07-05T00:00:00Z", "flags": {"is_sale_active": 0.5}},
    {"name": "holiday", "start": "2026-07-10T00:00:00Z", "end": "2026-07-11T00:00:00.5Z", "flags": ["is_holiday", "is_event_active"]}
  ]
}`

func TestFlag(t *testing.T) {
	tests := []struct {
		name string
		text string
		flag string
		at   string
		want float64
	}{
		{"a plain flag holds always", `{"is_sale_active": 1}`, "is_sale_active", "1999-01-01T00:00:00Z", 1},
		{"a plain flag may be switched off", `{"is_sale_active": 0}`, "is_sale_active", "2026-07-01T00:00:00Z", 0},
		{"a flag that nobody names is 0", `{"is_sale_active": 1}`, "is_holiday", "2026-07-01T00:00:00Z", 0},
		{"an empty calendar has no flags", `{}`, "is_holiday", "2026-07-01T00:00:00Z", 0},
		{"before its event a flag is 0", summer, "is_sale_active", "2026-06-30T23:59:59.999Z", 0},
		{"the start belongs to the event", summer, "is_sale_active", "2026-07-01T00:00:00Z", 1},
		{"the end does not", summer, "is_event_active", "2026-07-02T12:00:00Z", 0},
		{"of overlapping events the greatest value wins", summer, "is_sale_active", "2026-07-02T10:00:00Z", 3},
		{"and gives way when it ends", summer, "is_sale_active", "2026-07-02T12:00:00Z", 1},
		{"a lesser value does not lower a greater one", summer, "is_sale_active", "2026-07-03T12:00:00Z", 1},
		{"and stays when the greater one ends", summer, "is_sale_active", "2026-07-04T00:00:00Z", 0.5},
		{"true means 1", summer, "is_event_active", "2026-07-02T11:00:00Z", 1},
		{"a listed name means 1", summer, "is_holiday", "2026-07-10T12:00:00Z", 1},
		{"times have fractions", summer, "is_holiday", "2026-07-11T00:00:00.25Z", 1},
		{"a plain flag and events together: the greatest wins", `{"is_x": 2, "events": [{"name": "a", "start": "2026-07-01T00:00:00Z", "end": "2026-07-02T00:00:00Z", "flags": {"is_x": 1}}]}`, "is_x", "2026-07-01T12:00:00Z", 2},
		{"a value below 0 holds where it is alone", `{"events": [{"name": "a", "start": "2026-07-01T00:00:00Z", "end": "2026-07-02T00:00:00Z", "flags": {"is_x": -1}}]}`, "is_x", "2026-07-01T12:00:00Z", -1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			at, err := time.Parse(time.RFC3339Nano, tt.at)
			if err != nil {
				t.Fatal(err)
			}
			if got := parse(t, tt.text).Flag(tt.flag, at); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
	var none *Calendar
	if none.Flag("is_x", day) != 0 || none.Flags() != nil || none.Events(day, day) != nil || none.Hash() != "" || none.Always() != nil {
		t.Error("a nil calendar knows something")
	}
}

func TestFlagAgreesWithAPlainSearch(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	for range 200 {
		var events []api.Event
		for i := range rng.IntN(30) {
			from := day.Add(time.Duration(rng.IntN(100)) * time.Minute)
			events = append(events, api.Event{Name: fmt.Sprint(i), Start: from, End: from.Add(time.Duration(1+rng.IntN(30)) * time.Minute),
				Flags: map[string]float64{"is_x": float64(rng.IntN(5) - 2)}})
		}
		c, err := New(events, nil)
		if err != nil {
			t.Fatal(err)
		}
		for m := -2; m < 140; m++ {
			at := day.Add(time.Duration(m) * time.Minute)
			want := math.Inf(-1)
			for _, e := range events {
				if !at.Before(e.Start) && at.Before(e.End) {
					want = max(want, e.Flags["is_x"])
				}
			}
			if math.IsInf(want, -1) {
				want = 0
			}
			if got := c.Flag("is_x", at); got != want {
				t.Fatalf("minute %d: got %v, want %v of %v", m, got, want, events)
			}
		}
	}
}

func TestEventsAreThoseThatTouchTheRange(t *testing.T) {
	c := parse(t, summer)
	hours := func(from, to int) string {
		var names []string
		for _, e := range c.Events(day.Add(time.Duration(from)*time.Hour), day.Add(time.Duration(to)*time.Hour)) {
			names = append(names, e.Name)
		}
		return strings.Join(names, ", ")
	}
	for _, tt := range []struct {
		name     string
		from, to int
		want     string
	}{
		{"all, by their start", -100, 1000, "summer sale, flash sale, quiet sale, holiday"},
		{"one that ends where the range starts is out", 72, 96, "quiet sale"},
		{"one that starts where the range ends is out", -24, 0, ""},
		{"one that spans the range is in", 30, 31, "summer sale"},
	} {
		if got := hours(tt.from, tt.to); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
	if got := c.Flags(); !slices.Equal(got, []string{"is_event_active", "is_holiday", "is_sale_active"}) {
		t.Errorf("flags: %q", got)
	}
	c.Events(day, day.Add(time.Hour))[0].Flags["is_sale_active"] = 9
	if c.Flag("is_sale_active", day) != 1 || c.Events(day, day.Add(time.Hour))[0].Flags["is_sale_active"] != 1 {
		t.Error("a caller changed the calendar")
	}
}

func TestParseNamesThePlace(t *testing.T) {
	event := func(fields string) string { return "{\"events\": [\n  {" + fields + "}\n]}" }
	const when = `"start": "2026-07-01T00:00:00Z", "end": "2026-07-02T00:00:00Z"`
	tests := []struct {
		name, text, want string
	}{
		{"nothing", "", "line 1, column 1: the calendar ends early"},
		{"no object", "[1]", "line 1, column 1: the calendar must be an object in braces"},
		{"an unknown key", "{\n  \"evnets\": []\n}", `line 2, column 3: unknown key "evnets"; names of flags begin with is_; the other keys are events, holidays and files`},
		{"a misspelt flag", `{"sale_active": 1}`, `line 1, column 2: unknown key "sale_active"`},
		{"a flag without a name", `{"is_": 1}`, `line 1, column 2: unknown key "is_"`},
		{"an unknown key of an event", event(`"name": "a", "begin": "2026-07-01T00:00:00Z"`), `line 2, column 17: events[0]: unknown key "begin"; an event has name, start, end, flags, lead, tail, zone, repeat, except and also`},
		{"an unknown flag", event(`"name": "a", ` + when + `, "flags": {"sale": 1}`), `line 2, column 91: events[0].flags: unknown key "sale"`},
		{"an unknown flag in a list", event(`"name": "a", ` + when + `, "flags": ["is_x", "sale"]`), `line 2, column 99: events[0].flags: unknown key "sale"`},
		{"a key twice", "{\"is_x\": 1,\n\"is_x\": 0}", `line 2, column 1: the calendar has the key "is_x" twice`},
		{"a field twice", event(`"name": "a", "name": "b"`), `events[0] has the key "name" twice`},
		{"a value that is text", `{"is_x": "1"}`, "line 1, column 10: is_x must be a number, usually 1"},
		{"a value that is null", `{"is_x": null}`, "is_x must be a number"},
		{"a value that is not finite", `{"is_x": 1e999}`, "line 1, column 10: is_x: 1e999 is not a finite number"},
		{"NaN is no JSON", `{"is_x": NaN}`, "line 1, column 10: not JSON"},
		{"events that are no list", `{"events": {}}`, "line 1, column 12: events must be a list"},
		{"an event that is no object", `{"events": [1]}`, "line 1, column 13: events[0] must be an object"},
		{"the end before the start", event(`"name": "a", "start": "2026-07-02T00:00:00Z", "end": "2026-07-01T00:00:00Z", "flags": ["is_x"]`), "line 2, column 3: events[0].end: 2026-07-01T00:00:00Z is not after the start 2026-07-02T00:00:00Z"},
		{"an event of no length", event(`"name": "a", "start": "2026-07-02T00:00:00Z", "end": "2026-07-02T01:00:00+01:00", "flags": ["is_x"]`), "is not after the start"},
		{"no start", event(`"name": "a", "end": "2026-07-02T00:00:00Z", "flags": ["is_x"]`), "events[0].start: an event needs a start"},
		{"no end", event(`"name": "a", "start": "2026-07-02T00:00:00Z", "flags": ["is_x"]`), "events[0].end: an event needs an end"},
		{"no name", event(when + `, "flags": ["is_x"]`), "events[0].name: an event needs a name"},
		{"no flags", event(`"name": "a", ` + when), "events[0].flags: an event needs at least one flag"},
		{"a name too long", event(`"name": "` + strings.Repeat("x", 256) + `", ` + when + `, "flags": ["is_x"]`), "is longer than 255 bytes"},
		{"a flag too long", `{"is_` + strings.Repeat("x", 256) + `": 1}`, "is longer than 255 bytes"},
		{"a bad time", event(`"name": "a", "start": "tomorrow"`), `line 2, column 26: events[0].start: "tomorrow" is not a time; write RFC 3339 with a zone`},
		{"a time without a zone", event(`"name": "a", "start": "2026-07-01T00:00:00"`), "is not a time"},
		{"flags of a wrong kind", event(`"name": "a", ` + when + `, "flags": 1`), "events[0].flags must be an object of names and values, or a list of names"},
		{"a file cut short", summer[:200], "the calendar ends early"},
		{"something after the end", `{"is_x": 1} {"is_y": 1}`, "line 1, column 13: there is something after the end"},
		{"a missing comma", `{"is_x": 1 "is_y": 1}`, "not JSON"},
		{"a second event at fault", `{"events": [{"name": "a", ` + when + `, "flags": ["is_x"]}, {"nam": 1}]}`, "events[1]: unknown key"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse([]byte(tt.text))
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "line ") {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

func TestNewChecksWhatParseChecks(t *testing.T) {
	for name, e := range map[string]api.Event{
		"NaN":          {Name: "a", Start: day, End: day.Add(1), Flags: map[string]float64{"is_x": math.NaN()}},
		"infinity":     {Name: "a", Start: day, End: day.Add(1), Flags: map[string]float64{"is_x": math.Inf(1)}},
		"no length":    {Name: "a", Start: day, End: day, Flags: map[string]float64{"is_x": 1}},
		"unknown flag": {Name: "a", Start: day, End: day.Add(1), Flags: map[string]float64{"x": 1}},
	} {
		if _, err := New([]api.Event{e}, nil); err == nil || !strings.HasPrefix(err.Error(), "events[0]: ") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := New(nil, map[string]float64{"is_x": math.NaN()}); err == nil {
		t.Error("a flag that is not a number was taken")
	}
}

func TestHashTellsContentFromLayout(t *testing.T) {
	c := parse(t, summer)
	spaced := parse(t, strings.NewReplacer(" ", "\n ", ", ", ",\t", "2026-07-02T12:00:00+02:00", "2026-07-02T10:00:00Z").Replace(
		strings.NewReplacer("summer sale", "summersale", "flash sale", "flashsale", "quiet sale", "quietsale").Replace(summer)))
	named := parse(t, strings.NewReplacer("summer sale", "summersale", "flash sale", "flashsale", "quiet sale", "quietsale").Replace(summer))
	if spaced.Hash() != named.Hash() || len(c.Hash()) != 64 {
		t.Errorf("another layout, another hash: %s %s", spaced.Hash(), named.Hash())
	}
	if c.Hash() == named.Hash() {
		t.Error("other names, same hash")
	}
	if parse(t, `{"is_x": 1}`).Hash() == parse(t, `{"is_x": 2}`).Hash() || parse(t, `{}`).Hash() == parse(t, `{"is_x": 0}`).Hash() {
		t.Error("other flags, same hash")
	}
}

func TestACalendarReadsBackWhatItWrites(t *testing.T) {
	for _, text := range []string{`{}`, `{"is_x": 0.1, "is_<>&": 2}`, summer} {
		c := parse(t, text)
		written, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		if back := parse(t, string(written)); back.Hash() != c.Hash() {
			t.Errorf("%s became %s", text, written)
		}
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "calendar.json")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(summer)
	c, err := Load(path)
	if err != nil || c.Hash() != parse(t, summer).Hash() {
		t.Errorf("got %v, %v", c, err)
	}
	write(`{"sale": 1}`)
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), path+`: line 1, column 2: unknown key "sale"`) {
		t.Errorf("got %v", err)
	}
	write(strings.Repeat(" ", maxFileSize+1))
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("got %v", err)
	}
	if _, err := Load(filepath.Join(dir, "absent.json")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// FuzzParse looks for a calendar that makes Parse panic, or that does not read
// back from what it writes.
func FuzzParse(f *testing.F) {
	f.Add([]byte(summer))
	f.Add([]byte(`{"is_sale_active": 1}`))
	f.Add([]byte(`{"events": [], "is_x": true}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse(data)
		if err != nil {
			return
		}
		written, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		back, err := Parse(written)
		if err != nil {
			t.Fatalf("%v\n%s", err, written)
		}
		if back.Hash() != c.Hash() {
			t.Fatalf("%s reads back as another calendar", written)
		}
		for _, name := range c.Flags() {
			if v := c.Flag(name, day); math.IsNaN(v) || math.IsInf(v, 0) {
				t.Fatalf("%s is %v", name, v)
			}
		}
	})
}
