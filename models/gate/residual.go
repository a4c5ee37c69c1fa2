package gate

import "math"

// Residual is a measured value with the forecast that was made for it.
type Residual struct {
	Actual float64 `json:"actual"`
	// Low, Mid and High are the quantiles of the levels 1-q, 0.5 and q of a band.
	Low  float64 `json:"low"`
	Mid  float64 `json:"mid"`
	High float64 `json:"high"`
}

// complete reports whether all four are numbers and the quantiles in order.
func (r Residual) complete() bool {
	for _, v := range []float64{r.Actual, r.Low, r.Mid, r.High} {
		if finite(v) == nil {
			return false
		}
	}
	return r.Low <= r.Mid && r.Mid <= r.High
}

// Outside returns the shares of actual values below and above their band, and the
// number of residuals n that could be judged; the shares are NaN when n is 0.
func Outside(residuals []Residual) (below, above float64, n int) {
	for _, r := range residuals {
		switch {
		case !r.complete():
			continue
		case r.Actual < r.Low:
			below++
		case r.Actual > r.High:
			above++
		}
		n++
	}
	return below / float64(n), above / float64(n), n
}

// Normalised returns the residual in units of the spread that was forecast, so
// that it is standard normal when the forecast is right and its errors are normal:
//
//	z = (actual - mid) / (half / Φ⁻¹(q)),  half = high - mid above mid, mid - low below
//
// It is NaN when a number is missing or the band has no width on that side, unless
// the forecast was exact.
func (r Residual) Normalised(q float64) float64 {
	if !r.complete() || !(q > 0.5 && q < 1) {
		return math.NaN()
	}
	e := r.Actual - r.Mid
	half := r.High - r.Mid
	if e < 0 {
		half = r.Mid - r.Low
	}
	if e == 0 {
		return 0
	}
	if half <= 0 {
		return math.NaN()
	}
	// Φ⁻¹(q) = √2 · erf⁻¹(2q - 1)
	return e / half * math.Sqrt2 * math.Erfinv(2*q-1)
}

// CUSUM returns the highest values that the two cumulative sums of a series reach.
// They start at 0, forget what stays within slack k, and rise while values keep to
// one side:
//
//	up_i   = max(0, up_(i-1)   + z_i - k)
//	down_i = max(0, down_(i-1) - z_i - k)
//
// Each z is first cut to ±clip, so that a single outlier is no drift. NaN is passed
// over.
//
// Source: E. S. Page, Continuous inspection schemes, Biometrika 41 (1954), the
// two-sided tabular form.
func CUSUM(z []float64, k, clip float64) (up, down float64) {
	var u, d float64
	for _, v := range z {
		if math.IsNaN(v) {
			continue
		}
		v = max(-clip, min(clip, v))
		u, d = max(0, u+v-k), max(0, d-v-k)
		up, down = max(up, u), max(down, d)
	}
	return up, down
}
