package plan

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
)

// Residuals is the distribution of what came true, in units of what had been
// forecast: of
//
//	z = (y - μ) / σ₊  for y ≥ μ,   (y - μ) / σ₋  below
//
// with μ the median that had been forecast, and σ₊, σ₋ its distance to the
// forecast quantiles above and below (see Spread). It is a histogram whose bins
// are even in asinh z, so that it is fine around the median and still tells a
// residual of 30 from one of 60, and whose past fades by the factor
// 1 - 1/Memory with each residual. 64 numbers are all that a group's past costs.
//
// The zero value holds nothing. Results do not depend on how often it has been
// stored: the weights are float32, in memory as in JSON.
type Residuals struct {
	weights [residualBins]float32
}

const (
	residualBins = 64
	// The bins are even in asinh z from residualLow on; they reach from -6 to 74.
	residualLow  = -2.5
	residualSpan = 7.5
)

// edge returns the lower end of a bin, in z.
func edge(bin int) float64 {
	return math.Sinh(residualLow + residualSpan*float64(bin)/residualBins)
}

// edges are the ends of all bins: bin b covers [edges[b], edges[b+1]).
var edges = func() (e [residualBins + 1]float64) {
	for b := range e {
		e[b] = edge(b)
	}
	return e
}()

// bin returns the bin of z; what lies outside falls into the first or last one.
func bin(z float64) int {
	b := math.Floor((math.Asinh(z) - residualLow) / residualSpan * residualBins)
	return int(max(0, min(residualBins-1, b)))
}

// zeroBin is the first bin that lies above the median as a whole.
var zeroBin = bin(0) + 1

// Empty reports whether nothing is known.
func (r Residuals) Empty() bool { return r.weights == [residualBins]float32{} }

// prior returns residuals that follow a distribution function, with the weight of
// n residuals.
func prior(n float64, cdf func(z float64) float64) (r Residuals) {
	last := 0.0
	for b := range r.weights {
		next := 1.0
		if b < residualBins-1 {
			next = max(last, cdf(edges[b+1]))
		}
		r.weights[b] = float32(n * (next - last))
		last = next
	}
	return r
}

// add returns the residuals with one more, after the others have faded.
func (r Residuals) add(z, memory float64) Residuals {
	keep := float32(1 - 1/memory)
	for b := range r.weights {
		r.weights[b] *= keep
	}
	r.weights[bin(z)]++
	return r
}

// tail is the survival function of residuals, smoothed: above the median the
// density never rises again. A histogram of rare events is bumpy, and a price
// compared with a bump gives answers that jump; the estimate of a falling density
// is the slope of the least concave majorant of the distribution function, found
// by pooling adjacent violators. Source: Grenander 1956.
type tail struct {
	weights [residualBins]float64
	above   [residualBins]float64 // sum of the weights of the bins above
	total   float64
}

func (r Residuals) tail() *tail {
	t := new(tail)
	for b, w := range r.weights {
		t.weights[b] = float64(w)
		t.total += float64(w)
	}
	type block struct {
		weight, width float64
		bins          int
	}
	var blocks []block
	for b := zeroBin; b < residualBins; b++ {
		blocks = append(blocks, block{t.weights[b], edges[b+1] - edges[b], 1})
		for n := len(blocks); n > 1 && blocks[n-2].weight*blocks[n-1].width < blocks[n-1].weight*blocks[n-2].width; n = len(blocks) {
			a, c := blocks[n-2], blocks[n-1]
			blocks = append(blocks[:n-2], block{a.weight + c.weight, a.width + c.width, a.bins + c.bins})
		}
	}
	b := zeroBin
	for _, k := range blocks {
		for range k.bins {
			t.weights[b] = k.weight * (edges[b+1] - edges[b]) / k.width
			b++
		}
	}
	sum := 0.0
	for b := residualBins - 1; b >= 0; b-- {
		t.above[b] = sum
		sum += t.weights[b]
	}
	return t
}

// exceeds returns P(Z > z), from 0 to 1.
func (t *tail) exceeds(z float64) float64 {
	b := bin(z)
	within := max(0, min(1, (edges[b+1]-z)/(edges[b+1]-edges[b])))
	return min(1, (t.above[b]+t.weights[b]*within)/t.total)
}

// MarshalJSON writes the weights as base64 of little-endian float32, null for
// none.
func (r Residuals) MarshalJSON() ([]byte, error) {
	if r.Empty() {
		return []byte("null"), nil
	}
	raw := make([]byte, 0, 4*residualBins)
	for _, w := range r.weights {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(w))
	}
	return json.Marshal(base64.StdEncoding.EncodeToString(raw))
}

// UnmarshalJSON reads what MarshalJSON writes. Weights that cannot be any are an
// error.
func (r *Residuals) UnmarshalJSON(data []byte) error {
	var text *string
	if err := json.Unmarshal(data, &text); err != nil {
		return fmt.Errorf("residuals: %w", err)
	}
	*r = Residuals{}
	if text == nil {
		return nil
	}
	raw, err := base64.StdEncoding.DecodeString(*text)
	if err != nil || len(raw) != 4*residualBins {
		return fmt.Errorf("residuals: not base64 of %d numbers", residualBins)
	}
	for b := range r.weights {
		w := math.Float32frombits(binary.LittleEndian.Uint32(raw[4*b:]))
		if !(w >= 0) || math.IsInf(float64(w), 0) {
			return fmt.Errorf("residuals: weight %d is %v", b, w)
		}
		r.weights[b] = w
	}
	return nil
}
