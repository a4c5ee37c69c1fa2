package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/forescale/forescale/internal/cli"
)

// bench is the command line.
type bench struct {
	peers   string
	rounds  int
	seconds float64
	only    string

	measure string
	threads int
	shard   int
}

func (b *bench) command() cli.Command {
	return cli.Command{
		Name:   "bench-trainer",
		Manual: "measures the speed of training beside PyTorch's and prints a table of ratios",
		Flags: func(fs *flag.FlagSet) {
			fs.StringVar(&b.peers, "peers", os.Getenv("FORESCALE_PEERS"), "directory of the peers, with train/speed.py; default $FORESCALE_PEERS")
			fs.IntVar(&b.rounds, "rounds", 5, "rounds over all comparisons")
			fs.Float64Var(&b.seconds, "seconds", 3, "length of one run, s")
			fs.StringVar(&b.only, "only", "", "run only the comparisons whose name holds this text, such as \"A, 1 core\"")
			fs.StringVar(&b.measure, "measure", "", "run our side of this shape, A or B, and print its speed")
			fs.IntVar(&b.threads, "threads", 1, "with -measure: goroutines")
			fs.IntVar(&b.shard, "shard", shardRows, "with -measure: rows of a shard")
		},
		Check: b.check,
		Run:   b.run,
	}
}

func (b *bench) check() error {
	var faults []error
	for _, f := range []struct {
		name string
		ok   bool
	}{
		{"-rounds must be positive", b.rounds > 0},
		{"-seconds must be positive", b.seconds > 0},
		{"-threads must be positive", b.threads > 0},
		{"-shard must be positive", b.shard > 0},
		{"-measure must be A or B", b.measure == "" || shapes[b.measure].Layers > 0},
		{"-peers or FORESCALE_PEERS must name the directory of the peers", b.measure != "" || b.peers != ""},
	} {
		if !f.ok {
			faults = append(faults, errors.New(f.name))
		}
	}
	return errors.Join(faults...)
}

func (b *bench) run(ctx context.Context, _ []string) error {
	if b.measure != "" {
		return b.measureOurs(ctx, os.Stdout)
	}
	p, err := newPeer(ctx, b.peers)
	if err != nil {
		return err
	}
	var chosen []*comparison
	for _, c := range comparisons(p.avx512) {
		if strings.Contains(c.name(), b.only) {
			chosen = append(chosen, c)
		}
	}
	if len(chosen) == 0 {
		return cli.Usagef("-only: no comparison's name holds %q", b.only)
	}
	if !p.avx512 {
		fmt.Fprintln(os.Stderr, "this machine has no AVX-512: only AVX2 is compared")
	}
	seconds := fmt.Sprint(b.seconds)
	for round := range b.rounds {
		for _, c := range chosen {
			torch, err := p.torch(ctx, c, seconds)
			if err != nil {
				return err
			}
			ours, err := p.ours(ctx, c, seconds)
			if err != nil {
				return err
			}
			c.torch, c.ours = append(c.torch, torch), append(c.ours, ours)
			fmt.Fprintf(os.Stderr, "round %d of %d: %-18s PyTorch %6.0f, ours %6.0f samples/s, ratio %.2f; others used %.2f and %.2f cores\n",
				round+1, b.rounds, c.name(), torch.speed, ours.speed, ours.speed/torch.speed, torch.others, ours.others)
		}
	}
	return table(os.Stdout, chosen)
}

// measureOurs prints our speed in the form of the peer's speed.py.
func (b *bench) measureOurs(ctx context.Context, w io.Writer) error {
	s := newTrainee(b.measure, b.threads, b.shard)
	for range 5 {
		if err := s.step(); err != nil {
			return err
		}
	}
	var times []float64
	used := cpuSeconds()
	for begin := time.Now(); len(times) == 0 || time.Since(begin).Seconds() < b.seconds; {
		if err := ctx.Err(); err != nil {
			return err
		}
		start := time.Now()
		if err := s.step(); err != nil {
			return err
		}
		times = append(times, time.Since(start).Seconds())
	}
	_, err := fmt.Fprintln(w, s.line(times, cpuSeconds()-used))
	return err
}

// cpuSeconds returns the processor time that this process has used.
func cpuSeconds() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return math.NaN()
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}
