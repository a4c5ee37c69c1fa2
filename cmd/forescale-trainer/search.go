package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/forescale/forescale/internal/file"
	"github.com/forescale/forescale/trainer"
	"github.com/forescale/forescale/trainer/batch"
	"github.com/forescale/forescale/trainer/checkpoint"
	"github.com/forescale/forescale/trainer/search"
)

const (
	// searchFolder is where the trials of a search are kept, below -out.
	searchFolder = ".search"
	// trialsName is the table of trials, below -out, as .csv and .md.
	trialsName = "trials"

	searchDefault = "default" // -search: the trainer's own space
	searchNone    = "none"    // -search: pass over the section of the configuration
)

// searchFlags are the flags of a search for better settings.
type searchFlags struct {
	what, dir string
}

func (s *searchFlags) declare(fs *flag.FlagSet) {
	fs.StringVar(&s.what, "search", "", "search for better settings first: `FILE` with a space, default for the trainer's own, or none\n(default: the configuration's section trainer.search)")
	fs.StringVar(&s.dir, "search-dir", "", "`DIR` that keeps the trials for -resume (default: .search in -out)")
}

// apply puts the flags over the configuration, after all others.
func (s *searchFlags) apply(p *program) error {
	var faults []error
	c := &p.config
	switch s.what {
	case "":
	case searchNone:
		c.Search = nil
	case searchDefault:
		sc := trainer.DefaultSearch(*c)
		c.Search = &sc
	default:
		var sc search.Config
		raw, err := os.ReadFile(s.what)
		if err == nil {
			sc, err = search.FromYAML(raw) // which the configuration's Validate judges
		}
		if err != nil {
			// What could not be read is no reason to complain of what is missing.
			return fmt.Errorf("-search: %s: %w", s.what, err)
		}
		c.Search = &sc
	}
	if c.Search != nil && p.many.all {
		faults = append(faults, errors.New("-search: it takes one group; search on a typical one, put what it prints into the configuration, and run -all-groups with -search none"))
	}
	if c.Search == nil && s.dir != "" {
		faults = append(faults, errors.New("-search-dir: it takes -search or a section trainer.search"))
	}
	return errors.Join(faults...)
}

// searchDir is where the trials are kept.
func (p *program) searchDir() string { return cmp.Or(p.better.dir, filepath.Join(p.out, searchFolder)) }

// search returns the configuration with the best settings that the search finds.
func (p *program) search(ctx context.Context, config trainer.Config, data trainer.Data, span batch.Span) (trainer.Config, error) {
	sc := *config.Search
	hash, err := batch.ConfigHash(config)
	if err != nil {
		return config, err
	}
	id := identity(hash, batch.DataHash(data), span)
	journal, err := p.openJournal(id)
	if err != nil {
		return config, err
	}
	sc.DataHash = batch.Fingerprint(id.Program+" "+id.Kernel, id.Config, id.Data)
	sc.Now = time.Now
	rung, best := 0, math.Inf(1)
	sc.Progress = func(u search.Progress) {
		if u.Trial.Rung != rung { // losses compare at the same budget only
			rung, best = u.Trial.Rung, math.Inf(1)
		}
		if u.Trial.State == search.Done {
			best = min(best, u.Trial.Loss)
		}
		fmt.Fprintln(p.stderr, describeTrial(u, best))
	}
	res, winner, err := trainer.Search(ctx, config, data, sc, journal)
	if closed := journal.Close(); err == nil {
		err = closed
	}
	if ctx.Err() != nil {
		fmt.Fprintf(p.stderr, "stopped; no model was written, and -resume continues the search from %s\n", p.searchDir())
		return config, ctx.Err()
	}
	if err != nil {
		return config, errors.Join(fmt.Errorf("%s: %w", p.common.Data, err), p.writeTrials(res))
	}
	if err := p.writeTrials(res); err != nil {
		return config, err
	}
	_ = res.WriteText(p.stdout) // a closed standard output does not make the model worse
	fmt.Fprintf(p.stdout, "\n%s\n", res.Fragment())
	if res.Best.ID == 0 {
		fmt.Fprintln(p.stdout, "the configuration stays as it is: no trial beats it clearly")
	}
	return winner, nil
}

// openJournal opens the journal of the search id: empty, unless an earlier run is
// to be continued. Beside it stands a mark of what is searched, with the time that
// a data lake was read up to.
func (p *program) openJournal(id checkpoint.Identity) (*search.Journal, error) {
	dir := p.searchDir()
	journal, err := search.Open(dir) // first, since it keeps out other processes
	if err != nil {
		return nil, err
	}
	mark, err := checkpoint.Open(dir, id, p.resume, func(note string) { fmt.Fprintf(p.stderr, "search: %s\n", note) })
	if err == nil {
		err = mark.Save("search", nil)
	}
	if err == nil && !p.resume {
		err = journal.Reset()
	}
	if err != nil {
		return nil, errors.Join(err, journal.Close())
	}
	return journal, nil
}

// writeTrials writes the tables of trials, if there are any.
func (p *program) writeTrials(r search.Result) error {
	if len(r.Trials) == 0 {
		return nil
	}
	var csv, md bytes.Buffer
	if err := errors.Join(r.WriteCSV(&csv), r.WriteMarkdown(&md)); err != nil {
		return err
	}
	base := filepath.Join(p.out, trialsName)
	return file.ReplaceAll(file.Content{Path: base + ".csv", Data: csv.Bytes()}, file.Content{Path: base + ".md", Data: md.Bytes()})
}

// describeTrial says in a line how an evaluation ended, and how far the search is.
func describeTrial(u search.Progress, best float64) string {
	t := u.Trial
	s := fmt.Sprintf("search %d of %d: trial %d, %d epochs", u.Done, u.Total, t.ID, t.Budget)
	switch {
	case t.State != search.Done:
		return s + ": failed: " + t.Err
	case u.Reused:
		return s + fmt.Sprintf(": %.4f, from the journal", t.Loss)
	}
	return s + fmt.Sprintf(": %.4f of persistence's error in %.1f s, best at this budget %.4f", t.Loss, t.Seconds, best)
}
