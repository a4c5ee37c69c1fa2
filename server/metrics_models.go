package server

import (
	"math"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/server/catalog"
)

// modelMetrics tell of the versions that serve, from their manifests, at each
// scrape. Nothing is to be forgotten then when a version goes.
type modelMetrics struct {
	status                                    func() ([]catalog.Status, catalog.RegistryStatus)
	version, created, trained, score, failing *prometheus.Desc
	registryUnreadable                        *prometheus.Desc
}

func newModelMetrics(status func() ([]catalog.Status, catalog.RegistryStatus)) *modelMetrics {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("forescale_"+name, help, labels, nil)
	}
	return &modelMetrics{status: status,
		version:            desc("model_version", "Version of the model that serves.", "model"),
		created:            desc("model_created_timestamp_seconds", "Unix time at which the version that serves was made.", "model"),
		trained:            desc("model_trained_until_timestamp_seconds", "Unix time of the end of the newest slot that the version that serves was fitted to.", "model"),
		score:              desc("model_training_score", "Error of the version that serves on the untouched last part of its training data, by the minutes ahead: wape and mase, less is better, and skill over the persistence, 1 is perfect.", "model", "minutes", "measure"),
		failing:            desc("model_failing", "1 when the champion of a model in use, or a name of the registry, cannot be served as it should; GET /api/v1/models says why.", "model"),
		registryUnreadable: desc("registry_unreadable", "1 when the latest reading of the model registry failed."),
	}
}

// Describe implements prometheus.Collector.
func (m *modelMetrics) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.version, m.created, m.trained, m.score, m.failing, m.registryUnreadable} {
		descs <- d
	}
}

// Collect implements prometheus.Collector.
func (m *modelMetrics) Collect(out chan<- prometheus.Metric) {
	list, registry := m.status()
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	gauge(m.registryUnreadable, flag(registry.Error != ""))
	for _, s := range list {
		if s.Serving == 0 && s.Failure == nil { // one of maybe thousands that nobody has asked for
			continue
		}
		gauge(m.failing, flag(s.Failure != nil), s.Name)
		if s.Serving == 0 {
			continue
		}
		gauge(m.version, float64(s.Serving), s.Name)
		if at := s.Manifest.CreatedAt; !at.IsZero() {
			gauge(m.created, float64(at.Unix()), s.Name)
		}
		if at := s.Manifest.TrainedUntil; !at.IsZero() {
			gauge(m.trained, float64(at.Unix()), s.Name)
		}
		m.scores(s.Name, s.Manifest.Scores, gauge)
	}
}

// maxScores bounds the horizons of which a model's scores are told: a manifest may
// come from anywhere.
const maxScores = 16

func (m *modelMetrics) scores(name string, scores []models.HorizonScore, gauge func(*prometheus.Desc, float64, ...string)) {
	told := map[string]bool{} // two horizons of the same length would spoil the whole scrape
	for _, h := range scores[:min(maxScores, len(scores))] {
		minutes := strconv.FormatFloat(h.Minutes, 'g', -1, 64)
		if told[minutes] {
			continue
		}
		told[minutes] = true
		for _, measure := range []struct {
			name  string
			value float64
		}{{"wape", h.Model.WAPE}, {"mase", h.Model.MASE}, {"skill", h.Model.Skill}} {
			if !math.IsNaN(measure.value) {
				gauge(m.score, measure.value, name, minutes, measure.name)
			}
		}
	}
}

func flag(on bool) float64 {
	if on {
		return 1
	}
	return 0
}
