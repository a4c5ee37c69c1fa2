package tidy

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/calendar"
	"github.com/forescale/forescale/internal/window"
)

// stamps returns a file with one column, x = 0, 1, 2, …
func stamps(times ...string) string {
	var b strings.Builder
	b.WriteString("timestamp,x\n")
	for i, t := range times {
		fmt.Fprintf(&b, "2026-01-01T%s,%d\n", t, i)
	}
	return b.String()
}

func TestRowsOnTheGrid(t *testing.T) {
	tests := []struct {
		name  string
		text  string
		start string
		step  time.Duration
		want  api.Series
		note  string // part of a note; empty: none
	}{
		{"stamps on whole steps keep them", stamps("00:05:00", "00:10:00", "00:15:00"),
			"2026-01-01T00:05:00Z", 5 * time.Minute, api.Series{0, 1, 2}, ""},
		{"a slot without a row is missing", stamps("00:05:00", "00:10:00", "00:25:00", "00:30:00"),
			"2026-01-01T00:05:00Z", 5 * time.Minute, api.Series{0, 1, nan, nan, 2, 3}, "1 gaps"},
		{"half of the rows may be absent", stamps("00:00:00", "00:15:00", "00:20:00", "00:40:00", "00:45:00", "01:00:00"),
			"2026-01-01T00:00:00Z", 5 * time.Minute, api.Series{0, nan, nan, 1, 2, nan, nan, nan, 3, 4, nan, nan, 5}, "3 gaps"},
		{"stamps with one offset keep it", stamps("18:22:39.753741", "18:27:39.753741", "18:37:39.753741"),
			"2026-01-01T18:22:39.753741Z", 5 * time.Minute, api.Series{0, 1, nan, 2}, "rows' own timestamps"},
		{"stamps that waver around whole steps go to the nearest", stamps("00:00:02", "00:04:58", "00:10:01", "00:14:59", "00:20:00"),
			"2026-01-01T00:00:00Z", 5 * time.Minute, api.Series{0, 1, 2, 3, 4}, "waver"},
		{"even when the first one is early", stamps("00:04:58", "00:10:01", "00:14:59", "00:20:00"),
			"2026-01-01T00:05:00Z", 5 * time.Minute, api.Series{0, 1, 2, 3}, "waver"},
		{"stamps that waver around half steps are counted from the first", stamps("00:02:29", "00:07:31", "00:12:29", "00:17:31", "00:22:30"),
			"2026-01-01T00:00:00Z", 5 * time.Minute, api.Series{0, 1, 2, 3, 4}, "inside a slot"},
		{"rows closer than the step are reduced to one", stamps("00:00:00", "00:05:00", "00:07:00", "00:10:00", "00:15:00", "00:20:00"),
			"2026-01-01T00:00:00Z", 5 * time.Minute, api.Series{0, 1.5, 3, 4, 5}, "1 rows share a slot of 5m0s"},
		{"hours", stamps("00:00:00", "01:00:00", "02:00:00"), "2026-01-01T00:00:00Z", time.Hour, api.Series{0, 1, 2}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			table := read(t, tt.text)
			g, err := table.Grid("web")
			if err != nil {
				t.Fatal(err)
			}
			if !g.Start.Equal(at(tt.start)) || g.Step != tt.step || !same(g.Columns["x"], tt.want) || g.Group != "web" {
				t.Errorf("got start %v, step %v, %v", g.Start, g.Step, g.Columns["x"])
			}
			if notes := strings.Join(table.Notes, "\n"); tt.note == "" && notes != "" || !strings.Contains(notes, tt.note) {
				t.Errorf("notes %q, want %q", table.Notes, tt.note)
			}
		})
	}
}

func TestStepIsInferredFromWaveringRowsWithGaps(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	table := &Table{Names: []string{"x"}, Columns: map[string]api.Series{}}
	for i := range 2000 {
		if rng.Float64() < 0.3 {
			continue
		}
		table.Times = append(table.Times, at("2026-01-01T00:00:00Z").Add(time.Duration(i)*5*time.Minute+time.Duration(rng.Int64N(int64(20*time.Second)))))
		table.Columns["x"] = append(table.Columns["x"], float64(i))
	}
	g, err := table.Grid("web")
	if err != nil || g.Step != 5*time.Minute {
		t.Fatalf("step %v, %v", g.Step, err)
	}
	for i, v := range g.Columns["x"] {
		if !math.IsNaN(v) && v != float64(i)+g.Columns["x"][0] {
			t.Fatalf("slot %d holds row %v", i, v)
		}
	}
}

func TestATableWithoutAGridSaysWhy(t *testing.T) {
	if _, err := read(t, stamps("00:00:00")).Grid("web"); !errors.Is(err, ErrNoStep) {
		t.Errorf("one row: got %v", err)
	}
	if g, err := read(t, stamps("00:07:00")).GridOf("web", 5*time.Minute); err != nil || g.Len() != 1 || !g.Start.Equal(at("2026-01-01T00:05:00Z")) {
		t.Errorf("one row with a given step: got %+v, %v", g, err)
	}
	far := read(t, "timestamp,x\n1950-01-01T00:00:00Z,1\n1950-01-01T00:00:01Z,1\n2026-01-01T00:00:00Z,1\n")
	if _, err := far.Grid("web"); err == nil || !strings.Contains(err.Error(), "too many") {
		t.Errorf("two seconds and a century: got %v", err)
	}
	if _, err := (&Table{}).GridOf("web", time.Minute); err == nil {
		t.Error("an empty table has a grid")
	}
	if _, err := far.GridOf("web", 0); err == nil {
		t.Error("a step of 0 was taken")
	}
}

func TestAColumnWithoutValuesIsAMissingColumn(t *testing.T) {
	g, err := read(t, "timestamp,x,y\n2026-01-01T00:00:00Z,,1\n2026-01-01T00:05:00Z,,2\n").Grid("web")
	if err != nil || !same(g.Columns["x"], api.Series{nan, nan}) || !same(g.Columns["y"], api.Series{1, 2}) {
		t.Errorf("got %v, %v", g, err)
	}
}

func TestSamplesKeepTheNamesOfColumns(t *testing.T) {
	table := read(t, "timestamp,request_count,response_time_p95,is_x\n2026-01-01T00:00:00Z,5,0.5,1\n2026-01-01T00:05:00Z,,0.25,0\n")
	samples, step, err := table.Samples("web")
	if err != nil || step != 5*time.Minute || len(samples) != 3 {
		t.Fatalf("got %v, %v, %v", samples, step, err)
	}
	for _, s := range samples {
		if err := s.Validate(); err != nil {
			t.Error(err)
		}
	}
	g := window.FromSamples(samples, step, table.Times[0], table.Times[1].Add(step))["web"]
	if !same(g.Columns["request_count"], api.Series{5, nan}) || !same(g.Columns["response_time_p95"], api.Series{0.5, 0.25}) {
		t.Errorf("got %v", g.Columns)
	}
}

func TestEventsSayWhatTheFlagColumnsSay(t *testing.T) {
	table := read(t, "timestamp,is_sale_active,is_holiday\n"+
		"2026-01-01T00:00:00Z,0,1\n2026-01-01T00:05:00Z,1,1\n2026-01-01T00:10:00Z,,\n2026-01-01T00:25:00Z,2,0\n2026-01-01T00:30:00Z,0,1\n")
	events := table.Events()
	want := []api.Event{
		{Name: "is_sale_active", Start: at("2026-01-01T00:05:00Z"), End: at("2026-01-01T00:25:00Z"), Flags: map[string]float64{"is_sale_active": 1}},
		{Name: "is_sale_active", Start: at("2026-01-01T00:25:00Z"), End: at("2026-01-01T00:30:00Z"), Flags: map[string]float64{"is_sale_active": 2}},
		{Name: "is_holiday", Start: at("2026-01-01T00:00:00Z"), End: at("2026-01-01T00:25:00Z"), Flags: map[string]float64{"is_holiday": 1}},
		{Name: "is_holiday", Start: at("2026-01-01T00:30:00Z"), End: at("2026-01-01T00:35:00Z"), Flags: map[string]float64{"is_holiday": 1}},
	}
	if fmt.Sprint(events) != fmt.Sprint(want) {
		t.Fatalf("got  %v\nwant %v", events, want)
	}
	// A calendar of these events knows what the columns know.
	c, err := calendar.New(events, nil)
	if err != nil {
		t.Fatal(err)
	}
	g, err := table.Grid("web")
	if err != nil {
		t.Fatal(err)
	}
	columns := window.ColumnFlags(g)
	for _, name := range table.Flags() {
		for i := range g.Len() {
			if a, b := c.Flag(name, g.Time(i)), columns.Flag(name, g.Time(i)); a != b {
				t.Errorf("%s in slot %d: calendar %v, column %v", name, i, a, b)
			}
		}
	}
}

func TestAnUnusualStepIsKept(t *testing.T) {
	for _, step := range []time.Duration{time.Second / 4, 7 * time.Second, 290 * time.Second, 17 * time.Minute} {
		table := &Table{Names: []string{"x"}, Columns: map[string]api.Series{}}
		for i := range 50 {
			if i%7 != 3 {
				table.Times = append(table.Times, at("2026-01-01T00:00:00Z").Add(time.Duration(i)*step))
				table.Columns["x"] = append(table.Columns["x"], float64(i))
			}
		}
		g, err := table.Grid("web")
		if err != nil || g.Step != step || g.Len() != 50 {
			t.Errorf("%v: got step %v, %d slots, %v", step, g.Step, g.Len(), err)
		}
	}
}

func TestOneStrayRowDoesNotChangeTheStep(t *testing.T) {
	// All differences are whole multiples of the stray one's 60 s.
	text := stamps("00:00:00", "00:05:00", "00:06:00", "00:10:00", "00:15:00", "00:20:00", "00:25:00")
	if step, err := read(t, text).Step(); err != nil || step != 5*time.Minute {
		t.Errorf("got %v, %v", step, err)
	}
}
