package catalog

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/onnxtest"
	"github.com/forescale/forescale/models"
)

func TestTheIndexFindsAGroupsModelAsTheRegistryDoes(t *testing.T) {
	for name, groupsOf := range map[string]map[string][]string{
		"one model for all":                     {"all": {"*"}},
		"a model of its own beside one for all": {"all": {"*"}, "web": {"web"}},
		"two models list a group":               {"b": {"web", "db"}, "a": {"web"}},
		"a name goes before a list":             {"a": {"web"}, "web": {"web", "db"}},
		"a name that serves all":                {"a": {"web"}, "web": {"*"}, "x": {"*"}},
		"a name that serves others only":        {"a": {"*"}, "web": {"db"}},
		"nobody serves":                         {"db": {"db"}},
		"no models at all":                      {},
	} {
		t.Run(name, func(t *testing.T) {
			registry := models.NewRegistry(blob.NewMemory())
			champions := map[string]models.Manifest{}
			for model, groups := range groupsOf {
				m, file := onnxtest.Persistence(onnxtest.Spec(4, 2), 1)
				m.Name, m.Groups, m.CreatedAt = model, groups, time.Unix(0, 0).UTC()
				var err error
				if champions[model], err = registry.Put(context.Background(), m, file); err != nil {
					t.Fatal(err)
				}
			}
			ix := newIndex(champions, nil, time.Now())
			for _, group := range []string{"web", "db", "a", "*", "../../x"} {
				want, err := registry.ForGroup(context.Background(), group)
				if err != nil && !errors.Is(err, models.ErrNoModel) {
					t.Fatal(err)
				}
				if got, ok := ix.nameFor(group); got != want.Name || ok != (err == nil) {
					t.Errorf("group %s: %q, the registry says %q", group, got, want.Name)
				}
			}
		})
	}
}
