package main

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"github.com/forescale/forescale/internal/file"
	"github.com/forescale/forescale/models/gate"
)

// watchSpace begins the names of the metrics of forescale watch.
const watchSpace = "forescale_watch"

// writeMetrics replaces the file of -metrics by what was found, in Prometheus' text
// format.
func (w *watch) writeMetrics(found []finding, failed bool) error {
	registry := prometheus.NewRegistry()
	vec := func(name, help string, labels ...string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: watchSpace, Name: name, Help: help}, labels)
		registry.MustRegister(g)
		return g
	}
	version := vec("champion_version", "Version that served when the model was looked at.", "model")
	slots := vec("live_slots", "Slots since the promotion with a forecast and a measured value.", "model", "level")
	share := vec("live_coverage_ratio", "Share of measured values at or below the quantile of a level.", "model", "level")
	out := vec("coverage_out_of_band", "1 when the live coverage has left its band.", "model")
	back := vec("rolled_back", "1 when this run rolled the model back.", "model")
	index := vec("input_stability_index", "Population stability index of an input beside its training.", "model", "group", "series", "span")
	drift := vec("retraining_asked", "1 when drift asks for a retraining.", "model", "group")
	for _, f := range found {
		model := label(f.Model)
		version.WithLabelValues(model).Set(float64(f.Version))
		out.WithLabelValues(model).Set(binary(f.Return.Alert))
		back.WithLabelValues(model).Set(binary(f.RolledBackTo > 0))
		for _, n := range f.Live.Counts {
			level := strconv.FormatFloat(n.Level, 'g', -1, 64)
			slots.WithLabelValues(model, level).Set(float64(n.Slots))
			if n.Slots > 0 {
				share.WithLabelValues(model, level).Set(float64(n.Covered) / float64(n.Slots))
			}
		}
		for group, d := range f.Drift {
			drift.WithLabelValues(model, label(group)).Set(binary(d.Retrain))
			for _, s := range f.inputs[group] {
				for span, late := range map[string]gate.Histogram{"day": s.Day, "week": s.Week} {
					if psi := gate.PSI(s.Training, late); !math.IsNaN(psi) {
						index.WithLabelValues(model, label(group), label(s.Name), span).Set(psi)
					}
				}
			}
		}
	}
	vec("last_run_timestamp_seconds", "When the models were last looked at.").WithLabelValues().Set(float64(w.now().UnixMilli()) / 1000)
	vec("last_run_failed", "1 when something could not be looked at.").WithLabelValues().Set(binary(failed))
	families, err := registry.Gather()
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	var text bytes.Buffer
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&text, f); err != nil {
			return fmt.Errorf("metrics: %w", err)
		}
	}
	return file.Advise(file.Replace(w.metrics, text.Bytes()))
}

func binary(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// label returns a name as Prometheus takes it.
func label(name string) string { return strings.ToValidUTF8(name, "\uFFFD") }
