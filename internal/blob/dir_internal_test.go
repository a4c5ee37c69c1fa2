package blob

import "testing"

// A directory that cannot be looked into is not an empty one: a reader that took
// it for that would believe that the lake has no history.
func TestDirListReportsWhatItCannotLookInto(t *testing.T) {
	d, err := NewDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Put(t.Context(), "open/date=1/k", []byte("x"), IfAbsent()); err != nil {
		t.Fatal(err)
	}
	d.root.Close() // every access fails from now on
	for _, prefix := range []string{"", "open/", "open/date=", "open/date=1/"} {
		var failed error
		for _, err := range d.List(t.Context(), prefix, "") {
			failed = err
		}
		if failed == nil {
			t.Errorf("List(%q) is empty and reports nothing", prefix)
		}
	}
}
