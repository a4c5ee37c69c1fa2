package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"github.com/forescale/forescale/collector/sources"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/internal/conf"
	"github.com/forescale/forescale/scaler"
	"github.com/forescale/forescale/server"
)

const doctorManual = `forescale doctor looks at an installation as a whole and says what is wrong with it,
what that means, and what to do: configuration, credentials and permissions, clocks,
the stores and their conditional writes, the sources, two weeks of history, the
settings of each group and who else scales it, models, the server, ONNX Runtime and
the calendar.

  forescale doctor -config forescale.yaml
  forescale doctor -config forescale.yaml -o json      for programs

Run it where the collector and the scaler run, as the user that they run as: it uses
their credentials. It changes nothing: AWS is asked what it tells readers, and whether
it would let us set a size by a size that no group can have (-1). In each store it
writes an object below doctor/, changes it, and removes it. Each source is read once,
as a tick does, which CloudWatch bills as a tick.

Levels: ok; note, for you to know; warning, works and will disappoint; error, does
not work or is not safe. It exits with 1 when there is an error, otherwise with 0.`

// checkTime bounds each check. Whoever does not answer by then would not in a tick.
const checkTime = 30 * time.Second

// doctor is the command line, and what it examines.
type doctor struct {
	config, output string
	out            io.Writer
	getenv         func(string) string
	now            func() time.Time

	common     conf.Common
	scaling    scaler.Config
	collecting sources.Config
	serving    server.Config
	quiet      *slog.Logger                      // for drivers: what they have to say is in the findings
	lake       blob.Store                        // nil: there is none that can be read
	seen       map[string]types.AutoScalingGroup // by our name of the group; nil: none could be read
	served     bool                              // the prediction server answers us
	report     diagnosis
}

func doctorCommand() cli.Command {
	d := &doctor{out: os.Stdout, getenv: os.Getenv, now: time.Now, quiet: slog.New(slog.DiscardHandler)}
	return cli.Command{Name: "forescale doctor", Manual: doctorManual, Flags: d.flags, Check: d.check, Run: d.run}
}

func (d *doctor) flags(fs *flag.FlagSet) {
	fs.StringVar(&d.config, "config", "", "configuration `FILE` of the installation")
	fs.StringVar(&d.output, "o", "table", "`FORM`: table or json")
}

// check judges the command line alone: faults of the configuration are findings.
func (d *doctor) check() error {
	var faults []error
	if d.config == "" {
		faults = append(faults, errors.New("-config FILE is needed: it says which installation is meant"))
	}
	if d.output != "table" && d.output != "json" {
		faults = append(faults, fmt.Errorf("-o: %q is not table or json", d.output))
	}
	return errors.Join(faults...)
}

// examination is one of the doctor's checks: what it is about, and who does it.
type examination struct {
	name string
	do   func(context.Context, *section)
}

func (d *doctor) run(ctx context.Context, args []string) error {
	if len(args) > 0 {
		return cli.Usagef("unexpected argument %q", args[0])
	}
	d.report = diagnosis{CheckedAt: d.now().UTC().Truncate(time.Second), Config: d.config, Findings: []symptom{}}
	page := terminalOf(d.out, d.getenv)
	examine := func(e examination) error {
		s := section{check: e.name}
		timed, cancel := context.WithTimeout(ctx, checkTime)
		defer cancel()
		e.do(timed, &s)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		d.report.add(s.found)
		if d.output == "table" {
			return printSymptoms(d.out, page, s.found)
		}
		return nil
	}
	readable := false
	if err := examine(examination{"configuration", func(_ context.Context, s *section) { readable = d.configuration(s) }}); err != nil {
		return err
	}
	if readable {
		for _, e := range []examination{
			{"calendar", d.calendar}, {"store", d.stores}, {"credentials", d.provider}, {"groups", d.groups},
			{"sources", d.sources}, {"history", d.history}, {"models", d.models}, {"server", d.server}, {"onnxruntime", d.runtime}, {"scaler", d.scaler},
		} {
			if err := examine(e); err != nil {
				return err
			}
		}
	}
	return d.conclude()
}

// conclude writes the sum, or the whole as JSON, and fails when there is an error.
func (d *doctor) conclude() error {
	r := &d.report
	if d.output == "json" {
		e := json.NewEncoder(d.out)
		e.SetIndent("", "  ")
		if err := e.Encode(r); err != nil {
			return err
		}
	} else if _, err := fmt.Fprintf(d.out, "\n%s, %s, %d notes, %d ok\n", counted(r.Errors, "error"), counted(r.Warnings, "warning"), r.Notes, r.OK); err != nil {
		return err
	}
	if r.Errors > 0 {
		return fmt.Errorf("%s found: see above", counted(r.Errors, "error"))
	}
	return nil
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
