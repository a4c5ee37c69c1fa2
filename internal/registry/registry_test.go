package registry

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/forescale/forescale/internal/conf"
	"github.com/forescale/forescale/models"
)

// newKey returns the file of a new key and its public half.
func newKey(t *testing.T) (file, public string) {
	t.Helper()
	text, key, err := models.NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file, models.FormatPublicKey(key)
}

func TestWhatTheConfigurationMustHold(t *testing.T) {
	file, public := newKey(t)
	_, other := newKey(t)
	garbage := filepath.Join(t.TempDir(), "garbage")
	if err := os.WriteFile(garbage, []byte("not a key"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		keys       []string
		signing    conf.Secret
		read, both string // in the error of Check, and of CheckToWrite; empty: none
	}{
		"no keys at all":                {nil, conf.Secret{}, "", ""},
		"a reader needs no private key": {[]string{public}, conf.Secret{}, "", "model_signing_key: is not set"},
		"who signs must be trusted":     {[]string{other}, conf.Secret{File: file}, "", public + " is not among model_keys"},
		"one of several keys will do":   {[]string{other, public}, conf.Secret{File: file}, "", ""},
		"signing before anyone asks":    {nil, conf.Secret{File: file}, "", ""},
		"a key that cannot be read":     {nil, conf.Secret{File: "/nonexistent/key"}, "", "/nonexistent/key"},
		"a file without a key":          {nil, conf.Secret{File: garbage}, "", "model_signing_key: is no private key"},
		"two places of a key":           {nil, conf.Secret{File: file, Env: "K"}, "exclude", "exclude"},
		"a public key that is none":     {[]string{public, "x"}, conf.Secret{File: file}, "model_keys[1]", "model_keys[1]"},
	} {
		common := conf.Common{Models: "file://" + t.TempDir(), ModelKeys: c.keys, ModelSigningKey: c.signing}
		holds := func(what string, err error, want string) {
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %s says %v", name, what, err)
			}
		}
		holds("Check", Check(common), c.read)
		holds("CheckToWrite", CheckToWrite(common), c.both)
	}
}

func TestWhatOneWritesSignedTheOtherReads(t *testing.T) {
	file, public := newKey(t)
	common := conf.Common{Models: "file://" + t.TempDir(), ModelKeys: []string{public}, ModelSigningKey: conf.Secret{File: file}}
	w, err := OpenToWrite(t.Context(), common)
	if err != nil {
		t.Fatal(err)
	}
	m := models.Manifest{Name: "web", Groups: []string{"web"}, Spec: models.Spec{Target: "demand", StepSeconds: 300, Lookback: 2, Horizon: 1, Series: []string{"demand"}}}
	if _, err := w.Put(t.Context(), m, []byte("model")); err != nil {
		t.Fatal(err)
	}
	common.ModelSigningKey = conf.Secret{File: "/nonexistent/key"} // which a reader does not look at
	r, err := Open(t.Context(), common)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Get(t.Context(), "web", 1); err != nil {
		t.Error(err)
	}
	_, common.ModelKeys[0] = newKey(t)
	if r, err = Open(t.Context(), common); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Get(t.Context(), "web", 1); err == nil {
		t.Error("a key that is no longer trusted still is")
	}
}
