package systemd

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/internal/conf"
	"github.com/forescale/forescale/scaler"
	"github.com/forescale/forescale/server"
)

// The example of the page is valid, and its secrets are where the units put what
// forescale init makes.
func TestTheExampleReadsTheCredentialsOfTheUnits(t *testing.T) {
	page, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(page), "```yaml\n")
	example, _, _ = strings.Cut(example, "```")
	path := filepath.Join(t.TempDir(), "forescale.yaml")
	if err := os.WriteFile(path, []byte(example+"  groups: [{name: web, min: 1, max: 9}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	serving, scaling := server.Defaults(), scaler.DefaultConfig()
	_, err1 := conf.Load(path, "server", &serving)
	_, err2 := conf.Load(path, "scaler", &scaling)
	if err := errors.Join(err1, err2, serving.Validate(), scaling.Validate(5*time.Minute)); err != nil {
		t.Error(err)
	}
	found := regexp.MustCompile(`/run/credentials/(\S+?)/([a-z]+)_`).FindAllStringSubmatch(example, -1)
	for _, m := range found {
		unit, err := os.ReadFile(m[1])
		if want := "LoadCredential=" + m[2] + ":/etc/forescale/credentials/" + m[2] + "\n"; err != nil || !strings.Contains(string(unit), want) {
			t.Errorf("%s: has no %s (%v)", m[1], want, err)
		}
	}
	if len(found) != 3 {
		t.Errorf("the example reads %d secrets", len(found))
	}
}
