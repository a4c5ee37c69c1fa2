package targets

import (
	"fmt"
	"log/slog"

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
