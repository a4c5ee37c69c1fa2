package catalog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/forescale/forescale/models"
)

// row is a registry of models with three versions each, whose champion is the first.
type row struct {
	names  []string
	orders map[string]models.Orders
	bad    int // a version that cannot be read
	gets   int
}

func (r *row) Standings(context.Context) (list []models.Standing, err error) {
	for _, name := range r.names {
		list = append(list, models.Standing{Name: name, Versions: []int{1, 2, 3}, Orders: r.orders[name], Champion: models.Manifest{Name: name, Version: 1}})
	}
	return list, nil
}

func (r *row) Versions(context.Context, string) ([]int, error) { return []int{1, 2, 3}, nil }

func (r *row) Get(_ context.Context, name string, version int) (models.Manifest, []byte, error) {
	r.gets++
	if version == r.bad {
		return models.Manifest{}, nil, fmt.Errorf("version %d is damaged", version)
	}
	return models.Manifest{Name: name, Version: version}, nil, nil
}

// has returns what is loaded: name and version, in order.
func has(c *Catalog) string {
	var all []string
	for _, e := range c.loaded() {
		all = append(all, fmt.Sprint(e.current.Manifest.Name, e.current.Manifest.Version))
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func pinned(versions ...int) (o models.Orders) {
	for _, v := range versions {
		o.Pinned = append(o.Pinned, models.Order{Version: v})
	}
	return o
}

func TestVersionsThatAreKeptAreLoadedUnaskedAndGivenUpWhenTheyAreNot(t *testing.T) {
	r := &row{names: []string{"a", "b"}, orders: map[string]models.Orders{}}
	c, log := newCatalog(r, loadIdle)
	tick := func(want string) {
		t.Helper()
		if err := c.refresh(t.Context(), t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		c.renew(t.Context())
		if got := has(c); got != want {
			t.Errorf("loaded: %s, want %s", got, want)
		}
	}
	tick("")
	r.orders["b"] = pinned(1, 3, 7)
	tick("b1 b3") // pinned, so loaded before anybody asks; there is no 7
	c.cfg.Latest = 1
	if v, err := c.Named(t.Context(), "a"); err != nil || v.Manifest.Version != 1 {
		t.Fatal(err)
	}
	tick("a1 a3 b1 b3")
	r.orders["a"] = models.Orders{Shadow: &models.Order{Version: 2}}
	tick("a1 a2 a3 b1 b3")
	if c.Shadow("a") != 2 || c.Shadow("b") != 0 {
		t.Errorf("shadows %d and %d", c.Shadow("a"), c.Shadow("b"))
	}
	gets := r.gets
	tick("a1 a2 a3 b1 b3")
	if r.gets != gets {
		t.Errorf("%d models were read again", r.gets-gets)
	}
	r.orders, c.cfg.Latest = map[string]models.Orders{}, 0
	tick("a1 b1") // champions stay
	if want := 2 * int64(fixedCost); c.held != want || !strings.Contains(log.String(), "no longer kept") {
		t.Errorf("held %d bytes, want %d", c.held, want)
	}
	r.orders["a"] = pinned(2)
	r.bad = 2
	tick("a1 b1") // tells why, and what serves goes on
	if _, err := c.Kept("a", 2); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Error(err)
	}
	v, err := c.Kept("a", 1)
	if err != nil || v.Manifest.Version != 1 {
		t.Fatal(err)
	}
	v.Release()
	if items := c.Index(); len(items) != 3 || items[1].Version != 2 || !strings.Contains(items[1].Reason, "damaged") {
		t.Errorf("index %+v", items)
	}
	c.Close()
}

func TestWhatIsKeptMakesRoomLastAndIsNotLoadedToAndFro(t *testing.T) {
	r := &row{names: []string{"a", "b"}, orders: map[string]models.Orders{"a": pinned(2)}}
	c, _ := newCatalog(r, loadIdle)
	c.cfg.MemoryBudget = 2 * fixedCost
	tick := func() {
		if err := c.refresh(t.Context(), t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		c.renew(t.Context())
	}
	tick()
	for _, ask := range []struct {
		name string
		want string
	}{{"a", "a1 a2"}, {"b", "a2 b1"}, {"a", "a1 a2"}} {
		if _, err := c.Named(t.Context(), ask.name); err != nil {
			t.Fatal(err)
		}
		if got := has(c); got != ask.want {
			t.Errorf("after %s: %s, want %s", ask.name, got, ask.want)
		}
	}
	c.tasks.Wait() // the loads tell of the budget after they have let go of their callers
	c.cfg.MemoryBudget = fixedCost
	if _, err := c.Named(t.Context(), "b"); err != nil { // what is asked for goes before what is kept
		t.Fatal(err)
	}
	gets := r.gets
	tick()
	if got := has(c); got != "b1" || r.gets != gets {
		t.Errorf("loaded %s, %d read again", got, r.gets-gets)
	}
	if _, err := c.Kept("a", 2); !errors.Is(err, ErrNotLoaded) || has(c) != "b1" {
		t.Errorf("%v, loaded %s", err, has(c))
	}
	c.Close()
}

func TestAShadowThatBecomesChampionIsNoShadow(t *testing.T) {
	r := &row{names: []string{"a"}, orders: map[string]models.Orders{"a": {Shadow: &models.Order{Version: 1}}}}
	c, _ := newCatalog(r, loadIdle)
	if err := c.refresh(t.Context(), t.Context(), 0); err != nil || c.Shadow("a") != 0 {
		t.Errorf("shadow %d, %v", c.Shadow("a"), err)
	}
	c.Close()
}
