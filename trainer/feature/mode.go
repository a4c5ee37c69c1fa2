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
	// Log takes changes of log(1 + max(y, 0)): a doubling is the same at any level.
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
//	Log    y = (1 + max(y_0, 0)) e^z - 1
//	Ratio  y = y_0 + m z
type Frame struct {
	Mode Mode
	Last float32 // y_0, physical
	Mean float32 // m, positive; of Ratio only
}

// maxLogChange bounds a change of the logarithm: a factor of a million.
const maxLogChange = 14

// Change returns the z that forecasts y.
func (f Frame) Change(y float32) float32 {
	switch f.Mode {
	case Log:
		return log1p(y) - log1p(f.Last)
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
		return (1+max(f.Last, 0))*float32(math.Exp(float64(z))) - 1
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
		return 1 + max(y, 0)
	case Ratio:
		return f.Mean
	}
	return 1
}

func log1p(y float32) float32 { return float32(math.Log1p(float64(max(y, 0)))) }
