package kube

import (
	"net/url"
	"strings"
	"testing"
)

func TestNamesSayWhichObjectIsMeant(t *testing.T) {
	for name, want := range map[string]struct{ path, canonical string }{
		"shop/deployments/web":                   {"/apis/apps/v1/namespaces/shop/deployments/web/scale", ""},
		"shop/statefulsets/db-0.a":               {"/apis/apps/v1/namespaces/shop/statefulsets/db-0.a/scale", ""},
		"shop/replicasets/web":                   {"/apis/apps/v1/namespaces/shop/replicasets/web/scale", ""},
		"shop/replicationcontrollers/web":        {"/api/v1/namespaces/shop/replicationcontrollers/web/scale", ""},
		"shop/deployments.apps/web":              {"/apis/apps/v1/namespaces/shop/deployments/web/scale", "shop/deployments/web"},
		"shop/deployments.apps/v1/web":           {"/apis/apps/v1/namespaces/shop/deployments/web/scale", "shop/deployments/web"},
		"shop/deployments.apps/v1beta2/web":      {"/apis/apps/v1beta2/namespaces/shop/deployments/web/scale", ""},
		"shop/deployments.example.com/v1/web":    {"/apis/example.com/v1/namespaces/shop/deployments/web/scale", ""},
		"shop/rollouts.argoproj.io/v1alpha1/web": {"/apis/argoproj.io/v1alpha1/namespaces/shop/rollouts/web/scale", ""},
		"shop/rollouts.argoproj.io/web":          {"/apis/argoproj.io//namespaces/shop/rollouts/web/scale", ""}, // resolved later
		"shop/rs.example.com/v1/web":             {"/apis/example.com/v1/namespaces/shop/rs/web/scale", ""},
		"shop/deployments/v1":                    {"/apis/apps/v1/namespaces/shop/deployments/v1/scale", ""},
	} {
		r, err := ParseName(name)
		if err != nil {
			t.Error(err)
			continue
		}
		if want.canonical == "" {
			want.canonical = name
		}
		if r.scalePath() != want.path || r.String() != want.canonical {
			t.Errorf("%s: path %s, canonical %s", name, r.scalePath(), r)
		}
	}
}

func TestNamesThatAreNoneAreTaught(t *testing.T) {
	long := strings.Repeat("a", 254)
	for name, want := range map[string]string{
		"":                                     "1 parts",
		"web":                                  "1 parts",
		"deployments/web":                      "2 parts",
		"a/b/c/d/e":                            "5 parts",
		"shop/deployment/web":                  "the resource is called deployments",
		"shop/sts/web":                         "the resource is called statefulsets",
		"shop/deploy.apps/web":                 "the resource is called deployments",
		"shop/Deployments/web":                 "no name of a resource",
		"shop/rollouts/web":                    "has no group",
		"shop/deployments/v1/web":              "a version belongs to a group",
		"shop/rollouts.argoproj.io/alpha/web":  `"alpha" is no version`,
		"shop/rollouts.argoproj.io/v0/web":     `"v0" is no version`,
		"shop/rollouts./web":                   "no API group",
		"shop/rollouts.Argoproj.io/web":        "no API group",
		"shop/.argoproj.io/web":                "no name of a resource",
		"/deployments/web":                     "no name of a namespace",
		"Shop/deployments/web":                 "no name of a namespace",
		"a.b/deployments/web":                  "no name of a namespace",
		"shop/deployments/":                    "no name of an object",
		"shop/deployments/..":                  "no name of an object",
		"shop/deployments/we%2Fb":              "no name of an object",
		"shop/deployments/web?x":               "no name of an object",
		"shop/deployments/we b":                "no name of an object",
		"shop/deployments/web\n":               "no name of an object",
		"shop/deployments/" + long:             "no name of an object",
		strings.Repeat("a", 64) + "/sts/web":   "no name of a namespace",
		"shop/rollouts." + long + "/web":       "no API group",
		"shop/deployments/web/scale":           "a version belongs to a group",
		"..//deployments":                      "no name of a namespace",
		"shop/deployments.apps/v1/../../nodes": "6 parts",
	} {
		_, err := ParseName(name)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "write NAMESPACE/deployments/NAME") {
			t.Errorf("%q: %v, want %s", name, err, want)
		}
	}
}

// A name leads to one path of a known shape or nowhere, whatever is in it.
func FuzzParseName(f *testing.F) {
	for _, name := range []string{"shop/deployments/web", "shop/rollouts.argoproj.io/v1alpha1/web", "a/b.c/d", "../deployments/..", "a/b.c/%2e%2e", "shop/deployments.apps/v1/web"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		r, err := ParseName(name)
		if err != nil {
			return
		}
		if r.Version == "" {
			r.Version = "v1"
		}
		u, err := url.Parse("https://host" + r.scalePath())
		if err != nil || u.Path != r.scalePath() || u.RawQuery != "" || u.Fragment != "" || u.JoinPath().Path != u.Path {
			t.Errorf("%q leads to %s (%v)", name, r.scalePath(), err)
		}
		parts := strings.Split(u.Path, "/")
		if n := len(parts); parts[n-1] != "scale" || parts[n-2] != r.Name || parts[n-4] != r.Namespace || parts[n-5] != "namespaces" {
			t.Errorf("%q leads to %s", name, u.Path)
		}
		again, err := ParseName(r.String())
		if err != nil || again != r {
			t.Errorf("%q is %+v, %q is %+v, %v", name, r, r.String(), again, err)
		}
	})
}
