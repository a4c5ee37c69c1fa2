// Package layer holds the import rules of docs/ARCHITECTURE.md. Run it with
// -count=1 after moving code: the test cache cannot see a changed import graph.
package layer

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/forescale/forescale/"

// pkg is the part of `go list -json` that the rules need. Test imports are free:
// a test may bring two services together.
type pkg struct {
	ImportPath string
	Imports    []string
	CgoFiles   []string
	Standard   bool
}

func list(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,CgoFiles,Standard", "./...")
	cmd.Dir = filepath.Join("..", "..")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var pkgs []pkg
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p pkg
		switch err := dec.Decode(&p); {
		case errors.Is(err, io.EOF):
			return pkgs
		case err != nil:
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

var services = []string{"collector", "trainer", "server", "scaler"}

// drivers are the packages that, among the services, only their switch may import.
var drivers = map[string]string{
	"collector/azuremonitor": "collector/sources",
	"collector/cloudwatch":   "collector/sources",
	"collector/mqtt":         "collector/sources",
	"collector/prometheus":   "collector/sources",
	"scaler/asg":             "scaler/targets",
	"scaler/kube":            "scaler/targets",
}

// top returns the first path element of a package of this module.
func top(path string) string {
	first, _, _ := strings.Cut(path, "/")
	return first
}

// allowed reports why from may not import to, both relative to the module, or "".
func allowed(from, to string) string {
	service := func(p string) bool {
		for _, s := range services {
			if top(p) == s {
				return true
			}
		}
		return false
	}
	switch {
	case top(to) == "cmd" && top(from) != "cmd":
		return "nothing imports a command"
	case top(from) == "api" && top(to) != "api":
		return "api is the vocabulary and imports nothing of ours"
	case top(from) == "models" && service(to):
		return "models serves the services and imports none of them"
	case top(from) == "internal" && service(to):
		return "internal serves the services and imports none of them"
	case service(from) && service(to) && top(from) != top(to):
		return "services meet in the dataset, the registry and HTTP, never in code"
	case to == "server/ort" && from != "cmd/forescale-server":
		return "only forescale-server links ONNX Runtime"
	}
	// A command may configure a driver in code, as the demo does.
	if parent := drivers[to]; parent != "" && from != parent && top(from) != "cmd" {
		return "only " + parent + " lists this driver"
	}
	if strings.HasPrefix(from, "scaler/plan") && top(to) != "api" && !strings.HasPrefix(to, "scaler/plan") {
		return "plan is pure: it knows the vocabulary and nothing else"
	}
	if strings.HasPrefix(from, "models/gate") && !strings.HasPrefix(to, "models/gate") {
		return "gate is pure: it judges plain data and knows nothing of where it comes from"
	}
	return ""
}

func TestImportsFollowTheArchitecture(t *testing.T) {
	for _, p := range list(t) {
		from := strings.TrimPrefix(p.ImportPath, module)
		for _, to := range p.Imports {
			if rel, ok := strings.CutPrefix(to, module); ok {
				if why := allowed(from, rel); why != "" {
					t.Errorf("%s imports %s: %s", from, rel, why)
				}
			}
		}
		if len(p.CgoFiles) > 0 && from != "server/ort" {
			t.Errorf("%s uses cgo: only server/ort may", from)
		}
	}
}

// pure are the packages whose results depend on their arguments alone: plan, which
// decides, and gate, which judges models.
var pure = []string{"scaler/plan", "models/gate"}

func TestPurePackagesReadNoClockAndDoNoIO(t *testing.T) {
	forbidden := []string{"os", "net", "net/http", "log", "log/slog", "math/rand", "math/rand/v2", "context"}
	pkgs := list(t)
	for _, name := range pure {
		for _, p := range pkgs {
			if !strings.HasPrefix(p.ImportPath, module+name) {
				continue
			}
			for _, to := range p.Imports {
				if slices.Contains(forbidden, to) {
					t.Errorf("%s imports %s: %s is pure", p.ImportPath, to, name)
				}
			}
		}
		readsNoClock(t, name)
	}
}

// It may reckon with times and must not ask for the present one.
var clock = regexp.MustCompile(`\btime\.(Now|Since|Until|After|AfterFunc|Tick|NewTimer|NewTicker|Sleep)\(`)

func readsNoClock(t *testing.T, name string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", filepath.FromSlash(name), "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files of %s: %v", name, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if at := clock.Find(text); at != nil && !strings.HasSuffix(file, "_test.go") {
			t.Errorf("%s calls %s…): %s reads no clock", file, at, name)
		}
	}
}

func TestTheRulesRefuseWhatTheyAreThereFor(t *testing.T) {
	for _, c := range []struct{ from, to string }{
		{"api", "models"},
		{"models", "scaler"},
		{"internal/window", "trainer/onnx"},
		{"scaler", "trainer"},
		{"cmd/forescale", "server/ort"},
		{"collector", "collector/cloudwatch"},
		{"scaler/plan", "internal/window"},
		{"internal/cli", "cmd/forescale"},
		{"models/gate", "internal/blob"},
	} {
		if allowed(c.from, c.to) == "" {
			t.Errorf("%s may import %s", c.from, c.to)
		}
	}
	for _, c := range []struct{ from, to string }{
		{"cmd/forescale-server", "server/ort"},
		{"collector/sources", "collector/cloudwatch"},
		{"scaler", "scaler/plan"},
		{"server", "internal/dataset"},
		{"models", "internal/blob"},
	} {
		if why := allowed(c.from, c.to); why != "" {
			t.Errorf("%s may not import %s: %s", c.from, c.to, why)
		}
	}
}

// With a template engine, which looks for methods by names that only a run knows, the
// linker keeps every method of every type.
func TestTheServerHoldsNoTemplateEngine(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", "-tags", "grpcnotrace", "./cmd/forescale-server")
	cmd.Dir = filepath.Join("..", "..")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	all := strings.Fields(string(out))
	if !slices.Contains(all, module+"server") {
		t.Errorf("the server is not among %d packages", len(all))
	}
	for _, engine := range []string{"text/template", "html/template"} {
		if slices.Contains(all, engine) {
			t.Errorf("%s is among its packages", engine)
		}
	}
}
