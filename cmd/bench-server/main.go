// Command bench-server measures the inference server beside ONNX Runtime itself and
// beside other servers, and prints ratios.
//
// Absolute figures differ from machine to machine; what counts are the ratios of
// rivals that ran in turn, several rounds of it, by their medians. Each server is
// pinned to the last core and the load to the first. Processor time comes from the
// operating system (/proc), latency in the closed loop from wrk, and in the open loop
// from a generator of our own with Poisson arrivals, which counts from the moment at
// which a request was due and not from when it could be sent. A machine that does
// other work at the same time makes the figures worthless; the share that others
// used is printed beside them.
//
// The peers are those of FORESCALE_PEERS: serve/node (fastify and onnxruntime-node,
// with and without micro-batching; npm ci in it first, or name a copy with -node) and
// serve/python (FastAPI with PyTorch). A peer that is not installed is left out, and
// said to be.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/forescale/forescale/internal/cli"
)

func main() { cli.Main(new(bench).command()) }

// bench is the command line.
type bench struct {
	peers, node, server, library string
	rounds                       int
	seconds                      float64
	only                         string
	memory                       bool

	measure string // part of the measuring that runs in a process of its own
	model   string
	url     string
	body    string
	rate    float64
}

func (b *bench) command() cli.Command {
	return cli.Command{
		Name:   "bench-server",
		Manual: "measures the inference server beside ONNX Runtime and other servers and prints a table of ratios",
		Flags: func(fs *flag.FlagSet) {
			fs.StringVar(&b.peers, "peers", os.Getenv("FORESCALE_PEERS"), "directory of the peers, with models and serve; default $FORESCALE_PEERS")
			fs.StringVar(&b.node, "node", "", "directory of the Node peer with its node_modules; default serve/node of the peers")
			fs.StringVar(&b.server, "server", "bin/forescale-server", "our server")
			fs.StringVar(&b.library, "onnxruntime", os.Getenv("FORESCALE_ONNXRUNTIME"), "libonnxruntime.so; default $FORESCALE_ONNXRUNTIME")
			fs.IntVar(&b.rounds, "rounds", 5, "rounds over all rivals")
			fs.Float64Var(&b.seconds, "seconds", 5, "length of one run, s")
			fs.StringVar(&b.only, "only", "", "measure only the rivals whose name holds this text, and raw ONNX Runtime")
			fs.BoolVar(&b.memory, "memory", true, "measure memory too: 300 reloads under load")
			fs.StringVar(&b.measure, "measure", "", "used by the program itself: raw or open")
			fs.StringVar(&b.model, "model", "", "with -measure raw: the model")
			fs.StringVar(&b.url, "url", "", "with -measure open: where to post")
			fs.StringVar(&b.body, "body", "", "with -measure open: file with the body")
			fs.Float64Var(&b.rate, "rate", 0, "with -measure open: requests a second")
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
		{"-measure must be raw or open", b.measure == "" || b.measure == "raw" || b.measure == "open"},
		{"-measure open needs -url, -body and a positive -rate", b.measure != "open" || b.url != "" && b.body != "" && b.rate > 0},
		{"-peers or FORESCALE_PEERS must name the directory of the peers", b.measure != "" || b.peers != ""},
		{"-onnxruntime or FORESCALE_ONNXRUNTIME must name the library", b.measure == "open" || b.library != ""},
	} {
		if !f.ok {
			faults = append(faults, errors.New(f.name))
		}
	}
	return errors.Join(faults...)
}

func (b *bench) duration() time.Duration { return time.Duration(b.seconds * float64(time.Second)) }

func (b *bench) run(ctx context.Context, _ []string) error {
	switch b.measure {
	case "raw":
		return measureRaw(ctx, b.library, b.model, b.duration(), os.Stdout)
	case "open":
		return measureOpen(ctx, b.url, b.body, b.rate, b.duration(), os.Stdout)
	}
	w, err := newWorkshop(ctx, b)
	if err != nil {
		return err
	}
	defer w.close()
	var all results
	for round := range b.rounds {
		if err := w.round(ctx, &all, fmt.Sprintf("round %d of %d", round+1, b.rounds)); err != nil {
			return err
		}
	}
	if b.memory {
		if err := w.measureMemory(ctx, &all); err != nil {
			return err
		}
	}
	return all.print(os.Stdout)
}
