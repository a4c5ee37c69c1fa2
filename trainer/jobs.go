package trainer

import (
	"bytes"
	"context"
	"encoding/gob"
	"fmt"
	"runtime"
	"sync"

	"github.com/forescale/forescale/trainer/feature"
	"github.com/forescale/forescale/trainer/nn"
)

// Checkpoint keeps what an interrupted training has done, under names of stages.
// Train saves each network after every epoch; given the same checkpoint, data and
// configuration it goes on from there, to the same bytes as a training that was
// never interrupted. It is used by several goroutines at once.
type Checkpoint interface {
	// Load returns the state last saved for a stage, nil when there is none.
	Load(stage string) (state []byte, err error)
	// Save replaces a stage's state, as a whole or not at all.
	Save(stage string, state []byte) error
}

// networkJob is one network to be fitted: a shape and a seed.
type networkJob struct {
	recipe networkRecipe
	stage  string
	net    nn.Network
	lesson *lesson
	seed   uint64
	fit    *fit
	err    error
}

// addNetworks fits every network of the recipe, several at a time, and adds them.
func (s *study) addNetworks(ctx context.Context, base candidate) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var jobs []*networkJob
	var readers []reader
	for _, r := range s.recipe.networks {
		rd := s.readerOf(r, base)
		l := rd.inputs(s.w)
		rd.wants(s.w, l)
		net := r.network
		net.Lookback, net.Channels, net.Features, net.Horizon = l.steps, l.channels, l.extra, l.horizon
		if err := net.Validate(); err != nil {
			return err
		}
		readers = append(readers, rd)
		for i := range r.seeds {
			// Seeds of one training differ from all seeds of another with a near number.
			seed := s.config.Seed + uint64(i)<<32
			jobs = append(jobs, &networkJob{recipe: r, stage: fmt.Sprintf("network %s %d", r.name, i+1), net: net, lesson: l, seed: seed})
		}
	}
	workers := s.config.workers()
	each := max(1, workers/max(1, len(jobs)))
	parallel(workers, len(jobs), func(i int) {
		if jobs[i].err = s.runJob(ctx, jobs[i], each); jobs[i].err != nil {
			cancel() // of no use without this one
		}
	})
	if err := firstError(jobs); err != nil {
		return err
	}
	for i, r := range s.recipe.networks {
		early := &network{label: r.name, reader: readers[i], net: jobs[0].net}
		for _, j := range jobs[:r.seeds] {
			early.net = j.net
			early.params = append(early.params, j.fit.state.Params)
			s.tally.epochs += j.fit.state.Epoch
			s.tally.seen += j.fit.seen
			s.tally.rejected += j.fit.state.Rejected
		}
		jobs = jobs[r.seeds:]
		late := *early
		late.reader = readers[i].late(base)
		s.members = append(s.members, candidate{early, &late, s.unseenBy(early)})
	}
	return nil
}

// firstError returns the error that ended the jobs, not one that it caused.
func firstError(jobs []*networkJob) error {
	var cancelled error
	for _, j := range jobs {
		switch {
		case j.err == nil:
		case j.err == context.Canceled:
			cancelled = j.err
		default:
			return fmt.Errorf("%s: %w", j.stage, j.err)
		}
	}
	return cancelled
}

// unseenBy returns an early member's forecasts without those of slots that it
// learned from.
func (s *study) unseenBy(m member) []float32 {
	out := append([]float32(nil), s.w.of(m)...)
	for i := range out[:s.judgeRows[0]*s.spec.Horizon] {
		out[i] = nan32
	}
	return out
}

// readerOf returns what a network of the recipe reads and answers.
func (s *study) readerOf(r networkRecipe, base candidate) reader {
	if r.ranged {
		return fitRanged(s.w, s.fitRows[0], s.fitRows[1])
	}
	corrected := base.early
	if !r.residual {
		corrected = s.last.early
	}
	return newCorrection(s.w, s.sets[s.bestMode(feature.Modes...)], corrected, s.fitRows[0], s.fitRows[1])
}

// runJob fits one network, from its checkpoint on where there is one.
func (s *study) runJob(ctx context.Context, j *networkJob, workers int) error {
	f := newFit(j.net, j.recipe.schedule, j.seed, workers)
	j.fit = f
	f.each = s.done.step
	if c := s.config.Checkpoint; c != nil {
		state, err := c.Load(j.stage)
		if err != nil {
			return err
		}
		if state != nil {
			var st fitState
			if err := gob.NewDecoder(bytes.NewReader(state)).Decode(&st); err != nil {
				return fmt.Errorf("checkpoint: %w", err)
			}
			if err := f.resume(st); err != nil {
				return err
			}
		}
		f.keep = func(st fitState) error {
			var b bytes.Buffer
			if err := gob.NewEncoder(&b).Encode(st); err != nil {
				return err
			}
			return c.Save(j.stage, b.Bytes())
		}
	}
	return f.run(ctx, j.lesson.slice(s.fitRows[0], s.fitRows[1]), j.lesson.slice(s.judgeRows[0], s.judgeRows[1]))
}

// workers returns how many goroutines compute.
func (c Config) workers() int {
	if c.Workers == 0 {
		return runtime.GOMAXPROCS(0)
	}
	return c.Workers
}

// progress gathers what several jobs report. Its methods may be called by any of
// them.
type progress struct {
	mu     sync.Mutex
	report func(Progress)
}

const linearWork = 1

func newProgress(c Config) *progress { return &progress{report: c.Progress} }

func (p *progress) advance(float64) {}

func (p *progress) step(q Progress) {
	if p.report == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.report(q)
}
