package catalog

import (
	"context"
	"errors"
	"strings"
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

// damaged is a registry in which nothing of web can be told.
type damaged struct{ shelf }

var errDamaged = errors.Join(errors.New("champion.json names no version"), models.ErrNoModel)

func (s *damaged) Standings(context.Context) ([]models.Standing, error) {
	return []models.Standing{{Name: "web", Versions: []int{1}, Err: errDamaged}}, nil
}

func TestAModelThatCannotBeToldIsNotSaidToBeMissing(t *testing.T) {
	c, _ := newCatalog(&damaged{}, loadIdle)
	for what, ask := range map[string]func() (*Version, error){
		"by its name":    func() (*Version, error) { return c.Named(t.Context(), "web") },
		"for its group":  func() (*Version, error) { return c.ForGroup(t.Context(), "web") },
		"after a reload": func() (*Version, error) { return nil, c.Load(t.Context(), "web") },
	} {
		var refused *LoadError
		if _, err := ask(); !errors.As(err, &refused) || !strings.Contains(err.Error(), "model web cannot be served: champion.json names no version") {
			t.Errorf("%s: %v", what, err)
		}
	}
	c.Close()
}

func TestWhatIsKeptIsLoadedAgainAfterAnUnload(t *testing.T) {
	r := &row{names: []string{"a"}, orders: map[string]models.Orders{"a": pinned(1, 3)}}
	c, _ := newCatalog(r, loadIdle)
	tick := func(want string) {
		t.Helper()
		if err := c.refresh(t.Context(), t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		if c.renew(t.Context()); has(c) != want {
			t.Errorf("loaded: %s, want %s", has(c), want)
		}
	}
	tick("a1 a3")
	if err := c.Unload("a"); err != nil {
		t.Fatal(err)
	}
	tick("")
	if err := c.Load(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	tick("a1 a3")
	c.Close()
}

func TestALoadWaitsForTheOneThatHasBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := &shelf{version: 1}
		hang, loads := make(chan struct{}), 0
		c, _ := newCatalog(registry, func([]byte) (Session, error) {
			if loads++; loads == 1 {
				return &idle{}, nil
			}
			<-hang
			return nil, errors.New("damaged")
		})
		if err := c.Load(t.Context(), "web"); err != nil {
			t.Fatal(err)
		}
		registry.version = 2
		if err := c.refresh(t.Context(), t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		go c.renew(t.Context())
		synctest.Wait()
		asked := make(chan error, 1)
		go func() { asked <- c.Load(t.Context(), "web") }()
		synctest.Wait()
		select {
		case err := <-asked:
			t.Fatalf("it did not wait: %v", err)
		default:
		}
		close(hang)
		var refused *LoadError
		if err := <-asked; !errors.As(err, &refused) || refused.Version != 2 {
			t.Errorf("got %v", err)
		}
		c.Close()
	})
}
