package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/forescale/forescale/trainer/batch"
)

// manyFlags are the flags of a run over many groups, and of the metrics of a run.
type manyFlags struct {
	all, shared             bool
	shardText, memoryText   string
	jobs                    int
	metricsFile, gatewayURL string
	byGroup                 bool

	shard   batch.Shard
	memory  int64          // bytes
	gateway *batch.Gateway // nil: none
}

func (m *manyFlags) declare(fs *flag.FlagSet) {
	fs.BoolVar(&m.all, "all-groups", false, "train every group of a data lake, or every CSV file of the directory -data")
	fs.BoolVar(&m.shared, "shared", false, "train one model for every group of a data lake, or for every CSV file of the directory -data")
	fs.StringVar(&m.shardText, "shard", "", "with -all-groups, train shard `I/N` of the groups only, I from 0; auto/N takes the index of the\nKubernetes Job or the AWS Batch array job")
	fs.IntVar(&m.jobs, "jobs", 0, "with -all-groups, train `N` groups at a time (default: one per processor, within -memory)")
	fs.StringVar(&m.memoryText, "memory", "2GiB", "with -all-groups or -shared, the memory to stay within, as a `SIZE`")
	fs.StringVar(&m.metricsFile, "metrics-file", "", "write the metrics of the run to `FILE`.prom, for node_exporter's textfile collector")
	fs.StringVar(&m.gatewayURL, "push-gateway", "", "push the metrics of the run to the Pushgateway at `URL`")
	fs.BoolVar(&m.byGroup, "metrics-by-group", false, "with the metrics, give the errors of each group's model: two series a group and horizon")
}

// check returns all faults at once.
func (m *manyFlags) check(set map[string]bool) error {
	var faults []error
	for _, name := range []string{"shard", "jobs", "memory"} {
		if set[name] && !m.all && !(m.shared && name == "memory") {
			faults = append(faults, fmt.Errorf("-%s: it takes -all-groups", name))
		}
	}
	for _, name := range []string{"compare", "shared-windows"} {
		if set[name] && !m.shared {
			faults = append(faults, fmt.Errorf("-%s: it takes -shared", name))
		}
	}
	if m.shared && m.all {
		faults = append(faults, errors.New("-shared: a model for all groups; -all-groups trains one for each"))
	}
	if m.shared && set["group"] {
		faults = append(faults, errors.New("-group: with -shared, the model is for any group"))
	}
	for _, name := range []string{"group", "name"} {
		if set[name] && m.all {
			faults = append(faults, fmt.Errorf("-%s: with -all-groups, each model is named for its group", name))
		}
	}
	var err error
	if m.shard = (batch.Shard{}); m.shardText != "" {
		m.shard, err = batch.ParseShard(m.shardText, os.Getenv)
		faults = append(faults, err)
	}
	if m.memory, err = batch.ParseSize(m.memoryText); err != nil {
		faults = append(faults, fmt.Errorf("-memory: %w", err))
	}
	if m.jobs < 0 {
		faults = append(faults, fmt.Errorf("-jobs: %d must not be negative", m.jobs))
	}
	if m.metricsFile != "" && filepath.Ext(m.metricsFile) != ".prom" {
		faults = append(faults, fmt.Errorf("-metrics-file: %s must end in .prom, or node_exporter would pass it over", m.metricsFile))
	}
	if m.gateway = nil; m.gatewayURL != "" {
		g, err := batch.ParseGateway(m.gatewayURL)
		faults = append(faults, err)
		m.gateway = &g
	}
	if m.byGroup && m.metricsFile == "" && m.gatewayURL == "" {
		faults = append(faults, errors.New("-metrics-by-group: it takes -metrics-file or -push-gateway"))
	}
	return errors.Join(faults...)
}
