package kube

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/forescale/forescale/scaler"
)

// pluginEnv makes this test binary act as a credential plugin: the value is what
// it prints, and the file named by pluginLog gets a line for each run.
const pluginEnv, pluginLog = "FORESCALE_TEST_PLUGIN", "FORESCALE_TEST_PLUGIN_LOG"

func TestMain(m *testing.M) {
	text := os.Getenv(pluginEnv)
	if text == "" {
		os.Exit(m.Run())
	}
	if f, err := os.OpenFile(os.Getenv(pluginLog), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600); err == nil {
		fmt.Fprintln(f, os.Getenv("KUBERNETES_EXEC_INFO"), os.Args[1:])
		f.Close()
	}
	if text == "fail" {
		fmt.Fprintln(os.Stderr, "please sign in first")
		os.Exit(3)
	}
	if text == "hang" {
		time.Sleep(time.Minute)
	}
	fmt.Print(text)
}

// execUser is a kubeconfig's user with this test binary as plugin.
func execUser(t *testing.T, prints, log string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`{exec: {apiVersion: client.authentication.k8s.io/v1, command: %q, args: [get-token, x], interactiveMode: Never, env: [{name: %s, value: %q}, {name: %s, value: %q}]}}`,
		self, pluginEnv, prints, pluginLog, log)
}

func execCredential(token, expires string) string {
	return fmt.Sprintf(`{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":%q,"expirationTimestamp":%q}}`, token, expires)
}

func lines(t *testing.T, path string) []string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(raw), "\n"), "\n")
}

func TestAPluginIsAskedWhenThereIsNoValidToken(t *testing.T) {
	f, _ := world(t)
	log := filepath.Join(t.TempDir(), "log")
	target, err := Open(Config{Kubeconfig: f.kubeconfig(t, execUser(t, execCredential(fakeToken, "2026-03-02T00:15:00Z"), log))}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	now := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	target.client.credential.(*plugin).now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	ask := func(want int) {
		t.Helper()
		if _, err := one(t.Context(), target, web); err != nil {
			t.Error(err)
		}
		if got := len(lines(t, log)); got != want {
			t.Errorf("the plugin was asked %d times, want %d", got, want)
		}
	}
	ask(1)
	ask(1)
	began := now
	now = began.Add(14*time.Minute + 31*time.Second) // the margin has begun
	if _, err := one(t.Context(), target, web); err != nil || len(lines(t, log)) < 2 {
		t.Errorf("shortly before the end: %v, asked %d times", err, len(lines(t, log)))
	}
	now = began
	asked := len(lines(t, log))
	ask(asked)
	if got := lines(t, log)[0]; !strings.Contains(got, `"kind":"ExecCredential"`) || !strings.Contains(got, `"interactive":false`) || !strings.HasSuffix(got, "[get-token x]") {
		t.Errorf("the plugin was told %s", got)
	}
	// A token that is refused before its time is asked for anew, once a call.
	f.token = "rotated"
	if err := target.Scale(t.Context(), web, 6); !errors.Is(err, scaler.ErrRefused) || strings.Contains(err.Error(), fakeToken) {
		t.Errorf("got %v", err)
	}
	if got := len(lines(t, log)); got != asked+1 {
		t.Errorf("asked %d times after %d", got, asked)
	}
}

func TestAPluginThatHasNoTokenIsAnErrorThatShowsNone(t *testing.T) {
	for _, c := range []struct{ name, prints, want string }{
		{"it fails", "fail", "please sign in first"},
		{"it prints nothing of use", "secret-1234", "no ExecCredential in JSON"},
		{"it speaks another version", `{"apiVersion":"client.authentication.k8s.io/v1beta1","kind":"ExecCredential","status":{"token":"secret-1234"}}`, "not an ExecCredential of client.authentication.k8s.io/v1"},
		{"it has no token", `{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{}}`, "is empty"},
		{"it has a token that would split the header", execCredential("secret-1234\r\nX: y", "2026-03-02T00:15:00Z"), "a character that no token has"},
		{"it has a certificate only", `{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"clientCertificateData":"secret-1234"}}`, "only tokens are supported"},
		{"it hangs", "hang", "deadline"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f, _ := world(t)
			target, err := Open(Config{Kubeconfig: f.kubeconfig(t, execUser(t, c.prints, os.DevNull))}, nil)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			if c.name == "it hangs" {
				ctx, cancel = context.WithTimeout(t.Context(), 500*time.Millisecond)
			}
			defer cancel()
			_, err = one(ctx, target, web)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret-1234") {
				t.Errorf("got %v", err)
			}
			if err := target.Scale(ctx, web, 6); err == nil {
				t.Error("scaled without a token")
			}
			if len(f.calls) > 0 {
				t.Errorf("calls without a token: %q", f.calls)
			}
		})
	}
}

// The kubelet replaces the file of a token long before it expires.
func TestATokenThatWasReplacedIsUsedAtOnce(t *testing.T) {
	f, _ := world(t)
	dir := t.TempDir()
	path := write(t, dir, "token", fakeToken+"\n")
	target, err := Open(Config{Kubeconfig: f.kubeconfig(t, fmt.Sprintf("{tokenFile: %q, token: old}", path))}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{fakeToken, "second", "third"} {
		f.token = token
		write(t, dir, "token", token)
		if err := target.Scale(t.Context(), web, 6); err != nil {
			t.Errorf("%s: %v", token, err)
		}
	}
	for name, text := range map[string]string{"an empty file": " \n", "two tokens": "a\nb"} {
		write(t, dir, "token", text)
		if _, err := one(t.Context(), target, web); !errors.Is(err, errCredential) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := one(t.Context(), target, web); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without the file: %v", err)
	}
	write(t, dir, "token", "third")
	if _, err := one(t.Context(), target, web); err != nil {
		t.Errorf("the file is back: %v", err)
	}
}

// The very moment of a replacement: the old token goes out, is refused, and the
// call is made again with the new one.
func TestATokenRefusedInTheVeryMomentOfItsReplacementIsReadAgain(t *testing.T) {
	f, _ := world(t)
	dir := t.TempDir()
	path := write(t, dir, "token", "old")
	target, err := Open(Config{Kubeconfig: f.kubeconfig(t, fmt.Sprintf("{tokenFile: %q}", path))}, nil)
	if err != nil {
		t.Fatal(err)
	}
	f.set("GET "+webScale, 1, func(http.ResponseWriter, *http.Request, *fake) bool {
		write(t, dir, "token", fakeToken)
		return false
	})
	if err := target.Scale(t.Context(), web, 6); err != nil || f.replicas(webScale) != 6 {
		t.Errorf("got %v", err)
	}
}
