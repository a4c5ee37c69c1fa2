package kube

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"
)

// credential is what a call identifies itself with, besides a client certificate.
// Its methods may be called from several goroutines.
type credential interface {
	// token returns the bearer token to send; empty: none.
	token(ctx context.Context) (string, error)
	// renew is told that the token was refused, and reports whether asking again
	// may bring another one.
	renew() bool
}

// fixed is a token that never changes; empty: there is none.
type fixed string

func (f fixed) token(context.Context) (string, error) { return string(f), nil }
func (f fixed) renew() bool                           { return false }

// tokenFile is the path of a token that somebody else replaces before it expires,
// as the kubelet does with a service account's. It is read for every call: that
// costs microseconds, and no token is ever used beyond its replacement.
type tokenFile string

const maxToken = 1 << 20 // bytes

func (f tokenFile) token(context.Context) (string, error) { return f.read() }

func (f tokenFile) read() (string, error) {
	raw, err := readFile(string(f), maxToken)
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(raw))
	return token, checkToken(token, string(f))
}

func (f tokenFile) renew() bool { return true } // it may have been replaced just now

// checkToken makes sure that a token can stand in a header. Its text stays out of
// the error.
func checkToken(token, source string) error {
	if token == "" {
		return fmt.Errorf("the token of %s is empty", source)
	}
	for i := range len(token) {
		if token[i] <= ' ' || token[i] > '~' {
			return fmt.Errorf("the token of %s holds a character that no token has", source)
		}
	}
	return nil
}

// plugin is a program that prints a token (Kubernetes "client-go credential
// plugins"): the way to sign in with the clouds' own identities.
type plugin struct {
	command string
	args    []string
	env     []string // NAME=VALUE, besides the environment of this process
	version string   // of the ExecCredential that is spoken
	info    string   // what the program is told in KUBERNETES_EXEC_INFO
	now     func() time.Time

	mu      sync.Mutex
	current string    // guarded by mu; empty: the program is to be asked
	expires time.Time // guarded by mu; zero: only when it is refused
}

const (
	// pluginTimeout bounds one run of a credential plugin.
	pluginTimeout = 30 * time.Second
	// pluginMargin is how long before its end a token is no longer used.
	pluginMargin = 30 * time.Second
)

// pluginVersions are the versions of ExecCredential that are understood. They do
// not differ in what is used here.
var pluginVersions = []string{"client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"}

func (p *plugin) token(ctx context.Context) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current != "" && (p.expires.IsZero() || p.now().Add(pluginMargin).Before(p.expires)) {
		return p.current, nil
	}
	token, expires, err := p.run(ctx)
	if err != nil {
		return "", fmt.Errorf("credential plugin %s: %w", p.command, err)
	}
	p.current, p.expires = token, expires
	return token, nil
}

func (p *plugin) renew() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.current = ""
	return true
}

// run asks the program. What it prints besides the answer stays out of the error,
// as it may be secret; what it complains of on standard error does not.
func (p *plugin) run(ctx context.Context) (token string, expires time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, pluginTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, p.command, p.args...)
	cmd.Env = append(append(cmd.Environ(), p.env...), "KUBERNETES_EXEC_INFO="+p.info)
	cmd.WaitDelay = time.Second // a grandchild may hold the pipes open
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		return "", time.Time{}, fmt.Errorf("%w: %.500s", errors.Join(err, ctx.Err()), strings.TrimSpace(complaint.String()))
	}
	var answer struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Status     struct {
			Token       string    `json:"token"`
			Expires     time.Time `json:"expirationTimestamp"`
			Certificate string    `json:"clientCertificateData"`
		} `json:"status"`
	}
	switch err := json.Unmarshal(out.Bytes(), &answer); {
	case err != nil:
		return "", time.Time{}, errors.New("it printed no ExecCredential in JSON")
	case answer.Kind != "ExecCredential" || answer.APIVersion != p.version:
		return "", time.Time{}, fmt.Errorf("it printed %q of %q, not an ExecCredential of %s", answer.Kind, answer.APIVersion, p.version)
	case answer.Status.Certificate != "" && answer.Status.Token == "":
		return "", time.Time{}, errors.New("it printed a client certificate, only tokens are supported")
	}
	return answer.Status.Token, answer.Status.Expires, checkToken(answer.Status.Token, "its status")
}

// newPlugin returns the credential that a kubeconfig's exec section describes.
func newPlugin(e *execConfig, find func(string) string) (*plugin, error) {
	if !slices.Contains(pluginVersions, e.APIVersion) {
		return nil, fmt.Errorf("exec: apiVersion %q is none of %s", e.APIVersion, strings.Join(pluginVersions, ", "))
	}
	switch {
	case e.Command == "":
		return nil, errors.New("exec: command is empty")
	case e.InteractiveMode == "Always":
		return nil, errors.New("exec: interactiveMode is Always, but nobody is there to answer")
	case e.ProvideClusterInfo:
		return nil, errors.New("exec: provideClusterInfo is not supported")
	}
	command := e.Command
	if strings.ContainsRune(command, os.PathSeparator) {
		command = find(command)
	} // without a slash it is looked for in PATH
	p := &plugin{command: command, args: e.Args, version: e.APIVersion, now: time.Now}
	for _, v := range e.Env {
		p.env = append(p.env, v.Name+"="+v.Value)
	}
	info, err := json.Marshal(map[string]any{"apiVersion": e.APIVersion, "kind": "ExecCredential", "spec": map[string]any{"interactive": false}})
	p.info = string(info)
	return p, err
}

// readFile returns a file's content, of at most limit bytes.
func readFile(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("%s: is larger than %d bytes", path, limit)
	}
	return os.ReadFile(path)
}
