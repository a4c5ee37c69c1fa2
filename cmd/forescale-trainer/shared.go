package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/internal/file"
	"github.com/forescale/forescale/internal/score"
	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/trainer"
	"github.com/forescale/forescale/trainer/batch"
	"github.com/forescale/forescale/trainer/checkpoint"
)

// sharedName is the name of a shared model where -name does not say otherwise.
const sharedName = "shared"

// runShared trains one model for all groups and delivers it.
func (p *program) runShared(ctx context.Context) error {
	defer limitMemory(p.many.memory)()
	started := time.Now()
	dir := filepath.Join(p.out, checkpointDir)
	span := p.oneSpan(dir)
	stopped := func(err error) error {
		if ctx.Err() != nil {
			p.sayStopped(dir)
		}
		return err
	}
	config, groups, err := p.readShared(ctx, span)
	if err != nil {
		return stopped(err)
	}
	fmt.Fprintf(p.stderr, "%d groups read in %.1f s\n", len(groups), time.Since(started).Seconds())
	kept, err := p.sharedCheckpoint(dir, config, groups, span)
	if err != nil {
		return err
	}
	show := newProgress(p.stderr)
	config.Progress, config.Now, config.Checkpoint = show.update, time.Now, kept
	result, err := trainer.TrainShared(ctx, config, groups)
	show.finish()
	if err != nil {
		return stopped(fmt.Errorf("%s: %w", p.common.Data, err))
	}
	m, err := p.deliverShared(ctx, result)
	if err != nil {
		return err
	}
	if err := kept.Remove(); err != nil { // the model is delivered all the same
		fmt.Fprintln(p.stderr, err)
	}
	return p.closeShared(ctx, result, m, started)
}

// readShared reads the histories of all groups.
func (p *program) readShared(ctx context.Context, span batch.Span) (c trainer.Config, groups []trainer.Data, err error) {
	from, err := p.histories(ctx, span)
	if err != nil {
		return c, nil, err
	}
	for i, group := range from.groups {
		grid, err := from.take(ctx, group)
		if err != nil {
			return c, nil, err
		}
		own, data, err := p.prepare(grid)
		if err != nil {
			return c, nil, err
		}
		if i == 0 {
			c = own
		}
		if own.Target != c.Target {
			return c, nil, cli.Usagef("-target is missing: it would be %s for group %q and %s for group %q", c.Target, from.groups[0], own.Target, group)
		}
		if c.Compare == 0 {
			data.Grid = only(data.Grid, c)
		}
		groups = append(groups, data)
	}
	return c, groups, nil
}

// only returns the grid without what a shared model does not read. A thousand
// groups with ten metrics each would take ten times the memory.
func only(g *window.Grid, c trainer.Config) *window.Grid {
	lean := *g
	lean.Columns = maps.Clone(g.Columns)
	maps.DeleteFunc(lean.Columns, func(name string, _ api.Series) bool {
		return name != c.Target && !strings.HasPrefix(name, window.FlagPrefix) && !slices.Contains(c.Inputs, name) && !slices.Contains(c.Known, name)
	})
	return &lean
}

// sharedCheckpoint opens the checkpoint of a training on these histories.
func (p *program) sharedCheckpoint(dir string, c trainer.Config, groups []trainer.Data, span batch.Span) (*checkpoint.Dir, error) {
	all := sha256.New()
	for _, d := range groups {
		_, _ = io.WriteString(all, batch.DataHash(d)) // a hash does not fail
	}
	hash, err := batch.ConfigHash(c, "shared")
	if err != nil {
		return nil, err
	}
	id := identity(hash, hex.EncodeToString(all.Sum(nil)), span)
	return checkpoint.Open(dir, id, p.resume, func(note string) { fmt.Fprintln(p.stderr, note) })
}

// deliverShared writes the files and registers the model.
func (p *program) deliverShared(ctx context.Context, r *trainer.SharedResult) (models.Manifest, error) {
	m := r.Manifest
	m.Name = cmp.Or(p.name, sharedName)
	var report bytes.Buffer
	if err := r.Report.Write(&report); err != nil {
		return m, err
	}
	manifest, err := encodeManifest(m)
	if err != nil {
		return m, err
	}
	err = file.ReplaceAll(
		file.Content{Path: filepath.Join(p.out, "model.onnx"), Data: r.Model},
		file.Content{Path: filepath.Join(p.out, "report.json"), Data: report.Bytes()},
		file.Content{Path: filepath.Join(p.out, manifestFile), Data: manifest},
	)
	if err != nil || p.common.Models == "" {
		return m, err
	}
	registered, err := p.register(ctx, m, r.Model)
	if err != nil {
		if ctx.Err() != nil {
			fmt.Fprintf(p.stderr, "stopped; the files are in %s, but the model is not registered\n", p.out)
		}
		return m, fmt.Errorf("register in %s: %w; the model itself is in %s", p.common.Models, file.Advise(err), p.out)
	}
	if manifest, err = encodeManifest(registered); err != nil {
		return registered, err
	}
	return registered, file.Replace(filepath.Join(p.out, manifestFile), manifest)
}

// closeShared tells how good the model is for each group, and writes the metrics.
func (p *program) closeShared(ctx context.Context, r *trainer.SharedResult, m models.Manifest, started time.Time) error {
	s := batch.Summary{Started: started}
	for _, g := range r.Report.Groups {
		result := batch.Result{Group: g.Group, Status: batch.Trained, Outcome: batch.Outcome{Model: m.Name, Version: m.Version}}
		if g.Windows == 0 {
			result.Note = "served, but nothing was learned from it"
		}
		if n := len(g.Horizons); n > 0 {
			result.First, result.Last = brief(g.Horizons[0]), brief(g.Horizons[n-1])
		}
		s.Results = append(s.Results, result)
	}
	s.Finished = time.Now()
	for _, note := range r.Notes {
		fmt.Fprintln(p.stderr, note)
	}
	_ = s.WriteTable(p.stdout, tableRows) // a closed standard output does not make the model worse
	p.summariseShared(r, m)
	return errors.Join(s.WriteFiles(filepath.Join(p.out, "summary")), p.tell(ctx, s))
}

// summariseShared prints the pooled errors and, where groups were compared, those
// of their own models beside.
func (p *program) summariseShared(r *trainer.SharedResult, m models.Manifest) {
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "over all %d groups\tahead\tn\tWAPE\tpersistence WAPE\tMAE, of a group's mean\t90 %% interval\t\n", len(r.Report.Groups))
	for _, h := range r.Report.Horizons {
		fmt.Fprintf(w, "\t%g min\t%d\t%.4f\t%.4f\t%.4f\t%s\t\n", h.Minutes, h.N, h.Model.WAPE, h.Baselines[score.Persistence].WAPE, h.Model.MAE, percent(h.Model.Coverage90))
	}
	if c := r.Report.Comparison; c != nil {
		fmt.Fprintf(w, "of them %d compared\tahead\tn\tshared WAPE\town model's WAPE\tpersistence WAPE\t90 %% interval\town\t\n", len(c.Groups))
		for k, h := range c.Shared {
			own := c.Own[k]
			fmt.Fprintf(w, "\t%g min\t%d\t%.4f\t%.4f\t%.4f\t%s\t%s\t\n", h.Minutes, h.N, h.Model.WAPE, own.Model.WAPE, h.Baselines[score.Persistence].WAPE,
				percent(h.Model.Coverage90), percent(own.Model.Coverage90))
		}
	}
	_ = w.Flush()
	t := r.Report.Training
	fmt.Fprintf(p.stdout, "%s: one model for any group from %d windows of %d, %d epochs in %.1f s; model %.12s in %s\n", r.Report.Target,
		r.Report.Windows, len(r.Report.Groups), t.Epochs, t.Seconds, r.Report.ModelSHA256, p.out)
	if m.Version > 0 {
		fmt.Fprintf(p.stdout, "registered as %s version %d\n", m.Name, m.Version)
	}
}

// percent writes a share; empty where it is not known.
func percent(share *float64) string {
	if share == nil {
		return ""
	}
	return fmt.Sprintf("%.1f %%", 100**share)
}
