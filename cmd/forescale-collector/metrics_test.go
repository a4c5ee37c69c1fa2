package main

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/forescale/forescale/collector"
	"github.com/forescale/forescale/collector/mqtt"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/dataset"
	"github.com/forescale/forescale/internal/spool"
)

func TestStreamsOfOneDriverAreToldApartInTheMetrics(t *testing.T) {
	disk, err := spool.Open(spool.Config{Dir: filepath.Join(t.TempDir(), "spool"), MaxBytes: spool.MinBytes})
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	var streams []collector.Stream
	for _, name := range []string{"hall-1", "hall-2"} {
		cfg := mqtt.DefaultConfig()
		cfg.Broker, cfg.ClientID = "mqtt://127.0.0.1", name
		s, err := mqtt.New(name, cfg, mqtt.Deps{Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		streams = append(streams, s)
	}
	c, err := collector.New(collector.DefaultConfig(), collector.Deps{
		Streams: streams, Readings: disk, Lake: dataset.New(blob.NewMemory()), Step: step, Now: time.Now, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(metricsOf(c, streams)); err != nil {
		t.Fatal(err)
	}
	if n, err := testutil.GatherAndCount(registry, "forescale_collector_mqtt_connected"); err != nil || n != 2 {
		t.Errorf("%d series, %v", n, err)
	}
	if n, err := testutil.GatherAndCount(registry, "forescale_collector_ticks_total"); err != nil || n == 0 {
		t.Errorf("%d series of the collector's own, %v", n, err)
	}
}
