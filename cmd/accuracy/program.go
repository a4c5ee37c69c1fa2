package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/internal/file"
	"github.com/forescale/forescale/trainer"
	"github.com/forescale/forescale/trainer/accuracy"
)

// document is where the figures go that people are to trust.
var document = filepath.Join("docs", "accuracy.md")

// program is the command line.
type program struct {
	config    accuracy.Config
	only      string
	out, json string

	stdout, stderr io.Writer // nil: the process's
}

func (p *program) command() cli.Command {
	return cli.Command{Name: "accuracy", Manual: cli.PackageComment(source), Flags: p.flags, Check: p.check, Run: p.run}
}

func (p *program) flags(fs *flag.FlagSet) {
	c := &p.config
	fs.StringVar(&c.Traces, "traces", os.Getenv("FORESCALE_TRACES"), "`DIR` of the traces; default $FORESCALE_TRACES")
	fs.StringVar(&c.Manifest, "manifest", "", "`FILE` that lists them (default: DIR/manifest.csv)")
	fs.StringVar(&c.Baselines, "baselines", "", "`FILE` with other forecasters' errors (default: DIR/baselines.csv where it is there)")
	fs.StringVar(&p.only, "only", "", "measure these traces only, `A,B`")
	fs.StringVar(&c.Preset, "preset", trainer.PresetDefault, "recipe `NAME`: "+strings.Join(trainer.Presets(), ", "))
	fs.Uint64Var(&c.Seed, "seed", 1, "`NUMBER` that all randomness follows from")
	fs.IntVar(&c.Workers, "workers", 0, "`N` goroutines (default: one per processor); no figure depends on it")
	fs.BoolVar(&c.Dev, "dev", false, "cut the last fifth off every trace first: for choosing between recipes")
	fs.StringVar(&p.out, "out", "", "`FILE` for the document, - for standard output (default: "+document+"; with -dev or -only: -)")
	fs.StringVar(&p.json, "json", "", "`FILE` for all figures, with the times")
	fs.StringVar(&c.Cache, "cache", filepath.Join(".cache", "accuracy"), "`DIR` for finished traces; empty: none")
	fs.BoolVar(&c.Fresh, "fresh", false, "measure every trace again")
	fs.StringVar(&c.Program, "program", "", "`ID` of the code that trains, for the cache (default: a hash of this program)")
}

func (p *program) check() error {
	var faults []error
	if p.only != "" {
		p.config.Only = strings.Split(p.only, ",")
	}
	if p.out == "" {
		p.out = document
		if p.config.Dev || p.only != "" {
			p.out = "-"
		}
	}
	faults = append(faults, checkPlace("-out", p.out), checkPlace("-json", p.json))
	if p.config.Dev && filepath.Clean(p.out) == document {
		faults = append(faults, fmt.Errorf("-out: %s is about whole traces; -dev writes elsewhere", document))
	}
	if p.config.Traces == "" {
		return errors.Join(append(faults, errors.New("-traces or FORESCALE_TRACES must name the folder of the traces"))...)
	}
	return errors.Join(append(faults, p.config.Validate())...)
}

// checkPlace reports a file that could not be written: before the measurement, which
// may take an hour, not after it.
func checkPlace(flag, path string) error {
	if path == "" || path == "-" {
		return nil
	}
	if info, err := os.Stat(filepath.Dir(path)); err != nil || !info.IsDir() {
		return fmt.Errorf("%s: there is no folder %s", flag, filepath.Dir(path))
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return fmt.Errorf("%s: %s is a folder", flag, path)
	}
	return nil
}

func (p *program) run(ctx context.Context, args []string) error {
	if len(args) > 0 {
		return cli.Usagef("unexpected argument %q", args[0])
	}
	if p.stdout == nil {
		p.stdout, p.stderr = os.Stdout, os.Stderr
	}
	p.config.Log = p.stderr
	if p.config.Now == nil {
		p.config.Now = time.Now
	}
	if p.config.Program == "" {
		id, err := ownHash()
		if err != nil {
			return err
		}
		p.config.Program = id
	}
	r, err := accuracy.Run(ctx, p.config)
	if err != nil {
		return err
	}
	return p.deliver(r)
}

// ownHash returns a hash of the running program.
func ownHash() (string, error) {
	path, err := os.Executable()
	if err != nil {
		return "", err
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// deliver writes the document and the figures.
func (p *program) deliver(r *accuracy.Results) error {
	var files []file.Content
	text := r.Markdown()
	if p.out != "-" {
		files = append(files, file.Content{Path: p.out, Data: text})
	} else if _, err := p.stdout.Write(text); err != nil {
		return err
	}
	if p.json != "" {
		b, err := r.JSON()
		if err != nil {
			return err
		}
		files = append(files, file.Content{Path: p.json, Data: b})
	}
	return file.ReplaceAll(files...)
}
