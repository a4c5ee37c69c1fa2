package trainer

import (
	"bytes"
	"context"
	"encoding/gob"
	"fmt"
	"runtime"
	"slices"

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
	recipe      networkRecipe
	stage       string
	net         nn.Network
	early, late *lesson
	seed        uint64
	fits        [2]*fit // early, late
	kept        bool    // the early parameters, in place of the late ones
	err         error
}

// addNetworks fits every network of the recipe, several at a time, and adds them.
func (s *study) addNetworks(ctx context.Context, base candidate) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var jobs []*networkJob
	var readers [][2]reader
	for _, r := range s.recipe.networks {
		rd := s.readerOf(r, base)
		late := rd.late(base)
		l, ll := rd.inputs(s.w), late.inputs(s.w)
		rd.wants(s.w, l)
		late.wants(s.w, ll)
		net := r.network
		net.Lookback, net.Channels, net.Features, net.Horizon = l.steps, l.channels, l.extra, l.horizon
		if err := net.Validate(); err != nil {
			return err
		}
		readers = append(readers, [2]reader{rd, late})
		for i := range r.seeds {
			// Seeds of one training differ from all seeds of another with a near number.
			seed := s.config.Seed + uint64(len(jobs))<<32
			jobs = append(jobs, &networkJob{recipe: r, stage: fmt.Sprintf("network %s %d", r.name, i+1), net: net, early: l, late: ll, seed: seed})
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
		early := &network{label: r.name, reader: readers[i][0], net: jobs[0].net}
		late := &network{label: r.name, reader: readers[i][1], net: jobs[0].net}
		for _, j := range jobs[:r.seeds] {
			early.params = append(early.params, j.fits[0].state.Params)
			late.params = append(late.params, j.fits[1].state.Params)
			for _, f := range slices.Compact(j.fits[:]) {
				s.tally.epochs += f.state.Epoch
				s.tally.seen += f.seen
				s.tally.rejected += f.state.Rejected
			}
			if j.kept {
				s.tally.early++
			}
		}
		jobs = jobs[r.seeds:]
		s.members = append(s.members, candidate{early, late, s.unseenBy(early)})
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

// unseenBy returns an early member's forecasts in the windows of the validation
// part, NaN in others: those before taught it, and those after, even where they
// forecast a slot of the validation part, look at flags of the test part.
func (s *study) unseenBy(m member) []float32 {
	H := s.spec.Horizon
	out := filled(s.w.len()*H, nan32)
	from, to := s.judgeRows[0]*H, s.judgeRows[1]*H
	copy(out[from:to], s.w.of(m)[from:to])
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

// runJob fits one network, and with refit twice: early, on the training part,
// stopped by the validation part; and late, from the same start on both parts, for
// as many epochs of the same schedule as were best for the early one.
func (s *study) runJob(ctx context.Context, j *networkJob, workers int) error {
	train, valid := s.fitRows, s.judgeRows
	early, err := s.newJobFit(j, "", workers)
	if err != nil {
		return err
	}
	if err := early.run(ctx, j.early.slice(train[0], train[1]), j.early.slice(valid[0], valid[1])); err != nil {
		return err
	}
	if !j.recipe.refit {
		j.fits = [2]*fit{early, early}
		return nil
	}
	late, err := s.newJobFit(j, " late", workers)
	if err != nil {
		return err
	}
	late.last = early.state.Watch.Epoch - 1 // the start counts as the first
	if err := late.run(ctx, j.late.slice(train[0], valid[1]), nil); err != nil {
		return err
	}
	// Nobody judges the late fit, so it must not be far from what was judged.
	if loss := late.loss(j.late.slice(valid[0], valid[1])); !(loss <= lateLimit*early.state.Watch.Best) {
		copy(late.state.Params, early.state.Params)
		j.kept = true
	}
	j.fits = [2]*fit{early, late}
	return nil
}

// lateLimit is how many times the early fit's loss on the validation part the late
// one's may be there, where it has learned.
const lateLimit = 1.5

// newJobFit readies one fit of a job, from its checkpoint on where there is one.
func (s *study) newJobFit(j *networkJob, suffix string, workers int) (*fit, error) {
	f := newFit(j.net, j.recipe.schedule, j.seed, workers)
	parts := 1.0
	if j.recipe.refit { // the early fit and the late one are half of the job each
		parts = 2
	}
	epochs := float64(max(1, j.recipe.schedule.epochs))
	f.each = func(n NetworkProgress) {
		n.Name = j.stage + suffix
		s.done.advance("network", networkCost/(parts*epochs*float64(n.Steps)), &n)
	}
	c := s.config.Checkpoint
	if c == nil {
		return f, nil
	}
	state, err := c.Load(j.stage + suffix)
	if err != nil {
		return nil, err
	}
	if state != nil {
		var st fitState
		if err := gob.NewDecoder(bytes.NewReader(state)).Decode(&st); err != nil {
			return nil, fmt.Errorf("checkpoint of %s%s: %w", j.stage, suffix, err)
		}
		if err := f.resume(st); err != nil {
			return nil, err
		}
	}
	f.keep = func(st fitState) error {
		var b bytes.Buffer
		if err := gob.NewEncoder(&b).Encode(st); err != nil {
			return err
		}
		return c.Save(j.stage+suffix, b.Bytes())
	}
	return f, nil
}

// workers returns how many goroutines compute.
func (c Config) workers() int {
	if c.Workers == 0 {
		return runtime.GOMAXPROCS(0)
	}
	return c.Workers
}
