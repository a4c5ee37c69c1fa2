package autodiff

// The losses compare a forecast y [N, H] with targets of the same shape. Each
// element has a weight; at weight 0 the element counts nothing, whatever its
// target, NaN included: that is how missing and censored targets are left out.
// Weights are divided by nothing here, so a mean over a batch that is spread
// over several tapes is a matter of the weights.

// Squared returns the loss sum of w (y-target)², a scalar.
//
//	dy = dLoss 2 w (y-target)
func Squared[T Float](t *Tape[T], y *Node[T], target, weight []T) *Node[T] {
	return loss(t, y, target, weight, func(e T) (value, slope T) { return e * e, 2 * e })
}

// Absolute returns the loss sum of w |y-target|, a scalar. Its derivative where
// y equals the target is 0.
//
//	dy = dLoss w sign(y-target)
func Absolute[T Float](t *Tape[T], y *Node[T], target, weight []T) *Node[T] {
	return loss(t, y, target, weight, func(e T) (value, slope T) {
		switch {
		case e > 0:
			return e, 1
		case e < 0:
			return -e, -1
		}
		return e, 0 // keeps NaN
	})
}

// loss sums a function of the error over the elements that count, in float64.
func loss[T Float](t *Tape[T], y *Node[T], target, weight []T, f func(e T) (value, slope T)) *Node[T] {
	if len(target) != len(y.Value) || len(weight) != len(y.Value) {
		panic("autodiff: loss: shapes do not fit")
	}
	l := t.result(1, 1, y)
	slopes := t.arena.alloc(len(y.Value))
	sum := 0.0
	for i, w := range weight {
		if w == 0 {
			continue
		}
		value, slope := f(y.Value[i] - target[i])
		sum += float64(w) * float64(value)
		slopes[i] = w * slope
	}
	l.Value[0] = T(sum)
	t.record(l, func() {
		for i, s := range slopes {
			y.Grad[i] += l.Grad[0] * s
		}
	})
	return l
}
