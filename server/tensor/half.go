package tensor

import "math"

// Half is an IEEE 754 binary16 number, as its bits.
type Half uint16

// Float32 returns the same value, which float32 holds exactly.
func (h Half) Float32() float32 {
	sign := uint32(h&0x8000) << 16
	exponent, fraction := uint32(h>>10)&0x1f, uint32(h)&0x3ff
	switch exponent {
	case 0x1f: // infinity, NaN
		return math.Float32frombits(sign | 0xff<<23 | fraction<<13)
	case 0: // subnormal: fraction x 2^-24
		v := float32(fraction) / (1 << 24)
		return math.Float32frombits(math.Float32bits(v) | sign)
	}
	return math.Float32frombits(sign | (exponent+127-15)<<23 | fraction<<13)
}

// Brain is a bfloat16 number, as its bits: the upper half of a float32.
type Brain uint16

// Float32 returns the same value.
func (b Brain) Float32() float32 { return math.Float32frombits(uint32(b) << 16) }
