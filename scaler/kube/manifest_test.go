package kube

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"go.yaml.in/yaml/v3"
)

// manifest is one object of deploy/kubernetes.
type manifest struct {
	APIVersion string `yaml:"apiVersion" json:"apiVersion"`
	Kind       string `yaml:"kind" json:"kind"`
	Metadata   struct {
		Name      string `yaml:"name" json:"name"`
		Namespace string `yaml:"namespace" json:"namespace,omitempty"`
	} `yaml:"metadata" json:"metadata"`
	Rules []struct {
		Groups    []string `yaml:"apiGroups" json:"apiGroups"`
		Resources []string `yaml:"resources" json:"resources"`
		Verbs     []string `yaml:"verbs" json:"verbs"`
	} `yaml:"rules" json:"rules,omitempty"`
	RoleRef  map[string]string   `yaml:"roleRef" json:"roleRef,omitempty"`
	Subjects []map[string]string `yaml:"subjects" json:"subjects,omitempty"`
}

// manifests returns the objects of a file of deploy/kubernetes.
func manifests(t *testing.T, file string) (all []manifest) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "..", "deploy", "kubernetes", file))
	if err != nil {
		t.Fatal(err)
	}
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	dec.KnownFields(true)
	for {
		var m manifest
		switch err := dec.Decode(&m); {
		case errors.Is(err, io.EOF):
			return all
		case err != nil:
			t.Fatalf("%s: %v", file, err)
		}
		all = append(all, m)
	}
}

// Whoever adds a permission has to say so here too.
func TestTheShippedRolesAllowToScaleAndNoMore(t *testing.T) {
	for file, prefix := range map[string]string{"namespace.yaml": "", "cluster.yaml": "Cluster"} {
		var got []string
		for _, m := range manifests(t, file) {
			for _, r := range m.Rules {
				got = append(got, fmt.Sprint(m.Kind, " ", m.Metadata.Name, ": ", r.Verbs, " ", r.Groups, " ", r.Resources))
			}
			for _, s := range m.Subjects {
				got = append(got, fmt.Sprint(m.Kind, " to ", m.RoleRef["kind"], " ", m.RoleRef["name"], " of ", s["kind"], " ", s["namespace"], "/", s["name"]))
			}
		}
		want := []string{
			prefix + "Role forescale-scale: [get update] [apps] [deployments/scale statefulsets/scale]",
			prefix + "RoleBinding to " + prefix + "Role forescale-scale of ServiceAccount forescale/forescale-scaler",
			prefix + "Role forescale-observe: [list] [] [pods]",
			prefix + "Role forescale-observe: [list] [autoscaling] [horizontalpodautoscalers]",
			prefix + "RoleBinding to " + prefix + "Role forescale-observe of ServiceAccount forescale/forescale-scaler",
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s:\n%q\nwant\n%q", file, got, want)
		}
	}
	account := manifests(t, "account.yaml")
	if len(account) != 2 || account[1].Kind != "ServiceAccount" || account[1].Metadata.Namespace+"/"+account[1].Metadata.Name != "forescale/forescale-scaler" {
		t.Errorf("account.yaml: %+v", account)
	}
}
