package models

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/forescale/forescale/internal/blob"
)

// Whatever is in the registry, broken models included, many groups at once get
// what each of them would have got alone.
func TestManyGroupsAreAnsweredAsEachAlone(t *testing.T) {
	ctx := context.Background()
	names := []string{"a", "b", "c", "d", "e"}
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 1))
		store := blob.NewMemory()
		r := NewRegistry(store)
		for _, name := range names {
			var groups []string
			for _, g := range append([]string{AnyGroup}, names...) {
				if rng.IntN(4) == 0 {
					groups = append(groups, g)
				}
			}
			if groups == nil {
				continue
			}
			m := manifest(name)
			m.Groups = groups
			if _, err := r.Put(ctx, m, []byte("model")); err != nil {
				t.Fatal(err)
			}
			spoilt := map[int]string{0: championKey(name), 1: versionKey(name, 1, manifestFile)}[rng.IntN(8)]
			if spoilt != "" {
				if _, err := store.Put(ctx, spoilt, []byte("{"), blob.Condition{}); err != nil {
					t.Fatal(err)
				}
			}
		}
		remembered := map[string]Manifest{}
		for _, known := range []Known{nil, func(name string, version int) (Manifest, bool) {
			m, ok := remembered[fmt.Sprint(name, version)]
			return m, ok
		}} {
			for range 2 {
				found, failed := r.ForGroups(ctx, append([]string{"other"}, names...), known)
				for _, group := range append([]string{"other"}, names...) {
					want, wantErr := r.ForGroup(ctx, group)
					got, ok := found[group]
					if err := failed[group]; ok != (wantErr == nil) || ok == (err != nil) || !ok && errors.Is(err, ErrNoModel) != errors.Is(wantErr, ErrNoModel) {
						t.Fatalf("seed %d, group %s: %v, %v; alone %v", seed, group, got.Name, err, wantErr)
					}
					if ok && !reflect.DeepEqual(got, want) {
						t.Fatalf("seed %d, group %s: model %s, alone %s", seed, group, got.Name, want.Name)
					}
					remembered[fmt.Sprint(got.Name, got.Version)] = got
				}
			}
		}
	}
}

// counted counts readings.
type counted struct {
	blob.Store
	gets int
}

func (c *counted) Get(ctx context.Context, key string) (blob.Object, error) {
	c.gets++
	return c.Store.Get(ctx, key)
}

func TestAKnownManifestIsNotReadAgain(t *testing.T) {
	ctx := context.Background()
	store := &counted{Store: blob.NewMemory()}
	r := NewRegistry(store)
	m := manifest("shared")
	m.Groups = []string{AnyGroup}
	m, err := r.Put(ctx, m, []byte("model"))
	if err != nil {
		t.Fatal(err)
	}
	groups := make([]string, 1000)
	for i := range groups {
		groups[i] = fmt.Sprint("service-", i)
	}
	for _, c := range []struct {
		known Known
		gets  int
	}{{nil, 2}, {func(name string, version int) (Manifest, bool) { return m, name == "shared" && version == 1 }, 1}} {
		store.gets = 0
		if found, failed := r.ForGroups(ctx, groups, c.known); len(found) != len(groups) || len(failed) != 0 || store.gets != c.gets {
			t.Errorf("%d found, %d failed, %d readings instead of %d", len(found), len(failed), store.gets, c.gets)
		}
	}
}

func TestAnUnreadableRegistryFailsEveryGroup(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	found, failed := NewRegistry(blob.NewMemory()).ForGroups(ctx, []string{"a", "b"}, nil)
	if len(found) != 0 || !errors.Is(failed["a"], context.Canceled) || !errors.Is(failed["b"], context.Canceled) {
		t.Errorf("%v, %v", found, failed)
	}
}
