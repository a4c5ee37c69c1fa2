package server

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/forescale/forescale/server/access"
)

func TestRefusalsAreLoggedSeldomAndAlsoAfterTheClockWasSetBack(t *testing.T) {
	_, hash := access.NewToken()
	cfg := access.Config{Clients: []access.Client{{Name: "a", Token: hash, Rights: []string{"read"}}}}
	var log strings.Builder
	now := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	g, err := newGatekeeper(cfg, slog.New(slog.NewTextHandler(&log, nil)), func() time.Time { return now }, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	for i, step := range []struct {
		by   time.Duration
		want int // lines so far
	}{{0, 1}, {refusalLog - time.Second, 1}, {time.Second, 2}, {-365 * 24 * time.Hour, 3}, {time.Second, 3}, {refusalLog, 4}} {
		now = now.Add(step.by)
		if _, err := g.admit(access.Caller{Remote: "192.0.2.1:1"}, access.Read, "GET /"); err == nil {
			t.Fatal("it is let in")
		}
		if n := strings.Count(log.String(), "requests refused"); n != step.want {
			t.Errorf("step %d: %d lines, want %d", i, n, step.want)
		}
	}
}
