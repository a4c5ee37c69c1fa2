package tree

import (
	"fmt"
	"slices"
	"sync"
)

// MaxBins is the largest number of bins of a column: a bin is a byte.
const MaxBins = 255

// Matrix is a table of features, row-major. NaN is allowed: it is larger than
// every threshold.
type Matrix struct {
	Rows, Cols int
	Data       []float32
}

// Row returns row i.
func (m Matrix) Row(i int) []float32 { return m.Data[i*m.Cols:][:m.Cols] }

// check panics when the data does not make the matrix, a programmer's mistake.
func (m Matrix) check() {
	if m.Rows < 0 || m.Cols < 0 || len(m.Data) != m.Rows*m.Cols {
		panic(fmt.Sprintf("tree: %d values for %d rows of %d", len(m.Data), m.Rows, m.Cols))
	}
}

// Binned is a matrix prepared for fitting: each number is replaced by its bin. It
// is immutable; fits of several targets over the same features share one.
//
// Bin b of column j holds what is at most edges[j][b] and more than the edge
// before, the last bin all else, so that x <= edges[j][b] exactly where the bin of
// x is at most b.
type Binned struct {
	rows, cols int
	bins       []uint8 // [cols, rows]: one column lies in one piece
	edges      [][]float32
}

// Bin prepares a matrix with at most bins bins a column, 2 to MaxBins, on the given
// number of goroutines. Bins hold about equally many rows; equal numbers are never
// parted. Another number of bins, or data that does not make the matrix, is a
// programmer's mistake, on which it panics.
func Bin(m Matrix, bins, workers int) *Binned {
	m.check()
	if bins < 2 || bins > MaxBins {
		panic(fmt.Sprintf("tree: %d bins", bins))
	}
	b := &Binned{rows: m.Rows, cols: m.Cols, bins: make([]uint8, len(m.Data)), edges: make([][]float32, m.Cols)}
	parallel(workers, m.Cols, func(from, to int) {
		values := make([]float32, m.Rows)
		for j := from; j < to; j++ {
			for i := range values {
				values[i] = m.Data[i*m.Cols+j]
			}
			b.fill(j, values, bins)
		}
	})
	return b
}

// Rows returns the number of rows.
func (b *Binned) Rows() int { return b.rows }

// Cols returns the number of columns.
func (b *Binned) Cols() int { return b.cols }

// column returns the bins of a column.
func (b *Binned) column(j int) []uint8 { return b.bins[j*b.rows:][:b.rows] }

// fill finds the edges of a column and its bins.
func (b *Binned) fill(j int, values []float32, bins int) {
	sorted := make([]float32, 0, len(values))
	for _, v := range values {
		if v == v {
			sorted = append(sorted, v)
		}
	}
	slices.Sort(sorted)
	edges := quantileEdges(sorted, bins, len(sorted) < len(values))
	column := b.column(j)
	for i, v := range values {
		column[i] = binOf(edges, v)
	}
	b.edges[j] = edges
}

// binOf returns the number of edges below v, and all of them for NaN.
func binOf(edges []float32, v float32) uint8 {
	from, to := 0, len(edges)
	for from < to {
		if mid := (from + to) / 2; v <= edges[mid] {
			to = mid
		} else {
			from = mid + 1
		}
	}
	return uint8(from)
}

// quantileEdges cuts sorted numbers into at most bins parts of about equal size.
// Where numbers are missing, the last part is theirs alone.
func quantileEdges(sorted []float32, bins int, missing bool) (edges []float32) {
	if missing && len(sorted) > 0 {
		bins--
	}
	done := 0
	for i := 1; i < len(sorted) && len(edges) < bins-1; i++ {
		// What is left is shared evenly among the bins that are left: a number that
		// alone fills several shares does not starve the others.
		share := (len(sorted) - done + bins - len(edges) - 1) / (bins - len(edges))
		if sorted[i] != sorted[i-1] && i-done >= share {
			edges, done = append(edges, between(sorted[i-1], sorted[i])), i
		}
	}
	if missing && len(sorted) > 0 {
		edges = append(edges, sorted[len(sorted)-1])
	}
	return edges
}

// between returns a threshold t with low <= t < high, halfway where float32 has
// such a number.
func between(low, high float32) float32 {
	if mid := float32((float64(low) + float64(high)) / 2); low <= mid && mid < high {
		return mid
	}
	return low
}

// parallel calls f for parts of [0, n) on the given number of goroutines.
func parallel(workers, n int, f func(from, to int)) {
	if workers = min(workers, n); workers <= 1 {
		f(0, n)
		return
	}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() { f(w*n/workers, (w+1)*n/workers) })
	}
	wg.Wait()
}
