package tensor

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Info is what a model says of one of its inputs or outputs. An axis of -1 may
// have any length; the first axis is then the batch.
type Info struct {
	Name  string  `json:"name"`
	Type  Type    `json:"type"`
	Shape []int64 `json:"shape"`
	// Axes names the axes of any length, one string for each axis of Shape: those
	// with the same name have the same length in a run. The name of any other is
	// empty. Nil: the model names none.
	Axes []string `json:"-"`
	// Unranked says that the model leaves even the number of axes open; Shape is
	// then empty, as that of a scalar is.
	Unranked bool `json:"-"`
}

// String returns, for example, series float32 [?, 24, 4].
func (i Info) String() string {
	if i.Unranked {
		return fmt.Sprintf("%s %s of any shape", i.Name, i.Type)
	}
	return fmt.Sprintf("%s %s %s", i.Name, i.Type, ShapeString(i.Shape))
}

// ShapeString writes a shape with ? for an axis of any length.
func ShapeString(shape []int64) string {
	axes := make([]string, len(shape))
	for i, n := range shape {
		if axes[i] = strconv.FormatInt(n, 10); n < 0 {
			axes[i] = "?"
		}
	}
	return "[" + strings.Join(axes, ", ") + "]"
}

// Axis returns the name of an axis, if it has one.
func (i Info) Axis(n int) string {
	if n < len(i.Axes) {
		return i.Axes[n]
	}
	return ""
}

// Accepts reports whether a tensor of the given shape fits.
func (i Info) Accepts(shape []int64) bool {
	return i.Unranked || slices.EqualFunc(i.Shape, shape, func(want, have int64) bool { return want < 0 || want == have })
}

// Place writes the place of value i, in row-major order, of a tensor of the given
// shape as indices: [2][0][3].
func Place(shape []int64, i int) string {
	at := make([]int64, len(shape))
	for axis := len(shape) - 1; axis >= 0; axis-- {
		at[axis] = int64(i) % shape[axis]
		i /= int(shape[axis])
	}
	var b strings.Builder
	for _, n := range at {
		fmt.Fprintf(&b, "[%d]", n)
	}
	return b.String()
}

// Batched reports whether the first axis is a batch that all inputs and outputs of
// a model share: its length is open everywhere, under the same name if it has one.
// Rows of different requests may then go in one run, and those of one in several.
func Batched(inputs, outputs []Info) bool {
	name, any := "", false
	for _, infos := range [][]Info{inputs, outputs} {
		for i := range infos {
			info := &infos[i]
			if len(info.Shape) == 0 || info.Shape[0] >= 0 || any && info.Axis(0) != name {
				return false
			}
			name, any = info.Axis(0), true
		}
	}
	return any
}

// Elements returns the product of a shape, 1 for a scalar. It is -1 when an axis is
// negative or the product exceeds what an int of 32 bits holds.
func Elements(shape []int64) int {
	n := int64(1)
	for _, axis := range shape {
		if axis < 0 || axis > math.MaxInt32 {
			return -1
		}
		if n *= axis; n > math.MaxInt32 {
			return -1
		}
	}
	return int(n)
}
