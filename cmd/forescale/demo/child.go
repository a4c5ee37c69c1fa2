package demo

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// child is a forescale-server that runs as a process of its own, because it is
// the only program that links ONNX Runtime. It is started again, on the same
// address, when it dies.
type child struct {
	binary string
	args   []string
	logs   io.Writer

	mu       sync.Mutex
	cmd      *exec.Cmd // guarded by mu; the process that runs now
	url      string    // guarded by mu; fixed by the first start
	restarts atomic.Int64

	stop context.CancelFunc
	done chan struct{} // closed when the last process has been reaped
}

// Bounds of the child's life cycle.
const (
	startTimeout = 30 * time.Second
	stopTimeout  = 10 * time.Second
)

// findServer returns the path of forescale-server: the given one, else the one
// beside this program, else the one on PATH.
func findServer(given string) (string, error) {
	if given != "" {
		path, err := exec.LookPath(given)
		if err != nil {
			return "", fmt.Errorf("-server: %w", err)
		}
		return path, nil
	}
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), "forescale-server")
		if _, err := os.Stat(beside); err == nil {
			return beside, nil
		}
	}
	path, err := exec.LookPath("forescale-server")
	if err != nil {
		return "", errors.New("forescale-server is neither beside this program nor on PATH: run 'make build', or name it with -server")
	}
	return path, nil
}

// startChild starts the server and returns when it is ready to answer.
func startChild(ctx context.Context, binary string, args []string, logs io.Writer) (*child, error) {
	ctx, stop := context.WithCancel(ctx)
	c := &child{binary: binary, args: args, logs: logs, stop: stop, done: make(chan struct{})}
	exited, err := c.launch(ctx, "127.0.0.1:0")
	if err != nil {
		stop()
		close(c.done)
		return nil, err
	}
	go c.supervise(ctx, exited)
	return c, nil
}

// URL returns the base address of the server.
func (c *child) URL() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.url
}

// Restarts returns how often the server has died and been started again.
func (c *child) Restarts() int { return int(c.restarts.Load()) }

// Stop ends the server in an orderly way, and by force if that takes too long.
func (c *child) Stop() {
	c.stop()
	<-c.done
}

// launch starts one process and waits until it is ready. exited yields once,
// when the process is gone and reaped.
func (c *child) launch(ctx context.Context, listen string) (exited <-chan error, err error) {
	// The process must not share our process group: Ctrl-C in the terminal would
	// stop it while the last tick still needs it.
	cmd := exec.Command(c.binary, append([]string{"-listen", listen, "-exit-with-stdin"}, c.args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Stderr = c.logs
	stdin, err := cmd.StdinPipe() // held open for as long as we live
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", c.binary, err)
	}
	gone := make(chan error, 1)
	address := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			if url, ok := strings.CutPrefix(lines.Text(), "listening on "); ok {
				select {
				case address <- url:
				default:
				}
			}
		}
		err := cmd.Wait()
		stdin.Close()
		gone <- err
	}()
	c.mu.Lock()
	c.cmd = cmd
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	select {
	case url := <-address:
		c.mu.Lock()
		c.url = url
		c.mu.Unlock()
		if err := waitReady(ctx, url); err != nil {
			cmd.Process.Kill()
			<-gone
			return nil, err
		}
		return gone, nil
	case <-gone:
		return nil, fmt.Errorf("%s ended before it was ready (%s)", filepath.Base(c.binary), cmd.ProcessState)
	case <-ctx.Done():
		cmd.Process.Kill()
		<-gone
		return nil, fmt.Errorf("%s was not ready within %s: %w", filepath.Base(c.binary), startTimeout, ctx.Err())
	}
}

// supervise starts the server again whenever it is gone, until ctx ends.
func (c *child) supervise(ctx context.Context, exited <-chan error) {
	defer close(c.done)
	for {
		select {
		case <-ctx.Done():
			c.terminate(exited)
			return
		case <-exited:
		}
		c.restarts.Add(1)
		for delay := 50 * time.Millisecond; ; delay = min(2*delay, 2*time.Second) {
			again, err := c.launch(ctx, strings.TrimPrefix(c.URL(), "http://"))
			if err == nil {
				exited = again
				break
			}
			fmt.Fprintf(c.logs, "restart of %s: %v\n", filepath.Base(c.binary), err)
			select {
			case <-ctx.Done():
				return
			case <-time.After(delay):
			}
		}
	}
}

func (c *child) terminate(exited <-chan error) {
	c.mu.Lock()
	process := c.cmd.Process
	c.mu.Unlock()
	process.Signal(syscall.SIGTERM)
	select {
	case <-exited:
	case <-time.After(stopTimeout):
		process.Kill()
		<-exited
	}
}

// waitReady returns when GET /readyz answers 200.
func waitReady(ctx context.Context, url string) error {
	client := http.Client{Timeout: time.Second}
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/readyz", nil)
		if err != nil {
			return err
		}
		if resp, err := client.Do(req); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s/readyz: %w", url, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}
