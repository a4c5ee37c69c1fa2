package shadow

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// notes is an observer that writes down what it is told.
type notes struct {
	mu    sync.Mutex
	lines []string
}

func (n *notes) add(line string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines = append(n.lines, line)
}

func (n *notes) ShadowCompared(model string, d []float64) { n.add(fmt.Sprint(model, " ", d)) }
func (n *notes) ShadowDropped(model string)               { n.add(model + " dropped") }
func (n *notes) ShadowFailed(model string, err error) {
	first, _, _ := strings.Cut(err.Error(), "\n")
	n.add(model + " " + first)
}

func (n *notes) take() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	text := strings.Join(n.lines, ", ")
	n.lines = nil
	return text
}

// takes returns a job that takes a while and finds a difference.
func takes(d time.Duration, difference float64) func() Job {
	return func() Job {
		return func(ctx context.Context) ([]float64, error) {
			time.Sleep(d)
			return []float64{difference}, ctx.Err()
		}
	}
}

func TestCopiesAreComparedOneByOneAndTheMirrorRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n notes
		m := New(&n, func() bool { return false }, time.Now)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- m.Run(ctx) }()
		m.Offer("a", takes(time.Second, 0.25))
		m.Offer("b", takes(time.Second, 0.5))
		for _, step := range []struct {
			after time.Duration
			want  string
		}{{1001 * time.Millisecond, "a [0.25]"}, {3900 * time.Millisecond, ""}, {200 * time.Millisecond, "b [0.5]"}} {
			time.Sleep(step.after)
			synctest.Wait()
			if got := n.take(); got != step.want {
				t.Errorf("got %q, want %q", got, step.want)
			}
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestAnOfferNeverWaitsAndWhatHasNoRoomIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n notes
		m := New(&n, func() bool { return false }, time.Now)
		before, made := time.Now(), 0
		for range queue + 3 { // nobody works them off
			m.Offer("a", func() Job { made++; return takes(0, 0)() })
		}
		if time.Since(before) > 0 || made != queue || n.take() != "a dropped, a dropped, a dropped" {
			t.Errorf("%d copies were made in %s", made, time.Since(before))
		}
	})
}

func TestCopiesAreDroppedWhileRequestsWait(t *testing.T) {
	var n notes
	busy := true
	m := New(&n, func() bool { return busy }, time.Now)
	m.Offer("a", func() Job { t.Error("a copy is made"); return nil })
	busy = false
	for range 2 * queue { // nothing to compare takes no room
		m.Offer("a", func() Job { return nil })
	}
	if got := n.take(); got != "a dropped" {
		t.Error(got)
	}
}

func TestAShadowThatFailsPanicsOrHangsIsToldAndTheNextOneIsCompared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n notes
		m := New(&n, func() bool { return false }, time.Now)
		for _, do := range []Job{
			func(context.Context) ([]float64, error) { return nil, fmt.Errorf("%w: no", ErrLoad) },
			func(context.Context) ([]float64, error) { panic("boom") },
			func(ctx context.Context) ([]float64, error) { <-ctx.Done(); return nil, errors.New("hung") },
			func(context.Context) ([]float64, error) { return []float64{1}, nil },
		} {
			m.Offer("a", func() Job { return do })
		}
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		if err := m.Run(ctx); err != nil {
			t.Error(err)
		}
		if got, want := n.take(), "a load: no, a run: it panicked: boom, a hung, a [1]"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestTheDifferenceIsRelativeAndBounded(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for name, c := range map[string]struct {
		a, b []float64
		want float64
	}{
		"equal":          {[]float64{1, -2}, []float64{1, -2}, 0},
		"both zero":      {[]float64{0}, []float64{0}, 0},
		"one is zero":    {[]float64{0, 0}, []float64{3, 0}, 1},
		"a tenth higher": {[]float64{10, 10}, []float64{11, 11}, 2. / 22},
		"the negative":   {[]float64{5}, []float64{-5}, 2},
		"not a number":   {[]float64{nan}, []float64{1}, nan},
		"infinite":       {[]float64{inf}, []float64{1}, nan},
		"another length": {[]float64{1}, []float64{1, 2}, nan},
	} {
		if got := Difference(c.a, c.b); got != c.want && !(math.IsNaN(got) && math.IsNaN(c.want)) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
