// Package conf reads the one YAML file that configures every Forescale process.
// Its top level holds what all of them share ([Common]) and one section per
// service, which that service's own package defines, fills with defaults and
// validates. Unknown keys are errors, wherever they stand.
package conf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Common is what the processes share.
type Common struct {
	// Data is the URL of the data lake: file:///DIR or
	// s3://BUCKET/PREFIX[?endpoint=URL&region=NAME&path_style=true].
	Data string `yaml:"data"`
	// Models is the URL of the model registry, in the same form.
	Models string `yaml:"models"`
	// ModelKeys are the public keys (ed25519:BASE64), one of which must have signed a
	// model's manifest; none: signatures are not asked for. ModelSigningKey is what the
	// trainer and forescale retrain sign with, in PEM.
	ModelKeys       []string `yaml:"model_keys"`
	ModelSigningKey Secret   `yaml:"model_signing_key"`
	// Calendar is the path of the business calendar; empty: none.
	Calendar string `yaml:"calendar"`
	// Step is the length of a slot, default 5m.
	Step time.Duration `yaml:"step"`
	AWS  AWS           `yaml:"aws"`
	// Kubernetes is the cluster of the groups whose target is kube.
	Kubernetes Kubernetes `yaml:"kubernetes"`
	Log        Log        `yaml:"log"`
}

// AWS says how to reach the AWS services. Credentials come from the SDK's
// default chain, or from the roles that it may assume, never from this file.
type AWS struct {
	Region string `yaml:"region"`
	// CloudWatchEndpoint, AutoScalingEndpoint and STSEndpoint replace the public
	// endpoints, for example by those of the simulated cloud.
	CloudWatchEndpoint  string `yaml:"cloudwatch_endpoint"`
	AutoScalingEndpoint string `yaml:"autoscaling_endpoint"`
	STSEndpoint         string `yaml:"sts_endpoint"`
	// LoadBalancingEndpoint likewise; the collector looks up load balancers there.
	LoadBalancingEndpoint string `yaml:"load_balancing_endpoint"`
	// Accounts are the accounts, by a name of yours, whose groups are scaled by a
	// role in them. Groups name theirs; those that name none are scaled with the
	// default credentials.
	Accounts map[string]AWSAccount `yaml:"accounts"`
	// CallsPerSecond is the pace of calls to Auto Scaling in each account and
	// region, 0: the driver's default. It gives way when the provider throttles.
	CallsPerSecond float64 `yaml:"calls_per_second"`
	// RivalCalls is the budget, in calls a tick for each account and region, for
	// finding out who else scales the groups; 0: the driver's default.
	RivalCalls int `yaml:"rival_calls"`
}

// AWSAccount is an account that is entered by a role.
type AWSAccount struct {
	Role       string `yaml:"role"`        // arn:aws:iam::ACCOUNT:role/NAME
	ExternalID string `yaml:"external_id"` // that the role asks for; empty: none
	Region     string `yaml:"region"`      // of its groups; empty: aws.region
}

// roleARN is the name of a role: partition, account, path and name.
var roleARN = regexp.MustCompile(`^arn:aws[a-z-]*:iam::(\d{12}):role/\S+$`)

// Number returns the number of the account, out of the role's name; "" when that
// is no role's name.
func (a AWSAccount) Number() string {
	if m := roleARN.FindStringSubmatch(a.Role); m != nil {
		return m[1]
	}
	return ""
}

// Validate returns all faults at once.
func (a AWS) Validate() error {
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(a.Accounts)) {
		if account := a.Accounts[name]; account.Number() == "" {
			faults = append(faults, fmt.Errorf("aws.accounts.%s.role: %q is not arn:aws:iam::ACCOUNT:role/NAME", name, account.Role))
		}
	}
	if !(a.CallsPerSecond >= 0) || math.IsInf(a.CallsPerSecond, 0) {
		faults = append(faults, fmt.Errorf("aws.calls_per_second: %g must not be negative", a.CallsPerSecond))
	}
	if a.RivalCalls < 0 {
		faults = append(faults, fmt.Errorf("aws.rival_calls: %d must not be negative", a.RivalCalls))
	}
	return errors.Join(faults...)
}

// Kubernetes says which cluster is scaled. Credentials are the service account's
// or the kubeconfig's, never this file's.
type Kubernetes struct {
	// Kubeconfig is the path of a kubeconfig file; empty: the cluster that this
	// process runs in. $KUBECONFIG and ~/.kube/config are not looked at.
	Kubeconfig string `yaml:"kubeconfig"`
	// Context is one of the kubeconfig's; empty: its current one.
	Context string `yaml:"context"`
	// MaxReplicas is the most replicas of any group, because Kubernetes has no
	// bounds of its own; 0: the driver's default.
	MaxReplicas int `yaml:"max_replicas"`
	// Host and Port are the API server of the cluster that this process runs in,
	// from the environment; empty: it runs in none.
	Host string `yaml:"-"`
	Port string `yaml:"-"`
}

// Log configures the process log.
type Log struct {
	Level  string `yaml:"level"`  // debug, info (default), warn or error
	Format string `yaml:"format"` // text (default) or json
}

// file is the whole configuration file.
type file struct {
	Common    `yaml:",inline"`
	Collector section `yaml:"collector"`
	Trainer   section `yaml:"trainer"`
	Server    section `yaml:"server"`
	Scaler    section `yaml:"scaler"`
	Gate      section `yaml:"gate"` // of forescale retrain and forescale watch
}

// section decodes its part of the file over what into points to; nil: it is
// another service's, and is passed over.
type section struct{ into any }

// UnmarshalYAML is the older of the package's two interfaces, because the newer
// one, which hands out a node, forgets that unknown keys are errors.
func (s *section) UnmarshalYAML(unmarshal func(any) error) error {
	if s.into == nil {
		return nil
	}
	return unmarshal(s.into)
}

// maxFileSize bounds a configuration file, in bytes.
const maxFileSize = 4 << 20

// envPrefix before the name of an environment variable, in the place of a path,
// says that the variable holds the text of the file itself.
const envPrefix = "env:"

// Load reads the file at path, decodes its section (named for a service; empty: none) over
// into, which the caller has filled with defaults, and returns the shared part.
// An empty path leaves every default in place; env:NAME reads the text out of an
// environment variable, for places that have no files. The error lists all unknown
// keys and wrong types at once, each with its line.
func Load(path, section string, into any) (Common, error) {
	common := defaults()
	if path == "" {
		return common, nil
	}
	raw, err := read(path)
	if err != nil {
		return common, err
	}
	if common, err = parse(raw, section, into); err != nil {
		return common, fmt.Errorf("configuration %s:\n%w", path, err)
	}
	return common, nil
}

// read returns the text that a path of Load stands for.
func read(path string) ([]byte, error) {
	if name, ok := strings.CutPrefix(path, envPrefix); ok {
		text := os.Getenv(name)
		if text == "" {
			return nil, fmt.Errorf("configuration %s: the environment variable %s is empty", path, name)
		}
		return []byte(text), nil // the system bounds it
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err != nil {
		return nil, fmt.Errorf("configuration %s: %w", path, err)
	}
	if len(raw) > maxFileSize {
		return nil, fmt.Errorf("configuration %s: larger than %d bytes", path, maxFileSize)
	}
	return raw, nil
}

func defaults() Common {
	return Common{
		Step: 5 * time.Minute, Log: Log{Level: "info", Format: "text"},
		Kubernetes: Kubernetes{Host: os.Getenv("KUBERNETES_SERVICE_HOST"), Port: os.Getenv("KUBERNETES_SERVICE_PORT")},
	}
}

func parse(raw []byte, name string, into any) (Common, error) {
	f := file{Common: defaults()}
	switch own := (section{into}); name {
	case "collector":
		f.Collector = own
	case "trainer":
		f.Trainer = own
	case "server":
		f.Server = own
	case "scaler":
		f.Scaler = own
	case "gate":
		f.Gate = own
	case "": // what all share is enough
	default:
		panic("conf: no section is called " + name)
	}
	faults := []error{Decode(raw, &f)}
	if f.Step <= 0 || f.Step%time.Minute != 0 || 24*time.Hour%f.Step != 0 {
		faults = append(faults, fmt.Errorf("step: %s must be whole minutes that divide a day", f.Step))
	}
	return f.Common, errors.Join(faults...)
}

// Decode decodes one YAML document over what into points to, which an empty
// document leaves as it is. The error lists all unknown keys and wrong types at
// once, each with its line, or the document that should not follow.
func Decode(raw []byte, into any) error {
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	dec.KnownFields(true)
	switch err := dec.Decode(into); {
	case errors.Is(err, io.EOF): // an empty file
		return nil
	case err != nil:
		return plain(err, keysOf(into))
	}
	var rest yaml.Node
	if !errors.Is(dec.Decode(&rest), io.EOF) {
		return fmt.Errorf("line %d: a second document begins here; the file must hold one", rest.Line)
	}
	return nil
}
