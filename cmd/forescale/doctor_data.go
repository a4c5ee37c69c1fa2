package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/collector"
	"github.com/forescale/forescale/collector/sources"
	"github.com/forescale/forescale/internal/dataset"
	"github.com/forescale/forescale/scaler"
)

// slotsRead is how many of the newest slots each source is asked for: providers
// deliver late, and a load balancer without requests says nothing.
const slotsRead = 3

// sources asks each source for its newest slots, as a tick of the collector does.
func (d *doctor) sources(ctx context.Context, s *section) {
	deps := sources.Deps{AWS: d.common.AWS, Step: d.common.Step, Log: d.quiet}
	asked, err := sources.Open(ctx, d.collecting, deps)
	if err != nil {
		s.tell(levelError, "open", err.Error(), "The collector does not start.", "forescale-collector -config "+shellWord(d.config)+" -check")
	}
	to := d.now().Add(-d.collecting.Settle).Truncate(d.common.Step)
	measured, complete := map[string]bool{}, err == nil
	for _, source := range asked {
		samples, err := source.Fetch(ctx, to.Add(-slotsRead*d.common.Step), to)
		for _, sample := range samples {
			measured[sample.Group] = true
		}
		var some *collector.SeriesError
		switch {
		case err == nil:
			s.ok(source.Name(), "%s: %s of the newest %d slots", source.Name(), counted(len(samples), "value"), slotsRead)
		case errors.As(err, &some) && len(samples) > 0:
			s.tell(levelWarning, source.Name(), fmt.Sprintf("%s: %v", source.Name(), err), "These series are missing; the others are read.", "look at the permissions and the names of these series")
		default:
			complete = false
			s.tell(levelError, source.Name(), fmt.Sprintf("%s: %v", source.Name(), err), "Nothing is measured by it: its groups hold their size, and never shrink.",
				"allow cloudwatch:GetMetricData to the collector's role; for another source, look at its URL and token in "+d.config)
		}
	}
	if complete && !d.collecting.Streams() {
		for _, group := range d.names() {
			if len(asked) > 0 && !measured[group] {
				s.group(levelWarning, "groups", group, "no source has a value of its newest slots", "Without fresh metrics a group holds its size, and never shrinks.",
					"list the group under collector.sources by the name that it has under scaler.groups")
			}
		}
	}
	if d.collecting.Streams() {
		s.tell(levelNote, "streams", "brokers of sensors were not connected to", "A second client of the same id would throw the collector out.",
			"forescale data -config "+shellWord(d.config)+" -o json shows what came of them")
	}
}

const (
	// historyWanted is what a model needs to learn a week, twice.
	historyWanted = 14 * day
	// missingTold is the share of missing slots from which on it is told.
	missingTold = 0.05
	// freshSlots is for how many slots data may be behind: one that has just ended is
	// under way, and others come late.
	freshSlots = 4
)

// history looks at the last two weeks of each group in the data lake.
func (d *doctor) history(ctx context.Context, s *section) {
	if d.lake == nil || len(d.scaling.Groups) == 0 {
		return
	}
	now, step := d.now(), d.common.Step
	found, err := dataset.New(d.lake).Inspect(ctx, dataset.Query{Groups: d.names(), From: now.Add(-historyWanted - day).Truncate(step), To: now.Add(step), Step: step})
	if err != nil && !dataset.OnlyCorrupt(err) {
		s.tell(levelError, "readable", err.Error(), "What has been measured cannot be read.", "forescale data verify -config "+shellWord(d.config))
		return
	}
	if err != nil {
		s.tell(levelError, "readable", err.Error(), "What cannot be read is left out: its slots are missing.", "forescale data verify -config "+shellWord(d.config)+" names the objects; move them away, and back-fill")
	}
	series := map[string][]dataset.SeriesInventory{}
	for _, one := range found.Series {
		series[one.Group] = append(series[one.Group], one)
	}
	sound := 0
	for _, g := range d.scaling.Groups {
		if d.groupHistory(s, g, series[g.Name], now) {
			sound++
		}
	}
	if sound > 0 {
		s.ok("complete", "%s with %d days of load, fresh and without long gaps", counted(sound, "group"), historyWanted/day)
	}
}

// groupHistory judges what the lake holds of a group. It reports whether all is well.
func (d *doctor) groupHistory(s *section, g scaler.Group, all []dataset.SeriesInventory, now time.Time) bool {
	config, step := shellWord(d.config), d.common.Step
	fill := "forescale-collector -config " + config + " -backfill 14d"
	needed := []string{api.MetricCPU, api.MetricInService}
	if g.Load != "" {
		needed = []string{g.Load}
	}
	var load dataset.SeriesInventory
	var missing []string
	for i, name := range needed {
		at := slices.IndexFunc(all, func(one dataset.SeriesInventory) bool { return api.SeriesName(one.Metric, one.Stat) == name })
		switch {
		case at < 0:
			missing = append(missing, name)
		case i == 0:
			load = all[at]
		}
	}
	if len(missing) > 0 {
		l, means := levelError, "Its load is not known: it holds its size, and never shrinks."
		if missing[0] != needed[0] {
			means = "CPU alone says nothing of the demand, which models learn from: how many instances shared it must be known."
		}
		s.group(l, "measured", g.Name, "nothing is stored of "+strings.Join(missing, " and ")+" in the last two weeks", means, fill, "and look at collector.sources in "+d.config)
		return false
	}
	before := len(s.found)
	if age := now.Sub(load.Last.Add(step)); age > freshSlots*step {
		s.group(levelError, "fresh", g.Name, fmt.Sprintf("the newest value of %s is of %s, %s ago", needed[0], stamp(load.Last), left(age)), "The collector does not run, or its source is silent: the group holds its size, and never shrinks.",
			"journalctl -u forescale-collector -n 50; or run one tick: forescale-collector -config "+config+" -once")
	}
	if length := now.Sub(load.First); length < historyWanted {
		s.group(levelWarning, "length", g.Name, fmt.Sprintf("%s of %s", lengthText(length), needed[0]), "Two weeks are needed for a model to know what a week is like; until then the live load decides.", fill)
	}
	slots := load.Rows + load.Missing
	switch spacing := spacingOf(load, step); {
	case spacing > 1:
		s.group(levelError, "irregular", g.Name, fmt.Sprintf("%s has a value every %s, and step is %s", needed[0], time.Duration(spacing)*step, step), "Most slots are missing, so that no window can be cut.",
			"set step: in "+d.config+" to what the source has, or let it measure more often (detailed monitoring: aws ec2 monitor-instances)")
	case slots > 0 && float64(load.Missing) > missingTold*float64(slots):
		s.group(levelWarning, "gaps", g.Name, fmt.Sprintf("%.0f %% of the slots of %s are missing", 100*float64(load.Missing)/float64(slots), needed[0]), "Forecasts are missing where a gap is longer than the model bears.",
			"forescale data "+shellWord(g.Name)+" -config "+config+" -gaps shows them; "+fill)
	}
	return len(s.found) == before
}

// spacingOf returns, in steps, how far apart the values of a series lie that is
// regular at a longer step than ours; 1 when it is not.
func spacingOf(one dataset.SeriesInventory, step time.Duration) int {
	if one.Rows < 3 {
		return 1
	}
	span := int(one.Last.Sub(one.First) / step)
	spacing := span / (one.Rows - 1)
	// Of a series that has gaps only, some neighbours are a step apart.
	if spacing < 2 || slices.ContainsFunc(one.Gaps, func(g dataset.Gap) bool { return int(g.To.Sub(g.From)/step)%spacing != spacing-1 }) {
		return 1
	}
	return spacing
}

// lengthText writes a length of time in days and hours.
func lengthText(d time.Duration) string {
	if d < day {
		return fmt.Sprintf("%.1f hours", d.Hours())
	}
	return fmt.Sprintf("%.1f days", d.Hours()/24)
}
