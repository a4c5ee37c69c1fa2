package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/api/client"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/internal/onnxtest"
	"github.com/forescale/forescale/models"
)

// TestMain lets the test binary be the command, so that a test can run it as a
// process of its own.
func TestMain(m *testing.M) {
	if os.Getenv("FORESCALE_TEST_MAIN") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// process is a running forescale-server.
type process struct {
	cmd    *exec.Cmd
	url    string
	stderr *bytes.Buffer
}

// launch starts the command and waits for its address. Its standard input is
// open until the caller closes it.
func launch(t *testing.T, args ...string) (*process, func()) {
	t.Helper()
	p := &process{cmd: exec.Command(os.Args[0], append([]string{"-listen", "127.0.0.1:0"}, args...)...), stderr: &bytes.Buffer{}}
	p.cmd.Env = append(os.Environ(), "FORESCALE_TEST_MAIN=1")
	p.cmd.Stderr = p.stderr
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.cmd.Process.Kill() }) // it has ended unless the test failed
	line, err := bufio.NewReader(stdout).ReadString('\n')
	url, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if err != nil || !ok {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
		t.Fatalf("it prints %q (%v) and logs\n%s", line, err, p.stderr)
	}
	p.url = url
	return p, func() { _ = stdin.Close() }
}

// ended waits for the end of the process and returns its exit code.
func (p *process) ended(t *testing.T) int {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- p.cmd.Wait() }()
	select {
	case err := <-done:
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(20 * time.Second):
		t.Fatal("it does not end")
		return -1
	}
}

// forecast asks for the forecast of a window of four slots.
func forecast(t *testing.T, url string) api.Forecast {
	t.Helper()
	c, err := client.New(url)
	if err != nil {
		t.Fatal(err)
	}
	w := api.Window{Group: "web", End: time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC), StepSeconds: 300, Series: map[string]api.Series{"demand": {1, 2, 3, 4}}}
	response, err := c.Predict(t.Context(), api.PredictRequest{Windows: []api.Window{w}})
	if err != nil {
		t.Fatal(err)
	}
	return response.Forecasts[0]
}

// instances posts a request with instances and returns the predictions.
func instances(t *testing.T, url, request string) string {
	t.Helper()
	response, err := http.Post(url+api.RoutePredict, "application/json", strings.NewReader(request))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer api.InstancesResponse
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return string(answer.Predictions)
}

func TestTheCommandServesTheRegistryAndEndsCleanlyOnSIGTERM(t *testing.T) {
	dir := t.TempDir()
	modelsURL := "file://" + filepath.Join(dir, "models")
	store, err := blob.Open(context.Background(), modelsURL)
	if err != nil {
		t.Fatal(err)
	}
	spec := onnxtest.Spec(4, 2)
	registry := models.NewRegistry(store)
	put := func(factor float32) models.Manifest {
		m, model := onnxtest.Persistence(spec, factor)
		m.Name, m.CreatedAt = "shared", time.Now().UTC()
		if m, err = registry.Put(context.Background(), m, model); err != nil {
			t.Fatal(err)
		}
		return m
	}
	put(1)
	if _, err := store.Put(context.Background(), "foreign/1/model.onnx", onnxtest.Foreign(), blob.Condition{}); err != nil {
		t.Fatal(err)
	}
	p, _ := launch(t, "-models", modelsURL, "-data", "file://"+filepath.Join(dir, "data"))
	ask := func() api.Forecast { return forecast(t, p.url) }
	if f := ask(); f.Error != nil || f.Version != 1 || f.Point[1] != 4 {
		t.Errorf("forecast %+v", f)
	}
	second := put(3)
	if f := ask(); f.Version != 1 {
		t.Errorf("a challenger serves: %+v", f)
	}
	if err := registry.Promote(context.Background(), "shared", second.Version, 1, time.Now()); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(15 * time.Second); ask().Version != second.Version; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the promoted version never serves\n%s", p.stderr)
		}
	}
	if f := ask(); f.Point[1] != 12 {
		t.Errorf("forecast %+v", f)
	}
	if got := instances(t, p.url, `{"model":"foreign","instances":[[1,2,4]]}`); got != "[[7.25,14]]" {
		t.Errorf("the foreign model answers %s", got)
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := p.ended(t); code != cli.ExitOK || !strings.Contains(p.stderr.String(), "drained") {
		t.Errorf("exit code %d\n%s", code, p.stderr)
	}
}

func TestTheCommandDoesNotOutliveTheParentThatHeldItsStdin(t *testing.T) {
	p, closeStdin := launch(t, "-models", "file://"+t.TempDir(), "-exit-with-stdin")
	closeStdin()
	if code := p.ended(t); code != cli.ExitOK {
		t.Errorf("exit code %d\n%s", code, p.stderr)
	}
	// Without the flag, the end of standard input means nothing.
	p, closeStdin = launch(t, "-models", "file://"+t.TempDir())
	closeStdin()
	c, err := client.New(p.url)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond)
	if err := c.Ready(context.Background()); err != nil {
		t.Error(err)
	}
	_ = p.cmd.Process.Signal(syscall.SIGINT)
	if code := p.ended(t); code != cli.ExitOK {
		t.Errorf("exit code %d", code)
	}
}

func TestCheckTellsEveryFaultAtOnce(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	library := os.Getenv("FORESCALE_ONNXRUNTIME")
	for name, c := range map[string]struct {
		args []string
		code int
		want []string
	}{
		"all in order":              {[]string{"-check", "-models", "file://" + dir}, cli.ExitOK, []string{"configuration is valid"}},
		"nothing given":             {[]string{"-check"}, cli.ExitUsage, []string{"models: is not set"}},
		"several faults":            {[]string{"-check", "-models", "ftp://x", "-listen", "0.0.0.0:80", "-onnxruntime", "/nowhere.so"}, cli.ExitUsage, []string{"models:", "server.listen", "allow_anonymous", "/nowhere.so", "make setup"}},
		"an unknown key":            {[]string{"-check", "-config", write("unknown.yaml", "models: file:///x\nserver:\n  listn: 127.0.0.1:1\n")}, cli.ExitUsage, []string{"listn", "line 3"}},
		"files that are not there":  {[]string{"-check", "-config", write("tls.yaml", "models: file://"+dir+"\nmodel_keys: [x]\nserver: {tls: {cert_file: /nowhere.crt, key_file: /nowhere.key}}\n")}, cli.ExitUsage, []string{"server.tls.cert_file: open /nowhere.crt", "model_keys[0]"}},
		"a bad file and a bad flag": {[]string{"-check", "-models", "ftp://x", "-config", write("faults.yaml", "server:\n  listn: x\n")}, cli.ExitUsage, []string{"listn", "ftp"}},
		"a flag that is not":        {[]string{"-nope"}, cli.ExitUsage, []string{"-nope"}},
		"a stray argument":          {[]string{"-models", "file://" + dir, "serve"}, cli.ExitUsage, []string{"unexpected argument"}},
		"its version":               {[]string{"-version"}, cli.ExitOK, []string{"forescale-server"}},
		"its manual":                {[]string{"-help"}, cli.ExitOK, []string{"-exit-with-stdin", "-models URL"}},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			p := &program{getenv: func(string) string { return library }, stdin: strings.NewReader(""), stdout: &out, stderr: &out}
			if code := cli.Execute(context.Background(), p.command(), c.args, &out, &out); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			for _, want := range c.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("it says %q, without %q", out.String(), want)
				}
			}
		})
	}
}
