package targets

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/internal/conf"
	"github.com/forescale/forescale/scaler"
)

func TestNamesOfKubernetesAreCheckedAtLoad(t *testing.T) {
	err := Validate(config(
		scaler.Group{Name: "web", Target: "kube", TargetName: "shop/deployments/web"},
		scaler.Group{Name: "again", Target: "kube", TargetName: "shop/deployments.apps/v1/web"},
		scaler.Group{Name: "db", Target: "kube", TargetName: "shop/sts/db"},
		scaler.Group{Name: "unnamed", Target: "kube"},
		scaler.Group{Name: "asg", Target: "asg", TargetName: "anything"},
	), conf.Common{Kubernetes: conf.Kubernetes{Context: "prod", MaxReplicas: -1}})
	for _, want := range []string{
		`groups[1] (again): shop/deployments/web is scaled as "web" already`,
		"groups[2] (db): target_name:", "the resource is called statefulsets", "groups[3] (unnamed): target_name:",
		"kubernetes.context", "kubernetes.max_replicas",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\ndoes not say %s", err, want)
		}
	}
	if strings.Contains(err.Error(), "groups[0]") || strings.Contains(err.Error(), "groups[4]") {
		t.Error(err)
	}
}

func TestAGroupOfKubernetesIsReachedThroughTheKubeconfig(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	asked := make(chan struct{})
	go func() {
		c, err := l.Accept()
		if err == nil {
			c.Close()
		}
		close(asked)
	}()
	path := filepath.Join(t.TempDir(), "config")
	text := "current-context: a\ncontexts: [{name: a, context: {cluster: c}}]\nclusters: [{name: c, cluster: {server: 'http://" + l.Addr().String() + "'}}]\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := config(scaler.Group{Name: "web", Target: "kube", TargetName: "shop/deployments/web"})
	target, err := Open(context.Background(), cfg, conf.Common{Kubernetes: conf.Kubernetes{Kubeconfig: path}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-asked; cancel() }()
	if err := target.Scale(ctx, "web", 3); err == nil || errors.Is(err, scaler.ErrUnknownGroup) {
		t.Errorf("got %v", err)
	}
	<-asked
}

func TestOutsideOfAClusterTheErrorSaysWhatToSet(t *testing.T) {
	cfg := config(scaler.Group{Name: "web", Target: "kube", TargetName: "shop/deployments/web"})
	if _, err := Open(context.Background(), cfg, conf.Common{}, nil); err == nil || !strings.Contains(err.Error(), "kubernetes.kubeconfig") {
		t.Errorf("got %v", err)
	}
}

func TestTheElectionIsCheckedAtLoad(t *testing.T) {
	group := scaler.Group{Name: "web", Target: "asg"}
	for name, c := range map[string]struct {
		election scaler.Election
		cluster  conf.Kubernetes
		says     string // empty: nothing
	}{
		"none":                              {scaler.Election{}, conf.Kubernetes{Kubeconfig: "x"}, ""},
		"one in the pod's own namespace":    {scaler.Election{Lease: "forescale-scaler", Duration: 15 * time.Second}, conf.Kubernetes{}, ""},
		"a name of no object":               {scaler.Election{Lease: "Forescale", Duration: 15 * time.Second}, conf.Kubernetes{}, "scaler.election: lease"},
		"no duration":                       {scaler.Election{Lease: "forescale-scaler"}, conf.Kubernetes{}, "scaler.election: duration"},
		"a kubeconfig without a namespace":  {scaler.Election{Lease: "a", Duration: 15 * time.Second}, conf.Kubernetes{Kubeconfig: "x"}, "scaler.election.namespace: is not set"},
		"a kubeconfig with a namespace":     {scaler.Election{Lease: "a", Namespace: "b", Duration: 15 * time.Second}, conf.Kubernetes{Kubeconfig: "x"}, ""},
		"a namespace that leaves its place": {scaler.Election{Lease: "a", Namespace: "../b", Duration: 15 * time.Second}, conf.Kubernetes{}, "namespace"},
	} {
		cfg := config(group)
		cfg.Election = c.election
		err := Validate(cfg, conf.Common{Kubernetes: c.cluster})
		if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
}

// Who leads without the API server is told by what it scales.
func TestOnlyAScalerOfOtherPlacesWorksWithoutTheCluster(t *testing.T) {
	asg, workload := scaler.Group{Name: "web", Target: "asg"}, scaler.Group{Name: "cart", Target: "kube", TargetName: "shop/deployments/cart"}
	if !electionConfig(config(asg)).Alone || electionConfig(config(asg, workload)).Alone {
		t.Error("want one with groups of AWS alone to go on, and no other")
	}
	cfg := config(asg)
	cfg.Election = scaler.Election{Lease: "a", Duration: 15 * time.Second}
	if _, err := OpenElection(cfg, conf.Common{}, "me", nil); err == nil || !strings.Contains(err.Error(), "does not run in a cluster") {
		t.Errorf("outside of a cluster: %v", err)
	}
}
