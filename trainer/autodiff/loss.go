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

// Huber returns the loss sum of w ρ(y-target), a scalar: squared for errors up to
// delta, in the forecast's unit and positive, and linear beyond.
//
//	ρ(e) = e²/2              for |e| <= delta
//	ρ(e) = delta (|e| - delta/2)  otherwise
//	dy = dLoss w min(max(y-target, -delta), delta)
//
// Source: Huber 1964.
func Huber[T Float](t *Tape[T], y *Node[T], target, weight []T, delta T) *Node[T] {
	if !(delta > 0) {
		panic("autodiff: Huber: delta must be positive")
	}
	return loss(t, y, target, weight, func(e T) (value, slope T) {
		switch {
		case e > delta:
			return delta * (e - delta/2), delta
		case e < -delta:
			return delta * (-e - delta/2), -delta
		}
		return e * e / 2, e
	})
}

// Pinball returns the loss sum of w ρ(y-target), a scalar whose minimum is the
// quantile of the given level, in (0, 1), of the targets. Its derivative where y
// equals the target is 0.
//
//	ρ(e) = (1-level) e   for e > 0: y is too high
//	ρ(e) = -level e      otherwise
//	dy = dLoss w (1-level) where y > target, -dLoss w level where y < target
//
// Source: Koenker and Bassett 1978.
func Pinball[T Float](t *Tape[T], y *Node[T], target, weight []T, level T) *Node[T] {
	if !(level > 0 && level < 1) {
		panic("autodiff: Pinball: level must be in (0, 1)")
	}
	return loss(t, y, target, weight, func(e T) (value, slope T) {
		switch {
		case e > 0:
			return (1 - level) * e, 1 - level
		case e < 0:
			return -level * e, -level
		}
		return e, 0 // keeps NaN
	})
}

// summed is a loss: y's slopes are those of the sum.
type summed[T Float] struct {
	loss, y *Node[T]
	slopes  []T
}

// loss sums a function of the error over the elements that count, in float64.
func loss[T Float](t *Tape[T], y *Node[T], target, weight []T, f func(e T) (value, slope T)) *Node[T] {
	if len(target) != len(y.Value) || len(weight) != len(y.Value) {
		panic("autodiff: loss: shapes do not fit")
	}
	o := operationOf[summed[T]](t)
	*o = summed[T]{loss: t.result(1, 1, y), y: y, slopes: t.arena.alloc(len(y.Value))}
	sum := 0.0
	for i, w := range weight {
		if o.slopes[i] = 0; w == 0 {
			continue
		}
		value, slope := f(y.Value[i] - target[i])
		sum += float64(w) * float64(value)
		o.slopes[i] = w * slope
	}
	o.loss.Value[0] = T(sum)
	t.record(o.loss, o)
	return o.loss
}

func (o *summed[T]) backward() {
	dy, dLoss := o.y.gradient(), o.loss.Grad[0]
	for i, s := range o.slopes {
		dy[i] += dLoss * s
	}
}
