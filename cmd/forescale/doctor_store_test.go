package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/smithy-go"

	"github.com/forescale/forescale/internal/blob"
)

// liar is a store that breaks one of its promises.
type liar struct {
	blob.Store
	put    func(context.Context, string, []byte, blob.Condition) (string, error) // nil: as it should be
	get    func(context.Context, string) (blob.Object, error)
	remove func(context.Context, string) error
}

func (l liar) Put(ctx context.Context, key string, data []byte, c blob.Condition) (string, error) {
	if l.put != nil {
		return l.put(ctx, key, data, c)
	}
	return l.Store.Put(ctx, key, data, c)
}

func (l liar) Get(ctx context.Context, key string) (blob.Object, error) {
	if l.get != nil {
		return l.get(ctx, key)
	}
	return l.Store.Get(ctx, key)
}

func (l liar) Delete(ctx context.Context, key string) error {
	if l.remove != nil {
		return l.remove(ctx, key)
	}
	return l.Store.Delete(ctx, key)
}

// keys returns all keys of a store.
func keys(t *testing.T, s blob.Store) (all []string) {
	t.Helper()
	for info, err := range s.List(context.Background(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, info.Key)
	}
	return all
}

func TestAStoreThatBreaksItsPromisesIsFound(t *testing.T) {
	boom := errors.New("access denied")
	for name, c := range map[string]struct {
		lie    func(*liar)
		broken string // part of what is told; empty: nothing
		err    error
	}{
		"an honest one": {func(*liar) {}, "", nil},
		"If-None-Match is ignored": {func(l *liar) {
			l.put = func(ctx context.Context, key string, data []byte, c blob.Condition) (string, error) {
				if c.Absent() {
					c = blob.Condition{}
				}
				return l.Store.Put(ctx, key, data, c)
			}
		}, "If-None-Match: * replaces", nil},
		"If-Match is ignored": {func(l *liar) {
			l.put = func(ctx context.Context, key string, data []byte, c blob.Condition) (string, error) {
				if c.Matching() {
					c = blob.Condition{}
				}
				return l.Store.Put(ctx, key, data, c)
			}
		}, "If-Match replaces", nil},
		"reads are old": {func(l *liar) {
			l.get = func(ctx context.Context, key string) (blob.Object, error) {
				o, err := l.Store.Get(ctx, key)
				return blob.Object{Data: []byte("old"), ETag: o.ETag}, err
			}
		}, "not what was written last", nil},
		"writes are refused": {func(l *liar) {
			l.put = func(context.Context, string, []byte, blob.Condition) (string, error) { return "", boom }
		}, "", boom},
		"everything is a conflict": {func(l *liar) {
			l.put = func(context.Context, string, []byte, blob.Condition) (string, error) { return "", blob.ErrConflict }
		}, "", blob.ErrConflict},
	} {
		t.Run(name, func(t *testing.T) {
			l := &liar{Store: blob.NewMemory()}
			c.lie(l)
			p := probe{store: l, now: time.Now}
			broken, err := p.run(t.Context())
			if !errors.Is(err, c.err) || (c.broken == "") != (len(broken) == 0) || !strings.Contains(strings.Join(broken, ";"), c.broken) {
				t.Errorf("%q, %v", broken, err)
			}
			if left := keys(t, l.Store); len(left) > 0 || len(p.left) > 0 {
				t.Errorf("%q is left behind, %q told of", left, p.left)
			}
		})
	}
}

func TestAProbeIsTakenAwayWhateverHappens(t *testing.T) {
	store := blob.NewMemory()
	for _, key := range []string{probePrefix + "of-yesterday", "open/part"} {
		if _, err := store.Put(t.Context(), key, []byte("x"), blob.Condition{}); err != nil {
			t.Fatal(err)
		}
	}
	// Ctrl-C after the first write.
	ctx, cancel := context.WithCancel(t.Context())
	l := &liar{Store: store}
	l.put = func(_ context.Context, key string, data []byte, c blob.Condition) (string, error) {
		defer cancel()
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		return store.Put(context.Background(), key, data, c)
	}
	p := probe{store: l, now: func() time.Time { return time.Now().Add(30 * time.Minute) }}
	if _, err := p.run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if left := keys(t, store); !slices.Equal(left, []string{probePrefix + "of-yesterday", "open/part"}) {
		t.Errorf("left %q", left)
	}
	// What a doctor that was killed has left is removed when it is old, and nothing else.
	p = probe{store: store, now: func() time.Time { return time.Now().Add(2 * probeAge) }}
	if _, err := p.run(t.Context()); err != nil {
		t.Error(err)
	}
	if left := keys(t, store); !slices.Equal(left, []string{"open/part"}) || p.skew == nil || *p.skew > -probeAge {
		t.Errorf("left %q, skew %v", left, p.skew)
	}
	l = &liar{Store: store, remove: func(context.Context, string) error { return errors.New("access denied") }}
	p = probe{store: l, now: time.Now}
	if broken, err := p.run(t.Context()); err != nil || len(broken) > 0 || len(p.left) != 1 {
		t.Errorf("%q, %v, left %q", broken, err, p.left)
	}
}

// The scaler's role may only read the registry: that is no fault of the store.
func TestARegistryThatMayOnlyBeReadIsNotCalledBroken(t *testing.T) {
	for key, want := range map[string]level{"models": levelNote, "data": levelError} {
		d := &doctor{now: time.Now}
		s := section{check: "store"}
		refusal := &smithy.GenericAPIError{Code: "AccessDenied", Message: "not authorized to perform: s3:PutObject"}
		l := &liar{Store: blob.NewMemory(), put: func(context.Context, string, []byte, blob.Condition) (string, error) {
			return "", fmt.Errorf("put: %w", refusal)
		}}
		d.try(t.Context(), &s, key, "s3://forescale/"+key, l)
		if len(s.found) != 1 || s.found[0].Level != want || !strings.Contains(s.found[0].Found, "s3:PutObject") {
			t.Errorf("%s: %+v", key, s.found)
		}
	}
}
