package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/forescale/forescale/internal/file"
	"github.com/forescale/forescale/internal/registry"
	"github.com/forescale/forescale/internal/score"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/trainer"
	"github.com/forescale/forescale/trainer/batch"
)

// deliver writes the files into dir and registers the model under its name. The
// registry comes last, since it makes the model visible; it decides the version,
// which then goes into the manifest. It is safe for concurrent use on different
// directories.
func (p *program) deliver(ctx context.Context, r *trainer.Result, name, dir string) (batch.Outcome, error) {
	m := r.Manifest
	m.Name = name
	if err := write(dir, r, m); err != nil {
		return batch.Outcome{}, err
	}
	if p.common.Models != "" {
		registered, err := p.register(ctx, m, r.Model)
		if err != nil {
			if ctx.Err() != nil && !p.many.all {
				fmt.Fprintf(p.stderr, "stopped; the files are in %s, but the model is not registered\n", dir)
			}
			return batch.Outcome{}, fmt.Errorf("register in %s: %w; the model itself is in %s", p.common.Models, file.Advise(err), dir)
		}
		m = registered
		manifest, err := encodeManifest(m)
		if err != nil {
			return batch.Outcome{}, err
		}
		if err := file.Replace(filepath.Join(dir, manifestFile), manifest); err != nil {
			return batch.Outcome{}, err
		}
	}
	if !p.many.all {
		for _, note := range r.Notes {
			fmt.Fprintln(p.stderr, note)
		}
		p.summarise(r, m)
	}
	return outcome(r, m), nil
}

// outcome is what the summary of a run says of a delivered model.
func outcome(r *trainer.Result, m models.Manifest) batch.Outcome {
	t := r.Report.Training
	o := batch.Outcome{Model: m.Name, Version: m.Version, Samples: int(math.Round(t.SamplesPerSecond * t.Seconds)),
		Note: strings.Join(r.Notes, "; ")}
	if n := len(r.Report.Horizons); n > 0 {
		o.First, o.Last = brief(r.Report.Horizons[0]), brief(r.Report.Horizons[n-1])
	}
	return o
}

// brief keeps persistence of the baselines.
func brief(h models.HorizonScore) *models.HorizonScore {
	naive, ok := h.Baselines[score.Persistence]
	h.Baselines = nil
	if ok {
		h.Baselines = map[string]models.Score{score.Persistence: naive}
	}
	return &h
}

// register makes the model the next version of its name and returns its manifest.
func (p *program) register(ctx context.Context, m models.Manifest, model []byte) (models.Manifest, error) {
	r, err := registry.OpenToWrite(ctx, p.common)
	if err != nil {
		return m, err
	}
	return r.Put(ctx, m, model)
}

// makeOut makes the output directory and proves that it can be written to.
func makeOut(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	probe, err := os.CreateTemp(dir, ".probe.*")
	if err != nil {
		return err
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// write puts the files into a directory: all, or none where one finds no room.
func write(dir string, r *trainer.Result, m models.Manifest) error {
	var report, predictions bytes.Buffer
	if err := r.Report.Write(&report); err != nil {
		return err
	}
	if err := r.Predictions.Write(&predictions); err != nil {
		return err
	}
	manifest, err := encodeManifest(m)
	if err != nil {
		return err
	}
	return file.ReplaceAll(
		file.Content{Path: filepath.Join(dir, "model.onnx"), Data: r.Model},
		file.Content{Path: filepath.Join(dir, "predictions.csv"), Data: predictions.Bytes()},
		file.Content{Path: filepath.Join(dir, "report.json"), Data: report.Bytes()},
		file.Content{Path: filepath.Join(dir, manifestFile), Data: manifest},
	)
}

func encodeManifest(m models.Manifest) ([]byte, error) {
	b, err := json.MarshalIndent(m, "", "  ")
	return append(b, '\n'), err
}

// manifestFile is written last: where it is, the others are.
const manifestFile = "manifest.json"

// tell writes and pushes the metrics of a run. A push that fails is a warning: the
// models are delivered, and their metrics are not worth a failed run. It goes on
// although ctx has ended: a run that was stopped is told of, too.
func (p *program) tell(ctx context.Context, s batch.Summary) error {
	m := &p.many
	if m.gateway != nil {
		if err := s.Push(context.WithoutCancel(ctx), *m.gateway, m.shard, m.byGroup); err != nil {
			fmt.Fprintf(p.stderr, "warning: %v\n", err)
		}
	}
	if m.metricsFile == "" {
		return nil
	}
	return s.WriteMetrics(m.metricsFile, m.shard, m.byGroup)
}

// summarise prints the errors on the test part beside those of the baselines.
func (p *program) summarise(r *trainer.Result, m models.Manifest) {
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "ahead\tn\tMAE\tR2\tWAPE\tpersistence MAE\tday before MAE\t")
	for _, h := range r.Report.Horizons {
		fmt.Fprintf(w, "%g min\t%d\t%.4g\t%.4f\t%.4f\t%.4g\t%.4g\t\n", h.Minutes, h.N, h.Model.MAE, h.Model.R2, h.Model.WAPE,
			h.Baselines[score.Persistence].MAE, h.Baselines[score.SeasonalNaiveDay].MAE)
	}
	_ = w.Flush() // a closed standard output does not make the model worse
	fmt.Fprintf(p.stdout, "%s: %d epochs in %.1f s, %.0f samples/s; model %.12s in %s\n", r.Report.Target,
		r.Report.Training.Epochs, r.Report.Training.Seconds, r.Report.Training.SamplesPerSecond, r.Report.ModelSHA256, p.out)
	if m.Version > 0 {
		fmt.Fprintf(p.stdout, "registered as %s version %d\n", m.Name, m.Version)
	}
}
