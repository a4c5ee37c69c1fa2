package targets

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/conf"
	"github.com/forescale/forescale/scaler"
)

// provider is a driver that knows groups by its own names.
type provider map[string]int

func (p provider) Capacities(_ context.Context, groups []string) (map[string]api.Capacity, error) {
	found := map[string]api.Capacity{}
	var err error
	for _, g := range groups {
		if n, ok := p[g]; ok {
			found[g] = api.Capacity{Desired: n}
		} else {
			err = errors.Join(err, fmt.Errorf("%q: %w", g, scaler.ErrUnknownGroup))
		}
	}
	return found, err
}

func (p provider) Scale(_ context.Context, group string, desired int) error {
	p[group] = desired
	return nil
}

func config(groups ...scaler.Group) scaler.Config { return scaler.Config{Groups: groups} }

func TestEachGroupGoesToItsDriverUnderItsNameThere(t *testing.T) {
	ctx := context.Background()
	one, two := provider{"asg-web": 3, "db": 4}, provider{"web": 7}
	r := NewRouter(config(
		scaler.Group{Name: "web", Target: "one", TargetName: "asg-web"},
		scaler.Group{Name: "db", Target: "one"},
		scaler.Group{Name: "shop", Target: "two", TargetName: "web"},
		scaler.Group{Name: "lost", Target: "one"},
		scaler.Group{Name: "odd", Target: "none"},
	), map[string]scaler.Target{"one": one, "two": two})
	found, err := r.Capacities(ctx, []string{"web", "db", "shop", "lost", "odd", "stranger"})
	if got := slices.Sorted(maps.Keys(found)); !slices.Equal(got, []string{"db", "shop", "web"}) {
		t.Errorf("found %v", got)
	}
	if found["web"].Desired != 3 || found["shop"].Desired != 7 {
		t.Errorf("found %v", found)
	}
	for _, name := range []string{"lost", "odd", "stranger"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("the error does not name %s: %v", name, err)
		}
	}
	if err := r.Scale(ctx, "shop", 9); err != nil || two["web"] != 9 || one["web"] != 0 {
		t.Errorf("%v, %v, %v", err, one, two)
	}
	if err := r.Scale(ctx, "stranger", 9); !errors.Is(err, scaler.ErrUnknownGroup) {
		t.Errorf("a group of nobody: %v", err)
	}
}

func TestADriverThatDoesNotExistIsNamed(t *testing.T) {
	cfg := config(scaler.Group{Name: "web", Target: "asg"}, scaler.Group{Name: "db", Target: "gke"})
	if _, err := Open(context.Background(), cfg, conf.Common{AWS: conf.AWS{Region: "x"}}, nil); err == nil || !strings.Contains(err.Error(), `"gke"`) {
		t.Errorf("got %v", err)
	}
	if err := Validate(config(scaler.Group{Name: "web", Target: "asg"}), conf.Common{}); err != nil {
		t.Error(err)
	}
}
