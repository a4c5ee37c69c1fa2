package kube

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

func anAutoscaler(name, version, kind, target string, more map[string]any) any {
	spec := map[string]any{"scaleTargetRef": map[string]any{"kind": kind, "name": target}, "maxReplicas": 10}
	if version != "" {
		spec["scaleTargetRef"].(map[string]any)["apiVersion"] = version
	}
	meta := map[string]any{"name": name}
	for k, v := range more {
		if k == "ownerReferences" {
			meta[k] = v
		} else {
			spec[k] = v
		}
	}
	return map[string]any{"metadata": meta, "spec": spec}
}

func TestACompetingAutoscalerIsNamedWithItsBounds(t *testing.T) {
	keda := []any{map[string]any{"kind": "ScaledObject", "name": "web-so"}}
	for _, c := range []struct {
		name string
		item any
		want []string // parts of the detail; nil: no rival
	}{
		{"one of the same object", anAutoscaler("cpu", "apps/v1", "Deployment", "web", map[string]any{"minReplicas": 2}), []string{"shop/cpu", "2 to 10"}},
		{"without a minimum it is 1", anAutoscaler("cpu", "apps/v1", "Deployment", "web", nil), []string{"1 to 10"}},
		{"a minimum of 0 is one", anAutoscaler("cpu", "apps/v1", "Deployment", "web", map[string]any{"minReplicas": 0}), []string{"0 to 10"}},
		{"through another version of the group", anAutoscaler("cpu", "apps/v1beta2", "Deployment", "web", nil), []string{"shop/cpu"}},
		{"of old, without a version", anAutoscaler("cpu", "", "Deployment", "web", nil), []string{"shop/cpu"}},
		{"on behalf of KEDA", anAutoscaler("keda-hpa-web", "apps/v1", "Deployment", "web", map[string]any{"ownerReferences": keda}), []string{"ScaledObject web-so"}},
		{"another object's", anAutoscaler("cpu", "apps/v1", "Deployment", "db", nil), nil},
		{"another kind's", anAutoscaler("cpu", "apps/v1", "StatefulSet", "web", nil), nil},
		{"another group's", anAutoscaler("cpu", "argoproj.io/v1alpha1", "Deployment", "web", nil), nil},
		{"the core group's", anAutoscaler("cpu", "v1", "Deployment", "web", nil), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, target := world(t)
			f.setAutoscalers("shop", anAutoscaler("other", "apps/v1", "Deployment", "other", nil), c.item)
			got, err := one(t.Context(), target, web)
			if err != nil || len(got.Rivals) != min(1, len(c.want)) {
				t.Fatalf("got %q, %v", got.Rivals, err)
			}
			for _, part := range c.want {
				if !strings.Contains(got.Rivals[0], part) || !strings.HasPrefix(got.Rivals[0], "horizontal-autoscaler: ") {
					t.Errorf("got %q, want %q in it", got.Rivals[0], part)
				}
			}
		})
	}
}

func TestAutoscalersAreListedOnceForAllGroupsOfANamespace(t *testing.T) {
	f, target := world(t)
	var items []any
	for i := range 1100 {
		items = append(items, anAutoscaler(fmt.Sprint("a", i), "apps/v1", "Deployment", fmt.Sprint("x", i), nil))
	}
	f.setAutoscalers("shop", append(items, anAutoscaler("last", "apps/v1", "Deployment", "web", nil))...)
	f.scales[strings.Replace(webScale, "web", "x7", 1)] = &fakeScale{replicas: 1, selector: "a=b", version: 1}
	now := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	target.rivals.now = func() time.Time { return now }
	for range 3 {
		found, err := target.Capacities(t.Context(), []string{web, "shop/deployments/x7"})
		if err != nil || len(found[web].Rivals) != 1 || len(found["shop/deployments/x7"].Rivals) != 1 {
			t.Errorf("got %v, %v", found, err)
		}
	}
	if n := f.count("GET " + shopHPAs); n != 3 { // the pages of one list
		t.Errorf("%d calls", n)
	}
	now = now.Add(fresh)
	f.setAutoscalers("shop")
	if got, err := one(t.Context(), target, web); err != nil || len(got.Rivals) != 0 {
		t.Errorf("one that was deleted: %+v, %v", got, err)
	}
}

func TestAutoscalersThatCannotBeListedAreThoseSeenLast(t *testing.T) {
	f, target := world(t)
	f.setAutoscalers("shop", anAutoscaler("cpu", "apps/v1", "Deployment", "web", nil))
	now := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	target.rivals.now, target.rivals.permission.now = clock, clock
	if got, err := one(t.Context(), target, web); err != nil || len(got.Rivals) != 1 {
		t.Fatalf("got %+v, %v", got, err)
	}
	now = now.Add(5 * time.Minute)
	f.set("GET "+shopHPAs, attempts, refusing(500, "InternalError"))
	got, err := one(t.Context(), target, web)
	if len(got.Rivals) != 1 || err == nil || !strings.Contains(err.Error(), "autoscalers of namespace shop") || got.Desired != 4 {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err = one(t.Context(), target, web); err != nil || len(got.Rivals) != 1 || f.count("GET "+shopHPAs) != 1+attempts {
		t.Errorf("asked again at once: %+v, %v", got, err)
	}
	now = now.Add(fresh)
	// Without the permission there is nothing to go by, and that is no fault.
	f.set("GET "+shopHPAs, 1, refusing(403, "Forbidden"))
	for range 2 {
		if got, err = one(t.Context(), target, web); err != nil || len(got.Rivals) != 0 || got.Desired != 4 {
			t.Errorf("forbidden: %+v, %v", got, err)
		}
	}
	if n := f.count("GET " + shopHPAs); n != 1+attempts+1 {
		t.Errorf("%d calls", n)
	}
}

func TestAutoscalersThatHangCostTheGroupsNothing(t *testing.T) {
	f, target := world(t)
	f.set("GET "+shopHPAs, 0, hanging)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if got, err := one(ctx, target, web); got.Desired != 4 || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %+v, %v", got, err)
	}
}

// discovery fills in what the API server says of a group.
func discovery(f *fake, group, preferred string, versions map[string][]any) {
	f.docs["/apis/"+group] = map[string]any{"kind": "APIGroup", "apiVersion": "v1", "name": group, "preferredVersion": map[string]any{"groupVersion": group + "/" + preferred, "version": preferred}}
	for v, resources := range versions {
		f.docs["/apis/"+group+"/"+v] = map[string]any{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group + "/" + v, "resources": resources}
	}
}

func rollouts(names ...string) (found []any) {
	for _, name := range names {
		kind := "Rollout"
		if strings.HasSuffix(name, "/scale") {
			kind = "Scale"
		}
		found = append(found, map[string]any{"name": name, "kind": kind, "namespaced": !strings.HasPrefix(name, "cluster")})
	}
	return found
}

func TestAnyResourceWithAScaleIsFoundByDiscovery(t *testing.T) {
	f, target := world(t)
	discovery(f, "argoproj.io", "v1", map[string][]any{
		"v1":      rollouts("rollouts", "rollouts/status", "rollouts/scale", "workflows", "clusterthings", "clusterthings/scale"),
		"v1beta1": rollouts("rollouts", "rollouts/scale"),
	})
	for _, v := range []string{"v1", "v1beta1"} {
		f.scales["/apis/argoproj.io/"+v+"/namespaces/shop/rollouts/web/scale"] = &fakeScale{replicas: 5, observed: 5, version: 7}
	}
	f.setAutoscalers("shop", anAutoscaler("r", "argoproj.io/v1alpha1", "Rollout", "web", nil), anAutoscaler("w", "argoproj.io/v1", "Workflow", "web", nil))
	for _, name := range []string{"shop/rollouts.argoproj.io/web", "shop/rollouts.argoproj.io/v1beta1/web"} {
		for range 2 {
			got, err := one(t.Context(), target, name)
			if err != nil || got.Desired != 5 || got.InService != 5 || len(got.Rivals) != 1 || !strings.Contains(got.Rivals[0], "shop/r ") {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
		}
		if err := target.Scale(t.Context(), name, 6); err != nil {
			t.Error(err)
		}
	}
	if !slices.Equal([]int{f.count("GET /apis/argoproj.io/v1/namespaces/"), f.replicaSum()}, []int{3, 16}) {
		t.Errorf("calls %q, %d replicas", f.calls, f.replicaSum())
	}
	if n := f.count("GET /apis/argoproj.io") - f.count("GET /apis/argoproj.io/v1/namespaces") - f.count("GET /apis/argoproj.io/v1beta1/namespaces"); n != 3 {
		t.Errorf("discovery took %d calls", n)
	}
	for name, want := range map[string]string{
		"shop/workflows.argoproj.io/web":        "no scale subresource",
		"shop/clusterthings.argoproj.io/web":    "no such namespaced resource",
		"shop/rollouts.argoproj.io/v2/web":      "no version v2",
		"shop/rollouts.example.com/web":         "no such API group",
		"shop/rollouts.argoproj.io/nobody":      "not found",
		"shop/analysisruns.argoproj.io/v1/weba": "no such namespaced resource",
	} {
		if _, err := one(t.Context(), target, name); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "no such group") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func (f *fake) replicaSum() (sum int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.scales {
		sum += int(s.replicas)
	}
	return sum
}

// An operator may move a type to another version while the scaler runs.
func TestATypeThatMovedIsFoundAgain(t *testing.T) {
	f, target := world(t)
	const name = "shop/rollouts.argoproj.io/web"
	for _, v := range []string{"v1", "v2"} {
		discovery(f, "argoproj.io", v, map[string][]any{v: rollouts("rollouts", "rollouts/scale")})
		path := "/apis/argoproj.io/" + v + "/namespaces/shop/rollouts/web/scale"
		f.scales[path] = &fakeScale{replicas: 5, observed: 5, version: 7}
		_, err := one(t.Context(), target, name)
		if again, err2 := one(t.Context(), target, name); err2 != nil || again.Desired != 5 || v == "v1" && err != nil {
			t.Errorf("%s: %+v, %v, %v", v, again, err, err2)
		}
		delete(f.scales, path)
	}
}

func TestClosedDiscoveryNeedsTheVersionAndNothingElse(t *testing.T) {
	f, target := world(t)
	f.set("GET /apis/argoproj.io/v1/namespaces", 0, func(http.ResponseWriter, *http.Request, *fake) bool { return false })
	f.set("GET /apis/argoproj.io", 0, refusing(403, "Forbidden"))
	f.scales["/apis/argoproj.io/v1/namespaces/shop/rollouts/web/scale"] = &fakeScale{replicas: 5, observed: 5, version: 7}
	f.setAutoscalers("shop", anAutoscaler("r", "argoproj.io/v1", "Anything", "web", nil))
	if got, err := one(t.Context(), target, "shop/rollouts.argoproj.io/v1/web"); err != nil || got.Desired != 5 || len(got.Rivals) != 1 {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := one(t.Context(), target, "shop/rollouts.argoproj.io/web"); err == nil || !strings.Contains(err.Error(), "name the version") {
		t.Errorf("got %v", err)
	}
}
