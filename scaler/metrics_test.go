package scaler

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/forescale/forescale/api"
)

// mustShow compares some of the scaler's metrics, without their help, with what is
// wanted: NAME{LABELS} VALUE, one a line.
func mustShow(t *testing.T, s *Scaler, want string) {
	t.Helper()
	all := gathered(t, s)
	for line := range strings.Lines(strings.TrimSpace(want)) {
		if line = strings.TrimSpace(line); !strings.Contains(all, "forescale_scaler_"+line+"\n") {
			name, _, _ := strings.Cut(line, "{")
			var have []string
			for l := range strings.Lines(all) {
				if strings.HasPrefix(l, "forescale_scaler_"+name) {
					have = append(have, l)
				}
			}
			t.Errorf("no %s among\n%s", line, strings.Join(have, ""))
		}
	}
}

func gathered(t *testing.T, s *Scaler) string {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(s.Metrics())
	w := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatal(w.Body)
	}
	return w.Body.String()
}

func TestMetrics(t *testing.T) {
	w := newWorld(t)
	w.beforeScale = func(_ context.Context, g string) error {
		if g == "down" {
			return fmt.Errorf("maximum: %w", ErrBounds)
		}
		return nil
	}
	w.groups["same"].newest = t0.Add(-4 * step)
	s := w.scaler()
	mustShow(t, s, `ticks_total{result="ok"} 0`)
	if strings.Contains(gathered(t, s), "last_tick") {
		t.Error("a tick is shown before the first one")
	}
	if _, err := w.once(s, t0); err != nil {
		t.Fatal(err)
	}
	mustShow(t, s, `
		ticks_total{result="ok"} 1
		ticks_total{result="failed"} 0
		last_tick_timestamp_seconds 1.7724528e+09
		tick_duration_seconds 0
		decisions_total{outcome="accepted"} 1
		decisions_total{outcome="failed"} 1
		decisions_total{outcome="none"} 1
		decisions_total{outcome="dry-run"} 1
		provider_errors_total{kind="bounds"} 1
		provider_errors_total{kind="busy"} 0
		groups{state="PREDICTIVE"} 3
		groups{state="REACTIVE_STALE"} 1
		breaker_open_groups 1
		instances{kind="desired"} 19
		instances{kind="in_service"} 18
		metrics_age_max_seconds 900
		brake_pulled 0
		tick_faults 0
		alert_groups{alert="at-maximum"} 0
		group_instances{group="up",kind="desired"} 5
		group_instances{group="up",kind="in_service"} 4
		group_instances{group="down",kind="desired"} 6
		group_instances{group="down",kind="wanted"} 5
		group_safety_state{group="same",state="REACTIVE_STALE"} 1
		group_safety_state{group="same",state="PREDICTIVE"} 0
		group_metrics_age_seconds{group="same"} 900
		group_metrics_age_seconds{group="up"} 0
		group_lead_seconds{group="up"} 300`)
	if problems, err := testutil.CollectAndLint(s.Metrics()); err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}

	// The same tick again, as a standby would find it, is shown and not counted.
	standby := w.scaler(func(c *Config) { c.ID = "b" })
	if _, err := w.once(standby, t0.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	mustShow(t, standby, `
		last_tick_timestamp_seconds 1.7724528e+09
		decisions_total{outcome="accepted"} 0
		group_instances{group="up",kind="desired"} 5`)

	var held *LeaseHeldError
	if _, err := w.once(standby, t0.Add(step)); err != nil && !errors.As(err, &held) {
		t.Fatal(err)
	}
	w.bad = &saboteur{op: "get scaler/state.json", nth: 1, mode: diesBefore, seen: map[string]int{}}
	broken := w.scaler()
	if _, err := w.once(broken, t0.Add(2*step)); err == nil {
		t.Fatal("a tick without a state")
	}
	mustShow(t, broken, `ticks_total{result="failed"} 1`)
}

func TestAPulledBrakeIsShown(t *testing.T) {
	w := newWorld(t)
	s := w.scaler(w.fleetOf(12, 1.2))
	if _, err := w.once(s, t0); err != nil {
		t.Fatal(err)
	}
	mustShow(t, s, "brake_pulled 1\nbrakes_total 1")
}

func TestALargeFleetHasSeriesOfItsGroupsOnRequest(t *testing.T) {
	for _, asked := range []bool{false, true} {
		w := newWorld(t)
		s := w.scaler(w.fleetOf(maxGroupSeries, 3), func(c *Config) { c.MetricsByGroup = asked })
		if _, err := w.once(s, t0); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(gathered(t, s), `group="up"`); got != asked {
			t.Errorf("asked for %v, series of a group: %v", asked, got)
		}
		mustShow(t, s, fmt.Sprintf(`groups{state="PREDICTIVE"} %d`, maxGroupSeries+4))
	}
}

// A move is in the record, in the log and in the metrics, once.
func TestAMoveOfASafetyStateIsTold(t *testing.T) {
	w := newWorld(t)
	var log bytes.Buffer
	s := w.scaler()
	s.deps.Log = slog.New(slog.NewTextHandler(&log, nil))
	if _, err := w.once(s, t0); err != nil {
		t.Fatal(err)
	}
	w.predict = func(context.Context, api.PredictRequest) (api.PredictResponse, error) {
		return api.PredictResponse{}, errors.New("connection refused")
	}
	rec, err := w.once(s, t0.Add(step))
	if d := decisionOf(rec, "up"); err != nil || d.Moved == nil || d.Moved.To != api.SafetyNoModel {
		t.Fatalf("%v, moved %+v", err, d.Moved)
	}
	if n := strings.Count(log.String(), `msg="safety state moved" group=up`); n != 1 || !strings.Contains(log.String(), "to=REACTIVE_NO_MODEL") {
		t.Errorf("%d lines in the log:\n%s", n, log.String())
	}
	mustShow(t, s, `
		safety_moves_total{state="REACTIVE_NO_MODEL"} 4
		group_safety_state{group="up",state="REACTIVE_NO_MODEL"} 1`)
}

func TestErrorsOfTheProviderByKind(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("x: %w", ErrBounds), errorBounds},
		{ErrUnknownGroup, errorUnknown},
		{ErrBusy, errorBusy},
		{fmt.Errorf("not allowed: %w", ErrRefused), errorRefused},
		{context.DeadlineExceeded, errorOther},
	} {
		if got := errorKind(c.err); got != c.want {
			t.Errorf("%v is of kind %s, want %s", c.err, got, c.want)
		}
	}
}
