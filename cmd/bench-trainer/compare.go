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

	torch, ours []run // of each round
}

// run is one measurement.
type run struct {
	speed  float64 // samples/s
	others float64 // cores that other programs kept busy meanwhile, on average
}

// mostOthers is how many cores other programs may keep busy in a calm round. On a
// busy machine the ratios say little: PyTorch's threads wait for each other by
// spinning, ours share what there is.
const mostOthers = 0.15

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

// calm returns the speeds of the rounds in which the machine did little else, and
// our ratio in each.
func (c *comparison) calm() (torch, ours, ratios []float64) {
	for i, t := range c.torch {
		if o := c.ours[i]; t.others <= mostOthers && o.others <= mostOthers {
			torch, ours, ratios = append(torch, t.speed), append(ours, o.speed), append(ratios, o.speed/t.speed)
		}
	}
	return torch, ours, ratios
}

// table prints the comparisons.
func table(w io.Writer, all []*comparison) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "shape, cores, kernels\tcalm rounds\tPyTorch, samples/s\tours, samples/s\tratio\tleast to greatest\ttarget\t\t")
	for _, c := range all {
		target, verdict := "-", ""
		if c.target > 0 {
			target = fmt.Sprintf("%.1f", c.target)
		}
		torch, ours, r := c.calm()
		if len(r) == 0 {
			fmt.Fprintf(t, "%s\t0 of %d\t-\t-\t-\t-\t%s\tunknown\t\n", c.name(), len(c.ours), target)
			continue
		}
		if c.target > 0 {
			verdict = "met"
			if median(r) < c.target {
				verdict = "missed"
			}
		}
		fmt.Fprintf(t, "%s\t%d of %d\t%.0f\t%.0f\t%.2f\t%.2f to %.2f\t%s\t%s\t\n",
			c.name(), len(r), len(c.ours), median(torch), median(ours), median(r), slices.Min(r), slices.Max(r), target, verdict)
	}
	return t.Flush()
}

// median returns the middle of some numbers, at least one.
func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	n := len(s)
	return (s[(n-1)/2] + s[n/2]) / 2
}
