package catalog

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/forescale/forescale/models"
)

// rests reports whether the version failed too recently to be tried again.
func (e *entry) rests(version int, now time.Time) bool {
	return e.failure != nil && e.failure.version == version && now.Before(e.failure.retryAt)
}

// load fetches, loads and verifies a version and lets it serve. The caller has
// set e.loading. What served before goes on when this fails. The end of ctx stops
// it, and is held against nobody.
func (c *Catalog) load(ctx context.Context, e *entry, champion models.Manifest) error {
	bounded, cancel := context.WithTimeout(ctx, c.cfg.LoadTimeout)
	defer cancel()
	started := c.deps.Now()
	v, err := c.fetch(bounded, champion)
	took := c.deps.Now().Sub(started)
	stopped := err != nil && ctx.Err() != nil
	if !stopped {
		c.deps.Observer.Loaded(champion.Name, champion.Version, took, err)
	}

	var displaced []*Version
	c.mu.Lock()
	close(e.loading)
	e.loading = nil
	switch {
	case stopped:
		err = context.Cause(ctx)
	case err != nil:
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("not ready within %s: %w", c.cfg.LoadTimeout, err)
		}
		e.fail(champion.Version, err, c.deps.Now())
	case c.closed || c.off[champion.Name]:
		displaced = append(displaced, v)
		if stopped, err = true, ErrClosed; !c.closed {
			err = ErrUnloaded
		}
	default:
		displaced = c.install(e, v)
	}
	serving := e.current
	warn := c.short && !c.warned
	c.warned = c.warned || warn
	c.mu.Unlock()

	for _, old := range displaced {
		c.drop(old)
	}
	if warn {
		c.deps.Log.Warn("models in use do not fit into the memory budget together and are loaded by turns; raise server.memory_budget", "budget_bytes", c.cfg.MemoryBudget)
	}
	if stopped {
		return err
	}
	if err != nil {
		attrs := []any{"model", champion.Name, "version", champion.Version, "err", err}
		if serving != nil {
			attrs = append(attrs, "serving", serving.Manifest.Version)
		}
		c.deps.Log.Error("model version refused", attrs...)
		return &LoadError{champion.Name, champion.Version, err}
	}
	c.deps.Log.Info("model version serves", "model", champion.Name, "version", champion.Version, "took", took.Round(time.Millisecond))
	return nil
}

// errLeftBehind: a version is tried again before the attempt before has come to an end.
var errLeftBehind = errors.New("the attempt before, which took too long, still goes on")

// fetch reads a version and makes it ready, until ctx ends. Nothing stops ONNX Runtime
// while it makes a session, which takes as long as the file has it compute constants:
// then that is left behind, and what comes of it is given up. One version is left
// behind once at a time, so that trying it again does not take one processor more.
func (c *Catalog) fetch(ctx context.Context, champion models.Manifest) (*Version, error) {
	at := key{champion.Name, champion.Version}
	c.mu.Lock()
	again := c.left[at]
	c.mu.Unlock()
	if again {
		return nil, errLeftBehind
	}
	var v *Version
	var err error
	made := make(chan struct{})
	go func() {
		defer close(made)
		v, err = c.make(ctx, champion)
	}()
	select {
	case <-made:
		return v, err
	case <-ctx.Done():
	}
	c.mu.Lock()
	c.left[at] = true
	c.mu.Unlock()
	go func() { // ends with the work; Close does not wait for it
		<-made
		if v != nil {
			v.session.Close()
		}
		c.mu.Lock()
		delete(c.left, at)
		c.mu.Unlock()
	}()
	return nil, context.Cause(ctx)
}

// isLeft reports whether some version is left behind.
func (c *Catalog) isLeft() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.left) > 0
}

// make is fetch without an end. A panic over a file that came from outside becomes an
// error: it must neither hold up those who wait for the version nor end the versions
// that serve.
func (c *Catalog) make(ctx context.Context, champion models.Manifest) (v *Version, err error) {
	defer func() {
		if p := recover(); p != nil {
			c.deps.Log.Error("loading panicked", "model", champion.Name, "version", champion.Version, "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("loading it panicked: %v", p)
		}
	}()
	m, model, err := c.deps.Registry.Get(ctx, champion.Name, champion.Version)
	if err != nil {
		return nil, err
	}
	return newVersion(ctx, c.deps.Load, m, model, c.deps.Now())
}

// The wait before a failed version is tried again doubles from the first to the
// longest.
const (
	firstRetry   = 5 * time.Second
	longestRetry = 5 * time.Minute
)

// fail notes that a version could not be loaded. c.mu is held.
func (e *entry) fail(version int, err error, now time.Time) {
	if e.failure == nil || e.failure.version != version {
		e.attempts = 0
	}
	wait := min(longestRetry, firstRetry<<min(e.attempts, 10))
	e.attempts++
	e.failure = &failure{version: version, err: err, at: now, retryAt: now.Add(wait)}
}

// install lets a version serve and returns those that no longer do: the one
// before it and, over the memory budget, the least recently used others, those that
// are kept last. c.mu is held.
func (c *Catalog) install(e *entry, v *Version) (displaced []*Version) {
	if e.current != nil {
		displaced = append(displaced, e.current)
		c.held -= e.current.cost
	}
	e.current, e.failure, e.kept = v, nil, false
	if !e.ahead { // otherwise usedAt is 0, and it goes first
		c.uses++
		e.usedAt = c.uses
	}
	c.held += v.cost
	c.latest = v.cost
	same := key{v.Manifest.Name, v.Manifest.Version}
	if other := c.others[same]; other != nil && other != e && other.current != nil {
		displaced = append(displaced, other.current) // a version has become champion that was asked for by number before
		c.held -= other.current.cost
		other.current = nil
	}
	for c.held > c.cfg.MemoryBudget {
		var idle *entry
		for _, other := range c.loaded() {
			if other != e && (idle == nil || c.goesBefore(other, idle)) {
				idle = other
			}
		}
		if idle == nil {
			break // the newest one serves even when it alone is over the budget
		}
		displaced = append(displaced, idle.current)
		c.held -= idle.current.cost
		idle.current = nil
		c.short = c.short || !idle.ahead
	}
	return displaced
}

// drop gives a version up. It is destroyed when its last user releases it.
func (c *Catalog) drop(v *Version) {
	c.mu.Lock()
	serves := slices.ContainsFunc(c.loaded(), func(e *entry) bool {
		return e.current.Manifest.Name == v.Manifest.Name && e.current.Manifest.Version == v.Manifest.Version
	})
	c.mu.Unlock()
	if !serves {
		c.deps.Observer.Unloaded(v.Manifest.Name, v.Manifest.Version)
	}
	v.session.Close()
}

// renew loads the champions of the loaded models that have a new one, and the
// versions that are kept.
func (c *Catalog) renew(ctx context.Context) {
	for _, name := range c.loadedNames() {
		if ctx.Err() == nil {
			_ = c.renewOne(ctx, name) // it has logged and noted its error
		}
	}
	c.keep(ctx)
}

// renewOne loads the champion of a model in whose entry another version serves.
func (c *Catalog) renewOne(ctx context.Context, name string) error {
	champion, ok := c.index.Load().champions[name]
	if !ok {
		return nil
	}
	c.mu.Lock()
	e := c.entries[name]
	due := e.current != nil && e.current.Manifest.Version != champion.Version &&
		e.loading == nil && !e.rests(champion.Version, c.deps.Now()) && !c.closed
	if due {
		e.loading = make(chan struct{})
	} else if e.current != nil && e.current.Manifest.Version == champion.Version {
		e.failure = nil // a failed version that is champion no longer
	}
	c.mu.Unlock()
	if due {
		return c.load(ctx, e, champion)
	}
	return nil
}
