package models

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/forescale/forescale/internal/blob"
)

// shaky is a store that counts its reads, and whose reads of some keys fail.
type shaky struct {
	blob.Store
	gets atomic.Int64
	away string // keys that contain it cannot be read; "": none
}

func (c *shaky) Get(ctx context.Context, key string) (blob.Object, error) {
	c.gets.Add(1)
	if c.away != "" && strings.Contains(key, c.away) {
		return blob.Object{}, errors.New("no route to the store")
	}
	return c.Store.Get(ctx, key)
}

func TestAWatchReadsWhatHasChangedAndNothingElse(t *testing.T) {
	dir, err := blob.Open(ctx, "file://"+t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, store := range map[string]blob.Store{"in memory": blob.NewMemory(), "in a directory": dir} {
		t.Run(name, func(t *testing.T) {
			store := &shaky{Store: store}
			r := NewRegistry(store)
			for i := range 20 {
				put(t, r, manifest(fmt.Sprint("m", i), "*"), "a")
			}
			put(t, r, manifest("m3", "*"), "b")
			if _, err := store.Put(ctx, "foreign/1/model.onnx", []byte("x"), blob.Condition{}); err != nil {
				t.Fatal(err)
			}
			w := NewWatch(r)
			read := func(atMost int64) map[string]Standing {
				t.Helper()
				store.gets.Store(0)
				list, err := w.Standings(ctx)
				if err != nil {
					t.Fatal(err)
				}
				if n := store.gets.Load(); n > atMost {
					t.Errorf("%d objects were read, at most %d were needed", n, atMost)
				}
				by := map[string]Standing{}
				for _, s := range list {
					if by[s.Name] = s; s.Err != nil {
						t.Error(s.Err)
					}
				}
				return by
			}
			if all := read(40); len(all) != 21 || all["m3"].Champion.Version != 1 || len(all["m3"].Versions) != 2 || all["foreign"].Champion.Version != 1 {
				t.Errorf("standings %+v", all)
			}
			read(0)
			if err := r.Promote(ctx, "m3", 2, 1, hour(1)); err != nil {
				t.Fatal(err)
			}
			if s := read(2)["m3"]; s.Champion.Version != 2 {
				t.Errorf("champion %d", s.Champion.Version)
			}
			if err := r.Pin(ctx, "m4", Order{Version: 1}); err != nil {
				t.Fatal(err)
			}
			if s := read(2)["m4"]; !s.Orders.IsPinned(1) || s.Champion.Version != 1 {
				t.Errorf("standing %+v", s)
			}
			put(t, r, manifest("m5", "*"), "b") // a challenger
			if s := read(1)["m5"]; s.Champion.Version != 1 || len(s.Versions) != 2 {
				t.Errorf("standing %+v", s)
			}
			read(0)
		})
	}
}

func TestAWatchKeepsWhatItKnewOfANameThatCannotBeRead(t *testing.T) {
	store := &shaky{Store: blob.NewMemory()}
	r := NewRegistry(store)
	put(t, r, manifest("sound", "*"), "a")
	put(t, r, manifest("web", "*"), "a")
	put(t, r, manifest("web", "*"), "b")
	w := NewWatch(r)
	stands := func() (web Standing) {
		t.Helper()
		list, err := w.Standings(ctx)
		if err != nil || len(list) != 2 || list[0].Err != nil {
			t.Fatalf("%+v, %v", list, err)
		}
		return list[1]
	}
	stands()
	if err := r.Promote(ctx, "web", 2, 1, hour(1)); err != nil {
		t.Fatal(err)
	}
	store.away = "web/"
	if s := stands(); s.Err == nil || s.Champion.Version != 1 {
		t.Errorf("champion %d, error %v", s.Champion.Version, s.Err)
	}
	store.away = ""
	if s := stands(); s.Err != nil || s.Champion.Version != 2 { // although the listing says nothing new
		t.Errorf("champion %d, error %v", s.Champion.Version, s.Err)
	}
}

func TestAModelFileThatIsLargerThanItMayBeIsNotRead(t *testing.T) {
	dir := t.TempDir()
	files, err := blob.Open(ctx, "file://"+dir)
	if err != nil {
		t.Fatal(err)
	}
	store := &shaky{Store: files, away: "model.onnx"} // whoever reads one gets another error
	r := NewRegistry(store)
	put(t, r, manifest("ours", "*"), "model")
	if _, err := store.Put(ctx, "foreign/1/model.onnx", []byte("model"), blob.Condition{}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		size int64
		want string
	}{"ours": {6, "6 bytes, but its manifest says 5"}, "foreign": {maxModelSize + 1, "more than a model may have"}} {
		if err := os.Truncate(filepath.Join(dir, name, "1", "model.onnx"), c.size); err != nil { // it takes no room
			t.Fatal(err)
		}
		if _, _, err := r.Get(ctx, name, 1); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	list, err := NewWatch(r).Standings(ctx)
	if err != nil || len(list) != 2 || list[0].Name != "foreign" || list[0].Champion.SizeBytes != maxModelSize+1 {
		t.Errorf("nobody learns how large it is: %+v, %v", list, err)
	}
}
