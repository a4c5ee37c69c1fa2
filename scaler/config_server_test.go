package scaler

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/forescale/forescale/internal/certtest"
)

func TestTheWayToTheServerIsChecked(t *testing.T) {
	for name, c := range map[string]struct {
		yaml, want string // want is in the error; empty: it is valid
	}{
		"a token on this machine":                {"server_token: {env: T}", ""},
		"a token over https":                     {"server: https://predict.internal:8650\n  server_token: {file: /etc/t}\n  server_ca_file: /etc/ca", ""},
		"a token in clear text":                  {"server: http://predict.internal:8650\n  server_token: {env: T}", "server_allow_plaintext"},
		"which is asked for by name":             {"server: http://predict.internal:8650\n  server_token: {env: T}\n  server_allow_plaintext: true", ""},
		"a token from two places":                {"server_token: {env: T, file: t}", "scaler.server_token: env and file"},
		"an authority where nothing is signed":   {"server_ca_file: /etc/ca", "use https"},
		"a certificate without its key":          {"server: https://a\n  server_cert_file: /etc/c", "server_cert_file, server_key_file"},
		"a password in the URL":                  {"server: https://me:secret@a", "holds a user"},
		"something that is no URL":               {"server: a:b", "is not a http or https URL"},
		"a token that stands in the file itself": {"server_token: fsk_abc", "line 2: \"a secret itself\" where a mapping"},
	} {
		_, err := load(t, "scaler:\n  "+c.yaml+"\n  groups: [{name: web}]\n")
		if (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret@")) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCheckServerReadsTheFilesAndTheToken(t *testing.T) {
	ca := certtest.New(t, "site")
	dir := t.TempDir()
	cfg := DefaultConfig()
	cfg.Server = "https://127.0.0.1:1"
	cfg.ServerCAFile = filepath.Join(dir, "ca.crt")
	cfg.ServerCertFile, cfg.ServerKeyFile = ca.IssueFiles(dir, "scaler")
	cfg.ServerToken.File = filepath.Join(dir, "token")
	err := cfg.CheckServer()
	for _, want := range []string{"scaler.server_ca_file", "ca.crt", "scaler.server_token", filepath.Join(dir, "token")} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\ndoes not say %q", err, want)
		}
	}
	certtest.Write(t, cfg.ServerCAFile, ca.PEM)
	certtest.Write(t, cfg.ServerToken.File, []byte("fsk_x\n"))
	if err := cfg.CheckServer(); err != nil {
		t.Error(err)
	}
	if _, err := cfg.NewClient(); err != nil {
		t.Error(err)
	}
}
