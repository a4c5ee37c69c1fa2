package kube

import (
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
)

// kubeconfig is the part of a kubeconfig file (Config, v1) that is used here.
// Keys that are not known are passed over: other tools keep theirs in it.
type kubeconfig struct {
	Current  string `yaml:"current-context"`
	Contexts []struct {
		Name    string `yaml:"name"`
		Context struct {
			Cluster string `yaml:"cluster"`
			User    string `yaml:"user"`
		} `yaml:"context"`
	} `yaml:"contexts"`
	Clusters []struct {
		Name    string  `yaml:"name"`
		Cluster cluster `yaml:"cluster"`
	} `yaml:"clusters"`
	Users []struct {
		Name string `yaml:"name"`
		User user   `yaml:"user"`
	} `yaml:"users"`
}

type cluster struct {
	Server     string `yaml:"server"`
	CA         string `yaml:"certificate-authority"`
	CAData     inline `yaml:"certificate-authority-data"`
	ServerName string `yaml:"tls-server-name"`
	Insecure   bool   `yaml:"insecure-skip-tls-verify"`
	Proxy      string `yaml:"proxy-url"`
}

type user struct {
	Certificate     string      `yaml:"client-certificate"`
	CertificateData inline      `yaml:"client-certificate-data"`
	Key             string      `yaml:"client-key"`
	KeyData         inline      `yaml:"client-key-data"`
	Token           string      `yaml:"token"`
	TokenFile       string      `yaml:"tokenFile"`
	Exec            *execConfig `yaml:"exec"`
	// What follows is refused: passed over, it would make a call as somebody else
	// than the file says.
	Username     string   `yaml:"username"`
	Password     string   `yaml:"password"`
	AuthProvider any      `yaml:"auth-provider"`
	As           string   `yaml:"as"`
	AsUID        string   `yaml:"as-uid"`
	AsGroups     []string `yaml:"as-groups"`
	AsExtra      any      `yaml:"as-user-extra"`
}

type execConfig struct {
	Command string   `yaml:"command"`
	Args    []string `yaml:"args"`
	Env     []struct {
		Name  string `yaml:"name"`
		Value string `yaml:"value"`
	} `yaml:"env"`
	APIVersion         string `yaml:"apiVersion"`
	InteractiveMode    string `yaml:"interactiveMode"`
	ProvideClusterInfo bool   `yaml:"provideClusterInfo"`
}

// inline is a file's content, in base64 in the file.
type inline []byte

func (d *inline) UnmarshalYAML(node *yaml.Node) error {
	var text string
	if err := node.Decode(&text); err != nil {
		return err
	}
	raw, err := base64.StdEncoding.DecodeString(text) // which passes line breaks over
	*d = raw
	if err != nil {
		return fmt.Errorf("line %d: not base64", node.Line) // not what it is instead: it may be a key
	}
	return nil
}

const maxKubeconfig = 4 << 20 // bytes

// readKubeconfig returns the access that a context of the file gives; an empty
// context is the file's current one. Relative paths start at the file.
func readKubeconfig(path, context string) (access, error) {
	raw, err := readFile(path, maxKubeconfig)
	if err != nil {
		return access{}, fmt.Errorf("kubeconfig: %w", err)
	}
	var file kubeconfig
	if err := yaml.Unmarshal(raw, &file); err != nil {
		return access{}, fmt.Errorf("kubeconfig %s: %w", path, err)
	}
	c, u, err := file.choose(context)
	if err != nil {
		return access{}, fmt.Errorf("kubeconfig %s: %w", path, err)
	}
	find := func(name string) string {
		if filepath.IsAbs(name) {
			return name
		}
		return filepath.Join(filepath.Dir(path), name)
	}
	a, err := c.access(find)
	if err == nil {
		err = u.identify(&a, find)
	}
	if err != nil {
		return access{}, fmt.Errorf("kubeconfig %s: %w", path, err)
	}
	return a, nil
}

// choose returns what a context names.
func (f *kubeconfig) choose(context string) (c cluster, u user, err error) {
	if context == "" {
		context = f.Current
	}
	if context == "" {
		return c, u, errors.New("it has no current-context: name one in kubernetes.context")
	}
	var names []string
	for _, x := range f.Contexts {
		if names = append(names, x.Name); x.Name != context {
			continue
		}
		found := false
		for _, y := range f.Clusters {
			if y.Name == x.Context.Cluster {
				c, found = y.Cluster, true
				break
			}
		}
		if !found {
			return c, u, fmt.Errorf("context %q: there is no cluster %q", context, x.Context.Cluster)
		}
		if x.Context.User == "" {
			return c, u, nil // anonymous
		}
		for _, y := range f.Users {
			if y.Name == x.Context.User {
				return c, y.User, nil
			}
		}
		return c, u, fmt.Errorf("context %q: there is no user %q", context, x.Context.User)
	}
	return c, u, fmt.Errorf("there is no context %q, only %q", context, names)
}

// access returns how the cluster is reached, by nobody yet.
func (c cluster) access(find func(string) string) (access, error) {
	server, err := url.Parse(c.Server)
	if err != nil || server.Host == "" || server.Scheme != "https" && server.Scheme != "http" {
		return access{}, fmt.Errorf("server: %q is no http or https URL", c.Server)
	}
	server.Path, server.RawQuery, server.User = strings.TrimSuffix(server.Path, "/"), "", nil
	a := access{server: server, credential: fixed(""),
		tls: &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.ServerName, InsecureSkipVerify: c.Insecure}}
	switch {
	case c.Insecure && (len(c.CAData) > 0 || c.CA != ""):
		return a, errors.New("insecure-skip-tls-verify and a certificate authority exclude each other")
	case len(c.CAData) > 0:
		a.tls.RootCAs, err = parseCA(c.CAData, "certificate-authority-data")
	case c.CA != "":
		a.tls.RootCAs, err = readCA(find(c.CA))
	}
	if err != nil {
		return a, err
	}
	if c.Proxy != "" {
		if a.proxy, err = url.Parse(c.Proxy); err != nil || a.proxy.Host == "" {
			return a, errors.New("proxy-url: is no URL") // it may hold a password
		}
	}
	return a, nil
}

// identify adds who is calling.
func (u user) identify(a *access, find func(string) string) error {
	switch {
	case u.AuthProvider != nil:
		return errors.New("auth-provider: is not supported, and no longer by Kubernetes: use exec, a token or a client certificate")
	case u.Username != "" || u.Password != "":
		return errors.New("username, password: are not supported, and no longer by Kubernetes: use exec, a token or a client certificate")
	case u.As != "" || u.AsUID != "" || len(u.AsGroups) > 0 || u.AsExtra != nil:
		return errors.New("as: impersonation is not supported: use a service account of its own")
	}
	var err error
	switch { // in kubectl's order: exec is asked only where nothing else is
	case u.TokenFile != "":
		file := tokenFile(find(u.TokenFile))
		a.credential = file
		_, err = file.read()
	case u.Token != "":
		a.credential, err = fixed(u.Token), checkToken(u.Token, "the user")
	case u.Exec != nil:
		a.credential, err = newPlugin(u.Exec, find)
	}
	if err != nil {
		return err
	}
	certified, err := u.certify(a.tls, find)
	if err != nil {
		return err
	}
	if a.server.Scheme == "http" && (certified || a.credential != fixed("")) {
		return fmt.Errorf("server: %s would carry the credential in the clear: use https", a.server)
	}
	return nil
}

// certify adds the client certificate. Files are read at every handshake, so that
// a renewed certificate is used without a restart.
func (u user) certify(t *tls.Config, find func(string) string) (bool, error) {
	if len(u.CertificateData) == 0 && u.Certificate == "" {
		if len(u.KeyData) > 0 || u.Key != "" {
			return false, errors.New("client-key: has no client-certificate")
		}
		return false, nil
	}
	part := func(data inline, path, what string) ([]byte, error) {
		if len(data) > 0 {
			return data, nil
		}
		if path == "" {
			return nil, fmt.Errorf("%s: is not set", what)
		}
		return readFile(find(path), maxCA)
	}
	load := func() (*tls.Certificate, error) {
		certificate, err := part(u.CertificateData, u.Certificate, "client-certificate")
		if err != nil {
			return nil, err
		}
		key, err := part(u.KeyData, u.Key, "client-key")
		if err != nil {
			return nil, err
		}
		pair, err := tls.X509KeyPair(certificate, key)
		if err != nil {
			return nil, fmt.Errorf("client-certificate: %w", err)
		}
		return &pair, nil
	}
	if _, err := load(); err != nil {
		return false, err
	}
	t.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }
	return true, nil
}
