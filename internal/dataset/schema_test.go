package dataset

import (
	"bytes"
	"errors"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
)

// versionAs returns a part or closed file that claims another schema version, of
// one digit.
func versionAs(t *testing.T, b []byte, version string) []byte {
	t.Helper()
	mark := []byte(schemaKey + "\x18\x01") // Thrift: a string of length 1 follows
	if bytes.Count(b, mark) != 1 {
		t.Fatal("the version is not where it should be")
	}
	return bytes.Replace(b, append(mark, schemaVersion...), append(mark, version...), 1)
}

func TestASchemaVersionIsReadOrNamed(t *testing.T) {
	decoders := map[string]func([]byte) error{
		"part":        func(b []byte) error { _, err := decodePart(b, nil); return err },
		"closed file": func(b []byte) error { _, _, err := decodeAll(b); return err },
	}
	files := map[string][]byte{"part": goodPart(t, 3), "closed file": goodClosed(t, 1, 3)}
	for what, decode := range decoders {
		for name, tc := range map[string]struct {
			version string
			newer   bool
			why     string // "": it is read
		}{
			"our own":                     {version: schemaVersion},
			"newer: upgrade this program": {version: "2", newer: true, why: "reads up to 1"},
			"older than any release":      {version: "0", why: "older than any release"},
			"not ours":                    {version: "x", why: "import"},
		} {
			t.Run(what+", "+name, func(t *testing.T) {
				err := decode(versionAs(t, files[what], tc.version))
				if tc.why == "" {
					if err != nil {
						t.Error(err)
					}
					return
				}
				if err == nil || !strings.Contains(err.Error(), tc.why) || errors.Is(err, ErrNewer) != tc.newer {
					t.Errorf("%v; want %q, newer: %v", err, tc.why, tc.newer)
				}
			})
		}
	}
}

// What a newer release has written stays where it is, and is named.
func TestAPartOfANewerReleaseIsNeitherCompactedNorRemoved(t *testing.T) {
	store := blob.NewMemory()
	d := New(store)
	for _, group := range []string{"a", "b"} {
		row := api.Sample{Group: group, Metric: "m", Stat: api.StatAvg, Time: someDay, Value: 1}
		if err := d.Append(t.Context(), group, someDay, []api.Sample{row}, someDay); err != nil {
			t.Fatal(err)
		}
	}
	var newer string
	for info := range store.List(t.Context(), root, "") {
		newer = info.Key
	}
	o, err := store.Get(t.Context(), newer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Put(t.Context(), newer, versionAs(t, o.Data, "2"), blob.Condition{}); err != nil {
		t.Fatal(err)
	}
	_, err = New(store).Compact(t.Context(), CompactConfig{Before: someDay.AddDate(0, 0, 1)})
	if !OnlyCorrupt(err) || !errors.Is(err, ErrNewer) || !strings.Contains(err.Error(), newer) {
		t.Errorf("%v; want %s named as newer", err, newer)
	}
	if _, err := store.Get(t.Context(), newer); err != nil {
		t.Error(err)
	}
	got, err := New(store).Scan(t.Context(), Query{})
	if len(got) != 1 || got[0].Group != "a" || !errors.Is(err, ErrNewer) {
		t.Errorf("%v, %v", got, err)
	}
}

// Objects that a release has written are kept here for good, one folder a schema
// version: every later release must read them.
func TestEverySchemaVersionEverWrittenIsRead(t *testing.T) {
	want := golden()
	for _, area := range []string{"open", "closed"} {
		store := blob.NewMemory()
		dir := "testdata/schema-1/" + area
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != 1 {
			t.Fatal(entries, err)
		}
		data, err := os.ReadFile(path.Join(dir, entries[0].Name()))
		if err != nil {
			t.Fatal(err)
		}
		folder := "open/date=2026-03-14/20260314T000000Z/"
		if area == "closed" {
			folder = "closed/date=2026-03-14/"
		}
		if _, err := store.Put(t.Context(), folder+entries[0].Name(), data, blob.IfAbsent()); err != nil {
			t.Fatal(err)
		}
		got, err := New(store).Scan(t.Context(), Query{})
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v; want %v", area, got, err, want)
		}
	}
}

// golden returns the rows of the objects in testdata.
func golden() []api.Sample {
	return []api.Sample{
		{Group: "api", Metric: "response_time", Stat: api.StatP95, Time: someDay.Add(5 * time.Minute), Value: 0.25},
		{Group: "web", Metric: api.MetricCPU, Stat: api.StatAvg, Time: someDay, Value: 41.5},
		{Group: "web", Metric: api.MetricCPU, Stat: api.StatAvg, Time: someDay.Add(5 * time.Minute), Value: 43},
	}
}
