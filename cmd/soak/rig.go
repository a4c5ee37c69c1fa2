package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/onnxtest"
	"github.com/forescale/forescale/models"
)

// rig is a server of its own with a registry of one model.
type rig struct {
	dir      string
	cmd      *exec.Cmd
	url      string
	registry *models.Registry
	version  int // the champion; owned by drive
	http     *http.Client
	body     []byte
}

// inFlight bounds the requests under way.
const inFlight = 128

var spec = onnxtest.Spec(24, 12, 0.1, 0.5, 0.9)

// startRig starts the server on a registry in a directory of its own.
func startRig(ctx context.Context, server string, log io.Writer) (*rig, error) {
	dir, err := os.MkdirTemp("", "soak-")
	if err != nil {
		return nil, err
	}
	r := &rig{dir: dir, http: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: inFlight}}}
	if err := r.start(ctx, server, log); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return r, nil
}

func (r *rig) start(ctx context.Context, server string, log io.Writer) error {
	store, err := blob.Open(ctx, "file://"+r.dir)
	if err != nil {
		return err
	}
	r.registry = models.NewRegistry(store)
	if err := r.promote(ctx); err != nil {
		return err
	}
	values := make(api.Series, spec.Lookback)
	for i := range values {
		values[i] = 100 + float64(i)
	}
	r.body, err = json.Marshal(api.PredictRequest{Windows: []api.Window{{Group: "web", End: time.Now().UTC().Truncate(5 * time.Minute),
		StepSeconds: spec.StepSeconds, Series: map[string]api.Series{spec.Target: values}}}})
	if err != nil {
		return err
	}
	r.cmd = exec.Command(server, "-listen", "127.0.0.1:0", "-models", "file://"+r.dir) // ends by stop, after a drain
	r.cmd.Stderr = log
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := r.cmd.Start(); err != nil {
		return err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	var told bool
	if r.url, told = strings.CutPrefix(strings.TrimSpace(line), "listening on "); !told {
		return errors.Join(fmt.Errorf("the server says %q", line), err, r.cmd.Process.Kill(), r.cmd.Wait())
	}
	return nil
}

// stop ends the server, which must drain and exit with 0.
func (r *rig) stop() error {
	r.http.CloseIdleConnections()
	err := r.cmd.Process.Signal(syscall.SIGTERM)
	if wait := r.cmd.Wait(); wait != nil {
		err = errors.Join(err, fmt.Errorf("the server ends with: %w", wait))
	}
	return errors.Join(err, os.RemoveAll(r.dir))
}

// promote puts another version into the registry and makes it champion.
func (r *rig) promote(ctx context.Context) error {
	m, file := onnxtest.Persistence(spec, float32(r.version%10+1))
	m.Name, m.CreatedAt = "web", time.Now().UTC()
	m, err := r.registry.Put(ctx, m, file)
	if err != nil {
		return err
	}
	if r.version > 0 {
		if err := r.registry.Promote(ctx, m.Name, m.Version, r.version, m.CreatedAt); err != nil {
			return err
		}
	}
	r.version = m.Version
	return nil
}

// ask sends one request.
func (r *rig) ask() error {
	response, err := r.http.Post(r.url+api.RoutePredict, "application/json", bytes.NewReader(r.body))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var got api.PredictResponse
	if err := json.NewDecoder(response.Body).Decode(&got); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK || len(got.Forecasts) != 1 || got.Forecasts[0].Error != nil {
		return fmt.Errorf("status %d: %+v", response.StatusCode, got)
	}
	return nil
}

// capacity returns how many requests a second a closed loop gets answered.
func (r *rig) capacity(ctx context.Context, length time.Duration) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	var answered atomic.Int64
	var wg sync.WaitGroup
	var fault atomic.Pointer[error]
	for range 16 {
		wg.Go(func() {
			for ctx.Err() == nil {
				if err := r.ask(); err != nil {
					fault.Store(&err)
					return
				}
				answered.Add(1)
			}
		})
	}
	wg.Wait()
	if err := fault.Load(); err != nil {
		return 0, *err
	}
	return float64(answered.Load()) / length.Seconds(), nil
}

// result is what became of the requests of a load.
type result struct {
	sent, failed, skipped int
	first                 error           // of the failures
	times                 []time.Duration // from the scheduled moment, of a sample
}

func (r result) quantile(q float64) time.Duration {
	if len(r.times) == 0 {
		return 0
	}
	return r.times[int(q*float64(len(r.times)-1))].Round(10 * time.Microsecond)
}

func (r result) fault() error {
	if r.failed > 0 {
		return fmt.Errorf("%d of %d requests failed; one of them: %w", r.failed, r.sent, r.first)
	}
	return nil
}

// load sends requests at random times, rate a second, until ctx ends; the function
// that it returns waits for the last one.
func (r *rig) load(ctx context.Context, rate float64) (wait func() result) {
	var mu sync.Mutex
	var res result // guarded by mu
	slots := make(chan struct{}, inFlight)
	var wg sync.WaitGroup
	wg.Go(func() {
		for next := time.Now(); ctx.Err() == nil; {
			next = next.Add(time.Duration(rand.ExpFloat64() / rate * float64(time.Second)))
			time.Sleep(time.Until(next))
			select {
			case slots <- struct{}{}:
			default:
				mu.Lock()
				res.skipped++
				mu.Unlock()
				continue
			}
			scheduled := next
			wg.Go(func() {
				err := r.ask()
				took := time.Since(scheduled)
				<-slots
				mu.Lock()
				defer mu.Unlock()
				if res.sent++; err != nil {
					res.failed, res.first = res.failed+1, err
				}
				res.keep(took)
			})
		}
	})
	return func() result {
		wg.Wait()
		slices.Sort(res.times)
		return res
	}
}

// maxTimes bounds the times that are kept.
const maxTimes = 100_000

// keep keeps each time with the same chance (reservoir sampling, Vitter's R).
func (r *result) keep(took time.Duration) {
	if len(r.times) < maxTimes {
		r.times = append(r.times, took)
	} else if i := rand.IntN(r.sent); i < maxTimes {
		r.times[i] = took
	}
}

// look reads the server's own metrics.
func (r *rig) look(ctx context.Context) (sample, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url+api.RouteMetrics, nil)
	if err != nil {
		return sample{}, err
	}
	response, err := r.http.Do(req)
	if err != nil {
		return sample{}, err
	}
	defer response.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(response.Body)
	if err != nil {
		return sample{}, fmt.Errorf("metrics: %w", err)
	}
	value := func(name string) float64 {
		if f := families[name]; f != nil && len(f.Metric) > 0 {
			return f.Metric[0].GetGauge().GetValue()
		}
		return 0
	}
	return sample{value("process_resident_memory_bytes"), value("go_goroutines"), value("process_open_fds")}, nil
}
