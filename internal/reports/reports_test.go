package reports

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/forescale/forescale/internal/blob"
)

func TestAReportIsFoundUnderTheNameThatItWasPublishedUnder(t *testing.T) {
	ctx, store := context.Background(), blob.NewMemory()
	r := New(store)
	if list, err := r.List(ctx); err != nil || len(list) != 0 || list == nil {
		t.Errorf("at first: %v, %v", list, err)
	}
	for _, name := range []string{"web-march", "a/b ü", "../../champion"} {
		if err := r.Put(ctx, name, []byte(`{"trace":"`+name+`"}`)); err != nil {
			t.Fatal(err)
		}
		if got, err := r.Get(ctx, name); err != nil || !strings.Contains(string(got), name) {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
	if err := r.Put(ctx, "web-march", []byte(`{"trace":"new"}`)); err != nil {
		t.Error(err)
	}
	for _, key := range []string{"backtests/readme.txt", "backtests/%zz.json", "backtests/x/y.json", "other/web.json"} {
		if _, err := store.Put(ctx, key, []byte("{}"), blob.Condition{}); err != nil {
			t.Fatal(err)
		}
	}
	list, err := r.List(ctx)
	if err != nil || len(list) != 3 {
		t.Errorf("%v, %v", list, err)
	}
	for _, e := range list {
		if e.Published.IsZero() || e.SizeBytes < 10 {
			t.Errorf("%+v", e)
		}
	}
}

func TestWhatIsNoReportIsRefused(t *testing.T) {
	ctx, store := context.Background(), blob.NewMemory()
	r := New(store)
	for name, content := range map[string]string{"": "{}", "bad\n": "{}", "x": "no json", "large": `"` + strings.Repeat("x", MaxSize) + `"`} {
		if err := r.Put(ctx, name, []byte(content)); err == nil {
			t.Errorf("%q was published", name)
		}
	}
	for _, name := range []string{"nobody", "", "bad\n", strings.Repeat("x", 300)} {
		if _, err := r.Get(ctx, name); !errors.Is(err, blob.ErrNotFound) {
			t.Errorf("%.20q: %v", name, err)
		}
	}
	if _, err := store.Put(ctx, "backtests/x.json", []byte("<html>"), blob.Condition{}); err != nil {
		t.Fatal(err)
	}
	if got, err := r.Get(ctx, "x"); err == nil || errors.Is(err, blob.ErrNotFound) {
		t.Errorf("%s, %v", got, err)
	}
}
