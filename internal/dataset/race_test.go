package dataset_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/dataset"
)

func TestRacingWritersLoseNothing(t *testing.T) {
	for name, open := range stores(t) {
		t.Run(name, func(t *testing.T) {
			store := open(t)
			var wg sync.WaitGroup
			const writers, ticks = 4, 12
			for w := range writers {
				wg.Go(func() {
					d := dataset.New(store)
					for n := range ticks { // all of one name, each with a group of its own and one in common
						rows := []api.Sample{sample(fmt.Sprint("own", w), n, float64(n)), sample("common", n, 42)}
						if err := d.Append(t.Context(), "w", at(n), rows, at(n+1)); err != nil {
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
			got := scan(t, dataset.New(store), dataset.Query{})
			if want := (writers + 1) * ticks; len(got) != want {
				t.Errorf("%d rows, want %d", len(got), want)
			}
		})
	}
}

func TestConcurrentScansAndAppends(t *testing.T) {
	d := dataset.NewWithCache(blob.NewMemory(), 4096)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for n := range 20 {
				if err := d.Append(t.Context(), fmt.Sprint(w), at(n), []api.Sample{sample(fmt.Sprint(w), n, 1)}, at(n+1)); err != nil {
					t.Error(err)
				}
				if _, err := d.Scan(t.Context(), dataset.Query{From: at(n - 5)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if got := scan(t, d, dataset.Query{}); len(got) != 80 {
		t.Errorf("%d rows, want 80", len(got))
	}
}
