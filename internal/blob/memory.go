package blob

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"
)

// Memory is a Store that lives as long as the process. Tests and replays use it.
type Memory struct {
	mu      sync.Mutex
	objects map[string]memoryObject // guarded by mu
}

type memoryObject struct {
	data     []byte
	etag     string
	modified time.Time
}

// NewMemory returns an empty store.
func NewMemory() *Memory { return &Memory{objects: map[string]memoryObject{}} }

// etagOf identifies content: equal bytes have equal ETags.
func etagOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:16])
}

// Get implements Store.
func (m *Memory) Get(ctx context.Context, key string) (Object, error) {
	if err := errs(ctx, key); err != nil {
		return Object{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	o, ok := m.objects[key]
	if !ok {
		return Object{}, fmt.Errorf("get %s: %w", key, ErrNotFound)
	}
	return Object{Data: bytes.Clone(o.data), ETag: o.etag}, nil
}

// Put implements Store.
func (m *Memory) Put(ctx context.Context, key string, data []byte, cond Condition) (string, error) {
	if err := errs(ctx, key); err != nil {
		return "", err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	old, exists := m.objects[key]
	if !holds(cond, exists, old.data, data) {
		return "", fmt.Errorf("put %s: %w", key, ErrConflict)
	}
	o := memoryObject{data: bytes.Clone(data), etag: etagOf(data), modified: time.Now()}
	m.objects[key] = o
	return o.etag, nil
}

// holds reports whether a Put of data over old may go on. A repetition of a Put
// that already took effect holds, because its first answer may have been lost.
func holds(cond Condition, exists bool, old, data []byte) bool {
	switch {
	case cond.Absent():
		return !exists || bytes.Equal(old, data)
	case cond.Matching():
		return exists && (etagOf(old) == cond.ETag() || bytes.Equal(old, data))
	}
	return true
}

// List implements Store.
func (m *Memory) List(ctx context.Context, prefix, after string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		if err := ctx.Err(); err != nil {
			yield(Info{}, err)
			return
		}
		m.mu.Lock()
		var found []Info
		for key, o := range m.objects {
			if strings.HasPrefix(key, prefix) && key > after {
				found = append(found, Info{Key: key, Size: int64(len(o.data)), Modified: o.modified, Version: o.etag})
			}
		}
		m.mu.Unlock()
		slices.SortFunc(found, func(a, b Info) int { return strings.Compare(a.Key, b.Key) })
		for _, info := range found {
			if !yield(info, nil) {
				return
			}
		}
	}
}

// Delete implements Store.
func (m *Memory) Delete(ctx context.Context, key string) error {
	if err := errs(ctx, key); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.objects, key)
	return nil
}

func errs(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return CheckKey(key)
}
