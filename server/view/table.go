package view

import (
	"encoding/csv"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/forescale/forescale/api"
)

// WriteCSV writes what a chart shows as a table: a line for each slot or bucket, with
// its start, the series, the sensors, what had been forecast for it, and the capacity
// of the newest tick in it. What is missing is empty.
func WriteCSV(w io.Writer, h api.GroupHistory) error {
	out := csv.NewWriter(w)
	columns := []column{{"time", nil}}
	add := func(name string, value func(i int) string) {
		columns = append(columns, column{heading(name), value})
	}
	bucket := time.Duration(h.BucketSeconds) * time.Second
	for _, name := range slices.Sorted(maps.Keys(h.Series)) {
		add(name, cells(h.Series[name]))
		if h.Lows[name] != nil {
			add(name+" (least)", cells(h.Lows[name]))
			add(name+" (greatest)", cells(h.Highs[name]))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(h.Sensors)) {
		add(name, cellsAt(h, h.Sensors[name].Times, h.Sensors[name].Values))
	}
	before := " forecast " + short(time.Duration(h.Lead.Steps*h.StepSeconds)*time.Second) + " before"
	add(h.Target+before, cells(h.Fan.Point))
	for _, q := range slices.SortedFunc(maps.Keys(h.Fan.Quantiles), byLevel) {
		add(h.Target+before+", quantile "+q, cells(h.Fan.Quantiles[q]))
	}
	capacity := make([]*api.CapacityPoint, len(h.Fan.Times))
	for i := range h.Capacity {
		if at := int(h.Capacity[i].At.Sub(h.From) / max(bucket, time.Second)); at >= 0 && at < len(capacity) {
			capacity[at] = &h.Capacity[i]
		}
	}
	for _, c := range []struct {
		name  string
		value func(*api.CapacityPoint) int
	}{
		{"capacity in service", func(p *api.CapacityPoint) int { return p.InService }},
		{"capacity desired", func(p *api.CapacityPoint) int { return p.Desired }},
	} {
		add(c.name, func(i int) string {
			if capacity[i] == nil {
				return ""
			}
			return strconv.Itoa(c.value(capacity[i]))
		})
	}
	line := make([]string, len(columns))
	for n, c := range columns {
		line[n] = c.name
	}
	if err := out.Write(line); err != nil {
		return err
	}
	for i, at := range h.Fan.Times {
		line[0] = at.UTC().Format(time.RFC3339)
		for n, c := range columns[1:] {
			line[n+1] = c.value(i)
		}
		if err := out.Write(line); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// column is a column of the table; the first one has no value function.
type column struct {
	name  string
	value func(i int) string
}

// heading keeps a spreadsheet from taking a name, which came from outside, for a
// formula.
func heading(name string) string {
	if strings.ContainsRune("=+-@\t\r", rune(name[0])) {
		return "'" + name
	}
	return name
}

func cell(value float64) string {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return ""
	}
	return strconv.FormatFloat(value, 'g', -1, 64)
}

func cells(values api.Series) func(i int) string {
	return func(i int) string {
		if i >= len(values) {
			return ""
		}
		return cell(values[i])
	}
}

// cellsAt is cells for values that have times of their own, in order.
func cellsAt(h api.GroupHistory, times []time.Time, values api.Series) func(i int) string {
	return func(i int) string {
		n, found := slices.BinarySearchFunc(times, h.Fan.Times[i], time.Time.Compare)
		if !found {
			return ""
		}
		return cell(values[n])
	}
}

// byLevel orders the keys of quantiles by their level.
func byLevel(a, b string) int {
	x, _ := strconv.ParseFloat(a, 64) // they are keys that level has written
	y, _ := strconv.ParseFloat(b, 64)
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}
