package catalog

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/forescale/forescale/models"
)

// wall is a registry of several models of the same size; bad cannot be read.
type wall struct {
	shelf
	names  []string
	size   int64
	newest atomic.Int64 // added to the version
}

func (w *wall) Standings(context.Context) ([]models.Standing, error) {
	var all []models.Standing
	for _, name := range w.names {
		m := models.Manifest{Name: name, Version: w.version + int(w.newest.Load()), SizeBytes: w.size}
		all = append(all, models.Standing{Name: name, Versions: []int{m.Version}, Champion: m})
	}
	return all, nil
}

func (w *wall) Get(_ context.Context, name string, version int) (models.Manifest, []byte, error) {
	if name == "bad" {
		return models.Manifest{}, nil, errors.New("unreadable")
	}
	return models.Manifest{Name: name, Version: version, SizeBytes: w.size}, make([]byte, w.size), nil
}

func TestModelsAreLoadedAheadWhileTheServerIsIdleAndThereIsRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var busy atomic.Bool
		busy.Store(true)
		registry := &wall{shelf: shelf{version: 1}, names: []string{"a", "b", "bad", "c", "d"}, size: 1 << 20}
		c, log := newCatalog(registry, loadIdle)
		c.cfg.LoadAhead, c.cfg.MemoryBudget = true, 3*costOf(1<<20)
		c.deps.Idle = func() bool { return !busy.Load() }
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- c.Run(ctx) }()
		settle := func(want ...string) {
			t.Helper()
			time.Sleep(10 * time.Second)
			synctest.Wait()
			if got := c.loadedNames(); !slices.Equal(got, want) {
				t.Errorf("%q are loaded, want %q", got, want)
			}
		}
		settle()
		busy.Store(false)
		settle("a", "b", "c") // d would not fit
		if text := log.String(); strings.Count(text, "model version refused") != 1 || strings.Contains(text, "level=WARN") {
			t.Errorf("log: %s", text)
		}

		// What was asked for stays; what was not goes first, and is not loaded ahead again.
		for _, name := range []string{"a", "d"} {
			v, err := c.Named(ctx, name)
			if err != nil {
				t.Fatal(err)
			}
			v.Release()
		}
		if got := c.loadedNames(); len(got) != 3 || !slices.Contains(got, "a") || !slices.Contains(got, "d") {
			t.Errorf("%q are loaded", got)
		}
		settle(c.loadedNames()...)

		// There is room again, and there are new champions, which are tried.
		if err := c.Unload("a"); err != nil {
			t.Fatal(err)
		}
		registry.newest.Store(1)
		settle("b", "c", "d")
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		c.Close()
	})
}

func TestABudgetThatIsTooSmallForWhatIsUsedIsSaidOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := &wall{shelf: shelf{version: 1}, names: []string{"a", "b"}, size: 1 << 20}
		c, log := newCatalog(registry, loadIdle)
		c.cfg.MemoryBudget = costOf(1 << 20)
		for range 3 {
			for _, name := range registry.names {
				v, err := c.Named(t.Context(), name)
				if err != nil {
					t.Fatal(err)
				}
				v.Release()
			}
		}
		synctest.Wait()
		if n := strings.Count(log.String(), "raise server.memory_budget"); n != 1 {
			t.Errorf("said %d times", n)
		}
		c.Close()
	})
}
