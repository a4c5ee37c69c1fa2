package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// peer runs the two sides of a comparison, each in a process of its own.
type peer struct {
	python, speed string // the interpreter and its script
	self          string // this program
	avx512        bool   // this machine has it
	core          string // the one that runs on one core are pinned to
}

// newPeer looks for all that is needed.
func newPeer(ctx context.Context, peers string) (*peer, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &peer{
		python: cmp.Or(os.Getenv("FORESCALE_PYTHON"), "/usr/bin/python3"),
		speed:  filepath.Join(peers, "train", "speed.py"),
		self:   self,
		core:   strconv.Itoa(runtime.NumCPU() - 1), // the first has more of the system's work to do
	}
	if _, err := os.Stat(p.speed); err != nil {
		return nil, fmt.Errorf("the PyTorch peer: %w", err)
	}
	// A product loads the BLAS that PyTorch was linked with.
	out, _, err := command(ctx, nil, p.python, "-c", "import torch; torch.rand(9, 9) @ torch.rand(9, 9); print(open('/proc/self/maps').read())")
	if err != nil {
		return nil, fmt.Errorf("PyTorch (Debian package python3-torch): %w", err)
	}
	if !strings.Contains(out, "openblas") {
		return nil, errors.New("PyTorch is not using OpenBLAS; install the Debian package libopenblas0-pthread, without which it is ten times slower")
	}
	out, _, err = command(ctx, []string{"FORESCALE_KERNEL=avx512"}, p.self, "-measure", "B", "-seconds", "0.01")
	if err != nil {
		return nil, err
	}
	p.avx512 = strings.HasPrefix(out, "forescale avx512 ")
	return p, nil
}

// torch measures PyTorch.
func (p *peer) torch(ctx context.Context, c *comparison, seconds string) (run, error) {
	// More threads of OpenBLAS than one slow PyTorch down on these shapes.
	env := []string{"PYTHONDONTWRITEBYTECODE=1", "OPENBLAS_NUM_THREADS=1", fmt.Sprintf("OMP_NUM_THREADS=%d", c.cores)}
	if c.set == "avx2" {
		env = append(env, "OPENBLAS_CORETYPE=Haswell", "ATEN_CPU_CAPABILITY=avx2")
	}
	return p.run(ctx, c, env, p.python, p.speed, c.shape, strconv.Itoa(c.cores), seconds)
}

// ours measures our side.
func (p *peer) ours(ctx context.Context, c *comparison, seconds string) (run, error) {
	return p.run(ctx, c, []string{"FORESCALE_KERNEL=" + c.set},
		p.self, "-measure", c.shape, "-threads", strconv.Itoa(c.cores), "-seconds", seconds)
}

func (p *peer) run(ctx context.Context, c *comparison, env []string, args ...string) (run, error) {
	if c.cores == 1 {
		args = append([]string{"taskset", "-c", p.core}, args...)
	}
	before, err := busySeconds()
	if err != nil {
		return run{}, err
	}
	start := time.Now()
	out, own, err := command(ctx, env, args...)
	if err != nil {
		return run{}, fmt.Errorf("%s: %w", c.name(), err)
	}
	wall := time.Since(start).Seconds()
	after, err := busySeconds()
	if err != nil {
		return run{}, err
	}
	speed, err := speedIn(out)
	return run{speed: speed, others: max(0, (after-before-own.Seconds())/wall)}, err
}

// busySeconds returns the processor time that all of the machine has spent on
// work, the host's other guests included.
func busySeconds() (float64, error) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	return parseBusy(string(stat))
}

// parseBusy reads the first line of /proc/stat: cpu, and then hundredths of a
// second of user, nice, system, idle, iowait, irq, softirq and steal.
func parseBusy(stat string) (float64, error) {
	line, _, _ := strings.Cut(stat, "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, fmt.Errorf("/proc/stat begins with %.40q", line)
	}
	sum := 0.0
	for i, f := range fields[1:9] {
		v, err := strconv.ParseFloat(f, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/stat: %w", err)
		}
		if idle := i == 3 || i == 4; !idle {
			sum += v
		}
	}
	return sum / 100, nil
}

// command runs a program and returns what it printed and the processor time that
// it used.
func command(ctx context.Context, env []string, args ...string) (string, time.Duration, error) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), env...)
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

// speedIn returns the samples_per_s of a line that speed.py or -measure printed.
func speedIn(line string) (float64, error) {
	for _, field := range strings.Fields(line) {
		if v, ok := strings.CutPrefix(field, "samples_per_s="); ok {
			speed, err := strconv.ParseFloat(v, 64)
			if err != nil || !(speed > 0) {
				return 0, fmt.Errorf("%q is not a speed", field)
			}
			return speed, nil
		}
	}
	return 0, fmt.Errorf("no samples_per_s in %q", line)
}
