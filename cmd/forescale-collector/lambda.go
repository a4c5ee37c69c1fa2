package main

import (
	"context"
	"flag"
	"time"

	"github.com/forescale/forescale/internal/function"
)

const (
	// lambdaMargin is what is left of an invocation when its work is stopped: enough to
	// report the error.
	lambdaMargin = 5 * time.Second
	// lambdaPause is the share of an invocation after which no further piece of a hole
	// is begun: one piece, of a day at most, fits into the rest.
	lambdaPause = 0.5
)

// lambdaRun returns what the function does at each invocation: a tick, or the daily
// upkeep. It is the program as -once and -compact start it, made anew each time.
func lambdaRun(env function.Env, compact bool) function.Run {
	mode := "-once"
	if compact {
		mode = "-compact"
	}
	return func(ctx context.Context) (function.Outcome, error) {
		p := new(program)
		p.command() // for its defaults
		fs := flag.NewFlagSet(env.Name, flag.ContinueOnError)
		p.flags(fs)
		if err := fs.Parse([]string{"-config", env.Config, mode}); err != nil {
			return function.Outcome{}, err
		}
		if err := p.check(); err != nil {
			return function.Outcome{}, err
		}
		if compact {
			return function.Outcome{}, p.run(ctx, nil)
		}
		return p.lambdaTick(ctx)
	}
}

// lambdaTick is run for -once, in the time of an invocation and without a spool: the
// disk does not last, and what the lake does not take a later tick fetches again.
func (p *program) lambdaTick(ctx context.Context) (function.Outcome, error) {
	began := time.Now()
	c, err := p.open(ctx, spools{}, nil) // the server finds out by itself
	if err != nil {
		return function.Outcome{}, err
	}
	defer p.report(c, began)
	at, pause := began.Add(-p.section.Settle), time.Time{}
	if deadline, ok := ctx.Deadline(); ok {
		pause = began.Add(time.Duration(lambdaPause * float64(deadline.Sub(began))))
	}
	if err := c.OnceUntil(ctx, at, pause); err != nil {
		return function.Outcome{}, err
	}
	stats := c.Stats()
	return function.Outcome{Tick: stats.LastTick, Counts: map[string]int{"Rows": stats.Stored}}, nil
}
