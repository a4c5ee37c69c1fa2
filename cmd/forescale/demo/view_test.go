package demo

import (
	"math"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

var escapes = regexp.MustCompile(`\x1b\[[0-9;?]*[a-zA-Z]`)

func drawn(f frame, width, height int) []string {
	var b strings.Builder
	draw(&b, f, width, height)
	return strings.Split(strings.TrimSuffix(escapes.ReplaceAllString(b.String(), ""), "\n"), "\n")
}

func example() frame {
	return frame{
		Time: time.Date(2026, 2, 3, 9, 5, 0, 0, time.UTC), Tick: 3, Ticks: 6, Speed: "as fast as it can", PageURL: "http://127.0.0.1:1/",
		Groups: []groupFrame{{
			Name: "web", Note: "steered by forecasts",
			Demand: []float64{1, 2, math.NaN(), 8}, Forecast: []float64{math.NaN(), 2, 3, 7}, InService: []float64{10, 10, 10, 10},
			Desired: 11, Utilisation: 80, ViolationMinutes: 2, InstanceHours: 12, Last: "10 → 11: predicted CPU 80 %",
			LastAt: time.Date(2026, 2, 3, 9, 0, 0, 0, time.UTC),
		}},
	}
}

func TestAFrameFitsItsTerminal(t *testing.T) {
	for _, size := range [][2]int{{80, 24}, {40, 12}, {200, 60}, {20, 8}} {
		for i, line := range drawn(example(), size[0], size[1]) {
			if n := utf8.RuneCountInString(line); n > size[0] {
				t.Errorf("%dx%d: line %d is %d wide: %q", size[0], size[1], i, n, line)
			}
		}
	}
}

func TestAFrameShowsWhatWasDecidedAndWhy(t *testing.T) {
	text := strings.Join(drawn(example(), 100, 30), "\n")
	for _, want := range []string{"tick 3 of 6", "web steered by forecasts", "2 violation minutes", "of 11 desired", "09:00 10 → 11: predicted CPU 80 %"} {
		if !strings.Contains(text, want) {
			t.Errorf("the frame does not show %q:\n%s", want, text)
		}
	}
}

func TestTheChartPutsEachValueAtItsHeight(t *testing.T) {
	g := example().Groups[0]
	var rows []string
	for _, line := range chart(g, g.peak(10), 10, 5) {
		_, row, _ := strings.Cut(escapes.ReplaceAllString(line, ""), "│")
		rows = append(rows, row)
	}
	for i, row := range rows {
		if len([]rune(row)) != 4 {
			t.Errorf("row %d is %q, want one column per slot", i, row)
		}
	}
	at := func(column int, mark rune) int {
		for i, row := range rows {
			if []rune(row)[column] == mark {
				return i
			}
		}
		return -1
	}
	for _, c := range []struct {
		column int
		mark   rune
		row    int
	}{{0, markDemand, 4}, {1, markDemand, 3}, {3, markDemand, 0}, {2, markForecast, 3}, {3, markForecast, 1}, {0, markCapacity, 0}} {
		if got := at(c.column, c.mark); got != c.row {
			t.Errorf("%c of slot %d is in row %d, want %d: %q", c.mark, c.column, got, c.row, rows)
		}
	}
	if at(2, markDemand) != -1 {
		t.Error("a missing value was drawn")
	}
}

func TestClipCountsWhatIsSeen(t *testing.T) {
	if got := escapes.ReplaceAllString(clip(bold+"größer"+reset+" als", 6), ""); got != "größer" {
		t.Errorf("got %q", got)
	}
}
