package catalog

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/server/batch"
	"github.com/forescale/forescale/server/tensor"
)

// shelf is a registry of one foreign model, web. A call to it waits for hang, if
// that is set, or for the end of its context.
type shelf struct {
	hang    chan struct{}
	version int
	orders  models.Orders
}

func (s *shelf) wait(ctx context.Context) error {
	if s.hang == nil {
		return nil
	}
	select {
	case <-s.hang:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *shelf) Standings(ctx context.Context) ([]models.Standing, error) {
	return []models.Standing{{Name: "web", Versions: []int{s.version}, Champion: models.Manifest{Name: "web", Version: s.version}, Orders: s.orders}}, s.wait(ctx)
}

func (s *shelf) Versions(ctx context.Context, _ string) ([]int, error) {
	return []int{s.version}, s.wait(ctx)
}

func (s *shelf) Get(ctx context.Context, name string, version int) (models.Manifest, []byte, error) {
	return models.Manifest{Name: name, Version: version}, nil, s.wait(ctx)
}

// idle is a session that counts how often it was closed.
type idle struct{ closed int }

func (*idle) Run(context.Context, batch.Batch) ([]tensor.Tensor, error) { return nil, nil }
func (*idle) Inputs() []tensor.Info                                     { return nil }
func (*idle) Outputs() []tensor.Info                                    { return nil }
func (*idle) Metadata() map[string]string                               { return nil }
func (*idle) Retain() bool                                              { return true }
func (*idle) Release()                                                  {}
func (s *idle) Close()                                                  { s.closed++ }

type deaf struct{}

func (deaf) Loaded(string, int, time.Duration, error) {}
func (deaf) Unloaded(string, int)                     {}
func (deaf) RegistryRead(error)                       {}

// newCatalog returns a catalog over a registry, and its log.
func newCatalog(r Registry, load Load) (*Catalog, *strings.Builder) {
	var log strings.Builder
	return New(Config{Reload: time.Second, MemoryBudget: 1 << 30, LoadTimeout: 30 * time.Second}, Deps{Registry: r, Load: load,
		Observer: deaf{}, Log: slog.New(slog.NewTextHandler(&log, nil)), Now: time.Now}), &log
}

func loadIdle([]byte) (Session, error) { return &idle{}, nil }

func TestRunEndsAtOnceWhileTheRegistryHangs(t *testing.T) {
	for name, version := range map[string]int{"in a reading": 1, "in the load of a new champion": 2} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				registry := &shelf{version: 1}
				c, log := newCatalog(registry, loadIdle)
				v, err := c.Named(t.Context(), "web")
				if err != nil {
					t.Fatal(err)
				}
				v.Release()
				registry.version = version
				if version == 2 {
					if err := c.refresh(t.Context(), t.Context(), 0); err != nil {
						t.Fatal(err)
					}
				}
				registry.hang = make(chan struct{})
				ctx, stop := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				run := c.Run
				if version == 2 { // the reading is over, the load hangs
					run = func(ctx context.Context) error { c.renew(ctx); return nil }
				}
				go func() { ended <- run(ctx) }()
				synctest.Wait()
				before := time.Now()
				stop()
				if err := <-ended; err != nil || time.Since(before) > 0 {
					t.Errorf("it ended with %v after %s", err, time.Since(before))
				}
				synctest.Wait() // for the log
				if text := log.String(); strings.Contains(text, "level=WARN") || strings.Contains(text, "level=ERROR") {
					t.Errorf("stopping is logged as a fault: %s", text)
				}
				if v, err := c.Named(t.Context(), "web"); err != nil || v.Manifest.Version != 1 {
					t.Errorf("what was loaded does not serve on: %v", err)
				}
			})
		})
	}
}

func TestAModelThatMakesLoadingPanicIsRefusedAndHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		boom := true
		c, log := newCatalog(&shelf{version: 1}, func([]byte) (Session, error) {
			if boom {
				panic("boom")
			}
			return &idle{}, nil
		})
		var refused *LoadError
		_, err := c.Named(t.Context(), "web")
		synctest.Wait() // for the log
		if !errors.As(err, &refused) || !strings.Contains(log.String(), "boom") {
			t.Errorf("error %v, log %s", err, log)
		}
		boom = false
		time.Sleep(firstRetry)
		if _, err := c.Named(t.Context(), "web"); err != nil {
			t.Error(err)
		}
	})
}

func TestACallerWaitsNoLongerThanItsContextForARegistryThatHangs(t *testing.T) {
	for name, ask := range map[string]func(c *Catalog, ctx context.Context) error{
		"for a load":    func(c *Catalog, ctx context.Context) error { _, err := c.Named(ctx, "web"); return err },
		"for a reading": func(c *Catalog, ctx context.Context) error { _, err := c.ForGroup(ctx, "nobody"); return err },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				registry := &shelf{version: 1}
				c, log := newCatalog(registry, loadIdle)
				if err := c.refresh(t.Context(), t.Context(), 0); err != nil {
					t.Fatal(err)
				}
				time.Sleep(2 * missMaxAge)
				registry.hang = make(chan struct{})
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				before := time.Now()
				if err := ask(c, ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(before) != time.Second {
					t.Errorf("got %v after %s", err, time.Since(before))
				}
				close(registry.hang) // what the caller began goes on for the others
				synctest.Wait()
				if v, err := c.Named(t.Context(), "web"); err != nil || v.Manifest.Version != 1 {
					t.Error(err)
				}
				registry.hang = make(chan struct{})
				go ask(c, ctx)
				synctest.Wait()
				c.Close() // and ends with the catalog, or the bubble would not
				if strings.Contains(log.String(), "level=ERROR") {
					t.Errorf("log: %s", log)
				}
			})
		})
	}
}

func TestALoadThatNothingStopsIsLeftBehindAndHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late, stuck, loads := &idle{}, make(chan struct{}), atomic.Int64{}
		registry := &shelf{version: 1}
		c, _ := newCatalog(registry, func([]byte) (Session, error) {
			if loads.Add(1) == 2 {
				<-stuck // ONNX Runtime computes constants
				return late, nil
			}
			return &idle{}, nil
		})
		if _, err := c.Named(t.Context(), "web"); err != nil {
			t.Fatal(err)
		}
		registry.version = 2
		refused := func(want string) {
			t.Helper()
			if err := c.refresh(t.Context(), t.Context(), 0); err != nil {
				t.Fatal(err)
			}
			c.renew(t.Context())
			list, _ := c.Status()
			if s := list[0]; s.Serving != 1 || s.Failure == nil || !strings.Contains(s.Failure.Reason, want) {
				t.Fatalf("status %+v with %+v, want version 1 and %q", s, s.Failure, want)
			}
		}
		before := time.Now()
		if refused("not ready within 30s"); time.Since(before) != c.cfg.LoadTimeout {
			t.Errorf("it gave up after %s", time.Since(before))
		}
		time.Sleep(firstRetry)
		if refused(errLeftBehind.Error()); loads.Load() != 2 || !c.isLeft() {
			t.Errorf("version 2 was loaded again while its first load went on: %d loads", loads.Load())
		}
		close(stuck)
		synctest.Wait()
		if late.closed != 1 || c.isLeft() {
			t.Errorf("what came of it was closed %d times", late.closed)
		}
		time.Sleep(longestRetry)
		c.renew(t.Context())
		if v, err := c.Named(t.Context(), "web"); err != nil || v.Manifest.Version != 2 {
			t.Errorf("version 2 does not serve: %v", err)
		}
	})
}

func TestCloseDoesNotWaitForALoadThatNothingStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := make(chan struct{})
		c, log := newCatalog(&shelf{version: 1}, func([]byte) (Session, error) {
			<-stuck
			return &idle{}, nil
		})
		go c.Named(t.Context(), "web") // its error is that of the end
		synctest.Wait()
		before := time.Now()
		if c.Close(); time.Since(before) > 0 {
			t.Errorf("it waited for %s", time.Since(before))
		}
		close(stuck)
		synctest.Wait()
		if strings.Contains(log.String(), "level=ERROR") {
			t.Errorf("log: %s", log)
		}
	})
}
