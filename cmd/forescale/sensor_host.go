package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/disk"
	"github.com/shirou/gopsutil/v4/load"
	"github.com/shirou/gopsutil/v4/mem"
	"github.com/shirou/gopsutil/v4/net"
	"github.com/shirou/gopsutil/v4/sensors"

	"github.com/forescale/forescale/api"
)

// hostState is what a host says of itself at one moment. What it cannot say is NaN.
type hostState struct {
	cpuBusy, cpuTotal float64         // seconds since it started, over all cores
	network           map[string]flow // by interface
	memory            float64         // percent in use
	load              float64         // processes that run or want to, over the last minute
	disk              float64         // percent in use of the file system at /
	temperature       float64         // of the hottest sensor, degrees Celsius
}

// flow counts the bytes of an interface since the host started.
type flow struct{ in, out uint64 }

// readHost reads the host that this process runs on. An error names what could not
// be read; the rest is there.
func readHost(ctx context.Context) (hostState, error) {
	s := hostState{cpuBusy: math.NaN(), cpuTotal: math.NaN(), memory: math.NaN(), load: math.NaN(), disk: math.NaN(), temperature: math.NaN(), network: map[string]flow{}}
	var faults []error
	bad := func(what string, err error) { faults = append(faults, fmt.Errorf("read %s: %w", what, err)) }
	if all, err := cpu.TimesWithContext(ctx, false); err != nil || len(all) == 0 {
		bad("cpu", err)
	} else {
		t := all[0] // guests are part of user already
		s.cpuTotal = t.User + t.System + t.Idle + t.Nice + t.Iowait + t.Irq + t.Softirq + t.Steal
		s.cpuBusy = s.cpuTotal - t.Idle - t.Iowait
	}
	if m, err := mem.VirtualMemoryWithContext(ctx); err != nil {
		bad("memory", err)
	} else {
		s.memory = m.UsedPercent
	}
	if interfaces, err := net.IOCountersWithContext(ctx, true); err != nil {
		bad("network", err)
	} else {
		for _, i := range interfaces {
			if !internalInterface(i.Name) {
				s.network[i.Name] = flow{i.BytesRecv, i.BytesSent}
			}
		}
	}
	if l, err := load.AvgWithContext(ctx); err != nil {
		bad("load", err)
	} else {
		s.load = l.Load1
	}
	if d, err := disk.UsageWithContext(ctx, "/"); err != nil {
		bad("disk", err)
	} else {
		s.disk = d.UsedPercent
	}
	// Virtual machines have none, which is no fault; some sensors may fail alone.
	temperatures, _ := sensors.TemperaturesWithContext(ctx)
	for _, t := range temperatures {
		if t.Temperature > 0 && !(t.Temperature <= s.temperature) {
			s.temperature = t.Temperature
		}
	}
	return s, errors.Join(faults...)
}

// internalInterface reports whether what passes the interface is no traffic of the
// host with others, or is counted at another interface too.
func internalInterface(name string) bool {
	if name == "lo" || name == "lo0" {
		return true
	}
	for _, prefix := range []string{"veth", "docker", "br-", "cni", "cali", "flannel", "virbr", "tap", "tun", "kube-"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// Names of the host's metrics that have no constant in api. Units: percent, bytes
// since the reading before, processes, percent, degrees Celsius.
const (
	metricMemory      = "memory_utilization"
	metricNetworkOut  = "network_out"
	metricLoad        = "load_average"
	metricDisk        = "disk_utilization"
	metricTemperature = "temperature"
)

// hostMetrics returns the metrics of now. Those that are differences need the state
// before, and are left out when there is none, or when a counter has begun anew.
func hostMetrics(before *hostState, now hostState) map[string]float64 {
	out := map[string]float64{}
	for name, v := range map[string]float64{metricMemory: now.memory, metricLoad: now.load, metricDisk: now.disk, metricTemperature: now.temperature} {
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			out[name] = v
		}
	}
	if before == nil {
		return out
	}
	// A NaN makes both comparisons false.
	if busy, total := now.cpuBusy-before.cpuBusy, now.cpuTotal-before.cpuTotal; total > 0 && busy >= 0 {
		out[api.MetricCPU] = min(100, 100*busy/total)
	}
	var in, sent uint64
	known := false
	for name, n := range now.network {
		b, ok := before.network[name]
		if !ok { // new: what it has counted was not since the state before
			continue
		}
		if n.in < b.in || n.out < b.out {
			return out // a counter that was reset tells nothing of this interval
		}
		in, sent, known = in+n.in-b.in, sent+n.out-b.out, true
	}
	if known {
		out[api.MetricNetworkIn], out[metricNetworkOut] = float64(in), float64(sent)
	}
	return out
}
