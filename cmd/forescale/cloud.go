package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/forescale/forescale/cmd/forescale/demo"
	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/internal/fleet"
)

const cloudManual = `forescale cloud runs the simulated cloud on its own: CloudWatch and EC2 Auto
Scaling on one loopback address, in the real wire protocols, over a generated or
a recorded load. Its clock begins at the wall clock's present with weeks of history behind
it, so that the other programs work against it as against a real account:

  forescale cloud -listen 127.0.0.1:4570
  forescale-collector -config forescale.yaml -backfill 14d

with aws.cloudwatch_endpoint and aws.autoscaling_endpoint set to its address in
forescale.yaml. The AWS SDK signs what it sends and wants credentials; any will do
(AWS_ACCESS_KEY_ID=x AWS_SECRET_ACCESS_KEY=x). The simulated cloud asks for no
authentication and therefore listens on loopback alone, unless -allow-anonymous says
that whoever reaches it may use it, as in a network of containers of its own.`

const (
	day = 24 * time.Hour
	// daysAhead is how long a generated load goes on after its history, at least,
	// with the week that shift may move it back by.
	daysAhead = 28 + 7
	// maxHistory is what CloudWatch keeps of five-minute values, roughly.
	maxHistory = 90 * day
)

func cloudCommand() cli.Command {
	var c demo.Workload
	var listen, group string
	var anonymous bool
	var history time.Duration
	var lead time.Duration
	return cli.Command{
		Name: "forescale cloud", Manual: cloudManual,
		Flags: func(fs *flag.FlagSet) {
			fs.StringVar(&listen, "listen", "127.0.0.1:4570", "loopback `ADDRESS` to listen on")
			fs.BoolVar(&anonymous, "allow-anonymous", false, "permit any address for -listen, although there is no authentication")
			fs.StringVar(&group, "group", "web", "`NAME` of the Auto Scaling Group; its load balancer is app/NAME")
			fs.StringVar(&c.Trace, "trace", "", "replay this CSV or CSV.gz `FILE` instead of a generated load")
			fs.StringVar(&c.Target, "target", "", "`COLUMN` of the trace that is the load")
			fs.Uint64Var(&c.Seed, "seed", 1, "seed of the generated load")
			fs.DurationVar(&history, "history", 21*day, "how much of the load lies in the past when it starts")
			fs.DurationVar(&lead, "lead", 5*time.Minute, "time from the order of an instance until it serves")
		},
		Check: func() error {
			var faults []error
			host, _, err := net.SplitHostPort(listen)
			switch ip := net.ParseIP(host); {
			case err != nil:
				faults = append(faults, fmt.Errorf("-listen %q: must be HOST:PORT", listen))
			case !anonymous && host != "localhost" && (ip == nil || !ip.IsLoopback()):
				faults = append(faults, fmt.Errorf("-listen %q: must be on loopback, or with -allow-anonymous", listen))
			}
			if history <= 0 || history > maxHistory {
				faults = append(faults, fmt.Errorf("-history %s: must be positive and at most %s", history, maxHistory))
			}
			if group == "" {
				faults = append(faults, errors.New("-group is empty"))
			}
			return errors.Join(faults...)
		},
		Run: func(ctx context.Context, args []string) error {
			if len(args) > 0 {
				return cli.Usagef("unexpected argument %q", args[0])
			}
			now := time.Now()
			d, err := c.Demand(int(history/day) + daysAhead)
			if err != nil {
				return err
			}
			if d = shift(d, now, history); !d.End().After(now) {
				return cli.Usagef("-history %s: the load lasts only %s, and is moved by whole weeks; give less history, or a longer -trace",
					history, d.End().Sub(d.Start))
			}
			cloud, err := fleet.New(fleet.Config{
				Start: d.Start, Now: now, Seed: c.Seed,
				Groups: []fleet.GroupConfig{{Name: group, Demand: d, Lead: fleet.Lead{Minutes: lead.Minutes()}}},
			})
			if err != nil {
				return err
			}
			return serveCloud(ctx, cloud, listen, os.Stdout)
		},
	}
}

// shift returns the same load moved in time, by whole weeks so that its weekdays
// stay, such that at least history of it lies before now.
func shift(d *fleet.Demand, now time.Time, history time.Duration) *fleet.Demand {
	const week = 7 * day
	moved := *d
	moved.Start = d.Start.Add(now.Add(-history).Sub(d.Start) / week * week)
	if moved.Start.After(now.Add(-history)) {
		moved.Start = moved.Start.Add(-week)
	}
	return &moved
}

func serveCloud(ctx context.Context, cloud *fleet.Cloud, listen string, out io.Writer) error {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "listening on http://%s, load until %s\n", l.Addr(), cloud.End().Format(time.RFC3339))
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return fleet.Serve(ctx, l, cloud) })
	g.Go(func() error {
		if err := cloud.Run(ctx, 1); !errors.Is(err, fleet.ErrEnd) {
			return err
		}
		return errors.New("the load has ended; start again, or give a longer -trace")
	})
	return g.Wait()
}
