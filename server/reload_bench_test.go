package server_test

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/onnxtest"
	"github.com/forescale/forescale/server"
)

// BenchmarkLatencyWhileModelsAreReloaded measures requests over eight connections in
// quiet times and while 300 champions follow each other as fast as they are loaded.
// What counts is p99-ratio, at most 1.5; p99-quiet-us and p99-reload-us belong to this
// machine.
func BenchmarkLatencyWhileModelsAreReloaded(b *testing.B) {
	for b.Loop() {
		spec := onnxtest.Spec(24, 12, 0.1, 0.5, 0.9)
		registry := newShelf()
		put := func(factor float32) int {
			m, model := onnxtest.Persistence(spec, factor)
			return registry.put("web", m, model)
		}
		put(1)
		r := start(b, registry, func(c *server.Config, _ *server.Deps) { c.Reload = 10 * time.Millisecond })
		body, err := json.Marshal(api.PredictRequest{Windows: []api.Window{ramp(spec, "web", 100)}})
		if err != nil {
			b.Fatal(err)
		}
		var quiet []time.Duration
		during := func(work func()) []time.Duration {
			var mu sync.Mutex
			var all []time.Duration // guarded by mu
			var done atomic.Bool
			var load sync.WaitGroup
			for range 8 {
				load.Go(func() {
					c := &http.Client{Transport: &http.Transport{}}
					defer c.CloseIdleConnections()
					var took []time.Duration
					for !done.Load() {
						began := time.Now()
						response, err := c.Post(r.url+api.RoutePredict, "application/json", strings.NewReader(string(body)))
						if err != nil {
							b.Error(err)
							return
						}
						_, err = io.Copy(io.Discard, response.Body)
						response.Body.Close()
						if err != nil || response.StatusCode != http.StatusOK {
							b.Errorf("status %d, %v", response.StatusCode, err)
							return
						}
						took = append(took, time.Since(began))
					}
					mu.Lock()
					defer mu.Unlock()
					all = append(all, took...)
				})
			}
			work()
			done.Store(true)
			load.Wait()
			slices.Sort(all)
			return all
		}
		serves := func(version int) func() bool {
			return func() bool { return b.Failed() || r.modelStatus("web").Serving == version }
		}
		r.predict(api.PredictRequest{Windows: []api.Window{ramp(spec, "web", 100)}})
		reload := during(func() {
			for factor := 2; factor <= 301; factor++ {
				eventually(b, "the new version serves", serves(put(float32(factor))))
			}
		})
		// As long, with somebody who asks for the status as often.
		version := 301
		quiet = during(func() {
			for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(15 * time.Millisecond) {
				serves(version)()
			}
		})
		p99 := func(all []time.Duration) float64 { return float64(all[len(all)*99/100].Microseconds()) }
		b.ReportMetric(p99(quiet), "p99-quiet-us")
		b.ReportMetric(p99(reload), "p99-reload-us")
		b.ReportMetric(p99(reload)/p99(quiet), "p99-ratio")
		if err := r.close(); err != nil {
			b.Error(err)
		}
	}
}
