package collector

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/forescale/forescale/internal/blob"
)

// backfillJob is a back-fill of one source. It is kept beside the collector's
// state while it is under way, so that one that was stopped goes on.
type backfillJob struct {
	source   Source
	from, to time.Time
	done     time.Time     // every slot of [from, done) was asked for, and what came was stored
	chunk    time.Duration // length of the next chunk, as the rows of the last ones suggest; 0: not known
	skipped  []Series      // failed in some chunk before done
	skips    map[Series]bool
}

// The stored form. A job that is complete has the zero time as its From.
type backfillFile struct {
	Version int `json:"version"`
	// Configured is the hash of what the source was configured as: one that reads
	// other series than before has to begin again.
	Configured string      `json:"configured,omitempty"`
	Step       string      `json:"step"`
	From       time.Time   `json:"from,omitzero"`
	Done       time.Time   `json:"done,omitzero"`
	Chunk      string      `json:"chunk,omitempty"`
	Skipped    []owedState `json:"skipped,omitempty"`
}

const backfillVersion = 1

func (c *Collector) backfillKey(source string) string {
	return "collector/backfill/" + blob.Escape(c.cfg.Writer) + "/" + blob.Escape(source) + ".json"
}

// backfillJob returns the job of a range: what is left of it, when an earlier run
// was stopped within it. A stored job that makes no sense is reported, and begins
// again; a store that does not answer is an error.
func (c *Collector) backfillJob(ctx context.Context, s Source, from, to time.Time) (*backfillJob, error) {
	job := &backfillJob{source: s, from: from, to: to, done: from, skips: map[Series]bool{}}
	if c.state == nil {
		return job, nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.StoreTimeout)
	defer cancel()
	obj, err := c.state.Get(ctx, c.backfillKey(s.Name()))
	switch {
	case errors.Is(err, blob.ErrNotFound):
		return job, nil
	case err != nil:
		return nil, fmt.Errorf("read how far the back-fill of %s has come: %w", s.Name(), err)
	}
	var f backfillFile
	if err := json.Unmarshal(obj.Data, &f); err != nil || f.Version != backfillVersion {
		c.log.Warn("ignoring the state of an earlier back-fill, and beginning again", "key", c.backfillKey(s.Name()), "version", f.Version, "err", err)
		return job, nil
	}
	switch {
	case f.From.IsZero(): // complete
	case f.Configured != c.configured[s.Name()] || f.Step != c.step.String():
		c.log.Info("the source was configured otherwise when its back-fill was stopped; beginning again", "source", s.Name())
	case from.Before(f.From) || f.Done.Before(from) || to.Before(f.Done) || !f.Done.Equal(f.Done.Truncate(c.step)):
		// Another range, of which the earlier run has not done the beginning.
	default:
		job.done = f.Done.UTC()
		if chunk, err := time.ParseDuration(f.Chunk); err == nil && chunk >= c.step && chunk <= maxChunk {
			job.chunk = chunk.Truncate(c.step)
		}
		for _, o := range f.Skipped {
			job.skip([]Series{seriesOfState(o)})
		}
		c.log.Info("going on with a back-fill that was stopped", "source", s.Name(), "from", from, "done", job.done, "to", to)
	}
	return job, nil
}

// skip notes series that failed, and reports whether any is new.
func (j *backfillJob) skip(failed []Series) (news bool) {
	for _, s := range failed {
		if !j.skips[s] {
			j.skips[s] = true
			j.skipped = append(j.skipped, s)
			news = true
		}
	}
	return news
}

// saveJob writes how far a job has come. With more series skipped than are worth
// remembering nothing is written: a run after a stop then begins again, or with the
// chunk before.
func (c *Collector) saveJob(ctx context.Context, job *backfillJob) error {
	if len(job.skipped) > maxOwed {
		return nil
	}
	f := backfillFile{Version: backfillVersion, Configured: c.configured[job.source.Name()], Step: c.step.String(), From: job.from, Done: job.done, Chunk: job.chunk.String()}
	for _, s := range job.skipped {
		f.Skipped = append(f.Skipped, owedState{Group: s.Group, Metric: s.Metric, Stat: string(s.Stat), Since: job.from})
	}
	return c.writeJob(ctx, job, f)
}

// finishJob notes that a job is complete: the next one is a new one.
func (c *Collector) finishJob(ctx context.Context, job *backfillJob) error {
	return c.writeJob(ctx, job, backfillFile{Version: backfillVersion, Step: c.step.String()})
}

func (c *Collector) writeJob(ctx context.Context, job *backfillJob, f backfillFile) error {
	if c.state == nil {
		return nil
	}
	data, err := json.MarshalIndent(f, "", " ")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.StoreTimeout)
	defer cancel()
	if _, err := c.state.Put(ctx, c.backfillKey(job.source.Name()), data, blob.Condition{}); err != nil {
		return fmt.Errorf("write how far the back-fill of %s has come: %w", job.source.Name(), err)
	}
	return nil
}
