package collector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/forescale/forescale/api"
)

func TestConfigValidate(t *testing.T) {
	if err := DefaultConfig().Validate(step); err != nil {
		t.Errorf("the defaults are invalid: %v", err)
	}
	for field, change := range map[string]func(*Config){
		"writer":         func(c *Config) { c.Writer = "" },
		"look_back":      func(c *Config) { c.LookBack = 0 },
		"settle":         func(c *Config) { c.Settle = step },
		"catch_up":       func(c *Config) { c.CatchUp = -1 },
		"fetch_timeout":  func(c *Config) { c.FetchTimeout = 0 },
		"store_timeout":  func(c *Config) { c.StoreTimeout = 0 },
		"metrics_listen": func(c *Config) { c.MetricsListen = "9464" },

		"spool.max_bytes":     func(c *Config) { c.Spool.MaxBytes = 5 },
		"spool.dir":           func(c *Config) { c.Spool.Dir = "relative" },
		"stream.keep":         func(c *Config) { c.Stream.Keep = -1 },
		"stream.skew":         func(c *Config) { c.Stream.Skew = 1000 * time.Hour },
		"stream.max_groups":   func(c *Config) { c.Stream.MaxGroups = 0 },
		"stream.max_sensors":  func(c *Config) { c.Stream.MaxSensors = 0 },
		"stream.max_metrics":  func(c *Config) { c.Stream.MaxMetrics = -1 },
		"stream.max_readings": func(c *Config) { c.Stream.MaxReadings = 0 },
	} {
		c := DefaultConfig()
		change(&c)
		if err := c.Validate(step); err == nil || !strings.Contains(err.Error(), "collector."+field) {
			t.Errorf("%s: got %v", field, err)
		}
	}
	if n := strings.Count(Config{MetricsListen: "x"}.Validate(step).Error(), "\n"); n != 9 {
		t.Errorf("%d faults reported together, want 10", n+1)
	}
}

func TestNewRefusesTwoSourcesOfOneName(t *testing.T) {
	_, err := New(DefaultConfig(), Deps{
		Sources: []Source{&fakeSource{name: "a"}, &fakeSource{name: "a"}}, Lake: newStore(), Step: step,
		Now: time.Now, Log: slog.New(slog.DiscardHandler),
	})
	if err == nil || !strings.Contains(err.Error(), `"a"`) {
		t.Errorf("got %v", err)
	}
	if _, err := New(Config{}, Deps{}); err == nil {
		t.Error("no dependencies are no error")
	}
}

func TestFailuresAreFoundInAnyTree(t *testing.T) {
	a, b := Series{"a", "m", api.StatAvg}, Series{"b", "m", api.StatAvg}
	ea, eb := &SeriesError{[]Series{a}, errDown}, &SeriesError{[]Series{b}, errDown}
	for name, c := range map[string]struct {
		err    error
		series []Series
		whole  int
	}{
		"no error":                 {nil, nil, 0},
		"a plain error":            {errDown, nil, 1},
		"a wrapped plain error":    {fmt.Errorf("x: %w", errDown), nil, 1},
		"a series":                 {ea, []Series{a}, 0},
		"two joined and wrapped":   {fmt.Errorf("x: %w", errors.Join(ea, eb)), []Series{a, b}, 0},
		"a series and plain error": {errors.Join(ea, context.Canceled), []Series{a}, 1},
	} {
		series, whole := failures(c.err)
		if !slices.Equal(series, c.series) || whole != c.whole {
			t.Errorf("%s: got %v, %d", name, series, whole)
		}
	}
}

func TestMetrics(t *testing.T) {
	w := newWorld(t)
	w.source.offer(ramp("web", -3, 2)...)
	w.source.raw = []api.Sample{cpu("old", -50, 1)}
	w.mustTick(0)
	w.source.down = errDown
	if err := w.tick(1); err == nil {
		t.Fatal("no error")
	}
	want := `
# HELP forescale_collector_errors_total Series or whole fetches of a source that failed.
# TYPE forescale_collector_errors_total counter
forescale_collector_errors_total{source="fake"} 1
# HELP forescale_collector_irregular_samples_total Samples of a source that were not taken as they came.
# TYPE forescale_collector_irregular_samples_total counter
forescale_collector_irregular_samples_total{reason="invalid",source="fake"} 0
forescale_collector_irregular_samples_total{reason="negative",source="fake"} 0
forescale_collector_irregular_samples_total{reason="non_finite",source="fake"} 0
forescale_collector_irregular_samples_total{reason="out_of_range",source="fake"} 1
forescale_collector_irregular_samples_total{reason="unaligned",source="fake"} 0
# HELP forescale_collector_last_success_timestamp_seconds When a source last answered without an error.
# TYPE forescale_collector_last_success_timestamp_seconds gauge
forescale_collector_last_success_timestamp_seconds{source="fake"} 1.7726256e+09
# HELP forescale_collector_ticks_total Ticks run, by result.
# TYPE forescale_collector_ticks_total counter
forescale_collector_ticks_total{result="failed"} 1
forescale_collector_ticks_total{result="ok"} 1
`
	if err := testutil.CollectAndCompare(w.c.Metrics(), strings.NewReader(want), "forescale_collector_errors_total",
		"forescale_collector_irregular_samples_total", "forescale_collector_last_success_timestamp_seconds", "forescale_collector_ticks_total"); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.CollectAndLint(w.c.Metrics()); err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
}
