package catalog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/forescale/forescale/models"
)

// ErrClosed is returned once the catalog is closed.
var ErrClosed = errors.New("the server is shutting down")

// ErrUnloaded is returned for a model that Unload has taken out of service.
var ErrUnloaded = errors.New("the model was unloaded by request; load it again")

// RegistryError says that a model is not loaded and the registry, which could
// tell of it, cannot be read. The caller should try again.
type RegistryError struct{ Err error }

// Error implements error.
func (e *RegistryError) Error() string { return "the model registry cannot be read: " + e.Err.Error() }

// Unwrap returns the registry's error.
func (e *RegistryError) Unwrap() error { return e.Err }

// LoadError says why a version cannot serve.
type LoadError struct {
	Name    string
	Version int // 0: the registry cannot tell which
	Err     error
}

// Error implements error.
func (e *LoadError) Error() string {
	if e.Version == 0 {
		return fmt.Sprintf("model %s cannot be served: %v", e.Name, e.Err)
	}
	return fmt.Sprintf("model %s version %d cannot be served: %v", e.Name, e.Version, e.Err)
}

// Unwrap returns the reason.
func (e *LoadError) Unwrap() error { return e.Err }

// Registry is what the catalog reads. models.Watch is one.
type Registry interface {
	// Standings returns how each model stands. One that cannot be read has its error
	// in its standing.
	Standings(ctx context.Context) ([]models.Standing, error)
	// Versions returns the versions of a model that may serve, ascending; none for
	// a name that does not exist.
	Versions(ctx context.Context, name string) ([]int, error)
	// Get returns a version whose content agrees with its checksum.
	Get(ctx context.Context, name string, version int) (models.Manifest, []byte, error)
}

// Load makes a session from a model file.
type Load func(model []byte) (Session, error)

// Observer is told what happens, for metrics. Its methods must not block.
type Observer interface {
	Loaded(name string, version int, took time.Duration, err error)
	// Unloaded says that a version no longer serves.
	Unloaded(name string, version int)
	RegistryRead(err error)
}

// Config bounds the catalog.
type Config struct {
	Reload       time.Duration // how often the registry is read
	MemoryBudget int64         // bytes that loaded models may hold together, roughly
	LoadTimeout  time.Duration // for fetching, loading and verifying one model
	Latest       int           // how many of the newest versions of a loaded model are kept loaded, too
	LoadAhead    bool          // load models that nobody has asked for yet, while the server is idle
}

// Deps are what the catalog works with. All are required, but for Idle.
type Deps struct {
	Registry Registry
	Load     Load
	Observer Observer
	Log      *slog.Logger
	Now      func() time.Time
	Idle     func() bool // nothing runs or waits; nil: always so
}

// Catalog hands out loaded versions. It is safe for concurrent use.
type Catalog struct {
	cfg  Config
	deps Deps

	index   atomic.Pointer[index]
	reading chan struct{} // held while the registry is read; guards the next two
	triedAt time.Time
	readErr error

	mu       sync.Mutex
	entries  map[string]*entry  // champions by model name; guarded by mu, with what they point to
	others   map[key]*entry     // versions that were asked for by number; guarded as entries are
	listings map[string]listing // versions by model name; guarded by mu
	off      map[string]bool    // models that Unload has taken out of service; guarded by mu
	left     map[key]bool       // versions whose loading has taken too long and still goes on; guarded by mu
	held     int64              // sum of the costs of the loaded versions; guarded by mu
	latest   int64              // cost of the version that was loaded last; guarded by mu
	uses     int64              // counts acquisitions, for the order of use; guarded by mu
	closed   bool               // guarded by mu
	short    bool               // a model that was asked for gave way to another; guarded by mu
	warned   bool               // of that; guarded by mu

	// What a request has begun for others too goes on after it, until Close.
	life  context.Context
	end   context.CancelFunc
	tasks sync.WaitGroup // goes up only while mu is held and closed is false
}

// key names one version of a model.
type key struct {
	name    string
	version int
}

// entry is a model that is loaded, is being loaded, or could not be.
type entry struct {
	current  *Version      // nil: none serves
	usedAt   int64         // Catalog.uses at the latest acquisition
	loading  chan struct{} // closed when the load that goes on ends; nil: none does
	failure  *failure      // of the newest version tried, when that failed
	attempts int           // failures in a row of that version
	kept     bool          // current was loaded because the version is kept
	ahead    bool          // nobody has asked for it: the first to go when memory is short
}

type failure struct {
	version int
	err     error
	at      time.Time
	retryAt time.Time
}

// New returns an empty catalog. Run keeps it up to date.
func New(cfg Config, deps Deps) *Catalog {
	c := &Catalog{cfg: cfg, deps: deps, reading: make(chan struct{}, 1),
		entries: map[string]*entry{}, others: map[key]*entry{}, off: map[string]bool{}, left: map[key]bool{}, listings: map[string]listing{}}
	if c.deps.Idle == nil {
		c.deps.Idle = func() bool { return true }
	}
	c.life, c.end = context.WithCancel(context.Background())
	c.index.Store(newIndex(nil, nil, time.Time{}))
	return c
}

// Run reads the registry at the interval of the configuration and renews what is
// loaded, until ctx ends. It returns nil.
func (c *Catalog) Run(ctx context.Context) error {
	tick := time.NewTicker(c.cfg.Reload)
	defer tick.Stop()
	news := make(chan struct{}, 1)
	if c.cfg.LoadAhead {
		var ahead sync.WaitGroup
		ahead.Go(func() { c.ahead(ctx, news) })
		defer ahead.Wait()
	}
	for {
		if c.refresh(ctx, ctx, 0) == nil { // it has logged its error
			c.renew(ctx)
			select {
			case news <- struct{}{}:
			default: // it has not come to the last one yet
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Ready reports whether the registry has been read at least once.
func (c *Catalog) Ready() bool { return !c.index.Load().readAt.IsZero() }

// missMaxAge bounds how often requests for unknown names or groups can make the
// registry be read.
const missMaxAge = 250 * time.Millisecond

// ForGroup returns the version that serves a group, loading it if necessary. The
// error is models.ErrNoModel, a *RegistryError, a *LoadError, ErrClosed or the
// context's.
func (c *Catalog) ForGroup(ctx context.Context, group string) (*Version, error) {
	name, ok := c.index.Load().nameFor(group)
	if !ok {
		if err := c.refreshOnMiss(ctx); err != nil {
			return nil, err
		}
		ix := c.index.Load()
		if name, ok = ix.nameFor(group); !ok {
			if fault := ix.faults[group]; fault != nil {
				return nil, &LoadError{Name: group, Err: fault}
			}
			return nil, fmt.Errorf("group %q: %w", group, models.ErrNoModel)
		}
	}
	return c.Named(ctx, name)
}

// Named returns the champion of the named model, as ForGroup does.
func (c *Catalog) Named(ctx context.Context, name string) (*Version, error) {
	if v, err := c.acquire(ctx, name); v != nil || !errors.Is(err, models.ErrNoModel) {
		return v, err
	}
	if err := c.refreshOnMiss(ctx); err != nil {
		return nil, err
	}
	return c.acquire(ctx, name)
}

// Names returns the names of the models that the registry has, in order; nobody may
// change the slice. The error
// is a *RegistryError or the context's when the registry was never read.
func (c *Catalog) Names(ctx context.Context) ([]string, error) {
	if !c.Ready() {
		if err := c.refreshOnMiss(ctx); err != nil {
			return nil, err
		}
	}
	return c.index.Load().names, nil
}

func (c *Catalog) refreshOnMiss(ctx context.Context) error {
	// Others wait for this reading too: it must not end with this caller.
	if err := c.refresh(ctx, c.life, missMaxAge); err != nil {
		if ctx.Err() != nil {
			return err
		}
		return &RegistryError{err}
	}
	return nil
}

// acquire returns the loaded champion of a model that the index knows.
func (c *Catalog) acquire(ctx context.Context, name string) (*Version, error) {
	return c.hold(ctx, name, func() (*entry, models.Manifest, error) {
		e := c.entries[name]
		ix := c.index.Load()
		champion, known := ix.champions[name]
		switch {
		case !known && ix.faults[name] != nil: // it is there, and cannot serve
			return e, champion, &LoadError{Name: name, Err: ix.faults[name]}
		case !known:
			return e, champion, fmt.Errorf("model %q: %w", name, models.ErrNoModel)
		case e == nil:
			e = &entry{}
			c.entries[name] = e
		}
		return e, champion, nil
	})
}

// hold returns what serves in an entry of the named model. Whoever finds it not
// loaded begins to load it, and waits as all others do. find is called with c.mu
// held and returns the entry, which may be nil with an error, and what to load into
// it; its error matters only when nothing serves.
func (c *Catalog) hold(ctx context.Context, name string, find func() (*entry, models.Manifest, error)) (*Version, error) {
	for {
		c.mu.Lock()
		if c.closed || c.off[name] {
			defer c.mu.Unlock()
			if c.closed {
				return nil, ErrClosed
			}
			return nil, fmt.Errorf("model %q: %w", name, ErrUnloaded)
		}
		e, target, err := find()
		if e != nil && e.current != nil && e.current.session.Retain() {
			c.uses++
			e.usedAt, e.ahead = c.uses, false
			v := e.current
			c.mu.Unlock()
			return v, nil
		}
		switch {
		case err != nil:
			c.mu.Unlock()
			return nil, err
		case e.loading != nil:
			loading := e.loading
			c.mu.Unlock()
			select {
			case <-loading:
				continue
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
		case e.rests(target.Version, c.deps.Now()):
			err := e.failure.err
			c.mu.Unlock()
			return nil, &LoadError{name, target.Version, err}
		}
		// Others wait for the outcome: it must not end with this caller's request,
		// which waits as they do, and finds the outcome in the entry.
		c.begin(e, target)
		c.mu.Unlock()
	}
}

// begin loads a version into an entry, for whoever waits for it. c.mu is held.
func (c *Catalog) begin(e *entry, target models.Manifest) {
	e.loading = make(chan struct{})
	c.tasks.Go(func() { _ = c.load(c.life, e, target) }) // it has logged and noted its error
}

// loadedNames returns the names of the models that serve, in order.
func (c *Catalog) loadedNames() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var names []string
	for name, e := range c.entries {
		if e.current != nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// loaded returns the entries in which a version serves. c.mu is held.
func (c *Catalog) loaded() []*entry {
	var found []*entry
	for _, e := range c.entries {
		if e.current != nil {
			found = append(found, e)
		}
	}
	for _, e := range c.others {
		if e.current != nil {
			found = append(found, e)
		}
	}
	return found
}

// Close ends what goes on and gives up every version. Those still in use are
// destroyed on release.
func (c *Catalog) Close() {
	c.mu.Lock()
	c.closed = true
	c.end()
	var all []*Version
	for _, e := range c.loaded() {
		all = append(all, e.current)
		e.current = nil
	}
	c.held = 0
	c.mu.Unlock()
	for _, v := range all {
		c.drop(v)
	}
	c.tasks.Wait()
}
