package trainer

import (
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/trainer/feature"
)

// member is a fitted forecaster, one of those that a model combines. All of them
// read the same windows and answer physical values.
type member interface {
	name() string
	// predict returns forecasts [N, Horizon] of the windows; callers ask
	// windows.of, which remembers them.
	predict(w *windows) []float32
	// export adds the member to the graph and returns the name of its forecasts
	// [batch, Horizon]; callers ask exporter.of, which remembers it.
	export(e *exporter) string
}

// windows are encoded windows with what members make of them.
type windows struct {
	*samples
	spec    models.Spec
	workers int
	views   map[feature.Mode]*view
	known   map[member][]float32
	spread  map[*interval][]float32
}

func newWindows(spec models.Spec, s *samples, workers int) *windows {
	return &windows{samples: s, spec: spec, workers: workers, views: map[feature.Mode]*view{}, known: map[member][]float32{}, spread: map[*interval][]float32{}}
}

// of returns a member's forecasts [N, Horizon].
func (w *windows) of(m member) []float32 {
	f, ok := w.known[m]
	if !ok {
		f = m.predict(w)
		w.known[m] = f
	}
	return f
}

// view holds the features of windows in one mode.
type view struct {
	set       *feature.Set
	features  []float32 // [N, set.Len()]
	sequences []float32 // [N, set.Window()*set.Channels()]
	frames    []feature.Frame
}

// view returns the windows' features of a set.
func (w *windows) view(set *feature.Set) *view {
	if v := w.views[set.Mode()]; v != nil && v.set == set {
		return v
	}
	n, wide := w.len(), set.Window()*set.Channels()
	v := &view{set: set, features: make([]float32, n*set.Len()), sequences: make([]float32, n*wide), frames: make([]feature.Frame, n)}
	const chunk = 256
	parallel(w.workers, (n+chunk-1)/chunk, func(c int) {
		space := set.NewWorkspace()
		for i := c * chunk; i < min(n, (c+1)*chunk); i++ {
			series, context := w.row(i)
			v.frames[i] = set.Compute(space, series, context, v.features[i*set.Len():][:set.Len()], v.sequences[i*wide:][:wide])
		}
	})
	w.views[set.Mode()] = v
	return v
}

// row returns the encoded inputs of window i.
func (s *samples) row(i int) (series, context []float32) {
	n := s.len()
	wide, extra := len(s.series)/n, len(s.context)/n
	return s.series[i*wide:][:wide], s.context[i*extra:][:extra]
}

// last returns the target's newest value in window i, bounded as a graph bounds
// it.
func (w *windows) last(i int) float32 {
	series, _ := w.row(i)
	return clipped(series[len(series)-w.spec.Channels()], feature.ClipRaw)
}

// parallel calls work for 0 … n-1 on at most workers goroutines; 0 is one per
// processor. Calls must not depend on each other. A panic of one of them is
// raised again here, where a caller can recover from it.
func parallel(workers, n int, work func(i int)) {
	if workers == 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	var failed atomic.Pointer[any]
	for range min(workers, n) {
		wg.Go(func() {
			defer func() {
				if r := recover(); r != nil {
					failed.Store(&r)
				}
			}()
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				work(i)
			}
		})
	}
	wg.Wait()
	if r := failed.Load(); r != nil {
		panic(*r)
	}
}

// naive is the member that repeats what was: the newest value, or that a whole
// number of periods before the slot forecast.
type naive struct {
	label   string
	columns []int // of the row of series and context, one for each step ahead
}

// newNaive returns the naive of a period in slots; 0 is persistence. Not ok when
// the spec has not all of its values.
func newNaive(label string, spec models.Spec, period int) (*naive, bool) {
	n := &naive{label: label}
	for k := 1; k <= spec.Horizon; k++ {
		age := 0
		if period > 0 {
			age = feature.Before(period, 1, k)
		}
		column, ok := feature.Find(spec, spec.Target, age)
		if !ok {
			return n, false
		}
		n.columns = append(n.columns, column)
	}
	return n, true
}

func (n *naive) name() string { return n.label }

func (n *naive) predict(w *windows) []float32 {
	H := w.spec.Horizon
	out := make([]float32, w.len()*H)
	for i := range w.len() {
		series, context := w.row(i)
		for k, c := range n.columns {
			v := float32(0)
			if c < len(series) {
				v = series[c]
			} else {
				v = context[c-len(series)]
			}
			out[i*H+k] = clipped(v, feature.ClipRaw)
		}
	}
	return out
}

func (n *naive) export(e *exporter) string {
	var indices []int64
	for _, c := range n.columns {
		indices = append(indices, int64(c))
	}
	return e.graph.Gather(n.label, e.row, 1, indices...)
}

func clipped(v, limit float32) float32 { return min(max(v, -limit), limit) }
