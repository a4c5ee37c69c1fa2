package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/internal/onnxtest"
)

const foreignRequest = `{"model":"foreign","instances":[[1,2,4]]}`

// foreignRegistry returns the URL of a registry with one foreign model.
func foreignRegistry(t *testing.T) string {
	t.Helper()
	url := "file://" + t.TempDir()
	store, err := blob.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Put(t.Context(), "foreign/1/model.onnx", onnxtest.Foreign(), blob.Condition{}); err != nil {
		t.Fatal(err)
	}
	return url
}

// A load balancer stops sending once nobody listens any more; until then every
// request must be answered, over connections that are kept, too.
func TestSIGTERMUnderLoadFailsNoRequestAndExitsWithZero(t *testing.T) {
	config := filepath.Join(t.TempDir(), "forescale.yaml")
	if err := os.WriteFile(config, []byte("server:\n  drain_delay: 1s\n  drain_timeout: 10s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, _ := launch(t, "-models", foreignRegistry(t), "-config", config)
	var answered, unready atomic.Int64
	var load sync.WaitGroup
	for range 8 {
		load.Go(func() {
			c := &http.Client{Transport: &http.Transport{}}
			defer c.CloseIdleConnections()
			for {
				response, err := c.Post(p.url+api.RoutePredict, "application/json", strings.NewReader(foreignRequest))
				if errors.Is(err, syscall.ECONNREFUSED) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				body, err := io.ReadAll(response.Body)
				response.Body.Close()
				if err != nil || response.StatusCode != http.StatusOK || string(body) != `{"predictions":[[7.25,14]]}` {
					t.Errorf("status %d, %s, %v", response.StatusCode, body, err)
					return
				}
				answered.Add(1)
			}
		})
	}
	for end := time.Now().Add(20 * time.Second); answered.Load() < 500; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("only %d requests were answered", answered.Load())
		}
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	load.Go(func() {
		for {
			response, err := http.Get(p.url + api.RouteReady)
			if err != nil {
				return
			}
			response.Body.Close()
			if response.StatusCode == http.StatusServiceUnavailable {
				unready.Add(1)
			}
		}
	})
	load.Wait()
	if code := p.ended(t); code != cli.ExitOK || unready.Load() == 0 {
		t.Errorf("exit code %d, %d times not ready\n%s", code, unready.Load(), p.stderr)
	}
}

func TestTenThousandIdleConnectionsKeepNobodyFromBeingServed(t *testing.T) {
	var limit syscall.Rlimit // Go raises it at the start, in the server too
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	count := min(10_000, int(limit.Cur)-500)
	p, _ := launch(t, "-models", foreignRegistry(t))
	address := strings.TrimPrefix(p.url, "http://")
	for i := range count {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		defer conn.Close()
		if i%2 == 0 { // one that is kept after a request
			if _, err := io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, "200") {
				t.Fatalf("connection %d: %q, %v", i, line, err)
			}
		}
	}
	if got := instances(t, p.url, foreignRequest); got != "[[7.25,14]]" {
		t.Errorf("answered %s", got)
	}
	t.Logf("%d idle connections: %s", count, resident(t, p.cmd.Process.Pid))
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := p.ended(t); code != cli.ExitOK { // nor do they hold up the end
		t.Errorf("exit code %d\n%s", code, p.stderr)
	}
}

// resident returns the resident memory of a process as the kernel tells it.
func resident(t *testing.T, pid int) string {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if strings.HasPrefix(line, "VmRSS") {
			return strings.Join(strings.Fields(line), " ")
		}
	}
	return ""
}

func TestALogThatCannotBeWrittenKeepsNobodyFromBeingServed(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0) // every write says that there is no space
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	reader, pipe, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	if err := reader.Close(); err != nil {
		t.Fatal(err)
	}
	for name, log := range map[string]*os.File{"a full disk": full, "a pipe that nobody reads any more": pipe} {
		t.Run(name, func(t *testing.T) { serveWithLog(t, log) })
	}
}

// serveWithLog checks that a server serves whose log goes to a file.
func serveWithLog(t *testing.T, log *os.File) {
	config := filepath.Join(t.TempDir(), "forescale.yaml")
	if err := os.WriteFile(config, []byte("server:\n  access_log: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(context.Background(), os.Args[0], "-listen", "127.0.0.1:0", "-models", foreignRegistry(t), "-config", config)
	cmd.Env, cmd.Stderr = append(os.Environ(), "FORESCALE_TEST_MAIN=1"), log
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // it has ended unless the test failed
	line, err := bufio.NewReader(stdout).ReadString('\n')
	url, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if err != nil || !ok {
		t.Fatalf("it prints %q, %v", line, err)
	}
	p := &process{cmd: cmd, url: url}
	for range 20 {
		if got := instances(t, url, foreignRequest); got != "[[7.25,14]]" {
			t.Fatalf("answered %s", got)
		}
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := p.ended(t); code != cli.ExitOK {
		t.Errorf("exit code %d", code)
	}
}
