// Pack writes the archive of a function of AWS Lambda.
//
//	go run ./internal/function/pack OUT.zip FILE...
//
// The files lie side by side in it, by their last names, in the order of these; bootstrap
// may be executed. The same files give the same bytes wherever and whenever they are
// packed: an archive holds neither times nor owners of this machine.
package main

import (
	"archive/zip"
	"bytes"
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: pack OUT.zip FILE...")
		os.Exit(2)
	}
	if err := pack(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "pack:", err)
		os.Exit(1)
	}
}

// epoch is the first moment that the format knows.
var epoch = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

func pack(out string, files []string) error {
	files = slices.SortedFunc(slices.Values(files), func(a, b string) int { return cmp.Compare(filepath.Base(a), filepath.Base(b)) })
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i, file := range files {
		name, mode := filepath.Base(file), fs.FileMode(0o644)
		if i > 0 && name == filepath.Base(files[i-1]) {
			return fmt.Errorf("two files are called %s", name)
		}
		if name == "bootstrap" {
			mode = 0o755
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		h := &zip.FileHeader{Name: name, Method: zip.Deflate, Modified: epoch}
		h.SetMode(mode)
		w, err := z.CreateHeader(h)
		if err != nil {
			return err
		}
		if _, err := w.Write(data); err != nil {
			return err
		}
	}
	if err := z.Close(); err != nil {
		return err
	}
	return os.WriteFile(out, b.Bytes(), 0o644)
}
