// Package file replaces files as a whole, durably: whoever reads one sees its old
// content or the new, whenever the writer or the machine dies. It is for the
// files that a command leaves to people; objects of a store are internal/blob.
package file

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// ErrFull means that there is no room for a file: the disk is full, or a quota or
// a limit on the size of files is reached. What stood there before is untouched.
var ErrFull = errors.New("free some space and run again; what stood there before is untouched")

// Replace gives the file at path the content data and the mode 0644. After an
// error the old file is untouched and nothing is left of the new one; the error
// names the file, and is ErrFull where there is no room for it.
func Replace(path string, data []byte) error { return ReplaceAll(Content{path, data}) }

// Content is a file to be replaced.
type Content struct {
	Path string
	Data []byte
}

// ReplaceAll is Replace for files that belong together. Each is first written to
// another file of its directory and synced; then all are renamed, in their order,
// and the directories synced. So a disk without room for one of them changes none;
// a machine that dies between two renames has replaced the first of them only.
func ReplaceAll(files ...Content) (err error) {
	written := make([]string, 0, len(files))
	defer func() {
		if err != nil {
			for _, name := range written {
				_ = os.Remove(name) // the first error is the one worth telling
			}
		}
	}()
	for _, f := range files {
		name, err := writeTemp(f)
		if err != nil {
			return explain(f.Path, err)
		}
		written = append(written, name)
	}
	for i, f := range files {
		if err := os.Rename(written[i], f.Path); err != nil {
			return explain(f.Path, err)
		}
	}
	for i, f := range files {
		dir := filepath.Dir(f.Path)
		if i > 0 && dir == filepath.Dir(files[i-1].Path) {
			continue
		}
		if err := syncDir(dir); err != nil {
			return explain(f.Path, err)
		}
	}
	return nil
}

// writeTemp returns the name of a file beside f's that has its content, on disk.
func writeTemp(f Content) (name string, err error) {
	t, err := os.CreateTemp(filepath.Dir(f.Path), "."+filepath.Base(f.Path)+".*")
	if err != nil {
		return "", err
	}
	_, err = t.Write(f.Data)
	if err == nil {
		err = t.Chmod(0o644)
	}
	if err == nil {
		err = t.Sync()
	}
	if closed := t.Close(); err == nil {
		err = closed // a network file system may say only now that its disk is full
	}
	if err != nil {
		_ = os.Remove(t.Name())
		return "", err
	}
	return t.Name(), nil
}

// Full reports whether err says that there is no room for a file, whoever wrote
// it: an error of Replace, or one of a store on a full disk.
func Full(err error) bool {
	return errors.Is(err, ErrFull) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// Advise makes an error of a full disk, whoever met it, an ErrFull that says what
// to do. Any other error stays as it is.
func Advise(err error) error {
	if Full(err) && !errors.Is(err, ErrFull) {
		return fmt.Errorf("%w: %w", err, ErrFull)
	}
	return err
}

// explain names the file that the caller asked for in place of the temporary one.
func explain(path string, err error) error {
	cause := err
	var of *os.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &of):
		cause = of.Err
	case errors.As(err, &link):
		cause = link.Err
	}
	return fmt.Errorf("write %s: %w", path, Advise(cause))
}

// syncDir makes the entries of a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
