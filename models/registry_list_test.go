package models

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/forescale/forescale/internal/blob"
)

func TestListTellsOwnForeignAndDamagedModelsApart(t *testing.T) {
	store := blob.NewMemory()
	r := NewRegistry(store)
	put(t, r, manifest("web", "web"), "a")
	put(t, r, manifest("web", "web"), "b")
	put(t, r, manifest("../../x", AnyGroup), "c")
	put(t, r, manifest("hurt", "hurt"), "d")
	for key, text := range map[string]string{
		"hurt/champion.json":      "{",
		"resnet/2/model.onnx":     "foreign",
		"resnet/10/model.onnx":    "foreign",
		"resnet/config.pbtxt":     "name: resnet",
		"web/3/model.onnx":        "a version without a manifest",
		"not a name/1/model.onnx": "a directory that no name leads to",
		"%FF/1/model.onnx":        "a name that is no text",
		"%/1/model.onnx":          "a name without a letter",
		"resnet/011/model.onnx":   "no integer version",
		"resnet/-1/model.onnx":    "no integer version",
		"empty/readme.txt":        "no version at all",
	} {
		if _, err := store.Put(ctx, key, []byte(text), blob.Condition{}); err != nil {
			t.Fatal(err)
		}
	}
	got, err := r.List(ctx)
	if err != nil || len(got) != 4 {
		t.Fatalf("list %+v, %v", got, err)
	}
	if got[1].Err == nil || !strings.Contains(got[1].Err.Error(), "hurt/champion.json") {
		t.Errorf("the damaged entry says %v", got[1].Err)
	}
	got[1].Err = nil
	want := []Entry{
		{Name: "../../x", Versions: []int{1}, Champion: 1},
		{Name: "hurt", Versions: []int{1}},
		{Name: "resnet", Versions: []int{2, 10}, Champion: 10, Foreign: true},
		{Name: "web", Versions: []int{1, 2}, Champion: 1},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestAFirstPutThatDiesIsNotTakenForAForeignModel(t *testing.T) {
	seen := map[int]bool{}
	for n := 0; n < 20; n++ {
		store := blob.NewMemory()
		_, err := NewRegistry(&dying{store, n}).Put(ctx, manifest("web", "web"), []byte("first"))
		r := NewRegistry(store)
		versions, e := r.Versions(ctx, "web")
		if e != nil {
			t.Fatal(e)
		}
		seen[len(versions)] = true
		m, champErr := r.Champion(ctx, "web")
		if len(versions) == 0 {
			if err == nil || !errors.Is(champErr, ErrNoModel) {
				t.Errorf("died at operation %d: nothing is visible, yet the champion is %+v, %v", n, m, champErr)
			}
			continue
		}
		if champErr != nil || m.Spec.Target == "" {
			t.Errorf("died at operation %d: the champion is %+v, %v", n, m, champErr)
		}
		if _, _, err := r.Get(ctx, "web", 1); err != nil {
			t.Errorf("died at operation %d: %v", n, err)
		}
	}
	if !seen[0] || !seen[1] {
		t.Errorf("the deaths left %v versions; the test missed a case", seen)
	}
}

// watching looks at the champion after every write.
type watching struct {
	blob.Store
	after func()
}

func (w watching) Put(c context.Context, key string, data []byte, cond blob.Condition) (string, error) {
	defer w.after()
	return w.Store.Put(c, key, data, cond)
}

func TestAChallengerNeverServesBeforeItsPromotion(t *testing.T) {
	for n := range 8 { // the first Put dies at any point, also before it named a champion
		store := blob.NewMemory()
		_, died := NewRegistry(&dying{store, n}).Put(ctx, manifest("web", "web"), []byte("first"))
		before, _ := NewRegistry(store).Versions(ctx, "web")
		if len(before) == 0 {
			continue
		}
		watched := NewRegistry(watching{store, func() {
			if m, err := NewRegistry(store).Champion(ctx, "web"); err != nil || m.Version != 1 {
				t.Errorf("died at %d (%v): version %d serves, %v", n, died, m.Version, err)
			}
		}})
		put(t, watched, manifest("web", "web"), "second")
	}
}

func TestAManifestThatWasCopiedByHandKeepsTheHighestServing(t *testing.T) {
	source, store := blob.NewMemory(), blob.NewMemory()
	for i := range 3 {
		put(t, NewRegistry(source), manifest("web", "web"), fmt.Sprint(i))
	}
	for info, err := range source.List(ctx, "", "") {
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(info.Key, "champion.json") {
			continue
		}
		o, err := source.Get(ctx, info.Key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.Put(ctx, info.Key, o.Data, blob.IfAbsent()); err != nil {
			t.Fatal(err)
		}
	}
	r := NewRegistry(store)
	check := func(want int) {
		t.Helper()
		if m, err := r.Champion(ctx, "web"); err != nil || m.Version != want {
			t.Errorf("version %d serves, %v; want %d", m.Version, err, want)
		}
	}
	check(3)
	put(t, r, manifest("web", "web"), "a challenger")
	check(3)
	if err := r.Promote(ctx, "web", 4, 3, time.Now()); err != nil {
		t.Error(err)
	}
	check(4)
}

func TestAForeignNameIsNeitherTakenOverNorPromoted(t *testing.T) {
	store := blob.NewMemory()
	r := NewRegistry(store)
	if _, err := store.Put(ctx, "resnet/1/model.onnx", []byte("m"), blob.Condition{}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Put(ctx, manifest("resnet", "web"), []byte("x")); err == nil || !strings.Contains(err.Error(), "without manifests") {
		t.Errorf("put: %v", err)
	}
	if err := r.Promote(ctx, "resnet", 1, 1, time.Now()); err == nil {
		t.Error("a foreign model was promoted")
	}
	if m, err := r.Champion(ctx, "resnet"); err != nil || m.Version != 1 {
		t.Errorf("champion %+v, %v", m, err)
	}
}

func TestWhatIsDamagedIsNotPromoted(t *testing.T) {
	store := blob.NewMemory()
	r := NewRegistry(store)
	put(t, r, manifest("web", "web"), "a")
	put(t, r, manifest("web", "web"), "b")
	if _, err := store.Put(ctx, "web/2/model.onnx", []byte("c"), blob.Condition{}); err != nil {
		t.Fatal(err)
	}
	if err := r.Promote(ctx, "web", 2, 1, time.Now()); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("promote: %v", err)
	}
	if err := store.Delete(ctx, "web/2/model.onnx"); err != nil {
		t.Fatal(err)
	}
	if err := r.Promote(ctx, "web", 2, 1, time.Now()); err == nil {
		t.Error("a version without its model was promoted")
	}
}

func TestTheRegistryInADirectoryWithRacingTrainers(t *testing.T) {
	root := t.TempDir()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var versions []int
	for i := range 6 {
		wg.Go(func() {
			store, err := blob.NewDir(root)
			if err != nil {
				t.Error(err)
				return
			}
			m, err := NewRegistry(store).Put(ctx, manifest("a group/1", "a group/1"), []byte(fmt.Sprint("model ", i)))
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			versions = append(versions, m.Version)
			mu.Unlock()
		})
	}
	wg.Wait()
	slices.Sort(versions)
	if len(slices.Compact(versions)) != 6 {
		t.Errorf("versions %v", versions)
	}
	store, err := blob.NewDir(root)
	if err != nil {
		t.Fatal(err)
	}
	r := NewRegistry(store)
	m, err := r.ForGroup(ctx, "a group/1")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Promote(ctx, m.Name, versions[5], m.Version, time.Now()); err != nil {
		t.Error(err)
	}
	if m, err := r.Champion(ctx, m.Name); err != nil || m.Version != versions[5] {
		t.Errorf("champion %d, %v", m.Version, err)
	}
}
