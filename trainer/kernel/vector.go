package kernel

// first returns the first n elements of v. Unlike v[:n] it panics when v has only
// the room for them, which may belong to someone else.
func first[T Float](v []T, n int) []T { return v[:n:len(v)] }

// CellForward turns one row of an LSTM step, of H = len(h) units, from
// pre-activations into gates and states. z [4H] holds the pre-activations of the
// gates in the order i, o, f, g and becomes the gates; before [H] is the cell
// state of the step before, or nil for zeros:
//
//	i, o, f = sigmoid(z_i, z_o, z_f),  g = tanh(z_g)
//	c = f before + i g
//	tanhC = tanh(c)
//	h = o tanhC
//
// c, tanhC and h [H] are overwritten; no two of the slices may overlap. It panics
// when a slice is too short.
func CellForward[T Float](z, before, c, tanhC, h []T) {
	H := len(h)
	z, c, tanhC = first(z, 4*H), first(c, H), first(tanhC, H)
	if before != nil {
		before = first(before, H)
	}
	if h32, ok := any(h).([]float32); ok && active != portable {
		cellForward32(any(z).([]float32), any(before).([]float32), any(c).([]float32), any(tanhC).([]float32), h32)
		return
	}
	cellForwardPortable(z, before, c, tanhC, h)
}

// CellBackward goes back through [CellForward] for one row of H = len(dh) units.
// dh [H] is the gradient of h, dc [H] that of c as the following step left it.
// z [4H] holds the gates and becomes the gradients dz of their pre-activations;
// dc becomes what the step before receives:
//
//	dc' = dh o (1 - tanhC²) + dc
//	dz_i = dc' g i (1-i),  dz_o = dh tanhC o (1-o)
//	dz_f = dc' before f (1-f),  dz_g = dc' i (1-g²)
//	dc = dc' f
//
// A nil before is zeros. No two of the slices may overlap. It panics when a slice
// is too short.
func CellBackward[T Float](z, before, tanhC, dh, dc []T) {
	H := len(dh)
	z, tanhC, dc = first(z, 4*H), first(tanhC, H), first(dc, H)
	if before != nil {
		before = first(before, H)
	}
	if dh32, ok := any(dh).([]float32); ok && active != portable {
		cellBackward32(any(z).([]float32), any(before).([]float32), any(tanhC).([]float32), dh32, any(dc).([]float32))
		return
	}
	cellBackwardPortable(z, before, tanhC, dh, dc)
}

// ReLU computes dst = max(src, 0). NaN stays NaN. dst may be src. It panics when
// dst is shorter than src, as all functions below do.
func ReLU[T Float](dst, src []T) {
	dst = first(dst, len(src))
	if dst32, ok := any(dst).([]float32); ok && active != portable {
		relu32(dst32, any(src).([]float32))
		return
	}
	reluPortable(dst, src)
}

// ReLUBackward zeroes dst where src is not positive: with src what [ReLU] took in
// or returned, it turns the gradient of the output, in place, into that of the input.
func ReLUBackward[T Float](dst, src []T) {
	dst = first(dst, len(src))
	if dst32, ok := any(dst).([]float32); ok && active != portable {
		reluBackward32(dst32, any(src).([]float32))
		return
	}
	reluBackwardPortable(dst, src)
}

// AddTo computes dst += src.
func AddTo[T Float](dst, src []T) {
	dst = first(dst, len(src))
	if dst32, ok := any(dst).([]float32); ok && active != portable {
		add32(dst32, any(src).([]float32))
		return
	}
	addPortable(dst, src)
}

// Axpy computes dst += alpha src.
func Axpy[T Float](dst []T, alpha T, src []T) {
	dst = first(dst, len(src))
	if dst32, ok := any(dst).([]float32); ok && active != portable {
		axpy32(dst32, float32(alpha), any(src).([]float32))
		return
	}
	axpyPortable(dst, alpha, src)
}

// AddRows adds the column sums of m [rows, len(sum)], whose rows lie one after
// the other, to sum, row by row in order: the gradient of a bias. It panics when
// m is not made of whole rows.
func AddRows[T Float](sum, m []T) {
	n := len(sum)
	if len(m) > 0 && (n == 0 || len(m)%n != 0) {
		panic("kernel: AddRows: m is not made of whole rows")
	}
	for ; len(m) > 0; m = m[n:] {
		AddTo(sum, m[:n])
	}
}

// The constants of Adam, at the values that its paper recommends.
// Source: Kingma and Ba 2015.
const (
	Beta1   = 0.9
	Beta2   = 0.999
	Epsilon = 1e-8
)

// Adam moves parameters x against their gradient g, element by element, and
// keeps the moments m and v:
//
//	g' = clip g
//	m = β1 m + (1-β1) g'
//	v = β2 v + (1-β2) g'²
//	x = x - (scale m / (root √v + ε) + shrink x)
//
// With the rate and the step number t, scale is rate/(1-β1^t), root is
// 1/√(1-β2^t) and shrink is the rate times the decoupled weight decay. It panics
// when a slice is shorter than g.
func Adam(x, m, v, g []float32, clip, scale, root, shrink float32) {
	n := len(g)
	x, m, v = first(x, n), first(m, n), first(v, n)
	if active != portable {
		adam32(x, m, v, g, clip, scale, root, shrink)
		return
	}
	adamPortable(x, m, v, g, clip, scale, root, shrink)
}

// sumLanes is how many partial sums SumSquares keeps.
const sumLanes = 16

// SumSquares returns Σ x², summed in float64: element i adds to partial sum i mod
// 16, and the partial sums are then added pairwise. Squares are exact, so the
// result is the same for every kernel set.
func SumSquares(x []float32) float64 {
	var lane [sumLanes]float64
	if active != portable {
		whole := len(x) / sumLanes * sumLanes
		addSquares32(&lane, x[:whole])
		x = x[whole:]
	}
	addSquaresPortable(&lane, x)
	for half := sumLanes / 2; half > 0; half /= 2 {
		for i := range half {
			lane[i] += lane[i+half]
		}
	}
	return lane[0]
}
