package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/internal/conf"
	"github.com/forescale/forescale/internal/registry"
	"github.com/forescale/forescale/scaler"
	"github.com/forescale/forescale/server"
)

// Every example of the page on security is one that the programs accept.
func TestTheExamplesOfTheSecurityPageAreValid(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "security.md"))
	if err != nil {
		t.Fatal(err)
	}
	examples := strings.Split(string(page), "```yaml\n")[1:]
	seen := map[string]bool{}
	for _, example := range examples {
		example, _, _ = strings.Cut(example, "```")
		path := filepath.Join(t.TempDir(), "forescale.yaml")
		if err := os.WriteFile(path, []byte(example), 0o600); err != nil {
			t.Fatal(err)
		}
		serving, scaling := server.Defaults(), scaler.DefaultConfig()
		common, err := conf.Load(path, "server", &serving)
		err = errors.Join(err, serving.Validate(), registry.Check(common))
		if _, again := conf.Load(path, "scaler", &scaling); again != nil {
			err = errors.Join(err, again)
		}
		if strings.HasPrefix(example, "scaler:") {
			err = errors.Join(err, scaling.Validate(5*time.Minute))
			seen["scaler"] = scaling.ServerToken.File != "" && scaling.ServerCAFile != ""
		}
		seen["clients"] = seen["clients"] || len(serving.Clients) > 0 && serving.RateLimit > 0
		seen["mutual"] = seen["mutual"] || serving.TLS.ClientCAFile != ""
		seen["keys"] = seen["keys"] || len(common.ModelKeys) > 0 && !common.ModelSigningKey.IsZero()
		if err != nil {
			t.Errorf("%v\nin\n%s", err, example)
		}
	}
	for _, what := range []string{"scaler", "clients", "mutual", "keys"} {
		if !seen[what] {
			t.Errorf("no example shows %s", what)
		}
	}
}
