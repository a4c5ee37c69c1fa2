package blob

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"
	"time"
)

// reserved is the folder under the root of a Dir that holds its temporary files
// and its lock. No key may begin with it.
const reserved = ".forescale"

const (
	tempDir  = reserved + "/tmp"
	lockFile = reserved + "/lock"

	// tempMaxAge is how old a temporary file must be before another process may
	// take it for the leftover of a dead one. Writing one takes milliseconds.
	tempMaxAge = time.Hour
	// lockPatience bounds the wait for another process that holds the lock, which
	// it does for two system calls unless it was stopped in between.
	lockPatience = 10 * time.Second
)

// Dir is a Store in a directory of a local file system, safe for any number of
// processes. A key is the path of its file below the root, segment for segment.
//
// An object is written to a temporary file, synced, and then linked or renamed
// to its key, so that neither kill -9 nor the loss of power shows a part of it.
// When Put returns, the object survives both: file and directories are synced.
//
// IfAbsent rests on link(2), which fails when the name exists. Everything that
// replaces or removes an object holds a lock (flock) on a file of the store
// while it does so, which makes IfMatch atomic between processes; the kernel
// releases the lock of a killed process.
//
// As in any file system, a key cannot be both an object and the parent of
// another one ("a" and "a/b"), and a segment is at most 255 bytes long; both
// are ErrKey. Symbolic links below the root are refused: they are neither
// followed nor listed.
type Dir struct {
	root *os.Root
	turn chan struct{} // holds one token; whoever has it may ask for the file lock

	mu      sync.Mutex
	known   map[string]bool // guarded by mu: directories whose entry is on disk for certain
	cleaned time.Time       // guarded by mu: when leftovers were last removed
}

// NewDir opens the store in the directory root, which is created when it is
// missing. A root that is itself a symbolic link is followed once, here.
func NewDir(root string) (*Dir, error) {
	if err := os.MkdirAll(root, 0o777); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	r, err := os.OpenRoot(root)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	d := &Dir{root: r, turn: make(chan struct{}, 1), known: map[string]bool{".": true}}
	d.turn <- struct{}{}
	return d, nil
}

// check returns the reason why key cannot be used with this store.
func (d *Dir) check(ctx context.Context, key string) error {
	if err := errs(ctx, key); err != nil {
		return err
	}
	if isReserved(key) {
		return fmt.Errorf("%w: %.80q begins with %s, which the store keeps for itself", ErrKey, key, reserved)
	}
	for seg := range strings.SplitSeq(key, "/") {
		if len(seg) > 255 {
			return fmt.Errorf("%w: %.80q… has a segment of more than 255 bytes", ErrKey, key)
		}
	}
	return nil
}

func isReserved(key string) bool {
	return key == reserved || strings.HasPrefix(key, reserved+"/")
}

// noLinks returns ErrKey when key, or a directory on the way to it, is a
// symbolic link or of the wrong kind. os.Root already keeps every access below
// the root; this keeps one object from having two keys.
func (d *Dir) noLinks(key string) error {
	for end := 0; end < len(key); {
		next := strings.IndexByte(key[end+1:], '/')
		last := next < 0
		if last {
			end = len(key)
		} else {
			end += 1 + next
		}
		info, err := d.root.Lstat(key[:end])
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case info.Mode()&fs.ModeSymlink != 0:
			return fmt.Errorf("%w: %s is a symbolic link", ErrKey, key[:end])
		case !last && !info.IsDir():
			return fmt.Errorf("%w: %s is an object and cannot hold %q", errOccupied, key[:end], key)
		case last && !info.Mode().IsRegular():
			return fmt.Errorf("%w: %s is a %s, not an object", errOccupied, key, kind(info.Mode()))
		}
	}
	return nil
}

// fault says which store an error is of: an error of the file system gives paths
// below the root only.
func (d *Dir) fault(op, key string, err error) error {
	return fmt.Errorf("%s %s in %s: %w", op, key, d.root.Name(), err)
}

// errOccupied: the file system holds something at the key, or on the way to it,
// that leaves no room for an object.
var errOccupied = fmt.Errorf("%w (taken)", ErrKey)

func kind(m fs.FileMode) string {
	if m.IsDir() {
		return "directory"
	}
	return "special file"
}

// Get implements Store.
func (d *Dir) Get(ctx context.Context, key string) (Object, error) {
	if err := d.check(ctx, key); err != nil {
		return Object{}, err
	}
	var data []byte
	err := d.noLinks(key)
	if err == nil {
		data, err = d.read(key)
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errOccupied) {
		err = ErrNotFound
	}
	if err != nil {
		return Object{}, d.fault("get", key, err)
	}
	return Object{Data: data, ETag: etagOf(data)}, nil
}

func (d *Dir) read(key string) ([]byte, error) {
	f, err := d.root.Open(key)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > MaxSize {
		return nil, fmt.Errorf("%d bytes are more than an object may have (%d)", info.Size(), int64(MaxSize))
	}
	data := make([]byte, info.Size())
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, err
	}
	return data, nil
}

// Put implements Store.
func (d *Dir) Put(ctx context.Context, key string, data []byte, cond Condition) (string, error) {
	if err := d.check(ctx, key); err != nil {
		return "", err
	}
	err := d.noLinks(key)
	if err == nil {
		err = d.put(ctx, key, data, cond)
	}
	if err != nil {
		return "", d.fault("put", key, err)
	}
	return etagOf(data), nil
}

func (d *Dir) put(ctx context.Context, key string, data []byte, cond Condition) error {
	if len(data) > MaxSize {
		return fmt.Errorf("%d bytes are more than an object may have (%d)", len(data), int64(MaxSize))
	}
	d.cleanUp()
	parent := path.Dir(key)
	if cond.Absent() {
		// A cheap look first. What it finds still needs the sync: whoever wrote
		// it may have died just before.
		if err := d.sameOrAbsent(key, data); errors.Is(err, errSame) {
			return d.syncDirs(parent)
		} else if err != nil {
			return err
		}
	}
	temp, err := d.writeTemp(data)
	if err != nil {
		return err
	}
	defer d.root.Remove(temp) // nothing left to remove after a rename
	if err := d.root.MkdirAll(parent, 0o777); err != nil {
		return err
	}
	if cond.Absent() {
		err = d.link(temp, key, data)
	} else {
		err = d.replace(ctx, temp, key, data, cond)
	}
	if err != nil {
		return err
	}
	return d.syncDirs(parent)
}

// errSame: the object exists and holds the very bytes that were to be written.
var errSame = errors.New("object exists with the same content")

// sameOrAbsent returns nil when there is no object, errSame when it holds data,
// and ErrConflict when it holds something else.
func (d *Dir) sameOrAbsent(key string, data []byte) error {
	old, err := d.read(key)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case bytes.Equal(old, data):
		return errSame
	}
	return ErrConflict
}

// link gives temp the name key unless something has that name.
func (d *Dir) link(temp, key string, data []byte) error {
	err := d.root.Link(temp, key)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := d.sameOrAbsent(key, data); !errors.Is(err, errSame) {
		return cmp.Or(err, ErrConflict) // absent again: deleted in between
	}
	return nil
}

// replace renames temp to key if cond holds, under the lock.
func (d *Dir) replace(ctx context.Context, temp, key string, data []byte, cond Condition) error {
	unlock, err := d.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if cond.Matching() {
		old, err := d.read(key)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if !holds(cond, err == nil, old, data) {
			return ErrConflict
		}
	}
	return d.root.Rename(temp, key)
}

// writeTemp returns the name of a new temporary file that holds data and whose
// content is on disk.
func (d *Dir) writeTemp(data []byte) (name string, err error) {
	name = tempDir + "/" + rand.Text()
	f, err := d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if errors.Is(err, fs.ErrNotExist) {
		if err := d.root.MkdirAll(tempDir, 0o777); err != nil {
			return "", err
		}
		f, err = d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	}
	if err != nil {
		return "", err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		d.root.Remove(name) // the first error is the one worth telling
		return "", err
	}
	return name, nil
}

// syncDirs makes the entries of directory dir durable, and dir's own entry in
// its parent, and so on upwards where that is not known to be so already.
func (d *Dir) syncDirs(dir string) error {
	var made []string
	for {
		if err := d.syncDir(dir); err != nil {
			return err
		}
		d.mu.Lock()
		known := d.known[dir]
		d.mu.Unlock()
		if known {
			break
		}
		made = append(made, dir)
		dir = path.Dir(dir)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.known) > 4096 { // a bound, not a tuning: forgetting costs one sync
		d.known = map[string]bool{".": true}
	}
	for _, dir := range made {
		d.known[dir] = true
	}
	return nil
}

func (d *Dir) syncDir(dir string) error {
	f, err := d.root.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Delete implements Store. Directories that become empty stay.
func (d *Dir) Delete(ctx context.Context, key string) error {
	if err := d.check(ctx, key); err != nil {
		return err
	}
	err := d.remove(ctx, key)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errOccupied) {
		return d.fault("delete", key, err)
	}
	return nil
}

func (d *Dir) remove(ctx context.Context, key string) error {
	if err := d.noLinks(key); err != nil {
		return err
	}
	unlock, err := d.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := d.root.Remove(key); err != nil {
		return err
	}
	return d.syncDir(path.Dir(key))
}

// cleanUp removes, at most once an hour, what killed writers left behind. It is
// done on the way of a Put, where its failure must not matter.
func (d *Dir) cleanUp() {
	now := time.Now()
	d.mu.Lock()
	due := now.Sub(d.cleaned) > tempMaxAge
	if due {
		d.cleaned = now
	}
	d.mu.Unlock()
	if !due {
		return
	}
	for _, e := range d.readDir(tempDir) {
		if info, err := e.Info(); err == nil && now.Sub(info.ModTime()) > tempMaxAge {
			d.root.Remove(tempDir + "/" + e.Name())
		}
	}
}
