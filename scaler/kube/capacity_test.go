package kube

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/scaler"
)

// aPod is a Pod as far as it matters here. The condition Ready is left out when
// ready is empty, as in a pod that no kubelet has seen.
func aPod(name, phase, ready string, more ...func(map[string]any)) any {
	conditions := []any{map[string]any{"type": "PodScheduled", "status": "True"}}
	if ready != "" {
		conditions = append(conditions, map[string]any{"type": "Ready", "status": ready})
	}
	p := map[string]any{
		"metadata": map[string]any{"name": name, "creationTimestamp": "2026-03-02T00:00:00Z"},
		"status":   map[string]any{"phase": phase, "conditions": conditions},
	}
	for _, m := range more {
		m(p)
	}
	return p
}

func deleted(p map[string]any) {
	p["metadata"].(map[string]any)["deletionTimestamp"] = "2026-03-02T00:05:00Z"
}

func createdAt(at string) func(map[string]any) {
	return func(p map[string]any) { p["metadata"].(map[string]any)["creationTimestamp"] = at }
}

func unschedulable(p map[string]any) {
	p["status"].(map[string]any)["conditions"] = []any{map[string]any{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/5 nodes are available: 5 Insufficient cpu."}}
}

func waiting(reason string) func(map[string]any) {
	return func(p map[string]any) {
		p["status"].(map[string]any)["containerStatuses"] = []any{map[string]any{"state": map[string]any{"waiting": map[string]any{"reason": reason, "message": "back-off"}}}}
	}
}

func TestCapacityCountsThePodsThatServe(t *testing.T) {
	for _, c := range []struct {
		name            string
		pods            []any
		serve, pending  int
		fault, faultNot string
	}{
		{"ready pods serve", []any{aPod("a", "Running", "True"), aPod("b", "Running", "True")}, 2, 0, "", ""},
		{"there may be none", nil, 0, 0, "", ""},
		{"a pod that starts is pending", []any{aPod("a", "Running", "True"), aPod("b", "Running", "False"), aPod("c", "Pending", "")}, 1, 2, "", ""},
		{"one of an unknown node does not count as ready", []any{aPod("a", "Running", "Unknown")}, 0, 1, "", ""},
		{"one that is being deleted is gone although it is ready", []any{aPod("a", "Running", "True", deleted), aPod("b", "Running", "True")}, 1, 0, "", ""},
		{"one that has ended is gone", []any{aPod("a", "Succeeded", "False"), aPod("b", "Failed", "False"), aPod("c", "Failed", "True")}, 0, 0, "", ""},
		{"no room on any node is said", []any{aPod("a", "Pending", "", unschedulable)}, 0, 1, "Insufficient cpu", ""},
		{"an image that cannot be had is said", []any{aPod("a", "Pending", "False", waiting("ImagePullBackOff"))}, 0, 1, "ImagePullBackOff", ""},
		{"a container that is being created is no fault", []any{aPod("a", "Pending", "False", waiting("ContainerCreating"))}, 0, 1, "", "Creating"},
		{"the fault of the newest pod is the one", []any{
			aPod("old", "Pending", "False", waiting("CrashLoopBackOff")),
			aPod("new", "Pending", "", unschedulable, createdAt("2026-03-02T01:00:00Z")),
			aPod("older", "Pending", "False", waiting("ErrImagePull"), createdAt("2026-03-01T00:00:00Z")),
		}, 0, 3, "pod new", ""},
		{"what a serving pod complains of is no launch", []any{aPod("a", "Running", "True", waiting("CrashLoopBackOff"))}, 1, 0, "", "Crash"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, target := world(t)
			f.setPods("shop", c.pods...)
			got, err := one(t.Context(), target, web)
			if err != nil {
				t.Fatal(err)
			}
			if got.InService != c.serve || got.Pending != c.pending || got.Desired != 4 || got.Min != 0 || got.Max != DefaultMaxReplicas {
				t.Errorf("got %+v", got)
			}
			if c.fault == "" && got.LaunchError != "" || !strings.Contains(got.LaunchError, c.fault) {
				t.Errorf("launch error %q, want %q", got.LaunchError, c.fault)
			}
			if c.faultNot != "" && strings.Contains(got.LaunchError, c.faultNot) {
				t.Errorf("launch error %q", got.LaunchError)
			}
		})
	}
}

func TestPodsAreAskedForByTheScalesOwnSelectorPageByPage(t *testing.T) {
	f, target := world(t)
	var pods []any
	for i := range 1234 {
		pods = append(pods, aPod(fmt.Sprint("p", i), "Running", "True"))
	}
	f.setPods("shop", pods...)
	f.page = 100 // a server may send less than it is asked for
	got, err := one(t.Context(), target, web)
	if err != nil || got.InService != 1234 || f.count("GET "+shopPods) != 13 {
		t.Errorf("%+v after %d pages, %v", got, f.count("GET "+shopPods), err)
	}
	if q := f.queries[shopPods]; q != "continue=1200&labelSelector=app%3Dweb%2Ctier+in+%28a%2Cb%29&limit=500" {
		t.Errorf("the last query is %s", q)
	}
}

func TestASizeThatCannotBeKnownIsAnErrorAndNeverZero(t *testing.T) {
	const scale = `{"kind":"Scale","apiVersion":"autoscaling/v1","metadata":{"name":"web","namespace":"shop","resourceVersion":"1"}`
	page := func(text string) func(*fake) {
		return func(f *fake) { f.set("GET "+shopPods, 0, saying("application/json", text)) }
	}
	object := func(text string) func(*fake) {
		return func(f *fake) { f.set("GET "+webScale, 0, saying("application/json", text)) }
	}
	for _, c := range []struct {
		name string
		trap func(*fake)
		want string
	}{
		{"pods that cannot be listed just now", func(f *fake) { f.set("GET "+shopPods, 0, refusing(500, "InternalError")) }, "pods: 500"},
		{"pods of a page that has expired", func(f *fake) { f.set("GET "+shopPods, 0, refusing(410, "Expired")) }, "410"},
		{"a list that is none", page(`{"kind":"Status","apiVersion":"v1"}`), "odd"},
		{"half a list", page(`{"kind":"PodList","items":[{"status"`), "odd"},
		{"a login page", func(f *fake) { f.set("GET "+shopPods, 0, saying("text/html", "<html>")) }, "text/html"},
		{"pages without end", page(`{"kind":"PodList","metadata":{"continue":"again"},"items":[]}`), "pages"},
		{"no spec", object(scale + `,"status":{"replicas":4,"selector":"app=web"}}`), "without a spec"},
		{"null for a spec", object(scale + `,"spec":null,"status":{"replicas":4}}`), "without a spec"},
		{"no status and no selector", object(scale + `,"spec":{"replicas":4}}`), "no replicas"},
		{"a status without a number", object(scale + `,"spec":{"replicas":4},"status":{}}`), "no replicas"},
		{"a status that nobody has written yet", object(scale + `,"spec":{"replicas":4},"status":{"replicas":0}}`), "unknown"},
		{"text for a number", object(scale + `,"spec":{"replicas":"4"}}`), "odd"},
		{"a fraction", object(scale + `,"spec":{"replicas":4.5}}`), "odd"},
		{"less than none", object(scale + `,"spec":{"replicas":-1}}`), "-1"},
		{"more than there can be", object(scale + `,"spec":{"replicas":2147483648}}`), "2147483648"},
		{"an empty answer", object(``), "odd"},
		{"a redirect", func(f *fake) {
			f.docs["/login"] = map[string]any{"kind": "Scale"}
			f.set("GET "+webScale, 0, redirect)
		}, "302"},
		{"a custom resource without the number", func(f *fake) { f.set("GET "+webScale, 0, refusing(500, "InternalError")) }, "500"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f, target := world(t)
			f.setPods("shop", aPod("a", "Running", "True"))
			c.trap(f)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if got, err := one(ctx, target, web); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %+v, %v", got, err)
			}
			if f.count("GET /login") > 0 {
				t.Error("the redirect was followed")
			}
		})
	}
}

func TestNoReplicasAreASizeLikeAnyOther(t *testing.T) {
	f, target := world(t)
	f.scales[webScale].replicas, f.scales[webScale].observed = 0, 0
	got, err := one(t.Context(), target, web)
	if err != nil || got.Desired != 0 || got.InService != 0 || got.Max != DefaultMaxReplicas {
		t.Errorf("got %+v, %v", got, err)
	}
	f.scales[webScale].selector = "" // with nothing wanted, a status of nothing is believed
	if got, err = one(t.Context(), target, web); err != nil || got.Desired != 0 || got.InService != 0 {
		t.Errorf("without a selector: %+v, %v", got, err)
	}
}

// Where pods may not be listed, status.replicas stands in, and that is said once.
func TestWithoutThePermissionForPodsTheScaleItselfCounts(t *testing.T) {
	f, _ := world(t)
	var text bytes.Buffer
	target, err := Open(Config{Kubeconfig: f.kubeconfig(t, "{token: "+fakeToken+"}"), MaxReplicas: 50}, slog.New(slog.NewTextHandler(&text, nil)))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	target.pods.now = func() time.Time { return now }
	f.scales[webScale].observed = 3
	f.set("GET "+shopPods, 2, refusing(403, "Forbidden"))
	for range 3 {
		got, err := one(t.Context(), target, web)
		if err != nil || got.InService != 3 || got.Pending != 1 || got.Desired != 4 || got.Max != 50 {
			t.Errorf("got %+v, %v", got, err)
		}
	}
	if n := f.count("GET " + shopPods); n != 1 {
		t.Errorf("asked %d times", n)
	}
	now = now.Add(askAgain)
	if _, err := one(t.Context(), target, web); err != nil || f.count("GET "+shopPods) != 2 {
		t.Errorf("not asked again after %s: %v", askAgain, err)
	}
	if n := strings.Count(text.String(), "may not be listed"); n != 1 {
		t.Errorf("said %d times:\n%s", n, &text)
	}
	now = now.Add(askAgain) // the permission has been given meanwhile
	f.setPods("shop", aPod("a", "Running", "True"))
	if got, err := one(t.Context(), target, web); err != nil || got.InService != 1 {
		t.Errorf("with the permission: %+v, %v", got, err)
	}
}

func TestAGroupThatFailsCostsNoOther(t *testing.T) {
	f, target := world(t)
	var groups []string
	for i := range 60 {
		name := fmt.Sprintf("g%02d", i)
		groups = append(groups, "shop/statefulsets/"+name)
		if i%2 == 0 {
			f.scales["/apis/apps/v1/namespaces/shop/statefulsets/"+name+"/scale"] = &fakeScale{replicas: int64(i), selector: "a=b", version: 1}
		}
	}
	groups = append(groups, "nonsense")
	found, err := target.Capacities(t.Context(), groups)
	if len(found) != 30 || found["shop/statefulsets/g42"].Desired != 42 {
		t.Errorf("%d groups, %v", len(found), found)
	}
	if !errors.Is(err, scaler.ErrUnknownGroup) || !strings.Contains(err.Error(), "nonsense") || !strings.Contains(err.Error(), "and 21 more") {
		t.Errorf("got %v", err)
	}
	if n := strings.Count(err.Error(), "\n"); n != maxFaults {
		t.Errorf("%d lines of errors", n)
	}
}

func TestASlowServerEndsWithTheContext(t *testing.T) {
	f, target := world(t)
	f.set("GET "+webScale, 0, hanging)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if got, err := one(ctx, target, web); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %+v, %v", got, err)
	}
}
