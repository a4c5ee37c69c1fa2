package kube

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

// Resource names one object that has a Scale subresource.
type Resource struct {
	Namespace string
	Plural    string // the resource in the plural and in lower case, as in URLs
	Group     string // its API group; empty: the core group
	Version   string // of the group; empty: the one that the API server prefers
	Name      string
	// Kind is the type's name in other objects' references. Empty: not yet known.
	Kind string
}

// builtin are the resources of Kubernetes itself that scale, by plural.
var builtin = map[string]Resource{
	"deployments":            {Plural: "deployments", Group: "apps", Version: "v1", Kind: "Deployment"},
	"statefulsets":           {Plural: "statefulsets", Group: "apps", Version: "v1", Kind: "StatefulSet"},
	"replicasets":            {Plural: "replicasets", Group: "apps", Version: "v1", Kind: "ReplicaSet"},
	"replicationcontrollers": {Plural: "replicationcontrollers", Version: "v1", Kind: "ReplicationController"},
}

// shortened are what people type for kubectl, and the plurals that are meant.
var shortened = map[string]string{
	"deployment": "deployments", "deploy": "deployments", "statefulset": "statefulsets", "sts": "statefulsets",
	"replicaset": "replicasets", "rs": "replicasets", "replicationcontroller": "replicationcontrollers", "rc": "replicationcontrollers",
}

// The names of Kubernetes objects, from its documentation ("Object Names and
// IDs"). None of them can leave its place in a path.
var (
	label     = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)
	subdomain = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)
	version   = regexp.MustCompile(`^v[1-9][0-9]*((alpha|beta)[1-9][0-9]*)?$`)
)

const maxSubdomain = 253

// ParseName returns the object that a target_name means. The error says how one
// is written.
func ParseName(name string) (Resource, error) {
	bad := func(format string, args ...any) (Resource, error) {
		return Resource{}, fmt.Errorf("%q: %s; write NAMESPACE/deployments/NAME, NAMESPACE/statefulsets/NAME, or NAMESPACE/PLURAL.GROUP[/VERSION]/NAME, such as shop/rollouts.argoproj.io/web",
			name, fmt.Sprintf(format, args...))
	}
	parts := strings.Split(name, "/")
	if len(parts) != 3 && len(parts) != 4 {
		return bad("has %d parts between slashes, not 3 or 4", len(parts))
	}
	plural, group, grouped := strings.Cut(parts[1], ".")
	r := Resource{Namespace: parts[0], Plural: plural, Group: group, Name: parts[len(parts)-1]}
	if len(parts) == 4 {
		r.Version = parts[2]
	}
	own, known := builtin[plural]
	switch {
	case !label.MatchString(r.Namespace):
		return bad("%q is no name of a namespace", r.Namespace)
	case !label.MatchString(plural):
		return bad("%q is no name of a resource", plural)
	case shortened[plural] != "" && (!grouped || group == "apps"):
		return bad("the resource is called %s", shortened[plural])
	case !grouped && len(parts) == 4:
		return bad("a version belongs to a group, as in %s.GROUP/%s", plural, r.Version)
	case !grouped && !known:
		return bad("%s is none of deployments, statefulsets, replicasets and replicationcontrollers, and has no group", plural)
	case grouped && (len(group) > maxSubdomain || !subdomain.MatchString(group)):
		return bad("%q is no API group", group)
	case len(parts) == 4 && !version.MatchString(r.Version):
		return bad("%q is no version such as v1 or v1alpha1", r.Version)
	case len(r.Name) > maxSubdomain || !subdomain.MatchString(r.Name):
		return bad("%q is no name of an object", r.Name)
	}
	if known && (!grouped || group == own.Group) {
		r.Group, r.Kind = own.Group, own.Kind
		if r.Version == "" {
			r.Version = own.Version
		}
	}
	return r, nil
}

// String returns the target_name without what goes without saying: two names mean
// the same object if they have the same String and the API server prefers the
// version that one of them gives.
func (r Resource) String() string {
	if own, ok := builtin[r.Plural]; ok && own.Group == r.Group && own.Version == r.Version {
		return r.Namespace + "/" + r.Plural + "/" + r.Name
	}
	parts := []string{r.Namespace, r.Plural + "." + r.Group, r.Name}
	if r.Version != "" {
		parts = []string{parts[0], parts[1], r.Version, parts[2]}
	}
	return strings.Join(parts, "/")
}

// api returns the path of the resource's group and version.
func (r Resource) api() string {
	if r.Group == "" {
		return "/api/" + r.Version
	}
	return "/apis/" + r.Group + "/" + r.Version
}

// scalePath returns the path of the object's Scale.
func (r Resource) scalePath() string {
	return r.api() + "/namespaces/" + url.PathEscape(r.Namespace) + "/" + r.Plural + "/" + url.PathEscape(r.Name) + "/scale"
}
