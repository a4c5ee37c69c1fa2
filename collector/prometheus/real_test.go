//go:build system

package prometheus

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// fromEnv returns the program that a variable names.
func fromEnv(t *testing.T, name string) string {
	t.Helper()
	path := os.Getenv(name)
	if path == "" {
		t.Fatalf("set %s to the path of the program; `make test-system` does", name)
	}
	return path
}

// ready is what Prometheus says when it is.
const ready = "Server is ready to receive web requests"

// startPrometheus starts the real one over a folder of its store, and returns its URL.
func startPrometheus(t *testing.T, store, config string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "prometheus.yml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") // it says nothing of the port that it got for 0
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().String()
	l.Close()
	cmd := exec.Command(fromEnv(t, "FORESCALE_PROMETHEUS"), "--config.file="+path, "--storage.tsdb.path="+store,
		"--storage.tsdb.retention.time=100y", "--web.listen-address="+at)
	r, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait(); w.Close() }()
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		<-exited
	})
	said := make(chan string, 1)
	go func() { // reads to the end, so that Prometheus never waits for us
		defer close(said)
		var last string
		for lines := bufio.NewScanner(r); lines.Scan(); {
			if last = lines.Text(); strings.Contains(last, ready) && len(said) == 0 {
				said <- last
			}
		}
		if len(said) == 0 {
			said <- last
		}
	}()
	if line := <-said; !strings.Contains(line, ready) {
		t.Fatalf("Prometheus did not start: %s", line)
	}
	return "http://" + at
}

// history is OpenMetrics text of scrapes every 15 seconds from slot -2 on.
type history struct {
	strings.Builder
	scrapes int
}

const scrape = 15 * time.Second

// each writes a series whose value at scrape k, at the time at, is value(k, at);
// NaN: it was not there.
func (h *history) each(series string, value func(k int, at time.Time) float64) {
	for k := range h.scrapes {
		at := slot(-2).Add(time.Duration(k) * scrape)
		if v := value(k, at); !math.IsNaN(v) {
			fmt.Fprintf(h, "%s %v %d\n", series, v, at.Unix())
		}
	}
}

// counter writes a counter that grows by grow(slot) from one scrape to the next
// inside of a slot, and is reset at the scrapes of which reset tells.
func (h *history) counter(series string, grow func(slot int) float64, reset func(k int) bool) {
	value := 1000.
	h.each(series, func(k int, at time.Time) float64 {
		if reset(k) {
			value = 0
		}
		// What is seen at a slot's very end has grown inside of it.
		value += grow(int(math.Ceil(float64(at.Sub(t0))/float64(step))) - 1)
		return value
	})
}

func (h *history) gauge(series string, value float64) {
	h.each(series, func(int, time.Time) float64 { return value })
}

func never(int) bool { return false }

func flat(v float64) func(int) float64 { return func(int) float64 { return v } }

// load makes the history a store of Prometheus and starts one over it.
func (h *history) load(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	text := filepath.Join(dir, "history.om")
	if err := os.WriteFile(text, []byte(h.String()+"# EOF\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	store := filepath.Join(dir, "store")
	if out, err := exec.Command(fromEnv(t, "FORESCALE_PROMTOOL"), "tsdb", "create-blocks-from", "openmetrics", text, store).CombinedOutput(); err != nil {
		t.Fatalf("promtool: %v\n%s", err, out)
	}
	return startPrometheus(t, store, "")
}
