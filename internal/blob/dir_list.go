package blob

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path"
	"slices"
	"strings"
	"syscall"
)

// readDir returns the entries of a directory, or none when it cannot be read.
func (d *Dir) readDir(dir string) []fs.DirEntry {
	entries, err := d.entries(dir)
	if err != nil {
		return nil
	}
	return entries
}

func (d *Dir) entries(dir string) ([]fs.DirEntry, error) {
	f, err := d.root.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.ReadDir(-1)
}

// List implements Store. It reads one directory at a time, and only those that
// can hold a key in question.
func (d *Dir) List(ctx context.Context, prefix, after string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		l := lister{d: d, ctx: ctx, prefix: prefix, after: after, yield: yield}
		// The directories that the prefix names in full need no search. They
		// may be names that no key has (".."), in which case there is nothing.
		start := ""
		if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
			start = prefix[:i]
			if d.check(ctx, start) != nil && ctx.Err() == nil {
				return
			}
			err := d.noLinks(start + "/x")
			if errors.Is(err, ErrKey) {
				return
			}
			if err != nil { // a directory that cannot be looked into is not empty
				yield(Info{}, fmt.Errorf("list %s: %w", start, err))
				return
			}
			start += "/"
		}
		l.walk(start)
	}
}

type lister struct {
	d             *Dir
	ctx           context.Context
	prefix, after string
	yield         func(Info, error) bool
}

// walk yields the objects below dir, which is "" or ends with a slash. It
// returns false when the listing is over.
func (l *lister) walk(dir string) bool {
	if err := l.ctx.Err(); err != nil {
		l.yield(Info{}, err)
		return false
	}
	entries, err := l.d.entries(path.Clean("./" + dir))
	if errors.Is(err, fs.ErrNotExist) { // never made, or just removed
		return true
	}
	if err != nil {
		l.yield(Info{}, fmt.Errorf("list %s: %w", dir, err))
		return false
	}
	names := make(map[string]fs.DirEntry, len(entries))
	keys := make([]string, 0, len(entries))
	for _, e := range entries {
		key := dir + e.Name()
		if e.IsDir() { // sorts as its content does: "a-b" < "a/b" < "a0"
			key += "/"
		}
		if key == reserved+"/" || !l.wanted(key) || CheckKey(dir+e.Name()) != nil {
			continue
		}
		names[key] = e
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		if strings.HasSuffix(key, "/") {
			if !l.walk(key) {
				return false
			}
			continue
		}
		info, err := names[key].Info()
		if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
			continue
		}
		if err != nil {
			l.yield(Info{}, fmt.Errorf("list %s: %w", key, err))
			return false
		}
		if !l.yield(Info{Key: key, Size: info.Size(), Modified: info.ModTime(), Version: versionOf(info)}, nil) {
			return false
		}
	}
	return true
}

// versionOf tells apart the files that a key has named. A file is replaced by
// renaming another one over it while it still exists, so that the two differ in
// their inode, and later ones in their time of change at least.
func versionOf(info fs.FileInfo) string {
	var inode uint64
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		inode = uint64(s.Ino)
	}
	return fmt.Sprintf("%x-%x-%x", inode, info.ModTime().UnixNano(), info.Size())
}

// wanted reports whether key, or for a directory some key below it, belongs to
// the listing.
func (l *lister) wanted(key string) bool {
	if strings.HasSuffix(key, "/") {
		return (strings.HasPrefix(key, l.prefix) || strings.HasPrefix(l.prefix, key)) &&
			(key > l.after || strings.HasPrefix(l.after, key))
	}
	return strings.HasPrefix(key, l.prefix) && key > l.after
}
