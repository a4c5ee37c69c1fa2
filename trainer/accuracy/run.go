package accuracy

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/forescale/forescale/trainer"
)

// Measurement is one trace measured with one preset.
type Measurement struct {
	Trace    string            `json:"trace"`
	Kind     string            `json:"kind"`
	Preset   string            `json:"preset"`
	Seconds  float64           `json:"seconds"` // of the training and the ablation
	Ablation *trainer.Ablation `json:"ablation"`
}

// Results are what the document is made of.
type Results struct {
	Preset string `json:"preset"`
	Seed   uint64 `json:"seed"`
	Dev    bool   `json:"dev"`
	// Traces are those of the manifest, in its order.
	Traces []Measurement `json:"traces"`
	// Reference is the reference trace with several presets; empty where the folder
	// does not have it.
	Reference []Measurement `json:"reference,omitempty"`
	Baselines Baselines     `json:"-"`
}

// job is a measurement to be made.
type job struct {
	trace       Trace
	config      trainer.Config
	data        trainer.Data
	reference   bool
	fingerprint string
	measured    Measurement
	done        bool
}

// Run measures what the configuration says, trace by trace. Every trace is read
// before the first is measured. What the cache has is not measured again; each
// finished trace is added to it. ctx ends the measurement between two steps of a
// training with ctx.Err().
func Run(ctx context.Context, c Config) (*Results, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c = c.complete()
	if c.Log == nil {
		c.Log = io.Discard
	}
	jobs, err := c.jobs()
	if err != nil {
		return nil, err
	}
	r := &Results{Preset: c.Preset, Seed: c.Seed, Dev: c.Dev}
	if c.Baselines != "" {
		if r.Baselines, err = readBaselines(c.Baselines); err != nil {
			return nil, err
		}
	}
	p := newProgress(c, jobs)
	for i, j := range jobs {
		if !j.done {
			if err := c.measure(ctx, j, p.begin(i, j)); err != nil {
				return nil, err
			}
			p.end(j)
		}
		if j.reference {
			r.Reference = append(r.Reference, j.measured)
		} else {
			r.Traces = append(r.Traces, j.measured)
		}
	}
	return r, nil
}

// jobs returns all measurements, with those that the cache has already done.
func (c Config) jobs() (jobs []*job, err error) {
	listed, ref, err := c.traces()
	if err != nil {
		return nil, err
	}
	add := func(t Trace, preset string) error {
		d, err := t.load(c.Traces, c.Dev)
		if err != nil {
			return err
		}
		j := &job{trace: t, data: d, reference: t.Name == reference.Name,
			config: trainer.Config{Preset: preset, Target: t.Target, Seed: c.Seed, Workers: c.Workers, Now: c.Now}}
		if j.fingerprint, err = c.fingerprint(j.config, d); err != nil {
			return err
		}
		if j.measured, j.done, err = c.recall(j); err != nil {
			return err
		}
		jobs = append(jobs, j)
		return nil
	}
	for _, t := range listed {
		if err := add(t, c.Preset); err != nil {
			return nil, err
		}
	}
	if ref {
		for _, preset := range c.referencePresets() {
			if err := add(reference, preset); err != nil {
				return nil, err
			}
		}
	}
	return jobs, nil
}

// referencePresets are the presets that the reference trace is measured with.
func (c Config) referencePresets() []string {
	presets := []string{trainer.PresetReference, trainer.PresetAdvanced}
	if !slices.Contains(presets, c.Preset) {
		presets = append(presets, c.Preset)
	}
	return presets
}

// measure does a job and keeps it.
func (c Config) measure(ctx context.Context, j *job, report func(trainer.Progress)) error {
	started := c.Now()
	j.config.Progress = report
	a, err := trainer.Ablate(ctx, j.config, j.data)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("%s, preset %s: %w", j.trace.Name, j.config.Preset, err)
	}
	j.measured = Measurement{Trace: j.trace.Name, Kind: j.trace.Kind, Preset: j.config.Preset,
		Seconds: c.Now().Sub(started).Seconds(), Ablation: a}
	j.done = true
	return c.keep(j, j.measured)
}

// progress tells people how far a measurement is.
type progress struct {
	log    io.Writer
	now    func() time.Time
	jobs   []*job
	at     int // the job at work
	began  time.Time
	told   time.Time
	spent  time.Duration // on the slots
	slots  int           // measured in this run
	paused time.Duration // between two lines about a training
}

func newProgress(c Config, jobs []*job) *progress {
	p := &progress{log: c.Log, now: c.Now, jobs: jobs, paused: 10 * time.Second}
	done := 0
	for _, j := range jobs {
		if j.done {
			done++
		}
	}
	fmt.Fprintf(p.log, "%d measurements, %d of them done before\n", len(jobs), done)
	return p
}

// begin tells of a job and returns what hears of its training.
func (p *progress) begin(i int, j *job) func(trainer.Progress) {
	p.at, p.began = i, p.now()
	p.told = p.began
	fmt.Fprintf(p.log, "[%d/%d] %s, preset %s, %d slots%s\n", i+1, len(p.jobs), j.trace.Name, j.config.Preset, j.data.Grid.Len(), p.left())
	return func(u trainer.Progress) {
		if now := p.now(); now.Sub(p.told) >= p.paused {
			p.told = now
			fmt.Fprintf(p.log, "        %.0f %% of the training, at %s\n", 100*u.Done, u.Stage)
		}
	}
}

// end tells what a job took.
func (p *progress) end(j *job) {
	took := p.now().Sub(p.began)
	p.spent += took
	p.slots += j.data.Grid.Len()
	fmt.Fprintf(p.log, "        %.1f s, of them %.1f s for the training itself\n", took.Seconds(), j.measured.Ablation.Report.Training.Seconds)
}

// left estimates the time that the jobs from the present one on take, as long as
// those before for each slot; "" before the first.
func (p *progress) left() string {
	if p.slots == 0 {
		return ""
	}
	slots := 0
	for _, j := range p.jobs[p.at:] {
		if !j.done {
			slots += j.data.Grid.Len()
		}
	}
	left := time.Duration(float64(p.spent) / float64(p.slots) * float64(slots))
	return fmt.Sprintf(", about %s left in all", left.Round(time.Second))
}
