// Package collectortest is the conformance suite of collector.Source. Each driver
// runs it over a fake of its provider that speaks the real wire protocol: the
// driver's test says how such a fake is started ([Harness.Open]), the suite says
// what the fake holds and how it misbehaves ([Provider]).
package collectortest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/collector"
)

// Secret is the credential that the driver under test is to be given.
const Secret = "c0nf0rmance-secret-never-to-be-told"

// Run runs the whole suite.
func Run(t *testing.T, h Harness) {
	for name, test := range map[string]func(*testing.T, Harness){
		"the name is the same each time":                           stableName,
		"every value comes with its slot, zeros too":               everyValue,
		"a range is half-open":                                     halfOpen,
		"a range that lies askew takes the slots that start in it": askew,
		"slots without a value have no sample":                     gaps,
		"the order of the answer does not matter":                  anyOrder,
		"an empty range has nothing and is no error":               emptyRange,
		"a long range is read whole":                               longRange,
		"what fails alone is named, and the rest is read":          partialFailure,
		"a provider that is down fails the whole range":            down,
		"a throttled call is made again":                           throttled,
		"throttling without end gives up by the deadline":          throttledForever,
		"a cancelled context ends it":                              cancelled,
		"fetches at the same time do not disturb each other":       concurrent,
		"NaN and infinities never leave the driver":                nonFinite,
		"an endless answer is cut off":                             endless,
		"no error tells the credential":                            discreet,
	} {
		t.Run(name, func(t *testing.T) { test(t, h) })
	}
}

func (h Harness) slot(i int) time.Time { return h.Start.Add(time.Duration(i) * h.Step) }

// fill returns a value of each series for each slot of [0, n) that keep wants, a
// zero among them. They are multiples of 1/4, so that a unit of thousandths is
// the worst that happens to them.
func (h Harness) fill(n int, keep func(series, slot int) bool) []api.Sample {
	var out []api.Sample
	for k, s := range h.Series {
		for i := range n {
			if keep == nil || keep(k, i) {
				out = append(out, api.Sample{Group: s.Group, Metric: s.Metric, Stat: s.Stat, Time: h.slot(i),
					Value: float64((i+7*k)%50) / 4})
			}
		}
	}
	return out
}

// fetch fails the test on an error.
func fetch(t *testing.T, s collector.Source, from, to time.Time) []api.Sample {
	t.Helper()
	got, err := s.Fetch(t.Context(), from, to)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// same compares samples regardless of order; values up to the rounding of a unit
// conversion.
func same(t *testing.T, got, want []api.Sample) {
	t.Helper()
	type point struct {
		series collector.Series
		at     int64
	}
	left := map[point]float64{}
	for _, s := range want {
		left[point{collector.SeriesOf(s), s.Time.UnixNano()}] = s.Value
	}
	wrong := 0
	bad := func(format string, args ...any) {
		if wrong++; wrong <= 5 {
			t.Errorf(format, args...)
		}
	}
	for _, s := range got {
		p := point{collector.SeriesOf(s), s.Time.UnixNano()}
		v, ok := left[p]
		switch {
		case !ok:
			bad("%s at %s = %v: not offered, or not asked for, or twice", p.series, s.Time, s.Value)
		case math.Abs(v-s.Value) > 1e-12*max(1, math.Abs(v)):
			bad("%s at %s: got %v, want %v", p.series, s.Time, s.Value, v)
		case s.Time.Location() != time.UTC:
			bad("%s at %s: not in UTC", p.series, s.Time)
		}
		delete(left, p)
	}
	for p, v := range left {
		bad("%s at %s: %v is missing", p.series, time.Unix(0, p.at).UTC(), v)
	}
	if wrong > 5 {
		t.Errorf("%d differences in all", wrong)
	}
}

// within returns the samples with a slot in [from, to).
func within(samples []api.Sample, from, to time.Time) []api.Sample {
	return slices.DeleteFunc(slices.Clone(samples), func(s api.Sample) bool {
		return s.Time.Before(from) || !s.Time.Before(to)
	})
}

func stableName(t *testing.T, h Harness) {
	a, b := h.Open(t, &Provider{}), h.Open(t, &Provider{})
	if before := a.Name(); before == "" || before != b.Name() || before != a.Name() {
		t.Errorf("the names are %q and %q", a.Name(), b.Name())
	}
}

func everyValue(t *testing.T, h Harness) {
	p := &Provider{Samples: h.fill(60, nil)}
	same(t, fetch(t, h.Open(t, p), h.slot(0), h.slot(60)), p.Samples)
}

func halfOpen(t *testing.T, h Harness) {
	p := &Provider{Samples: h.fill(12, nil)}
	source := h.Open(t, p)
	for _, r := range [][2]int{{3, 7}, {3, 4}, {0, 12}} {
		from, to := h.slot(r[0]), h.slot(r[1])
		same(t, fetch(t, source, from, to), within(p.Samples, from, to))
	}
}

func askew(t *testing.T, h Harness) {
	p := &Provider{Samples: h.fill(12, nil)}
	from, to := h.slot(3).Add(time.Second), h.slot(7).Add(time.Second)
	same(t, fetch(t, h.Open(t, p), from, to), within(p.Samples, from, to))
}

func gaps(t *testing.T, h Harness) {
	p := &Provider{Samples: h.fill(40, func(series, slot int) bool { return (slot+series)%3 != 0 && (slot < 10 || slot > 20) })}
	same(t, fetch(t, h.Open(t, p), h.slot(0), h.slot(40)), p.Samples)
	t.Run("and a source without any value has none", func(t *testing.T) {
		same(t, fetch(t, h.Open(t, &Provider{}), h.slot(0), h.slot(40)), nil)
	})
}

func anyOrder(t *testing.T, h Harness) {
	p := &Provider{Samples: h.fill(30, nil), Descending: true}
	same(t, fetch(t, h.Open(t, p), h.slot(0), h.slot(30)), p.Samples)
}

func emptyRange(t *testing.T, h Harness) {
	source := h.Open(t, &Provider{Samples: h.fill(12, nil)})
	same(t, fetch(t, source, h.slot(5), h.slot(5)), nil)
	same(t, fetch(t, source, h.slot(5), h.slot(3)), nil)
}

func longRange(t *testing.T, h Harness) {
	p := &Provider{Samples: h.fill(h.Long, nil)}
	same(t, fetch(t, h.Open(t, p), h.slot(0), h.slot(h.Long)), p.Samples)
	if p.Calls() < 2 {
		t.Errorf("it took %d calls, so that nothing about joining them was tested", p.Calls())
	}
}

// seriesErrors returns the series that an error names, and the errors in it that
// speak of no series.
func seriesErrors(err error) (failed []collector.Series, whole []error) {
	switch e := err.(type) { //nolint:errorlint // the tree is walked by hand, node by node
	case nil:
		return nil, nil
	case *collector.SeriesError:
		return e.Series, nil
	case interface{ Unwrap() []error }:
		for _, child := range e.Unwrap() {
			f, w := seriesErrors(child)
			failed, whole = append(failed, f...), append(whole, w...)
		}
		return failed, whole
	case interface{ Unwrap() error }:
		if child := e.Unwrap(); child != nil {
			return seriesErrors(child)
		}
	}
	return nil, []error{err}
}

func partialFailure(t *testing.T, h Harness) {
	broken := h.Series[0]
	p := &Provider{Samples: h.fill(20, nil), FailMetric: broken.Metric}
	got, err := h.Open(t, p).Fetch(t.Context(), h.slot(0), h.slot(20))
	failed, whole := seriesErrors(err)
	if len(failed) == 0 || len(whole) > 0 {
		t.Fatalf("the error is %v, not a SeriesError alone", err)
	}
	named := map[string]bool{}
	for _, s := range failed {
		if s.Metric != broken.Metric || s.Stat != broken.Stat {
			t.Errorf("%s is called failed", s)
		}
		named[s.Group] = true
	}
	for _, s := range h.Series {
		if s.Metric == broken.Metric && !named[s.Group] && !named[collector.AllGroups] {
			t.Errorf("%s failed and is not named", s)
		}
	}
	same(t, got, slices.DeleteFunc(slices.Clone(p.Samples), func(s api.Sample) bool { return s.Metric == broken.Metric }))
}

func down(t *testing.T, h Harness) {
	got, err := h.Open(t, &Provider{Samples: h.fill(5, nil), Down: true}).Fetch(t.Context(), h.slot(0), h.slot(5))
	if _, whole := seriesErrors(err); len(whole) == 0 {
		t.Errorf("the error is %v", err)
	}
	same(t, got, nil)
}

func throttled(t *testing.T, h Harness) {
	p := &Provider{Samples: h.fill(5, nil), Throttle: 2}
	source := h.Open(t, p)
	same(t, fetch(t, source, h.slot(0), h.slot(5)), p.Samples)
	if p.Calls() < 3 {
		t.Errorf("%d calls", p.Calls())
	}
	if m, ok := source.(collector.Metered); ok {
		if c := m.Calls(); c.Made != p.Calls() || c.Throttled != 2 {
			t.Errorf("it tells of %+v, there were %d calls, 2 of them throttled", c, p.Calls())
		}
	}
}

func throttledForever(t *testing.T, h Harness) {
	p := &Provider{Samples: h.fill(5, nil), Throttle: math.MaxInt}
	source := h.Open(t, p)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	got, err := source.Fetch(ctx, h.slot(0), h.slot(5))
	if err == nil || len(got) > 0 {
		t.Errorf("got %d samples, error %v", len(got), err)
	}
}

func cancelled(t *testing.T, h Harness) {
	p := &Provider{Samples: h.fill(5, nil), Hang: true}
	source := h.Open(t, p)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := source.Fetch(ctx, h.slot(0), h.slot(5))
		done <- err
	}()
	for p.Calls() == 0 && len(done) == 0 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("the error is %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("it goes on")
	}
	before := p.Calls()
	if _, err := source.Fetch(ctx, h.slot(0), h.slot(5)); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that has ended: the error is %v", err)
	}
	if p.Calls() != before {
		t.Error("a context that has ended: the provider was called")
	}
}

func concurrent(t *testing.T, h Harness) {
	p := &Provider{Samples: h.fill(40, nil)}
	source := h.Open(t, p)
	type result struct {
		samples []api.Sample
		err     error
	}
	results := make([]result, 8)
	var wg sync.WaitGroup
	for i := range results {
		wg.Go(func() { results[i].samples, results[i].err = source.Fetch(t.Context(), h.slot(i), h.slot(40-i)) })
	}
	wg.Wait()
	for i, r := range results {
		if r.err != nil {
			t.Fatal(r.err)
		}
		same(t, r.samples, within(p.Samples, h.slot(i), h.slot(40-i)))
	}
}

func nonFinite(t *testing.T, h Harness) {
	p := &Provider{Samples: h.fill(20, nil)}
	var want []api.Sample
	for i := range p.Samples {
		switch i % 5 {
		case 1:
			p.Samples[i].Value = math.NaN()
		case 2:
			p.Samples[i].Value = math.Inf(1)
		case 3:
			p.Samples[i].Value = math.Inf(-1)
		default:
			want = append(want, p.Samples[i])
		}
	}
	same(t, fetch(t, h.Open(t, p), h.slot(0), h.slot(20)), want)
}

func endless(t *testing.T, h Harness) {
	p := &Provider{Samples: h.fill(5, nil), Endless: true}
	got, err := h.Open(t, p).Fetch(t.Context(), h.slot(0), h.slot(1))
	if err == nil {
		t.Errorf("%d samples and no error", len(got))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	// What lies in the buffers of the connection was written and not read.
	if bound := int64(max(1, p.calls)) * (h.MaxAnswer + 32<<20); p.written == 0 || p.written > bound {
		t.Errorf("%d bytes were written in %d calls, want at most %d", p.written, p.calls, bound)
	}
}

func discreet(t *testing.T, h Harness) {
	for _, p := range []*Provider{
		{Down: true, EchoSecret: true},
		{FailMetric: h.Series[0].Metric, EchoSecret: true},
		{Throttle: math.MaxInt, EchoSecret: true},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		_, err := h.Open(t, p).Fetch(ctx, h.slot(0), h.slot(5))
		cancel()
		if err == nil {
			t.Error("no error")
		} else if text := fmt.Sprintf("%v %+v", err, err); strings.Contains(text, Secret) {
			t.Errorf("the error tells the credential: %s", text)
		}
	}
}
