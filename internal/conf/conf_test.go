package conf

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

type settings struct {
	Min   int      `yaml:"min"`
	Name  string   `yaml:"name"`
	Names []string `yaml:"names"`
	Parts []*struct {
		Limit int `yaml:"limit"`
	} `yaml:"parts"`
}

func load(t *testing.T, text string) (Common, settings, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "forescale.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := settings{Min: 2, Name: "default"}
	common, err := Load(path, "scaler", &s)
	return common, s, err
}

func TestLoad(t *testing.T) {
	t.Run("keeps the defaults of what is absent", func(t *testing.T) {
		common, s, err := load(t, "data: file:///x\nscaler:\n  min: 3\n")
		if err != nil {
			t.Fatal(err)
		}
		if common.Data != "file:///x" || common.Step != 5*time.Minute || s.Min != 3 || s.Name != "default" {
			t.Errorf("got %+v %+v", common, s)
		}
	})
	t.Run("accepts an empty file", func(t *testing.T) {
		if _, s, err := load(t, ""); err != nil || s.Min != 2 {
			t.Errorf("got %+v, %v", s, err)
		}
	})
	t.Run("leaves the section of another service alone", func(t *testing.T) {
		if _, _, err := load(t, "server:\n  whatever: 1\n"); err != nil {
			t.Error(err)
		}
	})
	t.Run("resolves an anchor of the shared part in a section", func(t *testing.T) {
		common, s, err := load(t, "data: &d file:///x\nscaler:\n  name: *d\n")
		if err != nil || s.Name != common.Data {
			t.Errorf("got %+v, %v", s, err)
		}
	})
	t.Run("names every fault with the line that it stands in", func(t *testing.T) {
		_, _, err := load(t, "# a comment\n\ndata: x\n\n\ndat: y\nscaler:\n\n  # another one\n  min: many\n\n  mni: 3\n\nserver: {any: 1}\nlog:\n\n  lvl: x\n")
		for _, want := range []string{"line 6: unknown key \"dat\"; did you mean data?", "line 10: \"many\" is not a whole number", "line 12: unknown key \"mni\"", "line 17: unknown key \"lvl\""} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v does not mention %q", err, want)
			}
		}
	})
	for name, c := range map[string]struct{ text, want string }{
		"names an unknown shared key":           {"dat: x\n", "dat"},
		"names an unknown key of the section":   {"scaler:\n  mni: 3\n", "mni"},
		"gives the line of the fault":           {"data: x\n\nscaler:\n  mni: 3\n", "line 4"},
		"names a value of the wrong type":       {"scaler:\n  min: many\n", "many"},
		"refuses a file that is no mapping":     {"- a\n- b\n", "mapping"},
		"refuses a section that is no mapping":  {"scaler: [1]\n", "line 1"},
		"refuses a key that comes twice":        {"data: x\n\ndata: y\n", "line 3"},
		"gives the line of broken YAML":         {"data: x\n\nlog: [\n", "line"},
		"refuses a second document":             {"data: x\n---\ndata: y\n", "line 2"},
		"refuses a step that divides no day":    {"step: 7m\n", "step"},
		"refuses a step of part of a minute":    {"step: 90s\n", "step"},
		"says what a length of time looks like": {"step: 5\n", `line 1: "5" is not a length of time such as 90s or 5m`},
		"says where a number belongs":           {"aws: {calls_per_second: many}\n", `"many" is not a number`},
		"says where a list belongs":             {"scaler: {names: web}\n", `"web" where a list belongs`},
		"says where a text belongs":             {"data: {a: b}\n", "a mapping where a text belongs"},
		"says where a mapping belongs":          {"log: debug\n", `"debug" where a mapping of keys to values belongs`},
		"knows keys of the shared part":         {"aws: {regoin: x}\n", `unknown key "regoin"; did you mean region?`},
		"knows keys deep in the section":        {"scaler: {parts: [{limitt: 1}]}\n", `unknown key "limitt"; did you mean limit?`},
		"knows a key that is in a wrong place":  {"region: x\n", `unknown key "region" here; it belongs to another part`},
		"guesses nothing that is not near":      {"scaler: {zzz: 1}\n", "unknown key \"zzz\"\x00"},
		"reports faults of both parts together": {"dat: x\nscaler:\n  mni: 3\n", "dat"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := load(t, c.text)
			if err == nil || !strings.Contains(err.Error()+"\x00", c.want) { // \x00: the end
				t.Errorf("error %v does not mention %q", err, c.want)
			}
		})
	}
	t.Run("reads the accounts that are entered by a role", func(t *testing.T) {
		common, _, err := load(t, `
aws:
  region: eu-central-1
  calls_per_second: 5
  rival_calls: 40
  accounts:
    prod: {role: "arn:aws:iam::111111111111:role/ops/forescale", external_id: x, region: us-east-1}
`)
		if err != nil || common.AWS.Validate() != nil {
			t.Fatal(err, common.AWS.Validate())
		}
		if a := common.AWS.Accounts["prod"]; a.Number() != "111111111111" || a.ExternalID != "x" || a.Region != "us-east-1" || common.AWS.CallsPerSecond != 5 || common.AWS.RivalCalls != 40 {
			t.Errorf("got %+v", common.AWS)
		}
	})
	t.Run("names what is wrong with an account, all at once", func(t *testing.T) {
		err := AWS{Accounts: map[string]AWSAccount{"a": {Role: "admin"}, "b": {Role: "arn:aws:iam::12:role/x"}}, CallsPerSecond: -1, RivalCalls: -1}.Validate()
		for _, want := range []string{"aws.accounts.a.role", "aws.accounts.b.role", "calls_per_second", "rival_calls"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v does not mention %q", err, want)
			}
		}
	})
	t.Run("reads the text out of an environment variable", func(t *testing.T) {
		t.Setenv("FORESCALE_TEST_CONFIG", "data: file:///x\nscaler: {min: 3}\n")
		var s settings
		if common, err := Load("env:FORESCALE_TEST_CONFIG", "scaler", &s); err != nil || common.Data != "file:///x" || s.Min != 3 {
			t.Errorf("got %+v %+v, %v", common, s, err)
		}
		t.Setenv("FORESCALE_TEST_CONFIG", "dta: x\n")
		if _, err := Load("env:FORESCALE_TEST_CONFIG", "scaler", &s); err == nil || !strings.Contains(err.Error(), "env:FORESCALE_TEST_CONFIG") || !strings.Contains(err.Error(), "line 1") {
			t.Errorf("got %v", err)
		}
		if _, err := Load("env:FORESCALE_TEST_NONE", "scaler", &s); err == nil || !strings.Contains(err.Error(), "FORESCALE_TEST_NONE is empty") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("names a missing file", func(t *testing.T) {
		if _, err := Load("/does/not/exist.yaml", "scaler", &settings{}); err == nil || !strings.Contains(err.Error(), "exist.yaml") {
			t.Errorf("got %v", err)
		}
	})
}

func TestTheClusterComesFromFileAndEnvironment(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
	t.Setenv("KUBERNETES_SERVICE_PORT", "443")
	common, _, err := load(t, "kubernetes: {kubeconfig: /etc/k, context: prod, max_replicas: 50}")
	if want := (Kubernetes{Kubeconfig: "/etc/k", Context: "prod", MaxReplicas: 50, Host: "10.0.0.1", Port: "443"}); err != nil || common.Kubernetes != want {
		t.Errorf("got %+v, %v", common.Kubernetes, err)
	}
	if _, _, err := load(t, "kubernetes: {host: h}"); err == nil || !strings.Contains(err.Error(), `unknown key "host"`) {
		t.Errorf("the environment's part in the file: %v", err)
	}
}
