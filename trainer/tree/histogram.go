package tree

import "math"

// packed is the gradient of a row in the upper and its weight in the lower half,
// both as integers, so that one addition sums both and the order of a sum does not
// matter. Weights are at least 0, so that nothing is borrowed from the gradient.
type packed int64

func pack(gradient, weight int64) packed { return packed(gradient<<32 + weight) }

func (p packed) gradient() float64 { return float64(p >> 32) }
func (p packed) weight() float64   { return float64(uint32(p)) }

// full is what the weights, and the absolute gradients, of all rows sum up to as
// integers, give or take the rounding of each row: far from overflow, and for
// 10,000 rows 1e5 steps a row.
const full = 1 << 30

// histogram is the sum of a leaf's rows by bin, for one column.
type histogram [MaxBins + 1]packed

// add sums up rows: values[i] belongs to rows[i].
func (h *histogram) add(column []uint8, rows []int32, values []packed) {
	values = values[:len(rows)]
	for i, r := range rows {
		h[column[r]] += values[i]
	}
}

// split is a way to part a leaf: rows with a bin of at most bin go left.
type split struct {
	gain   float64 // 0: there is none
	column int
	bin    uint8
}

// scale turns sums of packed into gradients and weights in rows.
type scale struct {
	gradient, weight float64 // units per integer step
	lambda, minLeaf  float64 // in rows
}

// best finds the split of a leaf with the sum total at the largest gain
//
//	G_L²/(W_L+λ) + G_R²/(W_R+λ) - G²/(W+λ)
//
// where G is a sum of gradients and W of weights, over the edges between bins. Of
// equal gains the first is taken.
func (h *histogram) best(column, bins int, total packed, s scale) split {
	found := split{column: column}
	step := s.gradient * s.gradient / s.weight
	lambda, least := s.lambda/s.weight, s.minLeaf/s.weight
	g, w := total.gradient(), total.weight()
	without := g * g / (w + lambda)
	top := without * (1 + 1e-9) // more than rounding
	var left packed
	for b := range bins - 1 {
		if h[b] == 0 {
			continue // as good as the edge before
		}
		left += h[b]
		gl, wl := left.gradient(), left.weight()
		gr, wr := g-gl, w-wl
		if wl < least {
			continue
		}
		if wr < least {
			break
		}
		dl, dr := wl+lambda, wr+lambda
		if sum := (gl*gl*dr + gr*gr*dl) / (dl * dr); sum > top {
			top = sum
			found.gain, found.bin = (sum-without)*step, uint8(b)
		}
	}
	return found
}

// quantise packs gradients and weights and returns the scale of their sums.
func quantise(gradient []float64, weight []float32, rows []int32, out []packed, c Config) scale {
	var sumG, sumW float64
	for _, r := range rows {
		sumG += math.Abs(gradient[r])
		sumW += float64(weight[r])
	}
	toG, toW := full/max(sumG, math.SmallestNonzeroFloat32), full/sumW
	for i, r := range rows {
		out[i] = pack(int64(math.Round(gradient[r]*toG)), int64(math.Round(float64(weight[r])*toW)))
	}
	mean := sumW / float64(len(rows))
	return scale{gradient: 1 / (toG * mean), weight: 1 / (toW * mean), lambda: c.Lambda, minLeaf: float64(c.MinLeaf) * (1 - 1e-6)}
}
