package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// comparison is one line of the table.
type comparison struct {
	shape  string // A or B
	cores  int
	set    string  // kernel set of both sides: avx512 or avx2
	target float64 // least ratio; 0: none was set

	torch, ours []float64 // samples/s, of each round
}

// comparisons returns what is to be compared.
func comparisons(avx512 bool) []*comparison {
	all := []*comparison{
		{shape: "A", cores: 1, set: "avx512", target: 2.0},
		{shape: "A", cores: 2, set: "avx512", target: 3.8},
		{shape: "B", cores: 1, set: "avx512", target: 3.0},
		{shape: "B", cores: 2, set: "avx512", target: 5.5},
		{shape: "A", cores: 1, set: "avx2", target: 1.5},
		{shape: "A", cores: 2, set: "avx2"},
		{shape: "B", cores: 1, set: "avx2", target: 2.0},
		{shape: "B", cores: 2, set: "avx2"},
	}
	if !avx512 {
		all = all[4:]
	}
	return all
}

func (c *comparison) name() string {
	cores := "1 core"
	if c.cores > 1 {
		cores = fmt.Sprintf("%d cores", c.cores)
	}
	return fmt.Sprintf("%s, %s, %s", c.shape, cores, c.set)
}

// ratios returns ours over PyTorch's of each round.
func (c *comparison) ratios() []float64 {
	out := make([]float64, len(c.ours))
	for i := range out {
		out[i] = c.ours[i] / c.torch[i]
	}
	return out
}

// table prints the comparisons.
func table(w io.Writer, all []*comparison) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "shape, cores, kernels\tPyTorch, samples/s\tours, samples/s\tratio\tleast to greatest\ttarget\t\t")
	for _, c := range all {
		r := c.ratios()
		target, verdict := "-", ""
		if c.target > 0 {
			target, verdict = fmt.Sprintf("%.1f", c.target), "met"
			if median(r) < c.target {
				verdict = "missed"
			}
		}
		fmt.Fprintf(t, "%s\t%.0f\t%.0f\t%.2f\t%.2f to %.2f\t%s\t%s\t\n",
			c.name(), median(c.torch), median(c.ours), median(r), slices.Min(r), slices.Max(r), target, verdict)
	}
	return t.Flush()
}

// median returns the middle of some numbers, at least one.
func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	n := len(s)
	return (s[(n-1)/2] + s[n/2]) / 2
}
