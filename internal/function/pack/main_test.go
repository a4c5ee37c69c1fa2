package main

import (
	"archive/zip"
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestTheSameFilesGiveTheSameArchive(t *testing.T) {
	var archives [][]byte
	for i, mode := range []os.FileMode{0o600, 0o777} {
		dir := t.TempDir()
		a, b := filepath.Join(dir, "bootstrap"), filepath.Join(dir, "forescale.yaml")
		files := []string{a, b}
		for _, f := range files {
			if err := os.WriteFile(f, []byte(filepath.Base(f)), mode); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(f, time.Time{}, time.Date(2026, 1, 1+i, 0, 0, 0, 0, time.UTC)); err != nil {
				t.Fatal(err)
			}
		}
		if i > 0 {
			files = []string{b, a}
		}
		out := filepath.Join(dir, "x.zip")
		if err := pack(out, files); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		archives = append(archives, data)
	}
	if !bytes.Equal(archives[0], archives[1]) {
		t.Error("the archives differ")
	}
	z, err := zip.NewReader(bytes.NewReader(archives[0]), int64(len(archives[0])))
	if err != nil || len(z.File) != 2 {
		t.Fatal(z, err)
	}
	for i, want := range []struct {
		name string
		mode os.FileMode
	}{{"bootstrap", 0o755}, {"forescale.yaml", 0o644}} {
		if f := z.File[i]; f.Name != want.name || f.Mode() != want.mode {
			t.Errorf("%s has mode %s", f.Name, f.Mode())
		}
	}
}

func TestFilesThatCannotBePackedAreNamed(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "b"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"a", "b/a"} {
		if err := os.WriteFile(filepath.Join(dir, f), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out := filepath.Join(dir, "x.zip")
	if err := pack(out, []string{filepath.Join(dir, "a"), filepath.Join(dir, "b/a")}); err == nil {
		t.Error("two files of one name are packed")
	}
	if err := pack(out, []string{filepath.Join(dir, "none")}); err == nil {
		t.Error("a missing file is packed")
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("half an archive was written")
	}
}
