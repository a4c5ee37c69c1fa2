package models

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/forescale/forescale/internal/blob"
)

// What is read of a registry that anybody may have written is what was asked for and
// passes for what Put would write; and nothing of it makes a reader panic.
func FuzzManifestAndPointer(f *testing.F) {
	m := manifest("web", "web", AnyGroup)
	m.Version, m.SizeBytes, m.SHA256 = 1, 1, string(make([]byte, 64))
	whole, err := json.Marshal(m)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole, []byte(`{"version":1,"since":"2026-03-02T12:00:00Z","previous":2}`), []byte(`{"version":1,"from":2,"at":"2026-03-02T12:00:00Z"}`))
	f.Add([]byte(`{"name":"web","version":1,"groups":["*"],"size_bytes":-1}`), []byte(`{"version":-1}`), []byte(`{"at":1}`))
	f.Add([]byte(`{`), []byte(`{"version":1e99}`), []byte(`[`))
	at := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, manifest, pointer, change []byte) {
		store := blob.NewMemory()
		for key, raw := range map[string][]byte{"web/1/manifest.json": manifest, "web/champion.json": pointer, changeKey("web", 1, at): change, "web/1/model.onnx": {1}} {
			if _, err := store.Put(ctx, key, raw, blob.IfAbsent()); err != nil {
				t.Fatal(err)
			}
		}
		r := NewRegistry(store)
		if m, err := r.Manifest(ctx, "web", 1); err == nil && (m.Name != "web" || m.Version != 1 || m.check() != nil) {
			t.Errorf("read as %+v", m)
		}
		if m, err := r.Champion(ctx, "web"); err == nil && m.Version != 1 {
			t.Errorf("there is no version %d", m.Version)
		}
		list, err := NewWatch(r).Standings(ctx)
		if err != nil || len(list) != 1 || (list[0].Err == nil) != (list[0].Champion.Version == 1) {
			t.Errorf("%+v, %v", list, err)
		}
		if changes, err := r.History(ctx, "web"); err == nil && len(changes) > 1 && changes[0].At.Equal(changes[1].At) && changes[0].Version == changes[1].Version {
			t.Errorf("history %+v", changes)
		}
	})
}
