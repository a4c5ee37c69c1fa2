//go:build system

package systemd

import (
	"bufio"
	"context"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/onnxtest"
	"github.com/forescale/forescale/models"
)

// worstExposure is in tenths what `systemd-analyze security` may say at most: 0 is
// nothing exposed, 100 everything.
const worstExposure = "25"

func fromEnv(t *testing.T, name string) string {
	t.Helper()
	path := os.Getenv(name)
	if path == "" {
		t.Fatalf("set %s to the path of the program; `make test-system` does", name)
	}
	return path
}

// units copies the units into a folder, with their programs in place of installed ones.
func units(t *testing.T) (services, all []string) {
	t.Helper()
	dir := t.TempDir()
	paths, err := filepath.Glob("forescale-*.*")
	if err != nil {
		t.Fatal(err)
	}
	program := regexp.MustCompile(`ExecStart=/usr/bin/(\S+)`)
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if m := program.FindSubmatch(raw); m != nil {
			if _, err := os.Stat(filepath.Join("../../cmd", string(m[1]))); err != nil {
				t.Errorf("%s: %v", path, err)
			}
			if err := os.WriteFile(filepath.Join(dir, string(m[1])), []byte("#!/bin/true\n"), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		to := filepath.Join(dir, path)
		if err := os.WriteFile(to, program.ReplaceAll(raw, []byte("ExecStart="+dir+"/$1")), 0o644); err != nil {
			t.Fatal(err)
		}
		all = append(all, to)
		if strings.HasSuffix(path, ".service") {
			services = append(services, to)
		}
	}
	if len(services) != 4 || len(all) != 5 {
		t.Fatalf("units: %v", all)
	}
	return services, all
}

func TestSystemSystemdFindsNoFaultWithTheUnits(t *testing.T) {
	systemd := fromEnv(t, "FORESCALE_SYSTEMD_ANALYZE")
	services, all := units(t)
	if out, err := exec.Command(systemd, append([]string{"verify", "--man=no"}, all...)...).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("verify: %v\n%s", err, out)
	}
	for _, unit := range services {
		out, err := exec.Command(systemd, "security", "--offline=yes", "--threshold="+worstExposure, "--no-pager", unit).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", filepath.Base(unit), err, out)
		}
	}
}

// MemoryDenyWriteExecute holds for ONNX Runtime too: the server loads and runs a model
// where no memory can become executable.
func TestSystemTheServerNeedsNoMemoryThatIsWrittenAndExecuted(t *testing.T) {
	program := filepath.Join(t.TempDir(), "forescale-server")
	if out, err := exec.Command("go", "build", "-o", program, "../../cmd/forescale-server").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	m, model := onnxtest.Persistence(onnxtest.Spec(4, 2), 1)
	m.Name = "web"
	registry := "file://" + t.TempDir()
	store, err := blob.Open(t.Context(), registry)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := models.NewRegistry(store).Put(t.Context(), m, model); err != nil {
		t.Fatal(err)
	}
	// What this process denies itself, its children are denied. A kernel before 6.3
	// cannot; there, only the map of the memory tells.
	if err := unix.Prctl(unix.PR_SET_MDWE, unix.PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "-models", registry, "-listen", "127.0.0.1:0", "-onnxruntime", fromEnv(t, "FORESCALE_ONNXRUNTIME"))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	address, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if err != nil || !ok {
		t.Fatalf("%q, %v", line, err)
	}
	ready(t, address+"/v2/models/web/ready")
	maps, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(cmd.Process.Pid), "maps"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(maps), "libonnxruntime") {
		t.Error("ONNX Runtime is not loaded")
	}
	if found := regexp.MustCompile(`(?m)^\S+ .wx.*$`).FindAllString(string(maps), -1); len(found) > 0 {
		t.Errorf("memory that is written and executed:\n%s", strings.Join(found, "\n"))
	}
	if err := errors.Join(cmd.Process.Signal(os.Interrupt), cmd.Wait()); err != nil {
		t.Error(err)
	}
}

// ready waits until an address answers 200.
func ready(t *testing.T, address string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for ctx.Err() == nil {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("%s is never ready", address)
}
