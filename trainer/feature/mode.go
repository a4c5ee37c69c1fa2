package feature

import (
	"fmt"
	"math"
)

// Mode is the scale on which changes are taken.
type Mode uint8

const (
	// Raw takes changes of the value itself: y - y_0.
	Raw Mode = iota
	// Log takes changes of log(1 + max(y, 0)/m), with m the lesser of 1 and the
	// target's usual size: a doubling is the same at any level. Without m, the sum
	// would lose a target of small numbers to the rounding of float32.
	Log
	// Ratio takes changes of y/m, with m the target's mean over the last day: the
	// scale of the window itself, which is what a model for many groups needs.
	Ratio
)

// Modes are all modes.
var Modes = []Mode{Raw, Log, Ratio}

func (m Mode) String() string {
	switch m {
	case Raw:
		return "raw"
	case Log:
		return "log"
	case Ratio:
		return "ratio"
	}
	return fmt.Sprintf("mode(%d)", uint8(m))
}

// Frame is what a change is relative to in one window. With z a change:
//
//	Raw    y = y_0 + z
//	Log    y = (m + max(y_0, 0)) e^z - m
//	Ratio  y = y_0 + m z
type Frame struct {
	Mode Mode
	Last float32 // y_0, physical
	Mean float32 // m, positive; of Log and Ratio
}

// maxLogChange bounds a change of the logarithm: a factor of a million.
const maxLogChange = 14

// Change returns the z that forecasts y.
func (f Frame) Change(y float32) float32 {
	switch f.Mode {
	case Log:
		return log1p(y, f.Mean) - log1p(f.Last, f.Mean)
	case Ratio:
		return (y - f.Last) / f.Mean
	}
	return y - f.Last
}

// Forecast returns the physical value that a change means.
func (f Frame) Forecast(z float32) float32 {
	switch f.Mode {
	case Log:
		z = min(max(z, -maxLogChange), maxLogChange)
		return float32((f.Mean+max(f.Last, 0))*float32(math.Exp(float64(z)))) - f.Mean
	case Ratio:
		return f.Last + f.Mean*z
	}
	return f.Last + z
}

// Slope returns dy/dz at the value y: by how much an error of the change counts
// in physical units.
func (f Frame) Slope(y float32) float32 {
	switch f.Mode {
	case Log:
		return f.Mean + max(y, 0)
	case Ratio:
		return f.Mean
	}
	return 1
}

func log1p(y, unit float32) float32 { return float32(math.Log1p(float64(max(y, 0)) / float64(unit))) }
