package kube

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"time"
)

// Config says which cluster is scaled, and how far.
type Config struct {
	// Kubeconfig is the path of a kubeconfig file; empty: the cluster that this
	// process runs in, as its service account. Neither $KUBECONFIG nor the file in
	// the home directory is looked at: whatever kubectl points to by chance must
	// not be scaled.
	Kubeconfig string
	// Context names the context of the kubeconfig; empty: its current one.
	Context string
	// MaxReplicas is the provider's maximum for every group; 0: DefaultMaxReplicas.
	MaxReplicas int
	// Host and Port are where the API server is seen from within a cluster: the
	// environment variables KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT.
	Host, Port string
	// ServiceAccount is the folder with the service account's token and the
	// cluster's CA; empty: where the kubelet mounts it.
	ServiceAccount string
}

const (
	// DefaultMaxReplicas is far above what most workloads need and far below what
	// would harm a cluster's control plane.
	DefaultMaxReplicas = 1000
	// limitMaxReplicas bounds the configured maximum. spec.replicas has 32 bits.
	limitMaxReplicas = 1_000_000
	// serviceAccount is where the kubelet mounts a service account.
	serviceAccount = "/var/run/secrets/kubernetes.io/serviceaccount"
	maxCA          = 4 << 20 // bytes of a CA bundle, certificate or key
)

// Validate returns all faults at once. It reads no file.
func (c Config) Validate() error {
	var faults []error
	if c.Context != "" && c.Kubeconfig == "" {
		faults = append(faults, fmt.Errorf("kubernetes.context: %q is set, but not kubernetes.kubeconfig, whose contexts it names", c.Context))
	}
	if c.MaxReplicas < 0 || c.MaxReplicas > limitMaxReplicas {
		faults = append(faults, fmt.Errorf("kubernetes.max_replicas: %d is not in 1..%d (0: %d)", c.MaxReplicas, limitMaxReplicas, DefaultMaxReplicas))
	}
	return errors.Join(faults...)
}

// Open returns a target over the cluster that cfg names. The cluster is not yet
// spoken to; files are read. A nil log discards.
func Open(cfg Config, log *slog.Logger) (*Target, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	access, err := open(cfg)
	if err != nil {
		return nil, fmt.Errorf("kube: %w", err)
	}
	if access.tls.InsecureSkipVerify {
		log.Warn("the API server's certificate is not verified: whoever stands between can read the credential", "server", access.server.String())
	}
	if cfg.MaxReplicas == 0 {
		cfg.MaxReplicas = DefaultMaxReplicas
	}
	return newTarget(access.client(), cfg.MaxReplicas, log), nil
}

// open reads the files that cfg names.
func open(cfg Config) (access, error) {
	if cfg.Kubeconfig != "" {
		return readKubeconfig(cfg.Kubeconfig, cfg.Context)
	}
	return inCluster(cfg)
}

// ownNamespace returns the namespace of the pod that this process runs in.
func (c Config) ownNamespace() (string, error) {
	if c.Kubeconfig != "" {
		return "", errors.New("a kubeconfig's context is not looked at for it")
	}
	raw, err := readFile(filepath.Join(c.accountDir(), "namespace"), maxToken)
	name := strings.TrimSpace(string(raw))
	if err == nil && !label.MatchString(name) {
		err = fmt.Errorf("the service account's namespace is %.80q", name)
	}
	return name, err
}

func (c Config) accountDir() string {
	if c.ServiceAccount == "" {
		return serviceAccount
	}
	return c.ServiceAccount
}

// access is all that is needed to speak to an API server.
type access struct {
	server     *url.URL
	tls        *tls.Config
	credential credential
	proxy      *url.URL // nil: the environment's
}

// inCluster returns the access that the kubelet gives to every pod with a service
// account (Kubernetes "Accessing the Kubernetes API from a Pod").
func inCluster(cfg Config) (access, error) {
	if cfg.Host == "" || cfg.Port == "" {
		return access{}, errors.New("this process does not run in a cluster (KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set): name a kubeconfig file in kubernetes.kubeconfig")
	}
	dir := cfg.accountDir()
	roots, err := readCA(filepath.Join(dir, "ca.crt"))
	if err != nil {
		return access{}, fmt.Errorf("service account: %w", err)
	}
	token := tokenFile(filepath.Join(dir, "token"))
	if _, err := token.read(); err != nil {
		return access{}, fmt.Errorf("service account: %w", err)
	}
	return access{
		server:     &url.URL{Scheme: "https", Host: net.JoinHostPort(cfg.Host, cfg.Port)},
		tls:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		credential: token,
	}, nil
}

func readCA(path string) (*x509.CertPool, error) {
	raw, err := readFile(path, maxCA)
	if err != nil {
		return nil, err
	}
	return parseCA(raw, path)
}

func parseCA(raw []byte, source string) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(raw) {
		return nil, fmt.Errorf("%s: holds no certificate in PEM", source)
	}
	return pool, nil
}

// client returns a client that follows no redirect, which would carry the
// credential away, and that notices a connection that has silently died: left to
// TCP, calls over it would hang for a quarter of an hour.
func (a access) client() *client {
	proxy := http.ProxyFromEnvironment
	if a.proxy != nil {
		proxy = http.ProxyURL(a.proxy)
	}
	transport := &http.Transport{
		Proxy: proxy, TLSClientConfig: a.tls, TLSHandshakeTimeout: 10 * time.Second, ForceAttemptHTTP2: true,
		DialContext:         (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		MaxIdleConnsPerHost: 2 * parallel, IdleConnTimeout: 90 * time.Second,
		HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second},
	}
	return &client{base: a.server, credential: a.credential, sleep: sleep, http: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}
