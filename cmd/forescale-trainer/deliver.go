package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"text/tabwriter"

	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/score"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/trainer"
)

// deliver writes the files, registers the model and prints how good it is. The
// registry comes last, since it makes the model visible; it decides the version,
// which then goes into the manifest.
func (p *program) deliver(ctx context.Context, r *trainer.Result) error {
	m := r.Manifest
	m.Name = p.name
	if m.Name == "" {
		m.Name = p.group
	}
	if err := p.write(r, m); err != nil {
		return err
	}
	if p.common.Models != "" {
		registered, err := p.register(ctx, m, r.Model)
		if err != nil {
			if ctx.Err() != nil {
				fmt.Fprintf(p.stderr, "stopped; the files are in %s, but the model is not registered\n", p.out)
			}
			return fmt.Errorf("register in %s: %w; the model itself is in %s", p.common.Models, err, p.out)
		}
		m = registered
		if err := p.writeManifest(m); err != nil {
			return err
		}
	}
	for _, note := range r.Notes {
		fmt.Fprintln(p.stderr, note)
	}
	p.summarise(r, m)
	return nil
}

// register makes the model the next version of its name and returns its manifest.
func (p *program) register(ctx context.Context, m models.Manifest, model []byte) (models.Manifest, error) {
	store, err := blob.Open(ctx, p.common.Models)
	if err != nil {
		return m, err
	}
	return models.NewRegistry(store).Put(ctx, m, model)
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

// write puts the files into the output directory, the manifest last.
func (p *program) write(r *trainer.Result, m models.Manifest) error {
	var report, predictions bytes.Buffer
	if err := r.Report.Write(&report); err != nil {
		return err
	}
	if err := r.Predictions.Write(&predictions); err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		data []byte
	}{
		{"model.onnx", r.Model}, {"predictions.csv", predictions.Bytes()},
		{"report.json", report.Bytes()},
	} {
		if err := writeFile(filepath.Join(p.out, f.name), f.data); err != nil {
			return err
		}
	}
	return p.writeManifest(m)
}

func (p *program) writeManifest(m models.Manifest) error {
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(p.out, "manifest.json"), append(b, '\n'))
}

// writeFile replaces a file as a whole: whoever reads it sees the old content or
// the new.
func writeFile(path string, data []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	if err = os.Chmod(f.Name(), 0o644); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
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
