package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// measured is one run of a rival.
type measured struct {
	p50, p99         float64 // one connection, ms
	cpuOne           float64 // processor time of a request then, us
	perSec, cpu      float64 // 64 connections: requests a second, and processor time of one, us
	p50Many, p99Many float64 // ms
	resident         float64 // MB
	open             []openLoop
	others           float64 // cores that other programs kept busy, on average
}

func (m measured) String() string {
	text := fmt.Sprintf("%.0f requests/s at %d connections, %.0f us of processor time each", m.perSec, connections, m.cpu)
	if m.p50 > 0 {
		text += fmt.Sprintf("; p50 at one %.3f ms", m.p50)
	}
	for i, o := range m.open {
		text += fmt.Sprintf("; at %.0f/s p50 %.2f, p99 %.2f ms", openRates[i], o.P50, o.P99)
		if o.Failed > 0 {
			text += fmt.Sprintf(", %d failed", o.Failed)
		}
	}
	return text + fmt.Sprintf("; others used %.2f cores", m.others)
}

type rawRun struct {
	rawSpeed
	others float64
}

// results are all runs, in the order of the rounds.
type results struct {
	raw    []rawRun
	names  []string // in the order in which they were measured
	runs   map[string][]measured
	growth float64 // of memory over the reloads, MB
	reload bool    // growth was measured
}

func (r *results) add(name string, m measured) {
	if r.runs == nil {
		r.runs = map[string][]measured{}
	}
	if r.runs[name] == nil {
		r.names = append(r.names, name)
	}
	r.runs[name] = append(r.runs[name], m)
}

// mostOthers is how many cores other programs may keep busy in a calm run.
const mostOthers = 0.15

// of returns the median of a figure of a rival; 0: it was not measured.
func (r *results) of(name string, figure func(measured) float64) float64 {
	var values []float64
	for _, m := range r.runs[name] {
		values = append(values, figure(m))
	}
	return median(values)
}

func (r *results) ofRaw(figure func(rawRun) float64) float64 {
	var values []float64
	for _, m := range r.raw {
		values = append(values, figure(m))
	}
	return median(values)
}

// target is one line of the verdict.
type target struct {
	name  string
	value float64 // 0: unknown
	bound float64
	least bool // the bound is the least, otherwise the most
	unit  string
}

// targets compares the medians with what was set.
func (r *results) targets() []target {
	cpu := func(m measured) float64 { return m.cpu }
	ratio := func(a, b float64) float64 {
		if a == 0 || b == 0 {
			return 0
		}
		return a / b
	}
	us, best := r.of(ours, cpu), r.ofRaw(func(m rawRun) float64 { return m.Best })
	over := 0.0
	if us > 0 && best > 0 {
		over = us - best
	}
	all := []target{
		{"rows per CPU second at saturation over raw ONNX Runtime's best batch", ratio(best, us), 0.85, true, ""},
		{"CPU a request over the run", over, 28, false, "us"},
		{"CPU a request of Node over ours", ratio(r.of(node, cpu), us), 2.4, true, ""},
		{"CPU a request of Node with micro-batching over ours", ratio(r.of(nodeBatching, cpu), us), 1.15, true, ""},
		{"CPU a request of FastAPI with PyTorch over ours", ratio(r.of(fastAPI, cpu), us), 10, true, ""},
		{"p50 at one connection over a raw run of one row", ratio(1e3*r.of(ours, func(m measured) float64 { return m.p50 }), r.ofRaw(func(m rawRun) float64 { return m.One })), 1.45, false, ""},
		{"CPU of windows over that of instances, same model", ratio(r.of(oursWindows, cpu), r.of(oursOwn, cpu)), 1.5, false, ""},
		{"resident memory with one model", r.of(ours, func(m measured) float64 { return m.resident }), 80, false, "MB"},
	}
	if r.reload {
		all = append(all, target{"growth from the 100th to the 300th reload under load", max(r.growth, 1e-9), 2, false, "MB"})
	}
	return all
}

func (t target) verdict() string {
	switch {
	case t.value == 0:
		return "unknown"
	case t.least && t.value >= t.bound, !t.least && t.value <= t.bound:
		return "met"
	}
	return "missed"
}

// print writes the table of the rivals, and that of the targets.
func (r *results) print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "medians of %d rounds\tp50 at 1, ms\tCPU us a request at %d\trequests/s\tp99 at %d, ms\tresident MB\topen loop, p50 and p99 ms\tcalm rounds\t\n", len(r.raw), connections, connections)
	calmRaw := 0
	for _, m := range r.raw {
		if m.others <= mostOthers {
			calmRaw++
		}
	}
	fmt.Fprintf(t, "raw ONNX Runtime\t%.3f\t%.1f\t\t\t\t\t%d\t\n", r.ofRaw(func(m rawRun) float64 { return m.One })/1e3, r.ofRaw(func(m rawRun) float64 { return m.Best }), calmRaw)
	calm := calmRaw == len(r.raw)
	for _, name := range r.names {
		one, n := "", 0
		if v := r.of(name, func(m measured) float64 { return m.p50 }); v > 0 {
			one = fmt.Sprintf("%.3f", v)
		}
		for _, m := range r.runs[name] {
			if m.others <= mostOthers {
				n++
			}
		}
		calm = calm && n == len(r.runs[name])
		fmt.Fprintf(t, "%s\t%s\t%.1f\t%.0f\t%.2f\t%.0f\t%s\t%d\t\n", name, one, r.of(name, func(m measured) float64 { return m.cpu }),
			r.of(name, func(m measured) float64 { return m.perSec }), r.of(name, func(m measured) float64 { return m.p99Many }),
			r.of(name, func(m measured) float64 { return m.resident }), r.openText(name), n)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	t = tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, goal := range r.targets() {
		bound := "at most"
		if goal.least {
			bound = "at least"
		}
		fmt.Fprintf(t, "%s\t%.2f\t%s\t%s %g\t%s\t\n", goal.name, goal.value, goal.unit, bound, goal.bound, goal.verdict())
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if !calm {
		fmt.Fprintf(w, "\nThe machine did other work in some rounds (more than %g cores): the figures say little.\n", mostOthers)
	}
	return nil
}

func (r *results) openText(name string) string {
	var parts []string
	for i, rate := range openRates {
		p50 := r.of(name, func(m measured) float64 {
			if i < len(m.open) {
				return m.open[i].P50
			}
			return 0
		})
		if p50 > 0 {
			parts = append(parts, fmt.Sprintf("%.0f/s: %.2f, %.2f", rate, p50, r.of(name, func(m measured) float64 { return m.open[i].P99 })))
		}
	}
	return strings.Join(parts, "; ")
}

// median returns the middle of some numbers; 0: there are none.
func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(v))
	n := len(s)
	return (s[(n-1)/2] + s[n/2]) / 2
}

// quantile returns the q-quantile of some numbers, at least one: the least that is not
// less than the part q of them.
func quantile(v []float64, q float64) float64 {
	s := slices.Sorted(slices.Values(v))
	return s[min(len(s)-1, int(q*float64(len(s))))]
}
