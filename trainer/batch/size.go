package batch

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

var units = []struct {
	name  string
	bytes float64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12},
	{"Ki", 1 << 10}, {"Mi", 1 << 20}, {"Gi", 1 << 30}, {"Ti", 1 << 40}, // as in a pod's resources
	{"B", 1}, {"", 1},
}

// ParseSize reads a number of bytes with its unit, such as 2GiB, 1.5GB or 512Mi.
func ParseSize(text string) (int64, error) {
	for _, unit := range units {
		digits, ok := strings.CutSuffix(text, unit.name)
		if !ok {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
		if err != nil || !(v > 0) || v*unit.bytes < 1 || v*unit.bytes >= math.MaxInt64 {
			break
		}
		return int64(v * unit.bytes), nil
	}
	return 0, fmt.Errorf("%.40q is not a size: write a number with its unit, such as 2GiB or 512MB", text)
}
