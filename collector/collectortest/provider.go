package collectortest

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/collector"
)

// Harness is one driver with a fake of its provider.
type Harness struct {
	// Series are what the source is configured to read: two groups and two metrics
	// at least, each group with each metric.
	Series []collector.Series
	// Step is the length of a slot, Start the beginning of one.
	Step  time.Duration
	Start time.Time
	// Long is the number of slots of a range that takes several calls.
	Long int
	// MaxAnswer is how much of one endless answer the driver may read, in bytes.
	MaxAnswer int64
	// Open starts a fake that does as p says until the test ends, and returns a
	// source over it, whose credential is Secret. Each call to one name gives
	// sources that only differ in their provider. The source's back-off begins in
	// milliseconds where that can be set.
	Open func(t *testing.T, p *Provider) collector.Source
}

// Provider is what a fake holds and how it misbehaves. The zero value is an empty
// and obliging provider.
type Provider struct {
	// Samples are what it holds, in the units of api.Metrics; Time is the start of
	// the slot that a value describes. Values may be NaN or infinite.
	Samples []api.Sample
	// Descending: points are answered newest first.
	Descending bool
	// FailMetric: what asks for this metric is refused for good, with a message.
	FailMetric string
	// Down: every call is refused, in a way that tells of no single series.
	Down bool
	// EchoSecret: the refusal's text holds the credential that was sent.
	EchoSecret bool
	// Throttle: so many calls are refused as too many, before calls are answered.
	Throttle int
	// Hang: calls are not answered before their client goes away.
	Hang bool
	// Endless: an answer begins well and never ends; see Written.
	Endless bool

	mu      sync.Mutex
	calls   int
	written int64
}

// Called counts a call and returns whether it is to be throttled.
func (p *Provider) Called() (throttle bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls++
	return p.calls <= p.Throttle
}

// Calls returns how many calls there were.
func (p *Provider) Calls() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls
}

// Wrote counts bytes of an endless answer. It returns false when the fake may
// stop, because the driver has read far more than any bound.
func (p *Provider) Wrote(n int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.written += int64(n)
	return p.written < 4<<30
}

// Points returns the samples of a series with slots in [from, to), in the order
// in which they are to be answered.
func (p *Provider) Points(s collector.Series, from, to time.Time) []api.Sample {
	var out []api.Sample
	for _, x := range p.Samples {
		if collector.SeriesOf(x) == s && !x.Time.Before(from) && x.Time.Before(to) {
			out = append(out, x)
		}
	}
	slices.SortFunc(out, func(a, b api.Sample) int { return a.Time.Compare(b.Time) })
	if p.Descending {
		slices.Reverse(out)
	}
	return out
}
