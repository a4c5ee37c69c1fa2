// Package kubetest runs a real Kubernetes API server with etcd for the tests of
// whatever speaks to one. It is for tests only, needs no root and no container.
//
// There is nothing behind the API: no controller reconciles and no kubelet runs,
// so a test writes the pods and the status that it wants to see.
//
// The programs are named by the environment variables FORESCALE_ETCD and
// FORESCALE_KUBE_APISERVER, which the Makefile sets after building them from the
// nested module apiserver; without them the test that asks for a cluster fails.
package kubetest

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// EnvEtcd and EnvServer name the variables with the paths of the programs.
const (
	EnvEtcd   = "FORESCALE_ETCD"
	EnvServer = "FORESCALE_KUBE_APISERVER"
)

const (
	startTimeout = 2 * time.Minute // on a machine that is busy with other tests
	stopTimeout  = 10 * time.Second
	tries        = 3 // another process may take a port in between
)

// Cluster is a running API server over an empty etcd.
type Cluster struct {
	URL string // https://127.0.0.1:PORT
	Dir string // holds ca.crt, admin.crt and admin.key, and what the programs log
	// Took is how long it was until the API server said that it was ready.
	Took time.Duration

	admin    *http.Client // a member of system:masters
	programs []*exec.Cmd  // in the order of their start
}

// Start runs the programs with their data in dir until Stop.
func Start(ctx context.Context, dir string) (*Cluster, error) {
	for _, name := range []string{EnvEtcd, EnvServer} {
		if os.Getenv(name) == "" {
			return nil, fmt.Errorf("%s is not set: run the tests with 'make test-system', or 'make kubernetes' and set it to .cache/bin/…", name)
		}
	}
	var faults []error
	for n := range tries {
		c, err := start(ctx, filepath.Join(dir, fmt.Sprint(n)))
		if err == nil {
			return c, nil
		}
		faults = append(faults, err)
	}
	return nil, errors.Join(faults...)
}

func start(ctx context.Context, dir string) (*Cluster, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	began := time.Now()
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	c := &Cluster{URL: "https://127.0.0.1:" + ports[2], Dir: dir}
	if err := c.certify(); err != nil {
		return nil, err
	}
	store := "http://127.0.0.1:" + ports[0]
	err = c.run(os.Getenv(EnvEtcd), "etcd.log",
		"--data-dir", filepath.Join(dir, "etcd"), "--unsafe-no-fsync", "--log-level", "error",
		"--listen-client-urls", store, "--advertise-client-urls", store,
		"--listen-peer-urls", "http://127.0.0.1:"+ports[1], "--initial-advertise-peer-urls", "http://127.0.0.1:"+ports[1],
		"--initial-cluster", "default=http://127.0.0.1:"+ports[1])
	if err == nil {
		// Admission of service accounts is off because it waits for accounts that a
		// controller would make.
		err = c.run(os.Getenv(EnvServer), "apiserver.log",
			"--etcd-servers", store, "--bind-address", "127.0.0.1", "--secure-port", ports[2],
			"--cert-dir", dir, "--tls-cert-file", c.path("server.crt"), "--tls-private-key-file", c.path("server.key"),
			"--client-ca-file", c.path("ca.crt"), "--authorization-mode", "RBAC",
			"--service-account-issuer", "https://kubernetes.default.svc", "--service-cluster-ip-range", "10.0.0.0/24",
			"--service-account-key-file", c.path("account.key"), "--service-account-signing-key-file", c.path("account.key"),
			"--disable-admission-plugins", "ServiceAccount")
	}
	if err == nil {
		err = c.await(ctx)
	}
	if err != nil {
		c.Stop()
		return nil, err
	}
	c.Took = time.Since(began)
	return c, nil
}

func (c *Cluster) path(name string) string { return filepath.Join(c.Dir, name) }

// run starts a program whose output goes to a file in Dir.
func (c *Cluster) run(path, log string, args ...string) error {
	out, err := os.Create(c.path(log))
	if err != nil {
		return err
	}
	defer out.Close() // the program has its own
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return err
	}
	c.programs = append(c.programs, cmd)
	return nil
}

// await returns once the API server is ready, with its default roles in place.
func (c *Cluster) await(ctx context.Context) error {
	pair, err := tls.LoadX509KeyPair(c.path("admin.crt"), c.path("admin.key"))
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	ca, err := os.ReadFile(c.path("ca.crt"))
	if err != nil {
		return err
	}
	roots.AppendCertsFromPEM(ca)
	c.admin = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}}}}
	for {
		code, answer, err := c.Do(ctx, http.MethodGet, "/readyz?verbose", nil)
		if err == nil && code == http.StatusOK {
			return nil
		}
		select {
		case <-ctx.Done():
			log, _ := os.ReadFile(c.path("apiserver.log"))
			return fmt.Errorf("the API server is not ready: %w: %w: %s\n%s", ctx.Err(), err, answer, log[max(0, len(log)-4000):])
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Do makes a call as a member of system:masters, who may do anything. The body is
// sent as JSON, if there is one: as a merge patch with PATCH.
func (c *Cluster) Do(ctx context.Context, method, path string, body any) (code int, answer []byte, err error) {
	var content io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return 0, nil, err
		}
		content = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.URL+path, content)
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if method == http.MethodPatch {
		req.Header.Set("Content-Type", "application/merge-patch+json")
	}
	resp, err := c.admin.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(resp.Body)
	return resp.StatusCode, answer, err
}

// Memory returns the memory in use by the API server and by etcd, in bytes.
func (c *Cluster) Memory() (server, etcd int64) {
	resident := func(cmd *exec.Cmd) (kib int64) {
		raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
		for line := range strings.Lines(string(raw)) {
			if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &kib); err == nil {
				return kib << 10
			}
		}
		return 0
	}
	return resident(c.programs[1]), resident(c.programs[0])
}

// Stop ends the programs, the API server first.
func (c *Cluster) Stop() {
	if c.admin != nil {
		c.admin.CloseIdleConnections()
	}
	for i := len(c.programs) - 1; i >= 0; i-- {
		cmd := c.programs[i]
		_ = cmd.Process.Signal(os.Interrupt)
		kill := time.AfterFunc(stopTimeout, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		kill.Stop()
	}
	c.programs = nil
}

func freePorts(n int) (ports []string, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // all are held until all are chosen
		_, port, err := net.SplitHostPort(l.Addr().String())
		if err != nil {
			return nil, err
		}
		ports = append(ports, port)
	}
	return ports, nil
}
