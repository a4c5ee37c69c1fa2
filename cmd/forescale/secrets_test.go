package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/cli"
	"github.com/forescale/forescale/internal/onnxtest"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/server/access"
)

// execute runs one of the commands that deal in secrets.
func execute(t *testing.T, command func(*secretTool) cli.Command, args ...string) (code int, out string) {
	t.Helper()
	var b bytes.Buffer
	return cli.Execute(context.Background(), command(&secretTool{out: &b}), args, &b, &b), b.String()
}

func TestATokenIsPrintedWithItsHash(t *testing.T) {
	code, out := execute(t, (*secretTool).tokenCommand)
	m := regexp.MustCompile(`^token: (fsk_\S+)\nhash:  (sha256:[0-9a-f]{64})\n$`).FindStringSubmatch(out)
	if code != cli.ExitOK || m == nil || access.HashToken(m[1]) != m[2] {
		t.Fatalf("exit code %d: %s", code, out)
	}
	path := filepath.Join(t.TempDir(), "token")
	if code, out = execute(t, (*secretTool).tokenCommand, "-out", path); code != cli.ExitOK {
		t.Fatal(out)
	}
	raw, err := os.ReadFile(path)
	if err != nil || strings.Contains(out, strings.TrimSpace(string(raw))) || !strings.Contains(out, access.HashToken(strings.TrimSpace(string(raw)))) {
		t.Errorf("%v; printed %s", err, out)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if code, out = execute(t, (*secretTool).tokenCommand, "-out", path); code != cli.ExitFailed || !strings.Contains(out, "exists") {
		t.Errorf("over a file that is there: exit code %d: %s", code, out)
	}
}

func TestModelsThatAreThereAreSignedByANewKey(t *testing.T) {
	dir := t.TempDir()
	store, err := blob.Open(t.Context(), "file://"+dir+"/models")
	if err != nil {
		t.Fatal(err)
	}
	m, model := onnxtest.Persistence(onnxtest.Spec(4, 2), 1)
	m.Name = "web"
	for range 2 {
		if _, err := models.NewRegistry(store).Put(t.Context(), m, model); err != nil {
			t.Fatal(err)
		}
	}
	key := filepath.Join(dir, "models.key")
	code, public := execute(t, (*secretTool).keyCommand, "-out", key)
	if code != cli.ExitOK {
		t.Fatal(public)
	}
	if _, again := execute(t, (*secretTool).keyCommand, "-public", key); again != public {
		t.Errorf("public key %q, and then %q", public, again)
	}
	trusted, err := models.ParsePublicKey(strings.TrimSpace(public))
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "forescale.yaml")
	write := func(keys string) {
		text := fmt.Sprintf("models: file://%s/models\nmodel_keys: [%s]\nmodel_signing_key: {file: %s}\nserver: {listen: 127.0.0.1:1}\n", dir, keys, key)
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, other, err := models.NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	write(models.FormatPublicKey(other))
	if code, out := execute(t, (*secretTool).signCommand, "-config", config, "web"); code != cli.ExitUsage || !strings.Contains(out, "not among model_keys") {
		t.Errorf("with a key that nobody trusts: exit code %d: %s", code, out)
	}
	write(strings.TrimSpace(public))
	reader := models.NewRegistry(store, models.WithTrust(trusted))
	if code, out := execute(t, (*secretTool).signCommand, "-config", config, "-only", "2", "web"); code != cli.ExitOK || out != "signed web version 2\n" {
		t.Errorf("exit code %d: %s", code, out)
	}
	if _, err := reader.Manifest(t.Context(), "web", 1); !errors.Is(err, models.ErrUntrusted) {
		t.Error(err)
	}
	if code, out := execute(t, (*secretTool).signCommand, "web", "-config", config); code != cli.ExitOK || strings.Count(out, "signed") != 2 {
		t.Errorf("exit code %d: %s", code, out)
	}
	for version := 1; version <= 2; version++ {
		if _, err := reader.Manifest(t.Context(), "web", version); err != nil {
			t.Error(err)
		}
	}
	for name, args := range map[string][]string{"no configuration": {"web"}, "no model": {"-config", config}, "several with one version": {"-config", config, "-only", "1", "a", "b"}} {
		if code, out := execute(t, (*secretTool).signCommand, args...); code != cli.ExitUsage {
			t.Errorf("%s: exit code %d: %s", name, code, out)
		}
	}
	if code, out := execute(t, (*secretTool).signCommand, "-config", config, "none"); code != cli.ExitFailed || !strings.Contains(out, "no such model") {
		t.Errorf("exit code %d: %s", code, out)
	}
}
