package prometheus

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/collector/unit"
)

// Scope is what the presets have in common.
type Scope struct {
	// Namespaces are those of Kubernetes to look at. Default: all.
	Namespaces []string `yaml:"namespaces"`
	// Group makes the group's name out of {namespace} and {workload}. Default
	// "{namespace}/{workload}". It must be the same in all presets whose metrics
	// are to meet in one group.
	Group string `yaml:"group"`
}

const defaultGroup = "{namespace}/{workload}"

// namespaceName is what Kubernetes lets a namespace be called (RFC 1123 label), so
// that it can stand in a regular expression as it is.
var namespaceName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

// faults returns what is wrong; each fault begins with its field.
func (s Scope) faults() (faults []error) {
	for i, n := range s.Namespaces {
		if !namespaceName.MatchString(n) {
			faults = append(faults, fmt.Errorf("namespaces[%d]: %q is not the name of a namespace", i, n))
		}
	}
	t, err := parseTemplate(s.group())
	if err != nil {
		faults = append(faults, fmt.Errorf("group: %w", err))
	}
	for i := 1; i < len(t); i += 2 {
		if t[i] != "namespace" && t[i] != "workload" {
			faults = append(faults, fmt.Errorf("group: {%s} is neither {namespace} nor {workload}", t[i]))
		}
	}
	return faults
}

func (s Scope) group() string {
	if s.Group == "" {
		return defaultGroup
	}
	return s.Group
}

// labelled returns the group's template for labels of other names.
func (s Scope) labelled(namespace, workload string) string {
	return strings.NewReplacer("{namespace}", "{"+namespace+"}", "{workload}", "{"+workload+"}").Replace(s.group())
}

// selector returns label matchers in braces: those given, and the one that the
// label is one of the namespaces.
func (s Scope) selector(label string, matchers ...string) string {
	if len(s.Namespaces) > 0 {
		matchers = append(matchers, fmt.Sprintf("%s=~%q", label, strings.Join(s.Namespaces, "|")))
	}
	if len(matchers) == 0 {
		return ""
	}
	return "{" + strings.Join(matchers, ",") + "}"
}

// Istio reads the requests that a service mesh counts, by the workload that they go
// to: request_count, and response_time as its mean and its 95th percentile.
type Istio struct {
	Scope `yaml:",inline"`
	// Reporter is which proxy's account is taken: destination (the default), source,
	// or waypoint in the ambient mode. Both ends of a request count it: without a
	// choice each would be there twice.
	Reporter string `yaml:"reporter"`
}

// reporters are the values of the label reporter.
var reporters = []string{"destination", "source", "waypoint"}

// queries expands the preset by the reference of Istio's standard metrics:
// istio_requests_total is a counter, istio_request_duration_milliseconds a
// histogram.
func (c Istio) queries() ([]Query, []error) {
	reporter := c.Reporter
	if reporter == "" {
		reporter = reporters[0]
	}
	faults := c.faults()
	if !slices.Contains(reporters, reporter) {
		faults = append(faults, fmt.Errorf("reporter: %q is none of %s", reporter, strings.Join(reporters, ", ")))
	}
	if faults != nil {
		return nil, faults
	}
	const namespace, workload = "destination_workload_namespace", "destination_workload"
	// What goes to no workload that the mesh knows is called unknown.
	selector := c.selector(namespace, fmt.Sprintf("reporter=%q", reporter), workload+`!="unknown"`)
	by := "sum by (" + namespace + ", " + workload
	duration := func(part string) string { return "istio_request_duration_milliseconds_" + part + selector + "[$step]" }
	group, milliseconds := c.labelled(namespace, workload), unit.Conversion{From: "milliseconds"}
	return []Query{
		{Metric: api.MetricRequests, Stat: api.StatSum, Group: group,
			Expr: by + ") (increase(istio_requests_total" + selector + "[$step]))"},
		{Metric: api.MetricResponse, Stat: api.StatAvg, Group: group, Conversion: milliseconds,
			Expr: by + ") (increase(" + duration("sum") + ")) / " + by + ") (increase(" + duration("count") + "))"},
		{Metric: api.MetricResponse, Stat: api.StatP95, Group: group, Conversion: milliseconds,
			Expr: "histogram_quantile(0.95, " + by + ", le) (rate(" + duration("bucket") + ")))"},
	}, nil
}

// KubeStateMetrics reads the replicas of Deployments and StatefulSets:
// instances_in_service (the available ones) and instances_desired. Several
// kube-state-metrics that tell the same count once. A Deployment and a StatefulSet
// of one name in one namespace are an error.
type KubeStateMetrics struct {
	Scope `yaml:",inline"`
}

func (c KubeStateMetrics) queries() ([]Query, []error) {
	if faults := c.faults(); faults != nil {
		return nil, faults
	}
	replicas := func(metric, name, workload string) Query {
		return Query{Metric: metric, Stat: api.StatAvg, Group: c.labelled("namespace", workload),
			Expr: fmt.Sprintf("max by (namespace, %s) (avg_over_time(%s%s[$step]))", workload, name, c.selector("namespace"))}
	}
	return []Query{
		replicas(api.MetricInService, "kube_deployment_status_replicas_available", "deployment"),
		replicas(api.MetricDesired, "kube_deployment_spec_replicas", "deployment"),
		replicas(api.MetricInService, "kube_statefulset_status_replicas_available", "statefulset"),
		replicas(api.MetricDesired, "kube_statefulset_replicas", "statefulset"),
	}, nil
}

// ContainerCPU reads cpu_utilization of Deployments and StatefulSets as a share of
// what their containers request, in percent: the CPU that cAdvisor measures over
// the requests and the owners of pods that kube-state-metrics knows. It may exceed
// 100. Containers without a request for CPU count on neither side, and a workload
// in which none has one has no value.
type ContainerCPU struct {
	Scope `yaml:",inline"`
}

func (c ContainerCPU) queries() ([]Query, []error) {
	if faults := c.faults(); faults != nil {
		return nil, faults
	}
	const each = "(namespace, pod, container)"
	usage := fmt.Sprintf("sum by %s (rate(container_cpu_usage_seconds_total%s[$step]))", each,
		c.selector("namespace", `container!=""`, `container!="POD"`))
	requests := fmt.Sprintf("max by %s (kube_pod_container_resource_requests%s)", each, c.selector("namespace", `resource="cpu"`))
	// Requests outlive the pod that has run to its end, its usage does not: both
	// sides are taken only where both are.
	utilization := func(owner string) Query {
		part := func(of, where string) string {
			return fmt.Sprintf("sum by (namespace, workload) ((%s and on %s %s) * on (namespace, pod) group_left (workload) %s)", of, each, where, owner)
		}
		return Query{Metric: api.MetricCPU, Stat: api.StatAvg, Group: c.group(),
			Expr: "100 * " + part(usage, requests) + " / " + part(requests, usage)}
	}
	workload := func(of string) string {
		return fmt.Sprintf(`max by (namespace, pod, workload) (label_replace(%s, "workload", "$1", "owner_name", "(.+)"))`, of)
	}
	// A Deployment owns its pods through ReplicaSets.
	replicaSets := fmt.Sprintf(`label_replace(kube_pod_owner%s, "replicaset", "$1", "owner_name", "(.+)")`,
		c.selector("namespace", `owner_kind="ReplicaSet"`))
	deployments := replicaSets + " * on (namespace, replicaset) group_left (owner_name) max by (namespace, replicaset, owner_name) (kube_replicaset_owner" +
		c.selector("namespace", `owner_kind="Deployment"`) + ")"
	return []Query{
		utilization(workload(deployments)),
		utilization(workload("kube_pod_owner" + c.selector("namespace", `owner_kind="StatefulSet"`))),
	}, nil
}
