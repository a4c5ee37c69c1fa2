package cloudwatch

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/conf"
	"github.com/forescale/forescale/internal/fleet"
)

// BenchmarkTick reads 10,000 groups x 4 metrics of a simulated cloud, as a tick
// does, through the real client and protocol. The cloud's answers are kept from a
// first tick on, so that what is measured is the source and not the simulation:
// "cpu" is that of the whole process, the HTTP server included.
func BenchmarkTick(b *testing.B) {
	const groups = 10_000
	b.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
	b.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	b.Setenv("AWS_CONFIG_FILE", "/dev/null")
	demand := wave(30)
	config := fleet.Config{Start: began, Now: fslot(12)}
	for i := range groups {
		config.Groups = append(config.Groups, fleet.GroupConfig{Name: fmt.Sprintf("g%05d", i), Demand: demand})
	}
	cloud, err := fleet.New(config)
	if err != nil {
		b.Fatal(err)
	}
	tape := &tape{next: fleet.Handler(cloud), answers: map[[32]byte]*httptest.ResponseRecorder{}}
	srv := httptest.NewServer(tape)
	defer srv.Close()
	for name, pace := range map[string]float64{"full": 1e6, "default pace": 0} {
		b.Run(name, func(b *testing.B) {
			src, err := Open(b.Context(), "cloudwatch",
				Config{CallsPerSecond: pace, Refresh: time.Nanosecond, Discover: []Discovery{{All: true, Metrics: []string{
					api.MetricCPU, api.MetricNetworkIn, api.MetricInService, api.MetricDesired}}}},
				Deps{AWS: conf.AWS{Region: "us-east-1", CloudWatchEndpoint: srv.URL, AutoScalingEndpoint: srv.URL}, Step: step,
					Now: func() time.Time { return fslot(12) }, Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				b.Fatal(err)
			}
			tick := func() {
				samples, err := src.Fetch(b.Context(), fslot(9), fslot(12))
				if err != nil || len(samples) != groups*4*3 {
					b.Fatal(len(samples), err)
				}
			}
			tick() // finds the groups, and fills the tape
			src.config.Refresh = time.Hour
			tape.calls.Store(0)
			b.ReportAllocs()
			before := cpuTime(b)
			for b.Loop() {
				tick()
			}
			b.ReportMetric(float64((cpuTime(b)-before).Milliseconds())/float64(b.N), "cpu-ms/op")
			b.ReportMetric(float64(tape.calls.Load())/float64(b.N), "calls/op")
		})
	}
}

// tape answers a request that it knows as the first time.
type tape struct {
	next    http.Handler
	calls   atomic.Int64
	mu      sync.Mutex
	answers map[[32]byte]*httptest.ResponseRecorder
}

func (t *tape) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	t.calls.Add(1)
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	key := sha256.Sum256(append([]byte(r.URL.Path), body...))
	t.mu.Lock()
	answer := t.answers[key]
	t.mu.Unlock()
	if answer == nil {
		answer = httptest.NewRecorder()
		r.Body = io.NopCloser(bytes.NewReader(body))
		t.next.ServeHTTP(answer, r)
		t.mu.Lock()
		t.answers[key] = answer
		t.mu.Unlock()
	}
	for name, values := range answer.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes())
}

// cpuTime returns the processor time that the process has used.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
