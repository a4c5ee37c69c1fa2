package scaler

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"slices"
	"sync"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/journal"
	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/scaler/plan"
)

// Scaler decides and acts, tick by tick. Its methods may be called from several
// goroutines; ticks follow one another.
type Scaler struct {
	cfg     Config
	step    time.Duration
	deps    Deps
	groups  []plan.Group           // as cfg.Groups
	names   []string               // of groups
	byName  map[string]int         // index into groups
	shadows map[string]*plan.Group // those beside groups, by their name
	journal *journal.Journal
	meters  *meters

	mu        sync.Mutex                  // held for a whole tick
	manifests map[string]models.Manifest  // guarded by mu: by group, as last read
	read      map[version]models.Manifest // guarded by mu: those in manifests, each once
	age       int                         // guarded by mu: ticks since all of them were read
	memory    *memory                     // guarded by mu: nil: none yet
	loading   *memory                     // guarded by mu: one that does not know the whole history yet; nil: none
	briefed   time.Time                   // guarded by mu: the newest tick that did without memory; zero: none
	idle      bool                        // guarded by mu: Run reads between ticks
	orders    orders                      // guarded by mu: as last read
	changed   map[version]string          // guarded by mu: hash of the calendar that was logged as another one than the model's
	late      map[string]bool             // guarded by mu: models whose last request ran out of time
	failed    map[string]bool             // guarded by mu: groups whose last change failed
}

// New returns a scaler that has started nothing. The configuration must be valid
// for the step.
func New(cfg Config, step time.Duration, deps Deps) (*Scaler, error) {
	if err := cfg.Validate(step); err != nil {
		return nil, err
	}
	if cfg.ID == "" {
		return nil, errors.New("scaler.id: is empty")
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	if deps.Instance == "" {
		deps.Instance = rand.Text()
	}
	if deps.Shard == "" {
		deps.Shard = journal.Default
	}
	s := &Scaler{cfg: cfg, step: step, deps: deps, meters: newMeters(cfg.MetricsByGroup), journal: journal.New(deps.Store).Shard(deps.Shard),
		byName: map[string]int{}, shadows: map[string]*plan.Group{}, manifests: map[string]models.Manifest{}, read: map[version]models.Manifest{},
		changed: map[version]string{}, late: map[string]bool{}, failed: map[string]bool{}}
	for i, g := range cfg.Groups {
		s.groups = append(s.groups, g.Plan(step, cfg.Settle))
		s.names = append(s.names, g.Name)
		s.byName[g.Name] = i
		if g.Shadow != nil {
			shadow := g.PlanShadow(step, cfg.Settle)
			s.shadows[g.Name] = &shadow
		}
	}
	return s, nil
}

// tick is one run of the protocol.
type tick struct {
	*Scaler
	at     time.Time        // the tick
	clock  func() time.Time // the time given to Once, going on from there
	lease  *lease
	ledger *ledger
	faults []error // what went wrong outside of any single group
	plans  plans   // of the calendar, once it was looked at
}

// Once runs the tick that now belongs to and returns its record, be it made now,
// completed after a crash, or found because another scaler made it. With an
// error the record is what this call knew; what had begun is completed by the
// next call. A *LeaseHeldError means that another scaler is at work.
func (s *Scaler) Once(ctx context.Context, now time.Time) (api.TickRecord, error) {
	return s.once(ctx, now.UTC().Truncate(s.step), now.UTC())
}

// Newest runs the tick that Run would be at by now: the newest one whose slot
// ended at least Settle ago. It is for schedulers such as cron.
func (s *Scaler) Newest(ctx context.Context) (api.TickRecord, error) {
	now := s.deps.Now().UTC()
	return s.once(ctx, now.Add(-s.cfg.Settle).Truncate(s.step), now)
}

// once runs tick at. It may begin up to Settle after the tick is over.
func (s *Scaler) once(ctx context.Context, at, now time.Time) (api.TickRecord, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now = now.Round(0) // a record keeps no monotonic clock
	began := s.deps.Now()
	t := &tick{Scaler: s, at: at, ledger: &ledger{store: s.deps.Store, key: s.key(stateKey), deadline: s.cfg.Deadlines.Store}}
	t.clock = func() time.Time { return now.Add(s.deps.Now().Sub(began)) }
	t.lease = s.newLease(t.clock)
	rec, err := t.run(ctx)
	s.meters.ran(s.deps.Now().Sub(began), err)
	if err == nil {
		s.meters.show(rec, s.groups, &t.ledger.state)
	}
	if err != nil {
		err = fmt.Errorf("tick %s: %w", stamp(t.at), err)
	}
	return rec, err
}

// newLease returns this process's view of the lease, not yet acquired.
func (s *Scaler) newLease(clock func() time.Time) *lease {
	return &lease{store: s.deps.Store, key: s.key(leaseKey), clock: clock, ttl: s.cfg.LeaseTTL, deadline: s.cfg.Deadlines.Store,
		self: holding{Holder: s.cfg.ID, Instance: s.deps.Instance}}
}

// key returns where this scaler's shard keeps what the default one keeps at key.
func (s *Scaler) key(key string) string {
	if s.deps.Shard == journal.Default {
		return key
	}
	return path.Join(path.Dir(key), blob.Escape(s.deps.Shard), path.Base(key))
}

// Release gives the lease back, so that another scaler need not wait for its
// end. Call it when no further tick will follow.
func (s *Scaler) Release(ctx context.Context, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.newLease(func() time.Time { return now })
	cur, etag, err := l.read(ctx)
	if err != nil || cur.Instance != s.deps.Instance {
		return err // not ours, nothing to give back
	}
	l.held, l.etag = cur, etag
	return l.release(ctx)
}

// run follows the steps of the package comment.
func (t *tick) run(ctx context.Context) (api.TickRecord, error) {
	// A look without the lease: most second scalers end here.
	if err := t.ledger.load(ctx); err != nil {
		return api.TickRecord{}, err
	}
	if t.ledger.state.Pending == nil {
		if rec, err := t.recorded(ctx, t.at); err == nil || !errors.Is(err, blob.ErrNotFound) {
			return rec, err
		}
	}
	if err := t.lease.acquire(ctx); err != nil { // (1)
		return api.TickRecord{}, err
	}
	if err := t.ledger.load(ctx); err != nil { // (2)
		return api.TickRecord{}, err
	}
	t.readOrders(ctx)
	if t.ledger.state.Pending != nil {
		if rec, err := t.recover(ctx); err != nil || rec.Tick.Equal(t.at) {
			return rec, err
		}
	}
	if rec, err := t.recorded(ctx, t.at); err == nil || !errors.Is(err, blob.ErrNotFound) {
		return rec, err
	}
	if last := t.ledger.state.Tick; last.After(t.at) {
		t.deps.Log.Warn("the clock went back", "tick", t.at, "last", last)
		t.ledger.state.note("the clock went back from tick %s to %s", stamp(last), stamp(t.at))
	}
	rec := t.decide(ctx) // (3)
	if err := ctx.Err(); err != nil {
		return rec, err // what was not read for this reason must not be decided upon
	}
	t.ledger.state.Pending = &rec
	if err := t.ledger.swap(ctx); err != nil { // (4)
		return rec, err
	}
	ctx, cancel := drain(ctx)
	defer cancel()
	t.act(ctx, &rec, false) // (5)
	return t.finish(ctx, rec)
}

// drainTime is how long a tick that has begun to act may go on when the scaler is
// told to stop. What is not done by then, the next scaler completes.
const drainTime = 20 * time.Second

// drain returns a context that ends drainTime after ctx does.
func drain(ctx context.Context) (context.Context, context.CancelFunc) {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(drainTime, cancel) })
	return own, func() { stop(); cancel() }
}

// recorded returns the record of a tick, or an error that wraps blob.ErrNotFound.
func (t *tick) recorded(ctx context.Context, at time.Time) (api.TickRecord, error) {
	ctx, cancel := context.WithTimeout(ctx, t.cfg.Deadlines.Store)
	defer cancel()
	return t.journal.Get(ctx, at)
}

// finish writes the record (6) and then the state (7). Before it does, it makes
// sure that no other scaler is about to complete the same tick in its own way.
func (t *tick) finish(ctx context.Context, mine api.TickRecord) (api.TickRecord, error) {
	if _, err := t.lease.confirm(ctx); err != nil {
		return mine, err
	}
	actx, cancel := context.WithTimeout(ctx, t.cfg.Deadlines.Store)
	err := t.journal.Append(actx, mine)
	cancel()
	rec := mine
	if errors.Is(err, journal.ErrRecorded) {
		rec, err = t.recorded(ctx, mine.Tick)
	}
	if err != nil {
		return mine, err
	}
	t.ledger.state.settle(rec)
	if err := t.ledger.swap(ctx); err != nil {
		return rec, err
	}
	t.meters.wrote(rec)
	for _, d := range rec.Decisions {
		if m := d.Moved; m != nil {
			t.deps.Log.Warn("safety state moved", "group", d.Group, "tick", d.Tick, "from", m.From, "to", m.To, "why", m.Why)
		}
	}
	return rec, nil
}

// recover completes the tick that was under way when a scaler stopped (2).
func (t *tick) recover(ctx context.Context) (api.TickRecord, error) {
	pending := *t.ledger.state.Pending
	rec, err := t.recorded(ctx, pending.Tick)
	if err == nil {
		t.ledger.state.settle(rec)
		return rec, t.ledger.swap(ctx)
	}
	if !errors.Is(err, blob.ErrNotFound) {
		return api.TickRecord{}, err
	}
	t.deps.Log.Info("completing a tick that was under way", "tick", pending.Tick, "scaler", pending.Scaler)
	pending.Decisions = slices.Clone(pending.Decisions)
	ctx, cancel := drain(ctx)
	defer cancel()
	t.act(ctx, &pending, true)
	return t.finish(ctx, pending)
}
