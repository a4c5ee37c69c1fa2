package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/internal/tidy"
	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/trainer"
)

// prepare returns what is to be trained on a history: the data with the calendar,
// and the configuration with a target.
func (p *program) prepare(g *window.Grid) (trainer.Config, trainer.Data, error) {
	c, d := p.config, trainer.Data{Grid: g}
	if p.calendar != nil {
		d.Flags, d.FlagNames, d.CalendarHash = p.calendar, p.calendar.Flags(), p.calendar.Hash()
	}
	if isLake(p.common.Data) && g.AddDemand() && c.Target == "" {
		c.Target = api.SeriesDemand
	}
	var err error
	if c.Target == "" {
		c.Target, err = onlyTarget(g)
	}
	return c, d, err
}

// loadFile reads a tidy file as the history of a group.
func (p *program) loadFile(path, group string) (*window.Grid, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil, cli.Usagef("-data: %s is a directory; -all-groups trains a model for each file in it, -shared one for all", path)
	}
	table, err := tidy.ReadFile(path)
	if err != nil {
		return nil, err
	}
	for _, note := range table.Notes {
		fmt.Fprintf(p.stderr, "%s: %s\n", path, note)
	}
	grid, err := table.Grid(group)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return grid, nil
}

// groupOf returns the name of a file without its extensions.
func groupOf(path string) string {
	base := strings.TrimSuffix(filepath.Base(path), ".gz")
	return strings.TrimSuffix(base, filepath.Ext(base))
}

// tidyFiles returns the CSV and CSV.gz files of a directory by their groups.
func tidyFiles(dir string) (map[string]os.FileInfo, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, cli.Usagef("-data: with -all-groups or -shared, %s must be a directory of CSV files, or the URL of a data lake", dir)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	files := map[string]os.FileInfo{}
	for _, e := range entries {
		if !isTidy(e.Name()) {
			continue
		}
		info, err := os.Stat(filepath.Join(dir, e.Name())) // of what a link points to
		if err != nil {
			return nil, err
		}
		if info.IsDir() {
			continue
		}
		group := groupOf(e.Name())
		if other, taken := files[group]; taken {
			return nil, fmt.Errorf("%s: %s and %s are both of group %q; remove one", dir, other.Name(), e.Name(), group)
		}
		files[group] = named{info, e.Name()}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s has no files *.csv or *.csv.gz", dir)
	}
	return files, nil
}

// named is what is known of a file under the name of a link to it.
type named struct {
	os.FileInfo
	name string
}

// Name implements os.FileInfo.
func (n named) Name() string { return n.name }

func isTidy(name string) bool {
	return !strings.HasPrefix(name, ".") &&
		slices.ContainsFunc([]string{".csv", ".csv.gz"}, func(end string) bool { return strings.HasSuffix(name, end) })
}

// onlyTarget returns the one column that can only be meant.
func onlyTarget(g *window.Grid) (string, error) {
	names := trainer.Metrics(g)
	switch len(names) {
	case 0:
		return "", fmt.Errorf("group %q: the data has no metric to forecast, only a timestamp, flags and labels", g.Group)
	case 1:
		return names[0], nil
	}
	return "", cli.Usagef("-target is missing: the data has %s", strings.Join(names, ", "))
}
