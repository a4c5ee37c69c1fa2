// Package lambdahost is the other side of a function of AWS Lambda, for tests: the
// Runtime API, and an execution environment that starts the real bootstrap, hands it
// events and kills it when its time is up. It is for tests only.
//
// The protocol is that of https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html.
// It reproduces what a function may stumble over: one invocation at a time in an
// environment, a process that lives on between invocations, a deadline that is the
// host's and not the program's, and a process that is killed at it and started again
// under the same name.
package lambdahost

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

// Environment is one execution environment of a function.
type Environment struct {
	t         *testing.T
	dir       string
	env       []string
	api       *httptest.Server
	calls     chan call     // to next
	done      chan Result   // from response and error
	log       *os.File      // of all processes so far
	count     int           // invocations so far
	interrupt time.Duration // of the next invocation; 0: none

	process *exec.Cmd     // nil: none runs
	exited  chan struct{} // closed when process has ended
}

// call is an invocation on its way into the process.
type call struct {
	id       string
	deadline time.Time
	payload  string
}

// Result is what an invocation came to.
type Result struct {
	ID        string
	Payload   string // of the response
	Error     string // as reported; "": none
	ErrorType string
	TimedOut  bool // the process was killed at the deadline
	Exited    bool // the process ended by itself
	Took      time.Duration
}

// New returns an environment, without a process yet, of the function in dir, which
// holds bootstrap. env is all of the process's environment besides Lambda's own; name
// is that of the environment (its log stream). It ends with the test.
func New(t *testing.T, dir, function, name string, env ...string) *Environment {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "log")) // no pipe: what was written before an answer is there
	if err != nil {
		t.Fatal(err)
	}
	e := &Environment{t: t, dir: dir, calls: make(chan call), done: make(chan Result, 1), log: log}
	mux := http.NewServeMux()
	const invocation = "/2018-06-01/runtime/invocation/"
	mux.HandleFunc("GET "+invocation+"next", e.next)
	mux.HandleFunc("POST "+invocation+"{id}/response", func(w http.ResponseWriter, r *http.Request) {
		e.answer(w, r, func(body []byte) Result { return Result{Payload: string(body)} })
	})
	mux.HandleFunc("POST "+invocation+"{id}/error", func(w http.ResponseWriter, r *http.Request) {
		e.answer(w, r, func(body []byte) Result {
			var report struct{ ErrorMessage, ErrorType string }
			if err := json.Unmarshal(body, &report); err != nil || report.ErrorMessage == "" {
				t.Errorf("an error that says nothing was reported: %q", body)
			}
			return Result{Error: report.ErrorMessage, ErrorType: report.ErrorType}
		})
	})
	e.api = httptest.NewServer(mux)
	e.env = append([]string{
		"AWS_LAMBDA_RUNTIME_API=" + e.api.Listener.Addr().String(), "AWS_LAMBDA_FUNCTION_NAME=" + function, "AWS_LAMBDA_LOG_STREAM_NAME=" + name,
		"AWS_LAMBDA_FUNCTION_VERSION=$LATEST", "AWS_LAMBDA_INITIALIZATION_TYPE=on-demand", "_HANDLER=bootstrap",
		"LAMBDA_TASK_ROOT=" + dir, "TZ=:UTC", "AWS_EC2_METADATA_DISABLED=true",
	}, env...)
	t.Cleanup(func() { e.Kill(); e.api.Close(); _ = log.Close() })
	return e
}

// built are the bootstraps of this process's tests, by their package.
var built struct {
	mu  sync.Mutex
	dir map[string]string // guarded by mu
}

// Unpack returns a folder with the command of a package as Lambda unpacks it, and
// files beside it. It is built once for all tests of a process, in a folder that Clean
// removes.
func Unpack(t *testing.T, command string, files map[string]string) (dir string) {
	t.Helper()
	built.mu.Lock()
	defer built.mu.Unlock()
	if built.dir[command] == "" {
		tmp, err := os.MkdirTemp("", "lambdahost")
		if err != nil {
			t.Fatal(err)
		}
		build := exec.Command("go", "build", "-tags", "lambda.norpc", "-o", filepath.Join(tmp, "bootstrap"), command)
		build.Env = append(os.Environ(), "CGO_ENABLED=0") // as make lambda builds it
		if out, err := build.CombinedOutput(); err != nil {
			_ = os.RemoveAll(tmp)
			t.Fatalf("go build: %v\n%s", err, out)
		}
		if built.dir == nil {
			built.dir = map[string]string{}
		}
		built.dir[command] = tmp
	}
	dir = t.TempDir()
	if err := os.Link(filepath.Join(built.dir[command], "bootstrap"), filepath.Join(dir, "bootstrap")); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Clean removes what Unpack has built. A package's TestMain calls it at the end.
func Clean() {
	built.mu.Lock()
	defer built.mu.Unlock()
	for command, dir := range built.dir {
		_ = os.RemoveAll(dir) // what stays is a temporary file
		delete(built.dir, command)
	}
}

// next hands the next event out, as soon as there is one.
func (e *Environment) next(w http.ResponseWriter, r *http.Request) {
	select {
	case c := <-e.calls:
		h := w.Header()
		h.Set("Lambda-Runtime-Aws-Request-Id", c.id)
		h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(c.deadline.UnixMilli(), 10))
		h.Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:111122223333:function:test")
		h.Set("Lambda-Runtime-Trace-Id", "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=0")
		h.Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, c.payload) // a process that has gone is noticed by Invoke
	case <-r.Context().Done():
	}
}

func (e *Environment) answer(w http.ResponseWriter, r *http.Request, read func([]byte) Result) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 6<<20)) // Lambda's own limit
	if err != nil {
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	res := read(body)
	res.ID = r.PathValue("id")
	e.done <- res
	w.WriteHeader(http.StatusAccepted)
}

// Invoke hands an event to the process, which is started if none runs, and returns
// what came of it at the latest after timeout. One at a time.
func (e *Environment) Invoke(payload string, timeout time.Duration) Result {
	e.t.Helper()
	if e.process == nil {
		e.start()
	}
	e.count++
	began := time.Now()
	c := call{id: fmt.Sprintf("8476a536-e9f4-11e8-9739-%012d", e.count), deadline: began.Add(timeout), payload: payload}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	if e.interrupt > 0 {
		process := e.process.Process
		defer time.AfterFunc(e.interrupt, func() { _ = process.Kill() }).Stop() // an error means that it has ended already
		e.interrupt = 0
	}
	calls, res := e.calls, Result{}
	for waiting := true; waiting; {
		select {
		case calls <- c:
			calls = nil
		case res = <-e.done:
			if res.ID != c.id {
				e.t.Errorf("the answer is for %q, not for %q", res.ID, c.id)
			}
			waiting = false
		case <-e.exited:
			e.process, res.Exited, waiting = nil, true, false
		case <-timer.C:
			e.Kill()
			res.TimedOut, waiting = true, false
		}
	}
	res.Took = time.Since(began)
	return res
}

func (e *Environment) start() {
	e.t.Helper()
	cmd := exec.Command(filepath.Join(e.dir, "bootstrap"))
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = e.dir, e.env, e.log, e.log
	if err := cmd.Start(); err != nil {
		e.t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() { _ = cmd.Wait(); close(exited) }()
	e.process, e.exited = cmd, exited
}

// Kill ends the process, if there is one, as Lambda does: at once. The next
// invocation starts another one under the same name.
func (e *Environment) Kill() {
	if e.process == nil {
		return
	}
	_ = e.process.Process.Kill() // an error means that it has ended already
	<-e.exited
	e.process = nil
	select { // an answer that came too late belongs to no later invocation
	case <-e.done:
	default:
	}
}

// Interrupt kills the process so long after the next invocation has begun, long before
// its deadline, as Lambda does when the memory does not suffice.
func (e *Environment) Interrupt(after time.Duration) { e.interrupt = after }

// Log returns what the processes of the environment have written.
func (e *Environment) Log() string {
	e.t.Helper()
	text, err := os.ReadFile(e.log.Name())
	if err != nil {
		e.t.Fatal(err)
	}
	return string(text)
}
