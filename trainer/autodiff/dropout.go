package autodiff

import "math"

// Dropout returns y = x m / (1-p) where each m is 0 with probability p and 1
// otherwise, in training; outside of it, y = x.
//
//	dx = dy m / (1-p)
//
// Random numbers are a function of the tape's key, of how many dropouts it has
// recorded before and of the element's number, so that they depend neither on
// which goroutine computes nor on when. p is taken to the nearest 1/65536, and
// the factor follows the p taken, so that the mean is kept exactly.
// Source: Srivastava et al. 2014, in the inverted form.
func Dropout[T Float](t *Tape[T], x *Node[T], p float64) *Node[T] {
	threshold := uint64(min(math.Round(p*(1<<16)), 1<<16-1))
	if !t.training || threshold == 0 {
		return x
	}
	t.drops++
	o := operationOf[dropout[T]](t)
	*o = dropout[T]{x: x, y: t.result(x.Rows, x.Cols, x), m: t.arena.alloc(len(x.Value))}
	mask(o.m, Mix(t.key^Mix(t.drops)), threshold)
	for i, v := range x.Value {
		o.y.Value[i] = v * o.m[i]
	}
	t.record(o.y, o)
	return o.y
}

type dropout[T Float] struct {
	x, y *Node[T]
	m    []T // m / (1-p)
}

func (o *dropout[T]) backward() {
	dx, m := o.x.Grad, o.m
	if o.x.begin() {
		for i, dy := range o.y.Grad {
			dx[i] += dy * m[i]
		}
		return
	}
	for i, dy := range o.y.Grad {
		dx[i] = dy * m[i]
	}
}

// mask fills m with 0 where a random number of 16 bits is below the threshold,
// and with 1/(1-p) elsewhere. Each number drawn from the stream serves four
// elements.
func mask[T Float](m []T, stream, threshold uint64) {
	factor := [2]T{T(1 / (1 - float64(threshold)/(1<<16))), 0}
	for ; len(m) > 0; stream++ {
		random := Mix(stream)
		four := m[:min(4, len(m))]
		for i := range four {
			// The difference borrows, and has its highest bit set, where the element
			// is dropped: a branch would be guessed wrong too often.
			four[i] = factor[(random&0xffff-threshold)>>63]
			random >>= 16
		}
		m = m[len(four):]
	}
}

// Mix scatters n over 64 bits: a counter-based random number generator.
// Source: SplitMix64, Steele, Lea and Flood 2014.
func Mix(n uint64) uint64 {
	n += 0x9e3779b97f4a7c15
	n = (n ^ n>>30) * 0xbf58476d1ce4e5b9
	n = (n ^ n>>27) * 0x94d049bb133111eb
	return n ^ n>>31
}
