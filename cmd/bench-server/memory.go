package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	reloads    = 300
	settled    = 100 // the reload from which growth counts
	around     = 20  // reloads whose median is the memory at the last of them: the heap breathes
	reloadPoll = 20 * time.Millisecond
	reloadWait = 30 * time.Second
)

// measureMemory replaces the model of our server by a new version again and again, under
// load, and notes by how much its memory has grown from the 100th to the 300th time.
func (w *workshop) measureMemory(ctx context.Context, all *results) error {
	model, err := os.ReadFile(w.model)
	if err != nil {
		return err
	}
	if err := w.version("reloads", "lstm", 1, model); err != nil {
		return err
	}
	config := w.path("reloads.yaml")
	if err := os.WriteFile(config, []byte("server: {reload: 20ms}\n"), 0o600); err != nil {
		return err
	}
	server := rival{name: ours, args: []string{w.server, "-config", config, "-listen", "127.0.0.1:%PORT%", "-models", "file://" + w.path("reloads")},
		env: []string{"FORESCALE_ONNXRUNTIME=" + w.library}, body: w.instances}
	up, err := w.launch(ctx, server)
	if err != nil {
		return err
	}
	defer up.stop()
	lua := w.path("post.lua")
	if err := os.WriteFile(lua, []byte(script(w.instances)), 0o600); err != nil {
		return err
	}
	load := exec.CommandContext(ctx, "taskset", "-c", w.loadCore, "wrk", "-t1", "-c", "16", "-d", "1h", "-s", lua, up.url)
	if err := load.Start(); err != nil {
		return err
	}
	defer func() {
		_ = load.Process.Kill()
		_ = load.Wait()
	}()
	var resident []float64 // after each reload, MB
	for n := 1; n <= reloads; n++ {
		if err := w.version("reloads", "lstm", n+1, model); err != nil {
			return err
		}
		if err := awaitVersion(ctx, up.url, n+1); err != nil {
			return fmt.Errorf("reload %d: %w\n%s", n, err, up.log)
		}
		if err := os.RemoveAll(filepath.Join(w.path("reloads"), "lstm", strconv.Itoa(n))); err != nil {
			return err
		}
		mb, err := residentMB(up.pid())
		if err != nil {
			return err
		}
		if resident = append(resident, mb); n%50 == 0 {
			fmt.Fprintf(os.Stderr, "%d reloads: %.1f MB\n", n, median(resident[n-around:]))
		}
	}
	all.growth, all.reload = median(resident[reloads-around:])-median(resident[settled-around:settled]), true
	return nil
}

// awaitVersion waits until the server says that it serves a version.
func awaitVersion(ctx context.Context, predict string, version int) error {
	url := strings.Replace(predict, "/predict", "/metrics", 1)
	want := fmt.Sprintf(`forescale_model_info{model="lstm",version="%d"} 1`, version)
	for began := time.Now(); time.Since(began) < reloadWait; time.Sleep(reloadPoll) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		answer, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		text, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close() // it has been read
		if err != nil {
			return err
		}
		if strings.Contains(string(text), want) {
			return nil
		}
	}
	return fmt.Errorf("version %d does not serve after %s", version, reloadWait)
}
