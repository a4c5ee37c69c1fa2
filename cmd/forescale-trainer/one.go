package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/internal/window"
	"github.com/forescale/forescale/trainer/batch"
	"github.com/forescale/forescale/trainer/checkpoint"
	"github.com/forescale/forescale/trainer/kernel"
)

// checkpointDir is where a training that is under way is kept, below -out.
const checkpointDir = ".checkpoint"

// runOne trains the model of one group and tells the metrics of it.
func (p *program) runOne(ctx context.Context) error {
	s := batch.Summary{Started: time.Now(), Results: []batch.Result{{Status: batch.Failed}}}
	r := &s.Results[0]
	outcome, err := p.one(ctx)
	s.Finished = time.Now()
	r.Group, r.Seconds = p.group, s.Finished.Sub(s.Started).Seconds()
	switch {
	case err == nil:
		r.Status, r.Outcome = batch.Trained, outcome
	case ctx.Err() != nil:
		r.Status = batch.Stopped
	}
	if told := p.tell(ctx, s); told != nil {
		return errors.Join(err, told)
	}
	return err
}

// one trains and delivers the model of one group, with a checkpoint.
func (p *program) one(ctx context.Context) (batch.Outcome, error) {
	dir := filepath.Join(p.out, checkpointDir)
	span := p.oneSpan(dir)
	grid, err := p.load(ctx, span)
	if err != nil {
		if ctx.Err() != nil {
			p.sayStopped(dir)
		}
		return batch.Outcome{}, err
	}
	config, data, err := p.prepare(grid)
	if err != nil {
		return batch.Outcome{}, err
	}
	if config.Search != nil {
		if config, err = p.search(ctx, config, data, span); err != nil {
			return batch.Outcome{}, err
		}
	}
	hash, err := batch.ConfigHash(config)
	if err != nil {
		return batch.Outcome{}, err
	}
	id := identity(hash, batch.DataHash(data), span)
	kept, err := checkpoint.Open(dir, id, p.resume, func(note string) { fmt.Fprintln(p.stderr, note) })
	if err != nil {
		return batch.Outcome{}, err
	}
	show := newProgress(p.stderr)
	config.Progress, config.Now = show.update, time.Now
	result, err := p.train(ctx, config, data, kept)
	show.finish()
	if err != nil {
		if ctx.Err() != nil {
			p.sayStopped(dir)
		}
		return batch.Outcome{}, fmt.Errorf("%s: %w", p.common.Data, err)
	}
	outcome, err := p.deliver(ctx, result, p.modelName(), p.out)
	if err != nil {
		return batch.Outcome{}, err
	}
	if err := kept.Remove(); err != nil { // the model is delivered all the same
		fmt.Fprintln(p.stderr, err)
	}
	return outcome, nil
}

// identity returns what a state that this program keeps on these terms belongs to:
// all that the bytes of the model follow from.
func identity(config, data string, span batch.Span) checkpoint.Identity {
	return checkpoint.Identity{Program: cli.Version, Kernel: kernel.Set(), Config: config, Data: data, Until: span.Until}
}

// oneSpan returns the time to read a data lake for. A training that is to be
// continued must see what it saw before, however much the lake has grown.
func (p *program) oneSpan(dir string) batch.Span {
	if !isLake(p.common.Data) {
		return batch.Span{}
	}
	for _, of := range []string{dir, p.searchDir()} {
		if until, ok := checkpoint.Until(of); ok && p.resume && p.until.IsZero() {
			return p.span(until)
		}
	}
	return p.span(time.Now())
}

// load reads the history from a file or a data lake, and settles its group.
func (p *program) load(ctx context.Context, span batch.Span) (*window.Grid, error) {
	if isLake(p.common.Data) {
		return p.loadLake(ctx, span)
	}
	if p.group == "" {
		p.group = groupOf(p.common.Data)
	}
	return p.loadFile(p.common.Data, p.group)
}

func (p *program) modelName() string {
	if p.name != "" {
		return p.name
	}
	return p.group
}

func (p *program) sayStopped(dir string) {
	if checkpoint.Any(dir) {
		fmt.Fprintf(p.stderr, "stopped; no model was written, and -resume continues from %s\n", dir)
		return
	}
	fmt.Fprintln(p.stderr, "stopped; nothing was written")
}
