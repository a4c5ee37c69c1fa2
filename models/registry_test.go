package models

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/forescale/forescale/internal/blob"
)

var ctx = context.Background()

func manifest(name string, groups ...string) Manifest {
	return Manifest{
		Name: name, Groups: groups, CreatedAt: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC),
		Spec: Spec{Target: "demand", StepSeconds: 300, Lookback: 24, Horizon: 12, Series: []string{"demand"}, MaxGap: 3},
	}
}

func put(t *testing.T, r *Registry, m Manifest, model string) Manifest {
	t.Helper()
	stored, err := r.Put(ctx, m, []byte(model))
	if err != nil {
		t.Fatal(err)
	}
	return stored
}

func TestTheFirstVersionIsChampionAndALaterOneWaits(t *testing.T) {
	r := NewRegistry(blob.NewMemory())
	for want := 1; want <= 11; want++ { // past 9: versions are numbers, keys are text
		if m := put(t, r, manifest("web", "web"), fmt.Sprint("model ", want)); m.Version != want {
			t.Fatalf("version %d, want %d", m.Version, want)
		}
	}
	if m, err := r.Champion(ctx, "web"); err != nil || m.Version != 1 {
		t.Errorf("champion %d, %v", m.Version, err)
	}
	if v, err := r.Versions(ctx, "web"); err != nil || len(v) != 11 || !slices.IsSorted(v) {
		t.Errorf("versions %v, %v", v, err)
	}
	m, model, err := r.Get(ctx, "web", 11)
	if err != nil || string(model) != "model 11" || !reflect.DeepEqual(m.Spec, manifest("web").Spec) {
		t.Errorf("got %+v, %q, %v", m, model, err)
	}
}

func TestPromoteIsACompareAndSwap(t *testing.T) {
	r := NewRegistry(blob.NewMemory())
	put(t, r, manifest("web", "web"), "a")
	put(t, r, manifest("web", "web"), "b")
	put(t, r, manifest("web", "web"), "c")
	now := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	if err := r.Promote(ctx, "web", 2, 1, now); err != nil {
		t.Fatal(err)
	}
	if err := r.Promote(ctx, "web", 3, 1, now); !errors.Is(err, ErrConflict) {
		t.Errorf("promoting over a champion that is gone: %v", err)
	}
	if err := r.Promote(ctx, "web", 4, 2, now); !errors.Is(err, ErrNoModel) {
		t.Errorf("promoting what is not there: %v", err)
	}
	if err := r.Promote(ctx, "web", 2, 1, now); err != nil {
		t.Errorf("repeating a promotion: %v", err)
	}
	if m, err := r.Champion(ctx, "web"); err != nil || m.Version != 2 {
		t.Errorf("champion %d, %v", m.Version, err)
	}
}

func TestRacingPutsGetVersionsOfTheirOwn(t *testing.T) {
	r := NewRegistry(blob.NewMemory())
	var wg sync.WaitGroup
	var mu sync.Mutex
	got := map[int]string{}
	for i := range 16 {
		wg.Go(func() {
			m := manifest("web", "web")
			m.Seed = uint64(i)
			text := fmt.Sprint("model ", i)
			stored, err := r.Put(ctx, m, []byte(text))
			mu.Lock()
			defer mu.Unlock()
			if err != nil || got[stored.Version] != "" {
				t.Errorf("version %d: %v", stored.Version, err)
			}
			got[stored.Version] = text
		})
	}
	wg.Wait()
	for version, want := range got {
		if _, model, err := r.Get(ctx, "web", version); err != nil || string(model) != want {
			t.Errorf("version %d: %q, %v", version, model, err)
		}
	}
}

func TestForGroup(t *testing.T) {
	r := NewRegistry(blob.NewMemory())
	put(t, r, manifest("all", AnyGroup), "all")
	put(t, r, manifest("shop", "cart", "search"), "shop")
	put(t, r, manifest("cart", "cart"), "cart")
	for group, want := range map[string]string{"cart": "cart", "search": "shop", "other": "all", "../../x": "all"} {
		if m, err := r.ForGroup(ctx, group); err != nil || m.Name != want {
			t.Errorf("group %q: model %q, %v; want %q", group, m.Name, err, want)
		}
	}
	if _, err := NewRegistry(blob.NewMemory()).ForGroup(ctx, "cart"); !errors.Is(err, ErrNoModel) {
		t.Errorf("an empty registry: %v", err)
	}
}

func TestAForeignModelIsServedWithoutAManifest(t *testing.T) {
	store := blob.NewMemory()
	r := NewRegistry(store)
	for _, key := range []string{"resnet/2/model.onnx", "resnet/10/model.onnx", "resnet/notes.txt", "README"} {
		if _, err := store.Put(ctx, key, []byte(key), blob.Condition{}); err != nil {
			t.Fatal(err)
		}
	}
	m, err := r.Champion(ctx, "resnet")
	if err != nil || m.Version != 10 || m.Spec.Target != "" {
		t.Fatalf("champion %+v, %v", m, err)
	}
	if m, model, err := r.Get(ctx, "resnet", 2); err != nil || string(model) != "resnet/2/model.onnx" || m.SHA256 == "" {
		t.Errorf("got %+v %q %v", m, model, err)
	}
	if names, err := r.Names(ctx); err != nil || !slices.Equal(names, []string{"resnet"}) {
		t.Errorf("names %v, %v", names, err)
	}
}

func TestADamagedVersionIsRefused(t *testing.T) {
	store := blob.NewMemory()
	r := NewRegistry(store)
	put(t, r, manifest("web", "web"), "the model")
	if _, err := store.Put(ctx, "web/1/model.onnx", []byte("the modeL"), blob.Condition{}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Get(ctx, "web", 1); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("changed model: %v", err)
	}
	for text, want := range map[string]string{
		`{"name":"web","version":1,"surprise":1}`: "surprise",
		`{"name":"other","version":1}`:            "other",
		`{"name":"web","version":1}`:              "groups",
		`{`:                                       "manifest.json",
	} {
		if _, err := store.Put(ctx, "web/1/manifest.json", []byte(text), blob.Condition{}); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Manifest(ctx, "web", 1); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("manifest %s: error %v does not mention %q", text, err, want)
		}
	}
}

func TestPutRefusesAManifestThatMakesNoSense(t *testing.T) {
	r := NewRegistry(blob.NewMemory())
	for want, change := range map[string]func(*Manifest){
		"name":     func(m *Manifest) { m.Name = "" },
		"groups":   func(m *Manifest) { m.Groups = nil },
		"lookback": func(m *Manifest) { m.Spec.Lookback = 0 },
		"lags": func(m *Manifest) {
			m.Spec.Lags = []Lag{{Series: "demand", Offsets: []int{3}}}
		},
	} {
		m := manifest("web", "web")
		change(&m)
		if _, err := r.Put(ctx, m, []byte("x")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not mention %q", err, want)
		}
	}
	if names, _ := r.Names(ctx); len(names) != 0 {
		t.Errorf("a refused model left %v behind", names)
	}
}

func TestCalibrationIsKeptAndCheckedByGroup(t *testing.T) {
	shared := func(groups ...string) Manifest {
		m := manifest("fleet", groups...)
		m.Spec.Horizon, m.Spec.Quantiles = 2, []float64{0.1, 0.9}
		return m
	}
	r := NewRegistry(blob.NewMemory())
	m := shared(AnyGroup)
	m.Calibration = map[string][]float64{"web": {0.5, 2}, "db": {1e-3, 1e6}}
	put(t, r, m, "model")
	if got, err := r.Champion(ctx, "fleet"); err != nil || !reflect.DeepEqual(got.Calibration, m.Calibration) {
		t.Errorf("got %v, %v", got.Calibration, err)
	}
	for name, c := range map[string]struct {
		groups  []string
		factors map[string][]float64
		change  func(*Manifest)
		want    string
	}{
		"a group of those listed":        {[]string{"web", "db"}, map[string][]float64{"db": {1, 1}}, nil, ""},
		"a group that is not served":     {[]string{"web"}, map[string][]float64{"db": {1, 1}}, nil, `calibration["db"]: is no group`},
		"every group at once":            {[]string{AnyGroup}, map[string][]float64{AnyGroup: {1, 1}}, nil, `calibration["*"]: is no group`},
		"one factor short":               {[]string{AnyGroup}, map[string][]float64{"web": {1}}, nil, "has 1 factors for a horizon of 2"},
		"no factors":                     {[]string{AnyGroup}, map[string][]float64{"web": nil}, nil, "has 0 factors"},
		"a factor of zero":               {[]string{AnyGroup}, map[string][]float64{"web": {1, 0}}, nil, `calibration["web"][1]: is 0`},
		"a negative factor":              {[]string{AnyGroup}, map[string][]float64{"web": {-1, 1}}, nil, `calibration["web"][0]: is -1`},
		"a factor that is not a number":  {[]string{AnyGroup}, map[string][]float64{"web": {1, math.NaN()}}, nil, "is NaN"},
		"an infinite factor":             {[]string{AnyGroup}, map[string][]float64{"web": {1, math.Inf(1)}}, nil, "is +Inf"},
		"a factor beyond reason":         {[]string{AnyGroup}, map[string][]float64{"web": {1, 2e6}}, nil, "is 2e+06"},
		"a point model has no quantiles": {[]string{AnyGroup}, map[string][]float64{"web": {1, 1}}, func(m *Manifest) { m.Spec.Quantiles = nil }, "no quantiles"},
	} {
		t.Run(name, func(t *testing.T) {
			m := shared(c.groups...)
			m.Calibration = c.factors
			if c.change != nil {
				c.change(&m)
			}
			_, err := NewRegistry(blob.NewMemory()).Put(ctx, m, []byte("x"))
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestAManifestTooLongToBeReadAgainIsNotStored(t *testing.T) {
	r := NewRegistry(blob.NewMemory())
	m := manifest("fleet", AnyGroup)
	m.Spec.Horizon, m.Spec.Quantiles, m.Calibration = MaxHorizon, []float64{0.5}, map[string][]float64{}
	m.Spec.Lags = nil
	for i := range 100 {
		m.Calibration[fmt.Sprint("group ", i)] = slices.Repeat([]float64{1.0 / 3}, MaxHorizon)
	}
	if _, err := r.Put(ctx, m, []byte("x")); err == nil || !strings.Contains(err.Error(), "at most") {
		t.Errorf("got %v", err)
	}
	if _, err := r.Champion(ctx, "fleet"); !errors.Is(err, ErrNoModel) {
		t.Errorf("something was left behind: %v", err)
	}
}

// dying fails every operation from the n-th on, as if the process had ended.
type dying struct {
	blob.Store
	left int
}

var errDied = errors.New("died")

func (d *dying) spend() error {
	if d.left--; d.left < 0 {
		return errDied
	}
	return nil
}

func (d *dying) Put(ctx context.Context, key string, data []byte, cond blob.Condition) (string, error) {
	if err := d.spend(); err != nil {
		return "", err
	}
	return d.Store.Put(ctx, key, data, cond)
}

func (d *dying) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Info, error] {
	if err := d.spend(); err != nil {
		return func(yield func(blob.Info, error) bool) { yield(blob.Info{}, err) }
	}
	return d.Store.List(ctx, prefix, after)
}

func TestAPutThatDiesAnywhereLeavesNothingHalf(t *testing.T) {
	for n := 0; ; n++ {
		store := blob.NewMemory()
		_, err := NewRegistry(&dying{store, n}).Put(ctx, manifest("web", "web"), []byte("first"))
		if err == nil {
			if n < 4 {
				t.Fatalf("a Put took only %d operations", n)
			}
			return
		}
		r := NewRegistry(store)
		again := put(t, r, manifest("web", "web"), "second")
		champion, err := r.Champion(ctx, "web")
		if err != nil {
			t.Fatalf("died at operation %d: %v", n, err)
		}
		if _, model, err := r.Get(ctx, "web", champion.Version); err != nil || len(model) == 0 {
			t.Errorf("died at operation %d: champion %d cannot be read: %v", n, champion.Version, err)
		}
		if visible, _ := r.Versions(ctx, "web"); champion.Version != visible[0] || !slices.Contains(visible, again.Version) {
			t.Errorf("died at operation %d: versions %v, champion %d, new %d", n, visible, champion.Version, again.Version)
		}
	}
}

func TestForGroupSaysWhyTheGroupsOwnModelCannotServe(t *testing.T) {
	store := blob.NewMemory()
	r := NewRegistry(store)
	put(t, r, manifest("web", "web"), "model")
	if _, err := store.Put(ctx, "web/champion.json", []byte("{"), blob.Condition{}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.ForGroup(ctx, "web"); err == nil || !strings.Contains(err.Error(), "champion.json") {
		t.Errorf("the error hides the cause: %v", err)
	}
	put(t, r, manifest("fleet", AnyGroup), "model")
	if m, err := r.ForGroup(ctx, "web"); err != nil || m.Name != "fleet" {
		t.Errorf("another model that serves the group was not taken: %q, %v", m.Name, err)
	}
}
