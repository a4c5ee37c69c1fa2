package scaler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/forescale/forescale/internal/blob"
)

const (
	leaseKey = "scaler/lease.json" // of the default shard
	// maxTTL bounds the time for which a lease can be held without renewal. A
	// written expiry that lies further ahead comes from a clock that was wrong.
	maxTTL = 10 * time.Minute
)

// ErrLeaseLost: another scaler has taken over. What this one had begun, the
// other one completes.
var ErrLeaseLost = errors.New("another scaler has taken the lease")

// LeaseHeldError says that another scaler is at work, and until when it may be.
type LeaseHeldError struct {
	Holder string
	Until  time.Time
}

// Error implements error.
func (e *LeaseHeldError) Error() string {
	return fmt.Sprintf("the lease is held by %q until %s", e.Holder, e.Until.UTC().Format(time.RFC3339))
}

// holding is the content of the lease object.
type holding struct {
	Holder   string    `json:"holder"`   // Config.ID
	Instance string    `json:"instance"` // the process; a successor has another one
	Epoch    int64     `json:"epoch"`    // grows whenever the lease changes hands
	Expires  time.Time `json:"expires"`
}

// lease is this process's view of the lease. Time is the holder's own clock;
// differing clocks cost a needless takeover at worst, which (5) of the protocol
// makes harmless.
type lease struct {
	store    blob.Store
	key      string
	clock    func() time.Time
	ttl      time.Duration
	deadline time.Duration // of one call to the store
	self     holding       // Holder and Instance

	mu   sync.Mutex
	etag string  // guarded by mu
	held holding // guarded by mu: as last written
}

// acquire takes the lease, or returns a *LeaseHeldError.
func (l *lease) acquire(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.clock()
	cur, etag, err := l.read(ctx)
	if err != nil {
		return err
	}
	if cur.Holder != l.self.Holder && now.Before(cur.Expires) && !cur.Expires.After(now.Add(maxTTL)) {
		return &LeaseHeldError{Holder: cur.Holder, Until: cur.Expires}
	}
	next := l.self
	next.Epoch = cur.Epoch
	if cur.Instance != l.self.Instance {
		next.Epoch++
	}
	next.Expires = now.Add(l.ttl)
	err = l.write(ctx, next, etag)
	if errors.Is(err, blob.ErrConflict) {
		// Somebody was faster; who it was matters little.
		return &LeaseHeldError{Holder: "another scaler", Until: now.Add(l.ttl)}
	}
	return err
}

// confirm reads the lease again, renews it when less than half of it is left,
// and returns what is left. ErrLeaseLost: it is no longer ours.
func (l *lease) confirm(ctx context.Context) (left time.Duration, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	cur, etag, err := l.read(ctx)
	if err != nil {
		return 0, err
	}
	if cur.Instance != l.held.Instance || cur.Epoch != l.held.Epoch || cur.Holder != l.held.Holder {
		return 0, fmt.Errorf("%w: now %q", ErrLeaseLost, cur.Holder)
	}
	l.held, l.etag = cur, etag
	left = cur.Expires.Sub(l.clock())
	if left >= l.ttl/2 {
		return min(left, l.ttl), nil
	}
	next := cur
	next.Expires = l.clock().Add(l.ttl)
	if err := l.write(ctx, next, etag); errors.Is(err, blob.ErrConflict) {
		return 0, ErrLeaseLost
	} else if err != nil {
		return 0, err
	}
	return next.Expires.Sub(l.clock()), nil
}

// release lets the next scaler in at once. A failure costs it the rest of the term.
func (l *lease) release(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.etag == "" {
		return nil
	}
	gone := l.held
	gone.Expires = l.clock()
	err := l.write(ctx, gone, l.etag)
	l.etag = ""
	if errors.Is(err, blob.ErrConflict) {
		return nil // it was no longer ours
	}
	return err
}

// read returns the lease as it stands. An absent one and one that cannot be
// decoded are as good as expired; the latter keeps its etag, so that one scaler
// alone can replace it.
func (l *lease) read(ctx context.Context) (holding, string, error) {
	ctx, cancel := context.WithTimeout(ctx, l.deadline)
	defer cancel()
	o, err := l.store.Get(ctx, l.key)
	if errors.Is(err, blob.ErrNotFound) {
		return holding{}, "", nil
	}
	if err != nil {
		return holding{}, "", fmt.Errorf("lease: %w", err)
	}
	var h holding
	if json.Unmarshal(o.Data, &h) != nil {
		h = holding{}
	}
	return h, o.ETag, nil
}

// write swaps the lease; l.mu is held.
func (l *lease) write(ctx context.Context, h holding, etag string) error {
	ctx, cancel := context.WithTimeout(ctx, l.deadline)
	defer cancel()
	data, err := json.Marshal(h)
	if err != nil {
		return err
	}
	cond := blob.IfAbsent()
	if etag != "" {
		cond = blob.IfMatch(etag)
	}
	next, err := l.store.Put(ctx, l.key, data, cond)
	if err != nil {
		return fmt.Errorf("lease: %w", err)
	}
	l.etag, l.held = next, h
	return nil
}
