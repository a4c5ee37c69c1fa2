package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// workshop holds what all measurements share.
type workshop struct {
	*bench
	model                               string // of all rivals but ours with windows
	tmp                                 string
	self                                string
	serverCore, loadCore                string
	instances, ownInstances, ownWindows string // requests
	all                                 []rival
}

const (
	warmUp      = "1s"
	connections = 64
)

func newWorkshop(ctx context.Context, b *bench) (*workshop, error) {
	for _, tool := range []string{"wrk", "taskset"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, fmt.Errorf("%s is needed (Debian packages wrk and util-linux): %w", tool, err)
		}
	}
	if runtime.NumCPU() < 2 {
		return nil, fmt.Errorf("this process may use one core only; server and load need one each")
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	tmp, err := os.MkdirTemp("", "bench-server")
	if err != nil {
		return nil, err
	}
	w := &workshop{bench: b, self: self, tmp: tmp, model: filepath.Join(b.peers, "models", "pytorch_lstm_a.onnx"),
		serverCore: strconv.Itoa(runtime.NumCPU() - 1), loadCore: "0"}
	if w.library, err = filepath.Abs(b.library); err == nil {
		err = w.prepare(ctx)
	}
	if err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

func (w *workshop) close() { _ = os.RemoveAll(w.tmp) }

func (w *workshop) path(name string) string { return filepath.Join(w.tmp, name) }

// prepare writes the registries and the requests.
func (w *workshop) prepare(ctx context.Context) error {
	model, err := os.ReadFile(w.model)
	if err != nil {
		return err
	}
	if err := w.version("foreign", "lstm", 1, model); err != nil {
		return err
	}
	w.instances = instancesBody()
	if w.ownInstances, w.ownWindows, err = ownModel(ctx, w.path("own")); err != nil {
		return err
	}
	if err := os.WriteFile(w.path("body.json"), []byte(w.instances), 0o600); err != nil {
		return err
	}
	all, missing := w.rivals()
	for _, m := range missing {
		fmt.Fprintln(os.Stderr, "left out:", m)
	}
	for _, r := range all {
		if strings.Contains(r.name, w.only) {
			w.all = append(w.all, r)
		}
	}
	if len(w.all) == 0 {
		return fmt.Errorf("-only: no rival's name holds %q", w.only)
	}
	return nil
}

// version writes a version of a model without a manifest. It is there as a whole or not
// at all, because the server may be reading.
func (w *workshop) version(registry, name string, n int, model []byte) error {
	dir := filepath.Join(w.path(registry), name, strconv.Itoa(n))
	if err := os.MkdirAll(dir+".new", 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir+".new", "model.onnx"), model, 0o600); err != nil {
		return err
	}
	return os.Rename(dir+".new", dir)
}

// round measures raw ONNX Runtime and all rivals once, in turn.
func (w *workshop) round(ctx context.Context, all *results, title string) error {
	out, used, others, err := w.undisturbed(func() (string, time.Duration, error) {
		return command(ctx, w.serverCore, w.self, "-measure", "raw", "-onnxruntime", w.library, "-model", w.model, "-seconds", fmt.Sprint(w.seconds))
	})
	if err != nil {
		return err
	}
	_ = used
	var raw rawSpeed
	if err := json.Unmarshal([]byte(out), &raw); err != nil {
		return err
	}
	all.raw = append(all.raw, rawRun{raw, others})
	fmt.Fprintf(os.Stderr, "%s: raw ONNX Runtime: one row %.0f us, best %.1f us a row at batch %d; others used %.2f cores\n", title, raw.One, raw.Best, raw.Batch, others)
	for _, r := range w.all {
		m, err := w.measure(ctx, r)
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		all.add(r.name, m)
		fmt.Fprintf(os.Stderr, "%s: %s: %s\n", title, r.name, m)
	}
	return nil
}

// measure runs one rival through its loads.
func (w *workshop) measure(ctx context.Context, r rival) (m measured, err error) {
	up, err := w.launch(ctx, r)
	if err != nil {
		return m, err
	}
	defer up.stop()
	lua := w.path("post.lua")
	if err := os.WriteFile(lua, []byte(script(r.body)), 0o600); err != nil {
		return m, err
	}
	wrk := func(connections int, length string) (closedLoop, float64, float64, error) {
		before, err := processTime(up.pid())
		if err != nil {
			return closedLoop{}, 0, 0, err
		}
		var server time.Duration
		out, _, others, err := w.undisturbed(func() (string, time.Duration, error) {
			out, used, err := command(ctx, w.loadCore, "wrk", "-t1", "-c", strconv.Itoa(connections), "-d", length, "--timeout", "10s", "--latency", "-s", lua, up.url)
			after, failed := processTime(up.pid())
			if server = after - before; err == nil {
				err = failed
			}
			return out, used + server, err
		})
		if err != nil {
			return closedLoop{}, 0, 0, err
		}
		c, err := parseWrk(out)
		return c, server.Seconds() * 1e6 / c.requests, others, err
	}
	length := fmt.Sprintf("%ds", max(1, int(w.seconds+0.5)))
	if _, _, _, err := wrk(connections, warmUp); err != nil {
		return m, err
	}
	c, cpu, others, err := wrk(connections, length)
	if err != nil {
		return m, err
	}
	m.perSec, m.cpu, m.p50Many, m.p99Many, m.others = c.perSec, cpu, c.p50, c.p99, others
	if m.resident, err = residentMB(up.pid()); err != nil || r.light {
		return m, err
	}
	if c, m.cpuOne, others, err = wrk(1, length); err != nil {
		return m, err
	}
	m.p50, m.p99, m.others = c.p50, c.p99, max(m.others, others)
	for _, rate := range r.open {
		out, _, err := command(ctx, w.loadCore, w.self, "-measure", "open", "-url", up.url, "-body", w.path("body.json"),
			"-rate", fmt.Sprint(rate), "-seconds", fmt.Sprint(w.seconds))
		if err != nil {
			return m, err
		}
		var o openLoop
		if err := json.Unmarshal([]byte(out), &o); err != nil {
			return m, err
		}
		m.open = append(m.open, o)
	}
	return m, nil
}

// undisturbed runs a measurement and returns how many cores other programs kept busy
// meanwhile, on average. work returns the processor time of what belongs to it.
func (w *workshop) undisturbed(work func() (string, time.Duration, error)) (string, time.Duration, float64, error) {
	before, err := machineTime()
	if err != nil {
		return "", 0, 0, err
	}
	began := time.Now()
	out, used, err := work()
	if err != nil {
		return "", 0, 0, err
	}
	wall := time.Since(began)
	after, err := machineTime()
	return out, used, max(0, (after-before-used).Seconds()/wall.Seconds()), err
}
