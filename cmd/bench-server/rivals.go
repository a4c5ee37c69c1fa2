package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// rival is a server under measurement.
type rival struct {
	name  string
	env   []string
	args  []string // %PORT% stands for the port
	dir   string
	body  string // the request
	open  []float64
	light bool // measured at 64 connections alone
}

// The names of the rivals that the targets speak of.
const (
	ours         = "forescale"
	oursWindows  = "forescale, windows"
	oursOwn      = "forescale, same model, instances"
	node         = "Node"
	nodeBatching = "Node, micro-batching"
	fastAPI      = "FastAPI, PyTorch"
)

// openRates are the arrivals a second of the open loops.
var openRates = []float64{2000, 4000}

// rivals returns what can be measured, and what cannot, with the reason.
func (w *workshop) rivals() (all []rival, missing []string) {
	server, err := filepath.Abs(w.server)
	if err != nil {
		server = w.server
	}
	listen := []string{server, "-listen", "127.0.0.1:%PORT%", "-models"}
	env := []string{"FORESCALE_ONNXRUNTIME=" + w.library}
	all = append(all,
		rival{name: ours, args: append(listen[:4:4], "file://"+w.path("foreign")), env: env, body: w.instances, open: openRates},
		rival{name: oursOwn, args: append(listen[:4:4], "file://"+w.path("own")), env: env, body: w.ownInstances, light: true},
		rival{name: oursWindows, args: append(listen[:4:4], "file://"+w.path("own")), env: env, body: w.ownWindows, light: true})
	dir := cmp.Or(w.node, filepath.Join(w.peers, "serve", "node"))
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "onnxruntime-node")); err != nil {
		missing = append(missing, "Node: "+dir+" has no node_modules (npm ci there, or in a copy of it that -node names)")
	} else {
		env := []string{"MODEL=" + w.model, "PORT=%PORT%"}
		all = append(all,
			rival{name: node, args: []string{"node", "server.js"}, dir: dir, env: env, body: w.instances},
			rival{name: nodeBatching, args: []string{"node", "server.js"}, dir: dir, env: append(env[:2:2], "BATCH=1"), body: w.instances, open: openRates})
	}
	python := cmp.Or(os.Getenv("FORESCALE_PYTHON"), "/usr/bin/python3")
	if out, err := exec.Command(python, "-c", "import fastapi, uvicorn, uvloop, httptools, torch").CombinedOutput(); err != nil {
		missing = append(missing, "FastAPI: "+strings.TrimSpace(lastLine(string(out)))+" (Debian packages python3-fastapi uvicorn python3-uvloop python3-httptools python3-torch)")
	} else {
		all = append(all, rival{name: fastAPI, dir: filepath.Join(w.peers, "serve", "python"), body: w.instances,
			env:  []string{"OMP_NUM_THREADS=1", "OPENBLAS_NUM_THREADS=1", "PYTHONDONTWRITEBYTECODE=1"},
			args: []string{python, "-m", "uvicorn", "app:app", "--port", "%PORT%", "--log-level", "error", "--loop", "uvloop", "--http", "httptools"}})
	}
	return all, missing
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

// running is a rival that accepts requests.
type running struct {
	url string
	cmd *exec.Cmd
	log *bytes.Buffer
}

// launch starts a rival on its core and waits until it answers.
func (w *workshop) launch(ctx context.Context, r rival) (*running, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	fill := func(texts []string) []string {
		var out []string
		for _, text := range texts {
			out = append(out, strings.ReplaceAll(text, "%PORT%", port))
		}
		return out
	}
	args := append([]string{"-c", w.serverCore}, fill(r.args)...)
	up := &running{url: "http://127.0.0.1:" + port + "/predict", cmd: exec.CommandContext(ctx, "taskset", args...), log: &bytes.Buffer{}}
	up.cmd.Dir, up.cmd.Env, up.cmd.Stdout, up.cmd.Stderr = r.dir, append(os.Environ(), fill(r.env)...), up.log, up.log
	up.cmd.Cancel = func() error { return up.cmd.Process.Signal(syscall.SIGTERM) }
	up.cmd.WaitDelay = 10 * time.Second
	if err := up.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", r.name, err)
	}
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		err := post(ctx, http.DefaultClient, up.url, []byte(r.body))
		if err == nil {
			return up, nil
		}
		if ctx.Err() != nil || time.Since(began) > 60*time.Second {
			up.stop()
			return nil, fmt.Errorf("%s does not answer: %w\n%s", r.name, err, up.log)
		}
	}
}

// pid returns the process: taskset has become it.
func (up *running) pid() int { return up.cmd.Process.Pid }

// stop ends the rival. How it ends is not what is measured.
func (up *running) stop() {
	_ = up.cmd.Process.Signal(syscall.SIGTERM)
	ended := time.AfterFunc(5*time.Second, func() { _ = up.cmd.Process.Kill() })
	_ = up.cmd.Wait()
	ended.Stop()
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	return port, l.Close()
}

// command runs a program on a core and returns what it printed and the processor time
// that it used.
func command(ctx context.Context, core string, args ...string) (string, time.Duration, error) {
	cmd := exec.CommandContext(ctx, "taskset", append([]string{"-c", core}, args...)...)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return "", 0, fmt.Errorf("%s: %w\n%s", filepath.Base(args[0]), err, exit.Stderr)
	}
	if err != nil {
		return "", 0, err
	}
	return string(out), cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), nil
}
