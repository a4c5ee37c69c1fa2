package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/forescale/forescale/cmd/forescale/demo"
	"github.com/forescale/forescale/internal/cli"
)

const demoManual = `forescale demo replays a workload through the whole pipeline, on this machine
and without a cloud account: a simulated cloud that speaks the AWS protocols on
loopback, the collector, the trainer, the inference server and the scaler. Two
groups live through the same load, one steered by forecasts, one by its measured
CPU. It ends with what that cost and what it saved.

  forescale demo                                            # a generated workload, live in the terminal
  forescale demo -headless -report demo.json                # no terminal, as fast as it can
  forescale demo -trace load.csv.gz -target request_count   # your own history: its last two days, live

A trace is a CSV, gzipped or not, with a column timestamp and a column of load
(requests, CPU, anything that grows with demand). Columns is_… are taken for
calendar flags, known in advance.`

// interactiveTicksPerSecond makes two days last about a minute.
const interactiveTicksPerSecond = 10

func demoCommand() cli.Command {
	c := demo.Config{Out: os.Stdout}
	var headless bool
	var report string
	check := func() error {
		var faults []error
		if c.Steps < 0 {
			faults = append(faults, fmt.Errorf("-steps %d: must not be negative", c.Steps))
		}
		if c.Lead < 0 || c.Lead%time.Minute != 0 || c.Lead > time.Hour {
			faults = append(faults, fmt.Errorf("-lead %s: must be whole minutes, at most an hour", c.Lead))
		}
		if c.Target != "" && c.Trace == "" {
			faults = append(faults, errors.New("-target needs -trace"))
		}
		if c.TicksPerSecond < 0 {
			faults = append(faults, fmt.Errorf("-pace %g: must not be negative", c.TicksPerSecond))
		}
		if report != "" {
			if info, err := os.Stat(filepath.Dir(report)); err != nil {
				faults = append(faults, fmt.Errorf("-report: %w", err))
			} else if !info.IsDir() {
				faults = append(faults, fmt.Errorf("-report: %s is not a folder", filepath.Dir(report)))
			}
		}
		return errors.Join(faults...)
	}
	return cli.Command{
		Name: "forescale demo", Manual: demoManual, Check: check,
		Flags: func(fs *flag.FlagSet) {
			fs.BoolVar(&headless, "headless", false, "do not draw; run as fast as the machine can (the default when stdout is no terminal)")
			fs.StringVar(&report, "report", "", "write the summary as JSON to this `FILE`")
			fs.StringVar(&c.Trace, "trace", "", "replay this CSV or CSV.gz `FILE` instead of a generated workload")
			fs.StringVar(&c.Target, "target", "", "`COLUMN` of the trace that is the load; may be left out when there is only one")
			fs.IntVar(&c.Steps, "steps", 0, "`SLOTS` to replay live; the rest is history (default two days)")
			fs.Uint64Var(&c.Seed, "seed", 1, "seed of the workload and of training")
			fs.DurationVar(&c.Lead, "lead", 5*time.Minute, "time from the order of an instance until it serves")
			fs.Float64Var(&c.TicksPerSecond, "pace", 0, "ticks a second (default 10 in a terminal, otherwise as fast as it can)")
			fs.StringVar(&c.Dir, "dir", "", "keep lake, models and logs in this `DIR` (default: a temporary folder, removed at the end)")
			fs.StringVar(&c.Server, "server", "", "`PATH` of forescale-server (default: beside this program, then PATH)")
		},
		Run: func(ctx context.Context, args []string) error {
			if len(args) > 0 {
				return cli.Usagef("unexpected argument %q", args[0])
			}
			if !headless {
				c.Screen = demo.NewScreen(os.Stdout)
			}
			if c.Screen != nil && c.TicksPerSecond == 0 {
				c.TicksPerSecond = interactiveTicksPerSecond
			}
			return runDemo(ctx, c, report, os.Stdout)
		},
	}
}

func runDemo(ctx context.Context, c demo.Config, report string, out io.Writer) error {
	result, err := demo.Run(ctx, c)
	if err != nil {
		if ctx.Err() != nil {
			fmt.Fprintln(out, "stopped")
		}
		return err
	}
	if report != "" {
		if err := result.Write(report); err != nil {
			return err
		}
	}
	if result.Errors > 0 {
		return fmt.Errorf("%d errors on the way; the summary names the first", result.Errors)
	}
	return nil
}
