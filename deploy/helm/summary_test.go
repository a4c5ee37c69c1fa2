//go:build system

package helm

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// What comes of a values file, told as a person would: a change of the chart shows
// what it changes, and not five hundred lines of YAML.
func TestSystemWhatTheChartInstalls(t *testing.T) {
	for _, name := range values {
		var lines []string
		for _, o := range render(t, name) {
			lines = append(lines, summary(o)...)
		}
		slices.Sort(lines)
		got := strings.Join(lines, "\n") + "\n"
		golden := filepath.Join("testdata", name+".golden")
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s installs\n%s\nwant\n%s", name, got, want)
		}
	}
}

// summary returns a line for an object, and one for each thing of it that somebody
// would ask about.
func summary(o object) (lines []string) {
	who := fmt.Sprintf("%s %s/%s", o.kind(), o.text("metadata", "namespace"), o.name())
	say := func(format string, args ...any) { lines = append(lines, who+": "+fmt.Sprintf(format, args...)) }
	switch o.kind() {
	case "Deployment", "StatefulSet", "CronJob":
		pod := o.template()
		if o.kind() == "CronJob" {
			say("%q, %v of %v at a time", o.text("spec", "schedule"), o.at("spec", "jobTemplate", "spec", "parallelism"), o.at("spec", "jobTemplate", "spec", "completions"))
		} else {
			say("%v replicas, grace of %v s", o.at("spec", "replicas"), pod.at("spec", "terminationGracePeriodSeconds"))
		}
		for _, c := range pod.list("spec", "containers") {
			say("%s %v", c.text("image"), c["args"])
			for _, m := range c.list("volumeMounts") {
				say("mounts %s", m.text("mountPath"))
			}
		}
	case "Role":
		for _, r := range o.list("rules") {
			say("may %v %v %v named %v", r["verbs"], r["apiGroups"], r["resources"], r["resourceNames"])
		}
	case "RoleBinding":
		say("for %s/%s", o.list("subjects")[0].text("namespace"), o.list("subjects")[0].text("name"))
	case "NetworkPolicy":
		for _, rule := range o.list("spec", "ingress") {
			say("lets in %v to %v", rule["from"], rule["ports"])
		}
		for _, rule := range o.list("spec", "egress") {
			say("lets out to %v %v", rule["to"], rule["ports"])
		}
	case "HorizontalPodAutoscaler":
		say("%v to %v", o.at("spec", "minReplicas"), o.at("spec", "maxReplicas"))
	case "PodDisruptionBudget":
		say("at least %v, at most %v away", o.at("spec", "minAvailable"), o.at("spec", "maxUnavailable"))
	case "Service":
		for _, p := range o.list("spec", "ports") {
			say("port %v", p["port"])
		}
	case "PrometheusRule":
		for _, g := range o.list("spec", "groups") {
			say("%d rules of %s", len(g.list("rules")), g.text("name"))
		}
	default:
		lines = append(lines, who)
	}
	return lines
}
