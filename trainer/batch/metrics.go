package batch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/push"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/forescale/forescale/internal/file"
	"github.com/forescale/forescale/models"
)

// MetricsJob is the job label under which metrics of a run are pushed.
const MetricsJob = "forescale_trainer"

const (
	namespace   = "forescale_trainer"
	lastSuccess = namespace + "_last_success_timestamp_seconds"
)

// collect returns the metrics of a run. The errors of the models are among them
// only with byGroup: they are two series a group and horizon.
func (s Summary) collect(byGroup bool, labels prometheus.Labels) *prometheus.Registry {
	registry := prometheus.NewRegistry()
	gauge := func(name, help string, value float64) {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help, ConstLabels: labels})
		g.Set(value)
		registry.MustRegister(g)
	}
	groups := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: "groups", ConstLabels: labels,
		Help: "Groups of the last run by what became of them."}, []string{"status"})
	for _, status := range []Status{Trained, Skipped, Failed, Stopped} {
		groups.WithLabelValues(string(status)).Set(float64(s.Count(status)))
	}
	seconds := prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: namespace, Name: "group_duration_seconds", ConstLabels: labels,
		Help: "Wall-clock time of each group that the last run trained.", Buckets: prometheus.ExponentialBuckets(0.25, 2, 14)})
	for _, r := range s.Results {
		if r.Status == Trained {
			seconds.Observe(r.Seconds)
		}
	}
	registry.MustRegister(groups, seconds)
	took := s.Finished.Sub(s.Started).Seconds()
	rate := 0.0
	if took > 0 {
		rate = float64(s.Samples()) / took
	}
	gauge("run_duration_seconds", "Wall-clock time of the last run.", took)
	gauge("samples_per_second", "Windows that the last run learned from, repetitions included, per second of the run.", rate)
	gauge("last_run_timestamp_seconds", "When the last run ended.", unixSeconds(s.Finished))
	if s.succeeded() {
		gauge("last_success_timestamp_seconds", "When a run last ended with every group trained.", unixSeconds(s.Finished))
	}
	if byGroup {
		registry.MustRegister(s.modelMetrics(labels)...)
	}
	return registry
}

// succeeded reports whether every group is trained, in this run or before.
func (s Summary) succeeded() bool { return s.Count(Failed)+s.Count(Stopped) == 0 }

func unixSeconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

// modelMetrics returns the errors of each group's model at its first and last
// horizon.
func (s Summary) modelMetrics(labels prometheus.Labels) []prometheus.Collector {
	names := []string{"group", "horizon_minutes"}
	mae := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: "model_mae", ConstLabels: labels,
		Help: "Mean absolute error on the test part, in the unit of the target."}, names)
	skill := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: "model_skill_ratio", ConstLabels: labels,
		Help: "1 - MAE / MAE of persistence on the test part."}, names)
	for _, r := range s.Results {
		for _, h := range []*models.HorizonScore{r.First, r.Last} {
			if h == nil {
				continue
			}
			group := strings.ToValidUTF8(r.Group, "\uFFFD") // a label must be
			minutes := strconv.FormatFloat(h.Minutes, 'g', -1, 64)
			mae.WithLabelValues(group, minutes).Set(h.Model.MAE)
			if v := Skill(h); !math.IsNaN(v) {
				skill.WithLabelValues(group, minutes).Set(v)
			}
		}
	}
	return []prometheus.Collector{mae, skill}
}

// label is the shard's value of the label shard: without a slash, which would
// have to be encoded in a path.
func (s Shard) label() string { return fmt.Sprintf("%d-of-%d", s.Index, max(1, s.Count)) }

// WriteMetrics replaces the file by the metrics of the run in the text format,
// for the textfile collector of node_exporter, which reads the files *.prom of
// a directory. A run that did not succeed keeps the time of the last success that
// the file tells.
func (s Summary) WriteMetrics(path string, shard Shard, byGroup bool) error {
	families, err := s.collect(byGroup, prometheus.Labels{"shard": shard.label()}).Gather()
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	if !s.succeeded() {
		if earlier := readFamily(path, lastSuccess); earlier != nil {
			families = append(families, earlier)
		}
	}
	var text bytes.Buffer
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&text, f); err != nil {
			return fmt.Errorf("metrics: %w", err)
		}
	}
	if err := file.Replace(path, text.Bytes()); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	return nil
}

// readFamily returns a metric of a file in the text format, nil where there is
// none: what cannot be read is about to be replaced.
func readFamily(path, name string) *dto.MetricFamily {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(f)
	if err != nil {
		return nil
	}
	return families[name]
}

// Gateway is the address of a Pushgateway.
type Gateway struct {
	url  string // without credentials
	user *url.Userinfo
}

// ParseGateway reads http[s]://[USER:PASSWORD@]HOST[:PORT][/PATH]. Its errors do
// not repeat the text, which may hold a password.
func ParseGateway(text string) (Gateway, error) {
	u, err := url.Parse(text)
	if err != nil {
		return Gateway{}, errors.New("push gateway: the address is not a URL")
	}
	g := Gateway{user: u.User}
	u.User = nil
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return Gateway{}, errors.New("push gateway: the address must be http://HOST:PORT or https://HOST:PORT, with a path at most")
	}
	g.url = u.String()
	return g, nil
}

// String returns the address without credentials.
func (g Gateway) String() string { return g.url }

// pushTimeout bounds a push: a run must not hang on its metrics.
const pushTimeout = 10 * time.Second

// Push sends the metrics of the run to a Pushgateway, with the grouping key
// job="forescale_trainer", shard="i-of-n". Metrics of an earlier run that this one
// does not have, such as the time of the last success, stay there. The error
// names the address without credentials.
func (s Summary) Push(ctx context.Context, g Gateway, shard Shard, byGroup bool) error {
	ctx, cancel := context.WithTimeout(ctx, pushTimeout)
	defer cancel()
	p := push.New(g.url, MetricsJob).Grouping("shard", shard.label()).Gatherer(s.collect(byGroup, nil)).
		Client(&http.Client{Timeout: pushTimeout})
	if g.user != nil {
		password, _ := g.user.Password()
		p = p.BasicAuth(g.user.Username(), password)
	}
	if err := p.AddContext(ctx); err != nil { // Add, not Push: what this run lacks must stay
		return fmt.Errorf("push metrics to %s: %w", g, err)
	}
	return nil
}
