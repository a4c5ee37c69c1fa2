package catalog

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/forescale/forescale/models"
)

func TestAVersionByItsNumberServesBesideTheChampionAndJoinsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := &shelf{version: 2}
		var sessions []*idle
		c, _ := newCatalog(registry, func([]byte) (Session, error) {
			s := &idle{}
			sessions = append(sessions, s)
			return s, nil
		})
		ask := func(version int) *Version {
			t.Helper()
			v, err := c.At(t.Context(), "web", version)
			if err != nil || v.Manifest.Version != version {
				t.Fatalf("version %d: %+v, %v", version, v, err)
			}
			return v
		}
		champion, err := c.Named(t.Context(), "web")
		if err != nil || ask(2) != champion {
			t.Errorf("the champion by its number is another session: %v", err)
		}
		if _, err := c.At(t.Context(), "web", 3); !errors.Is(err, models.ErrNoModel) {
			t.Errorf("a version that there is not: %v", err)
		}
		if _, err := c.At(t.Context(), "nobody", 1); !errors.Is(err, models.ErrNoModel) {
			t.Errorf("a model that there is not: %v", err)
		}
		if len(c.others) > 0 {
			t.Errorf("%d entries for versions that there are not", len(c.others))
		}

		// The next version is asked for by its number before it is champion.
		registry.version = 3
		if _, err := c.At(t.Context(), "web", 3); !errors.Is(err, models.ErrNoModel) {
			t.Errorf("the registry is read again at once: %v", err)
		}
		time.Sleep(missMaxAge)
		if ask(3) == champion || len(sessions) != 2 {
			t.Fatalf("%d sessions", len(sessions))
		}
		time.Sleep(time.Second)
		if err := c.refresh(t.Context(), t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		c.renew(t.Context())
		if v, err := c.Named(t.Context(), "web"); err != nil || v.Manifest.Version != 3 || ask(3) != v {
			t.Errorf("the champion is not the one version 3: %v", err)
		}
		if sessions[0].closed != 1 || sessions[1].closed != 1 || sessions[2].closed != 0 || c.held != c.entries["web"].current.cost {
			t.Errorf("sessions %d, %d, %d, held %d bytes", sessions[0].closed, sessions[1].closed, sessions[2].closed, c.held)
		}
		c.Close()
		if sessions[2].closed != 1 {
			t.Error("a session outlives the catalog")
		}
	})
}

// two is a shelf with a champion and an older version.
type two struct{ shelf }

func (s *two) Versions(ctx context.Context, _ string) ([]int, error) { return []int{1, 2}, s.wait(ctx) }

func TestVersionsByTheirNumberCountAgainstTheMemoryBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		loads := 0
		c, _ := newCatalog(&two{shelf{version: 2}}, func([]byte) (Session, error) { loads++; return &idle{}, nil })
		c.cfg.MemoryBudget = fixedCost + fixedCost/2 // for one
		for range 2 {
			for _, version := range []int{1, 2} {
				if _, err := c.At(t.Context(), "web", version); err != nil {
					t.Fatal(err)
				}
				if len(c.loaded()) != 1 || c.held != fixedCost {
					t.Errorf("%d versions are loaded, %d bytes held", len(c.loaded()), c.held)
				}
			}
		}
		if loads != 4 {
			t.Errorf("%d loads", loads)
		}
		c.Close()
	})
}

func TestAModelThatIsUnloadedWhileItLoadsDoesNotServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := &shelf{version: 1}
		s := &idle{}
		c, _ := newCatalog(registry, func([]byte) (Session, error) { return s, nil })
		if err := c.refresh(t.Context(), t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		registry.hang = make(chan struct{})
		asked := make(chan error, 1)
		go func() { _, err := c.Named(t.Context(), "web"); asked <- err }()
		synctest.Wait()
		if err := c.Unload("web"); err != nil {
			t.Fatal(err)
		}
		close(registry.hang)
		if err := <-asked; !errors.Is(err, ErrUnloaded) {
			t.Errorf("got %v", err)
		}
		synctest.Wait()
		if s.closed != 1 || c.held != 0 {
			t.Errorf("closed %d times, %d bytes held", s.closed, c.held)
		}
		registry.hang = nil
		if err := c.Load(t.Context(), "web"); err != nil {
			t.Error(err)
		}
		if _, err := c.Named(t.Context(), "web"); err != nil {
			t.Error(err)
		}
		c.Close()
		if err := c.Unload("web"); !errors.Is(err, ErrClosed) {
			t.Errorf("after the end: %v", err)
		}
	})
}
