// Command forescale-server answers predictions over HTTP and shows, at /, what the
// system knows and does.
//
// It serves every model of the registry that -models names: on demand, and each
// new champion as soon as it has been verified, without a restart. -data is the
// data lake and journal that the web page shows; without it the page has no
// history. When it accepts connections, it prints one line
//
//	listening on http://127.0.0.1:8650
//
// on its standard output; its log goes to standard error. SIGTERM and SIGINT drain
// it: it becomes not ready, answers what it has accepted, and exits with 0.
//
// It needs the ONNX Runtime library: -onnxruntime, the environment variable
// FORESCALE_ONNXRUNTIME, lib/libonnxruntime.so* beside the executable, or the one
// that `make setup` fetches, in this order.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/calendar"
	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/internal/conf"
	"github.com/forescale/forescale/internal/dataset"
	"github.com/forescale/forescale/internal/journal"
	"github.com/forescale/forescale/internal/machine"
	"github.com/forescale/forescale/internal/obs"
	"github.com/forescale/forescale/internal/registry"
	"github.com/forescale/forescale/internal/reports"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/server"
	"github.com/forescale/forescale/server/access"
	"github.com/forescale/forescale/server/catalog"
	"github.com/forescale/forescale/server/ort"
)

const manual = `forescale-server answers predictions from the models of a registry.

  forescale-server -models file:///var/lib/forescale/models -data file:///var/lib/forescale/data
  curl -d @request.json -H 'Content-Type: application/json' http://127.0.0.1:8650/predict

The interface is described at /openapi.yaml; the web page is at /.`

func main() {
	p := &program{getenv: os.Getenv, stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr}
	cli.Main(p.command())
}

// program is one run of the command.
type program struct {
	getenv         func(string) string
	stdin          io.Reader
	stdout, stderr io.Writer

	file, models, data, listen, library string // flags; empty: not given
	exitWithStdin, replay               bool

	common   conf.Common
	cfg      server.Config
	calendar *calendar.Live // nil: none
}

func (p *program) command() cli.Command {
	return cli.Command{Name: "forescale-server", Manual: manual, Flags: p.flags, Check: p.check, Run: p.run}
}

func (p *program) flags(fs *flag.FlagSet) {
	fs.StringVar(&p.file, "config", "", "configuration `file`; the flags below override it")
	fs.StringVar(&p.models, "models", "", "`URL` of the model registry: file:///DIR or s3://BUCKET/PREFIX")
	fs.StringVar(&p.data, "data", "", "`URL` of the data lake and journal, for the web page")
	fs.StringVar(&p.listen, "listen", "", "`address` to listen on (default "+server.Defaults().Listen+"); port 0 takes a free one")
	fs.StringVar(&p.library, "onnxruntime", "", "`path` of libonnxruntime.so")
	fs.BoolVar(&p.exitWithStdin, "exit-with-stdin", false, "drain and exit when standard input ends, for a parent process that may be killed")
	fs.BoolVar(&p.replay, "replay", false, "the data carries the times of a recorded or simulated past")
}

// check reads the configuration and the flags over it, and returns every fault of
// both at once.
func (p *program) check() error {
	p.cfg = server.Defaults()
	var err error
	p.common, err = conf.Load(p.file, "server", &p.cfg)
	faults := []error{err}
	override(&p.common.Models, p.models)
	override(&p.common.Data, p.data)
	override(&p.cfg.Listen, p.listen)
	override(&p.cfg.ONNXRuntime, p.getenv("FORESCALE_ONNXRUNTIME"))
	override(&p.cfg.ONNXRuntime, p.library)
	p.cfg.Replay = p.cfg.Replay || p.replay
	if p.common.Models == "" && err == nil { // a file with faults may have meant to set it
		faults = append(faults, errors.New("models: is not set; name the model registry with -models or in the configuration"))
	}
	for name, url := range map[string]string{"models": p.common.Models, "data": p.common.Data} {
		if url == "" {
			continue
		}
		if err := blob.Check(context.Background(), url); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", name, err))
		}
	}
	if _, err := obs.NewLogger(io.Discard, p.common.Log.Level, p.common.Log.Format); err != nil {
		faults = append(faults, err)
	}
	if p.cfg.ONNXRuntime, err = ort.Find(p.cfg.ONNXRuntime); err != nil {
		faults = append(faults, err)
	}
	faults = append(faults, registry.Check(p.common))
	if p.common.Calendar != "" {
		p.calendar, err = calendar.Open(p.common.Calendar)
		faults = append(faults, err)
	}
	if err := p.cfg.Validate(); err != nil {
		return errors.Join(append(faults, err)...)
	}
	_, err = access.New(p.cfg.Config, time.Now) // reads the files of tokens
	faults = append(faults, err)
	if !p.cfg.Encrypts() {
		return errors.Join(faults...)
	}
	_, err = access.OpenTLS(p.cfg.TLS, time.Now)
	return errors.Join(append(faults, err)...)
}

func override(setting *string, flag string) {
	if flag != "" {
		*setting = flag
	}
}

func (p *program) run(ctx context.Context, args []string) error {
	if len(args) > 0 {
		return cli.Usagef("unexpected argument %q", args[0])
	}
	// Whoever reads the log may end before the server does, and it must not end with them.
	signal.Ignore(syscall.SIGPIPE)
	log, err := obs.NewLogger(p.stderr, p.common.Log.Level, p.common.Log.Format)
	if err != nil {
		return err
	}
	if err := machine.PreferThroughput(); err != nil { // a container may forbid it
		log.Debug("runs will be interrupted by requests that come in", "err", err)
	}
	if err := ort.Open(p.cfg.ONNXRuntime); err != nil {
		return err
	}
	log.Info("onnx runtime loaded", "version", ort.Version(), "path", p.cfg.ONNXRuntime)
	reg, err := registry.Open(ctx, p.common)
	if err != nil {
		return err
	}
	deps := server.Deps{
		Registry: models.NewWatch(reg), Models: reg, Load: p.load, Step: p.common.Step, Log: log, Now: time.Now,
		Listening: func(url string) { fmt.Fprintln(p.stdout, "listening on", url) },
	}
	if p.common.Data != "" {
		data, err := blob.Open(ctx, p.common.Data)
		if err != nil {
			return fmt.Errorf("data: %w", err)
		}
		deps.Samples, deps.Journal, deps.Backtests = samples{dataset.New(data), p.common.Step}, records{journal.New(data)}, reports.New(data)
	}
	if p.calendar != nil {
		deps.Calendar = p.calendar
	}
	s, err := server.New(p.cfg, deps)
	if err != nil {
		return err
	}
	if p.exitWithStdin {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		defer cancel()
		go func() { // ends with standard input, at the latest with the process
			_, _ = io.Copy(io.Discard, p.stdin) // any end of it is the end
			log.Info("standard input has ended")
			cancel()
		}()
	}
	if p.calendar == nil {
		return s.Run(ctx)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { _ = p.calendar.Watch(ctx, p.common.Step, log) }() // ends with ctx, and returns nothing else
	return s.Run(ctx)
}

// load makes a session of a model file. A nil *ort.Session must not become a
// Session that is not nil.
func (p *program) load(model []byte) (catalog.Session, error) {
	s, err := ort.Load(model, ort.Options{Threads: p.cfg.RunThreads()})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// samples shows the dataset to the server.
type samples struct {
	data *dataset.Dataset
	step time.Duration
}

// Scan implements server.Samples.
func (s samples) Scan(ctx context.Context, group string, from, to time.Time) ([]api.Sample, error) {
	return s.data.Scan(ctx, dataset.Query{Groups: []string{group}, From: from, To: to})
}

// Groups implements server.Samples.
func (s samples) Groups(ctx context.Context, from, to time.Time) ([]string, error) {
	return s.data.Groups(ctx, from, to)
}

// Newest implements server.Samples: out of recent/, which has them in one object for
// each shard of the groups, and otherwise out of the parts of these slots.
func (s samples) Newest(ctx context.Context, from, to time.Time) ([]api.Sample, error) {
	recent, err := s.data.Recent(ctx, dataset.Want{At: to, Step: s.step, Newest: int(to.Sub(from) / s.step)})
	if errors.Is(err, dataset.ErrNotRecent) {
		return s.data.Scan(ctx, dataset.Query{From: from, To: to})
	}
	if recent == nil || err != nil && !dataset.OnlyCorrupt(err) {
		return nil, err
	}
	var found []api.Sample
	for _, group := range recent.Groups() {
		recent.Each(group, func(c dataset.Column) {
			for i, value := range c.Values {
				if at := c.From.Add(time.Duration(i) * s.step); !math.IsNaN(value) && !at.Before(from) && at.Before(to) {
					found = append(found, api.Sample{Group: group, Metric: c.Metric, Stat: c.Stat, Time: at, Value: value})
				}
			}
		})
	}
	return found, err
}

// Mark implements server.Marker.
func (s samples) Mark(ctx context.Context, from time.Time) (string, error) {
	mark, err := s.data.Mark(ctx, from)
	return strconv.FormatUint(mark, 16), err
}

// records shows the journal to the server.
type records struct{ *journal.Journal }

// Latest implements server.Journal.
func (r records) Latest(ctx context.Context, before time.Time) (api.TickRecord, bool, error) {
	rec, err := r.Journal.Latest(ctx, before)
	if errors.Is(err, blob.ErrNotFound) {
		return rec, false, nil
	}
	return rec, err == nil, err
}
