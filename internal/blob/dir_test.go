package blob_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/internal/blob"
)

func openDir(t *testing.T, root string) *blob.Dir {
	t.Helper()
	d, err := blob.NewDir(root)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDir(t *testing.T) {
	conformance(t, func(t *testing.T) func() blob.Store {
		root := filepath.Join(t.TempDir(), "made", "when", "missing")
		return func() blob.Store { return openDir(t, root) }
	})
}

func TestDirRefusesSymbolicLinksBelowTheRoot(t *testing.T) {
	outside, root := t.TempDir(), t.TempDir()
	s := openDir(t, root)
	put(t, s, "real/object", "inside", blob.Condition{})
	if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{
		"file-out": filepath.Join(outside, "secret"), "dir-out": outside, "up": "..",
		"file-in": "real/object", "dir-in": "real", "dangling": "nowhere", "real/loop": "loop",
	} {
		if err := os.Symlink(target, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []string{"file-out", "dir-out/secret", "up/x", "file-in", "dir-in/object", "dir-in/new", "dangling", "real/loop", "real/loop/x"} {
		_, getErr := s.Get(t.Context(), key)
		_, putErr := s.Put(t.Context(), key, []byte("x"), blob.Condition{})
		_, absentErr := s.Put(t.Context(), key, []byte("x"), blob.IfAbsent())
		for op, err := range map[string]error{"Get": getErr, "Put": putErr, "Put if absent": absentErr, "Delete": s.Delete(t.Context(), key)} {
			if !errors.Is(err, blob.ErrKey) || !strings.Contains(err.Error(), "link") {
				t.Errorf("%s(%q): %v", op, key, err)
			}
		}
	}
	for _, prefix := range []string{"", "dir-out/", "dir-in/", "up/"} {
		for _, key := range list(t, s, prefix, "") {
			if key != "real/object" {
				t.Errorf("List(%q) yields %q", prefix, key)
			}
		}
	}
	if b, err := os.ReadFile(filepath.Join(outside, "secret")); err != nil || string(b) != "secret" {
		t.Errorf("the file outside now holds %q, %v", b, err)
	}
}

func TestDirKeepsItsOwnFilesApart(t *testing.T) {
	root := t.TempDir()
	s := openDir(t, root)
	put(t, s, "k", "v", blob.Condition{})
	for _, key := range []string{".forescale/lock", ".forescale", ".forescale/tmp/x"} {
		if _, err := s.Put(t.Context(), key, nil, blob.Condition{}); !errors.Is(err, blob.ErrKey) {
			t.Errorf("Put(%q): %v", key, err)
		}
	}
	for _, prefix := range []string{"", ".", ".forescale", ".forescale/", ".forescale/tmp/"} {
		for _, key := range list(t, s, prefix, "") {
			if key != "k" {
				t.Errorf("List(%q) yields %q", prefix, key)
			}
		}
	}
	put(t, s, ".forescaled", "not ours", blob.IfAbsent())
}

func TestDirRemovesWhatDeadWritersLeftBehind(t *testing.T) {
	root := t.TempDir()
	temp := filepath.Join(root, ".forescale", "tmp")
	if err := os.MkdirAll(temp, 0o777); err != nil {
		t.Fatal(err)
	}
	for name, age := range map[string]time.Duration{"old": 2 * time.Hour, "young": time.Minute} {
		p := filepath.Join(temp, name)
		if err := os.WriteFile(p, []byte("partial"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(p, time.Time{}, time.Now().Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	put(t, openDir(t, root), "k", "v", blob.Condition{})
	entries, err := os.ReadDir(temp)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 || entries[0].Name() != "young" {
		t.Errorf("left: %v; want the young one, which may be in use", entries)
	}
}

func TestDirRefusesAKeyThatIsObjectAndParent(t *testing.T) {
	s := openDir(t, t.TempDir())
	put(t, s, "a/b", "x", blob.Condition{})
	for _, key := range []string{"a", "a/b/c", strings.Repeat("n", 256)} {
		for _, cond := range []blob.Condition{{}, blob.IfAbsent()} {
			if _, err := s.Put(t.Context(), key, []byte("y"), cond); !errors.Is(err, blob.ErrKey) {
				t.Errorf("Put(%.10q): %v", key, err)
			}
		}
	}
	if got, _ := get(t, s, "a/b"); got != "x" {
		t.Errorf("a/b is now %q", got)
	}
}

func TestDirReadsFromADirectoryThatCannotBeWritten(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "m", "1"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "m", "1", "model.onnx"), []byte("model"), 0o444); err != nil {
		t.Fatal(err)
	}
	s := openDir(t, root)
	if got, _ := get(t, s, "m/1/model.onnx"); got != "model" {
		t.Errorf("read %q", got)
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 {
		t.Errorf("reading left something behind: %v", entries)
	}
}

func TestOpenNamesTheFaultOfAURL(t *testing.T) {
	for rawURL, want := range map[string]string{
		"":                                     "empty",
		"file://host/dir":                      "three slashes",
		"file:///dir?x=1":                      "nothing after the path",
		"ftp://host/dir":                       "unknown scheme",
		"mem://x":                              "unknown scheme",
		"file:/dir":                            "want file:///DIR",
		"s3:/bucket/prefix":                    "want file:///DIR or s3://",
		"s3://":                                "BUCKET",
		"s3://key:secret@bucket":               "AWS_ACCESS_KEY_ID",
		"s3://bucket/a/../b":                   "prefix",
		"s3://bucket?enpoint=http://h":         `unknown parameter "enpoint"`,
		"s3://bucket?endpoint=localhost":       "not an http or https URL",
		"s3://bucket?path_style=yes":           "must be true or false",
		"s3://bucket?region=a&region=b":        "twice",
		"s3://bucket:80/x":                     "BUCKET",
		"file:///proc/version/not-a-directory": "not a directory",
	} {
		_, err := blob.Open(t.Context(), rawURL)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Open(%q): %v; want %q", rawURL, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "secret@") {
			t.Errorf("Open(%q) shows the secret: %v", rawURL, err)
		}
		// Check does not look whether there is room for a directory.
		if check := blob.Check(t.Context(), rawURL); !strings.HasPrefix(rawURL, "file:///proc") && (check == nil || !strings.Contains(check.Error(), want)) {
			t.Errorf("Check(%q): %v; want %q", rawURL, check, want)
		}
	}
	dir := t.TempDir()
	for _, rawURL := range []string{"file://" + dir, dir} {
		s, err := blob.Open(t.Context(), rawURL)
		if err != nil {
			t.Fatal(err)
		}
		put(t, s, "k", rawURL, blob.Condition{})
		if b, err := os.ReadFile(filepath.Join(dir, "k")); err != nil || string(b) != rawURL {
			t.Errorf("%s: %q, %v", rawURL, b, err)
		}
	}
}

func TestCheckMakesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "lake")
	for _, rawURL := range []string{"file://" + dir, dir, "s3://bucket/prefix?region=eu-central-1"} {
		if err := blob.Check(t.Context(), rawURL); err != nil {
			t.Errorf("%s: %v", rawURL, err)
		}
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the directory is there: %v", err)
	}
}

func TestADirectoryOfAnyNameHasAURL(t *testing.T) {
	for _, name := range []string{"plain", "with space", "per%cent", "a?b#c", "Größe"} {
		dir := filepath.Join(t.TempDir(), name)
		rawURL, err := blob.DirURL(dir)
		if err != nil {
			t.Fatal(err)
		}
		s, err := blob.Open(t.Context(), rawURL)
		if err != nil {
			t.Fatalf("%s: %v", rawURL, err)
		}
		put(t, s, "k", "v", blob.Condition{})
		if _, err := os.Stat(filepath.Join(dir, "k")); err != nil {
			t.Errorf("%s: %v", rawURL, err)
		}
	}
	if rawURL, err := blob.DirURL("relative"); err != nil || !strings.HasPrefix(rawURL, "file:///") {
		t.Errorf("%q, %v", rawURL, err)
	}
}

func TestAnErrorNamesTheDirectoryOfTheStore(t *testing.T) {
	dir := t.TempDir()
	s, err := blob.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), "a/b"); err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "a/b") {
		t.Errorf("%v names not both %s and the key", err, dir)
	}
}

func TestTheDirectoryOfAURL(t *testing.T) {
	for rawURL, want := range map[string]string{
		"file:///var/lib/lake": "/var/lib/lake", "file:///a%20b/": "/a b", "some/folder/": "some/folder",
		"s3://bucket/prefix": "", "s3:/bucket": "", "": "",
	} {
		if got := blob.Directory(rawURL); got != want {
			t.Errorf("%q: got %q, want %q", rawURL, got, want)
		}
	}
}
