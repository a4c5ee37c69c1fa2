package conf

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSecret(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	t.Setenv("FORESCALE_TEST_SECRET", "from the environment")
	for name, c := range map[string]struct {
		secret Secret
		want   string
		fault  string
	}{
		"is read from the environment":               {Secret{Env: "FORESCALE_TEST_SECRET"}, "from the environment", ""},
		"is read from a file without its line break": {Secret{File: file("a", " spaces stay \r\n")}, " spaces stay ", ""},
		"is empty when nothing is referred to":       {Secret{}, "", ""},
		"names the variable that is empty":           {Secret{Env: "FORESCALE_TEST_NONE"}, "", "FORESCALE_TEST_NONE"},
		"names the file that is missing":             {Secret{File: filepath.Join(dir, "none")}, "", "none"},
		"wants a file that holds something":          {Secret{File: file("b", "\n")}, "", "must hold"},
		"wants a file of a sensible size":            {Secret{File: file("c", strings.Repeat("x", maxSecretSize+1))}, "", "must hold"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := c.secret.Read()
			if got != c.want || (err == nil) != (c.fault == "") || err != nil && !strings.Contains(err.Error(), c.fault) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	if err := (Secret{Env: "A", File: "b"}).Validate(); err == nil {
		t.Error("two places are one too many")
	}
	if err := (Secret{Env: "A"}).Validate(); err != nil || !(Secret{}).IsZero() {
		t.Error(err)
	}
	var holder struct {
		Token Secret `yaml:"token"`
	}
	for text, want := range map[string]string{"token: fsk_abc\n": "line 1", "token: {fil: fsk_abc}\n": "file", "token: {env: {fsk_abc: 1}}\n": "line 1", "token: [fsk_abc]\n": "line 1"} {
		err := Decode([]byte(text), &holder)
		if err == nil || strings.Contains(err.Error(), "fsk_abc") || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if err := Decode([]byte("token: {file: /etc/t}\n"), &holder); err != nil || holder.Token.File != "/etc/t" {
		t.Errorf("%+v, %v", holder, err)
	}
	if text := fmt.Sprintf("%+v", Secret{Env: "FORESCALE_TEST_SECRET"}); strings.Contains(text, "from the environment") {
		t.Errorf("printed, it says %q", text)
	}
}
