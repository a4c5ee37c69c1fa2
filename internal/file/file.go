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
var ErrFull = errors.New("there is no room for it; free some space and run again (what stood there before is untouched)")

// Replace gives the file at path the content data and the mode 0644. It writes
// another file of the same directory, syncs it, renames it to path and syncs the
// directory. After an error the old file is untouched and the new one removed;
// the error names the file, and is ErrFull where there is no room for it.
func Replace(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return explain(path, err)
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed // a network file system may say only now that its disk is full
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // the first error is the one worth telling
		return explain(path, err)
	}
	return syncDir(filepath.Dir(path))
}

// Full reports whether err says that there is no room for a file, whoever wrote
// it: an error of Replace, or one of a store on a full disk.
func Full(err error) bool {
	return errors.Is(err, ErrFull) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
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
	if Full(err) {
		return fmt.Errorf("write %s: %w: %w", path, cause, ErrFull)
	}
	return fmt.Errorf("write %s: %w", path, cause)
}

// syncDir makes the entries of a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
