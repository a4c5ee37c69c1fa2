package targets

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/forescale/forescale/internal/conf"
	"github.com/forescale/forescale/scaler"
	"github.com/forescale/forescale/scaler/kube"
)

const driverKube = "kube"

// kubeConfig returns the driver's configuration.
func kubeConfig(k conf.Kubernetes) kube.Config {
	return kube.Config{Kubeconfig: k.Kubeconfig, Context: k.Context, MaxReplicas: k.MaxReplicas, Host: k.Host, Port: k.Port}
}

func openKube(k conf.Kubernetes, log *slog.Logger) (scaler.Target, error) {
	return kube.Open(kubeConfig(k), log)
}

// OpenElection returns the election by the Lease that the configuration names, for a
// process with the given identity.
//
// A scaler none of whose groups lives in the cluster works on while the API server
// cannot be reached: its groups can, and the lease in the store keeps several of
// them from doing harm. One with groups there stands by. It would only learn that
// they are unknown, and keep the tick from another that may know better.
func OpenElection(cfg scaler.Config, common conf.Common, identity string, log *slog.Logger) (*kube.Election, error) {
	e := electionConfig(cfg)
	e.Identity, e.Log = identity, log
	found, err := kube.OpenElection(kubeConfig(common.Kubernetes), e)
	if err != nil {
		return nil, fmt.Errorf("scaler.election: %w", err)
	}
	return found, nil
}

func electionConfig(cfg scaler.Config) kube.ElectionConfig {
	inCluster := slices.ContainsFunc(cfg.Groups, func(g scaler.Group) bool { return g.Target == driverKube })
	return kube.ElectionConfig{Lease: cfg.Election.Lease, Namespace: cfg.Election.Namespace, Duration: cfg.Election.Duration, Alone: !inCluster}
}

// electionFaults returns what is wrong with the election.
func electionFaults(cfg scaler.Config, k conf.Kubernetes) (faults []error) {
	if cfg.Election.Lease == "" {
		return nil
	}
	if err := electionConfig(cfg).Validate(); err != nil {
		faults = append(faults, fmt.Errorf("scaler.election: %w", err))
	}
	if k.Kubeconfig != "" && cfg.Election.Namespace == "" {
		faults = append(faults, errors.New("scaler.election.namespace: is not set; it must be where kubernetes.kubeconfig is, whose namespaces are not looked at"))
	}
	return faults
}

// kubeFaults returns what is wrong with the cluster's section and with the names
// of its groups. Two ways to write the same name are found here, because only the
// driver knows that they are.
func kubeFaults(cfg scaler.Config, k conf.Kubernetes) (faults []error) {
	if err := kubeConfig(k).Validate(); err != nil {
		faults = append(faults, err)
	}
	scaled := map[string]string{} // our name by the driver's
	for i, g := range cfg.Groups {
		driver, name := g.Route()
		if driver != driverKube {
			continue
		}
		if g.Account != "" || g.Region != "" {
			faults = append(faults, fmt.Errorf("scaler.groups[%d] (%s): account, region: are of AWS, and the group's target is %s", i, g.Name, driverKube))
		}
		r, err := kube.ParseName(name)
		if err != nil {
			faults = append(faults, fmt.Errorf("scaler.groups[%d] (%s): target_name: %w", i, g.Name, err))
			continue
		}
		if other, ok := scaled[r.String()]; ok {
			faults = append(faults, fmt.Errorf("scaler.groups[%d] (%s): %s is scaled as %q already", i, g.Name, r, other))
		}
		scaled[r.String()] = g.Name
	}
	return faults
}
