package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/internal/file"
	"github.com/forescale/forescale/trainer"
	"github.com/forescale/forescale/trainer/batch"
)

const (
	// ledgerDir is where a run over many groups is remembered, below -out.
	ledgerDir = ".ledger"
	// summaryName begins the names of the files of the summary, in -out.
	summaryName = "summary"
	// tableRows is how many groups the table on the terminal shows.
	tableRows = 40
	// touchEvery is how often a run says in the ledger that it is alive.
	touchEvery = time.Minute
)

// runAll trains a model for each group of the shard.
func (p *program) runAll(ctx context.Context) error {
	show, stderr := newGroupProgress(p.stderr)
	p.stderr = stderr
	defer limitMemory(p.many.memory)()
	ledger, err := batch.OpenLedger(filepath.Join(p.out, ledgerDir))
	if err != nil {
		return err
	}
	span := p.allSpan(ledger)
	from, err := p.histories(ctx, span)
	if err != nil {
		if ctx.Err() != nil { // never to be taken for a completed run
			return errors.New("stopped before any group was trained")
		}
		return err
	}
	if len(from.groups) == 0 {
		fmt.Fprintf(p.stderr, "shard %s has none of the %d groups\n", p.many.shard, from.total)
	}
	if !p.resume {
		if err := ledger.Forget(from.groups); err != nil {
			return err
		}
	}
	run := &allRun{program: p, ledger: ledger, span: span, from: from, show: show, tasks: map[string]*task{}}
	if err := run.touch(time.Now()); err != nil {
		return err
	}
	s, failed := batch.Run(ctx, batch.Config{
		Parallel: p.many.jobs, Memory: p.many.memory - p.many.memory/shelfShare, Ledger: ledger, Resume: p.resume,
		Fatal: file.Full, Progress: run.progress, Now: time.Now,
	}, run.jobs(), run.train)
	show.finish()
	return run.close(ctx, s, failed)
}

// allSpan returns the time to read a data lake for: that of the run which is to be
// continued, if there is one.
func (p *program) allSpan(ledger *batch.Ledger) batch.Span {
	now := time.Now()
	kept, ok := ledger.Span(p.many.shard, now)
	if !isLake(p.common.Data) || !p.resume || !ok || !p.until.IsZero() {
		return p.span(now)
	}
	fmt.Fprintf(p.stderr, "continuing the run on the data up to %s; -until says otherwise\n", stamp(kept.Until))
	return p.span(kept.Until)
}

// allRun is a run over many groups.
type allRun struct {
	*program
	ledger  *batch.Ledger
	span    batch.Span
	from    *histories
	show    *groupProgress
	tasks   map[string]*task // by group; the map does not change while jobs run
	touched time.Time        // owned by whoever runs before and after the jobs, and by progress
}

// task is what a job has read. It is owned by the goroutine that runs the job.
type task struct {
	config trainer.Config
	data   trainer.Data
}

// jobs returns a job for each group.
func (r *allRun) jobs() []batch.Job {
	var jobs []batch.Job
	for _, group := range r.from.groups {
		r.tasks[group] = &task{}
		jobs = append(jobs, batch.Job{
			Group:       group,
			Bytes:       trainingBytes(r.from.values(group), r.config),
			Fingerprint: func(ctx context.Context) (string, error) { return r.read(ctx, group) },
			Delivered: func() bool {
				_, err := os.Stat(filepath.Join(r.dir(group), manifestFile))
				return err == nil
			},
		})
	}
	return jobs
}

// trainingBytes estimates the memory that training on a history of so many values
// takes: a base for the network and its workspaces, and for each value the windows
// that it is part of, encoded, and its forecasts. BenchmarkAllGroups measures what
// is really taken; with preset fast it is less than half of this.
func trainingBytes(values int64, c trainer.Config) int64 {
	const base, each, perSlot = 24 << 20, 4 << 10, 32
	bytes := base + float64(values)*float64(each+perSlot*(cmp.Or(c.Lookback, 24)+cmp.Or(c.Horizon, 12)))
	return int64(min(bytes, math.MaxInt64/2))
}

// dir is where a group's model goes: never where the summary does.
func (r *allRun) dir(group string) string {
	name := blob.Escape(group)
	if strings.HasPrefix(name, summaryName) {
		name = strings.ReplaceAll(name, ".", "%2E") // Unescape knows it, too
	}
	return filepath.Join(r.out, name)
}

// read reads the history of a group for its job and returns the hash of all that
// the model follows from.
func (r *allRun) read(ctx context.Context, group string) (string, error) {
	if name := filepath.Base(r.dir(group)); len(name) > api.MaxNameLen {
		return "", fmt.Errorf("the group's name, percent-encoded, is longer than the %d bytes that a model's may have", api.MaxNameLen)
	}
	grid, err := r.from.take(ctx, group)
	if err != nil {
		return "", err
	}
	t := r.tasks[group]
	if t.config, t.data, err = r.prepare(grid); err != nil {
		return "", err
	}
	config, err := batch.ConfigHash(t.config, r.common.Models)
	if err != nil {
		return "", err
	}
	return batch.Fingerprint(cli.Version, config, batch.DataHash(t.data)), nil
}

// train trains and delivers the model of a group.
func (r *allRun) train(ctx context.Context, job batch.Job) (batch.Outcome, error) {
	t := *r.tasks[job.Group]
	r.tasks[job.Group].data = trainer.Data{} // nobody else needs it
	t.config.Workers, t.config.Now = cmp.Or(t.config.Workers, job.Threads), time.Now
	result, err := r.program.train(ctx, t.config, t.data, nil)
	if err != nil {
		return batch.Outcome{}, err
	}
	if err := makeOut(r.dir(job.Group)); err != nil {
		return batch.Outcome{}, err
	}
	return r.deliver(ctx, result, job.Group, r.dir(job.Group))
}

// progress is called after every group.
func (r *allRun) progress(p batch.Progress) {
	r.show.update(p)
	if now := time.Now(); now.Sub(r.touched) >= touchEvery {
		if err := r.touch(now); err != nil {
			fmt.Fprintf(r.stderr, "warning: %v\n", err) // costs the next run its span, not this one its models
		}
	}
}

// touch says in the ledger that the run is not complete.
func (r *allRun) touch(now time.Time) error {
	r.touched, r.span.Touched = now, now
	if !isLake(r.common.Data) {
		return nil // files have no span
	}
	return r.ledger.KeepSpan(r.many.shard, r.span)
}

// close writes the summary and the metrics of a run, and says what to do next.
func (r *allRun) close(ctx context.Context, s batch.Summary, failed error) error {
	s.Shard = r.many.shard.String()
	base := filepath.Join(r.out, summaryName)
	if r.many.shard.Count > 0 {
		base += fmt.Sprintf("-%d-of-%d", r.many.shard.Index, r.many.shard.Count)
	}
	faults := []error{failed}
	if failed != nil {
		faults[0] = fmt.Errorf("%w\n%s.csv has all groups; -resume trains what is missing", failed, base)
		faults = append(faults, r.touch(time.Now()))
	} else {
		faults = append(faults, r.ledger.DropSpan(r.many.shard))
	}
	_ = s.WriteTable(r.stdout, tableRows) // a closed standard output does not make the models worse
	return errors.Join(append(faults, s.WriteFiles(base), r.tell(ctx, s))...)
}

// limitMemory asks the garbage collector to stay within so many bytes, unless it
// is told to stay within less, and returns what undoes that. Without it the heap
// may grow to twice what is in use. A budget that no training fits into is no aim
// for it: it would collect without end.
func limitMemory(bytes int64) (undo func()) {
	const least = 64 << 20
	before := debug.SetMemoryLimit(-1)
	debug.SetMemoryLimit(min(before, max(bytes, least)))
	return func() { debug.SetMemoryLimit(before) }
}
