package autodiff

import (
	"math"

	"github.com/forescale/forescale/trainer/kernel"
)

// Dropout returns y = x m / (1-p) where each m is 0 with probability p and 1
// otherwise, in training; outside of it, y = x.
//
//	dx = dy m / (1-p)
//
// Random numbers are a function of the tape's key, of how many dropouts it has
// recorded before and of the element's number, so that they depend neither on
// which goroutine computes nor on when; going back draws them once more. p is
// taken to the nearest 1/65536, and the factor follows the p taken, so that the
// mean is kept exactly.
// Source: Srivastava et al. 2014, in the inverted form.
func Dropout[T Float](t *Tape[T], x *Node[T], p float64) *Node[T] {
	threshold := uint32(min(math.Round(p*(1<<16)), 1<<16-1))
	if !t.training || threshold == 0 {
		return x
	}
	t.drops++
	o := operationOf[dropout[T]](t)
	*o = dropout[T]{x: x, y: t.result(x.Rows, x.Cols, x), key: Mix(t.key ^ Mix(t.drops)), threshold: threshold}
	kernel.Dropout(o.y.Value, x.Value, o.key, threshold, false)
	t.record(o.y, o)
	return o.y
}

type dropout[T Float] struct {
	x, y      *Node[T]
	key       uint64
	threshold uint32
}

func (o *dropout[T]) backward() {
	kernel.Dropout(o.x.Grad, o.y.Grad, o.key, o.threshold, o.x.begin())
}

// Mix scatters n over 64 bits: a counter-based random number generator.
// Source: SplitMix64, Steele, Lea and Flood 2014.
func Mix(n uint64) uint64 {
	n += 0x9e3779b97f4a7c15
	n = (n ^ n>>30) * 0xbf58476d1ce4e5b9
	n = (n ^ n>>27) * 0x94d049bb133111eb
	return n ^ n>>31
}
