package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"path"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/function"
	"github.com/forescale/forescale/scaler"
)

const (
	// lambdaMargin is what is left of an invocation when its work is stopped. A tick that
	// has begun to act may take twenty seconds more, the record and the lease the rest.
	lambdaMargin = 30 * time.Second
	// leasePoll is how often a lease that another scaler holds is looked at.
	leasePoll = 2 * time.Second
)

// lambdaRun returns what the function does at each invocation: a tick. It is the
// program as -once starts it, made anew each time.
func lambdaRun(env function.Env, out, errOut io.Writer) function.Run {
	return func(ctx context.Context) (function.Outcome, error) {
		p := &program{out: out, errOut: errOut}
		fs := flag.NewFlagSet(env.Name, flag.ContinueOnError)
		p.flags(fs)
		if err := fs.Parse([]string{"-config", env.Config, "-once"}); err != nil {
			return function.Outcome{}, err
		}
		if err := p.check(); err != nil {
			return function.Outcome{}, err
		}
		p.section.ID = lambdaID(env)
		s, err := p.open(ctx)
		if err != nil {
			return function.Outcome{}, err
		}
		rec, err := newest(ctx, s)
		p.release(ctx, s)
		if err := p.print(rec, err); err != nil {
			return function.Outcome{}, err
		}
		return function.Outcome{Tick: rec.Tick, Counts: map[string]int{"Groups": len(rec.Decisions), "Faults": faults(rec)}}, nil
	}
}

// lambdaID names the execution environment in the lease. Two of them must not share a
// name, whatever the configuration says: who has the holder's name takes the lease at
// once, for it is taken to be the holder's successor.
func lambdaID(env function.Env) string {
	return path.Join(env.Name, env.Instance)
}

// newest runs the newest tick. While another scaler holds the lease it waits: that
// one records the tick, or was killed, and then its lease ends.
func newest(ctx context.Context, s *scaler.Scaler) (api.TickRecord, error) {
	for {
		rec, err := s.Newest(ctx)
		var held *scaler.LeaseHeldError
		if !errors.As(err, &held) {
			return rec, err
		}
		select {
		case <-ctx.Done():
			return rec, err
		case <-time.After(leasePoll):
		}
	}
}

// faults returns how much of a tick went wrong: what the record says of it as a
// whole, and the changes that failed.
func faults(rec api.TickRecord) int {
	n := len(rec.Errors)
	for _, d := range rec.Decisions {
		if d.Outcome.Status == api.OutcomeFailed {
			n++
		}
	}
	return n
}
