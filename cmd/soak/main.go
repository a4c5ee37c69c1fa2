// Command soak keeps forescale-server at half of its capacity for a while and tells
// whether it stays as it was: no request fails, memory, goroutines and open files are
// flat, although a new version of the model is promoted again and again.
//
//	soak -server bin/forescale-server -for 10m
//
// It measures the capacity first, with a closed loop, and then sends requests at
// random times (a Poisson process) at half of it. It exits with 1 when something
// grows or fails.
package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/forescale/forescale/internal/cli"
)

//go:embed main.go
var source string

// soak is the command line.
type soak struct {
	server      string
	length      time.Duration
	every       time.Duration // between two samples
	promote     time.Duration // between two promotions
	grow        int64         // MB of memory that may be gained
	out, errOut io.Writer
}

func main() {
	s := &soak{out: os.Stdout, errOut: os.Stderr}
	cli.Main(cli.Command{Name: "soak", Manual: cli.PackageComment(source), Flags: s.flags, Check: s.check, Run: s.run})
}

func (s *soak) flags(fs *flag.FlagSet) {
	fs.StringVar(&s.server, "server", "bin/forescale-server", "`PATH` of the server")
	fs.DurationVar(&s.length, "for", 10*time.Minute, "`LENGTH` of the test")
	fs.DurationVar(&s.every, "every", 5*time.Second, "`LENGTH` of time between two looks at the server")
	fs.DurationVar(&s.promote, "promote", 20*time.Second, "`LENGTH` of time between two new champions")
	fs.Int64Var(&s.grow, "grow", 8, "`MB` that the resident memory may grow by, from the first quarter to the last")
}

// check returns all faults of the flags at once.
func (s *soak) check() error {
	var faults []error
	if _, err := os.Stat(s.server); err != nil {
		faults = append(faults, fmt.Errorf("-server: %w; make build makes it", err))
	}
	if s.every < 100*time.Millisecond || s.length < 16*s.every {
		faults = append(faults, fmt.Errorf("-for %s -every %s: there must be 16 looks, 100ms apart or more", s.length, s.every))
	}
	if s.promote < 100*time.Millisecond {
		faults = append(faults, fmt.Errorf("-promote %s: must be 100ms or more", s.promote))
	}
	if s.grow < 0 {
		faults = append(faults, fmt.Errorf("-grow %d: must not be negative", s.grow))
	}
	return errors.Join(faults...)
}

func (s *soak) run(ctx context.Context, args []string) error {
	if len(args) > 0 {
		return cli.Usagef("unexpected argument %q", args[0])
	}
	r, err := startRig(ctx, s.server, s.errOut)
	if err != nil {
		return err
	}
	verdict := s.drive(ctx, r)
	return errors.Join(verdict, r.stop())
}

// drive loads the server and judges what it saw.
func (s *soak) drive(ctx context.Context, r *rig) error {
	capacity, err := r.capacity(ctx, max(time.Second, s.length/60))
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "capacity %.0f requests/s; %s at half of it, a new champion every %s\n", capacity, s.length, s.promote)
	ctx, cancel := context.WithTimeout(ctx, s.length)
	defer cancel()
	load := r.load(ctx, capacity/2)
	look, promote := time.NewTicker(s.every), time.NewTicker(s.promote)
	defer look.Stop()
	defer promote.Stop()
	var seen []sample
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-promote.C:
			if err := r.promote(context.WithoutCancel(ctx)); err != nil {
				return err
			}
		case <-look.C:
			v, err := r.look(ctx)
			if ctx.Err() != nil {
				break
			}
			if err != nil {
				return err
			}
			seen = append(seen, v)
			fmt.Fprintf(s.out, "%s  resident %.1f MB  goroutines %.0f  open files %.0f  version %d\n", time.Duration(len(seen))*s.every, v.resident/1e6, v.goroutines, v.files, r.version)
		}
	}
	result := load()
	fmt.Fprintf(s.out, "%d requests, %d failed, %d not sent because %d were under way; p50 %s, p99 %s\n", result.sent, result.failed, result.skipped, inFlight, result.quantile(0.5), result.quantile(0.99))
	return errors.Join(result.fault(), judge(seen, float64(s.grow)*1e6))
}

// sample is one look at the server.
type sample struct{ resident, goroutines, files float64 }

// judge returns what has grown from the second quarter of the looks to the last: the
// first one is for caches to fill.
func judge(seen []sample, grow float64) error {
	if len(seen) < 8 {
		return fmt.Errorf("only %d looks: that tells nothing", len(seen))
	}
	n := len(seen) / 4
	var faults []error
	for _, of := range []struct {
		name    string
		value   func(sample) float64
		allowed float64
	}{
		{"resident memory (bytes)", func(v sample) float64 { return v.resident }, grow},
		{"goroutines", func(v sample) float64 { return v.goroutines }, 50},
		{"open files", func(v sample) float64 { return v.files }, 50},
	} {
		mean := func(part []sample) float64 {
			sum := 0.
			for _, v := range part {
				sum += of.value(v)
			}
			return sum / float64(len(part))
		}
		if before, after := mean(seen[n:2*n]), mean(seen[len(seen)-n:]); after > before+of.allowed {
			faults = append(faults, fmt.Errorf("%s grew from %.0f to %.0f on average, by more than %.0f", of.name, before, after, of.allowed))
		}
	}
	return errors.Join(faults...)
}
