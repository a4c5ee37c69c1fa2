package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"
)

// ElectionConfig says who stands for election, and by which Lease.
type ElectionConfig struct {
	// Lease is the name of the coordination.k8s.io/v1 Lease; Namespace is where it is.
	Lease, Namespace string
	// Identity names this process in it. No two processes may have the same one.
	Identity string
	// Duration is how long a Lease counts that nobody renews, in whole seconds.
	Duration time.Duration
	// Alone lets this process lead while the Lease can be neither read nor written:
	// for work that has nothing to do with the cluster, and that several may do at once.
	Alone bool
	// Now is the clock, nil: time.Now. Only the time that passes on it decides
	// anything. Its time of day is written into the Lease for people to read.
	Now func() time.Time
	Log *slog.Logger // nil: none
}

const (
	leasePath = "/apis/coordination.k8s.io/v1/namespaces/"
	// A Lease is renewed every fifth of its duration, by calls of at most as long. Once
	// half of it has passed without success it is given up: the last look before that,
	// its pause and its call have another two fifths, so that it is over before anybody
	// else may take it.
	renewals           = 5
	minLease, maxLease = 5 * time.Second, 10 * time.Minute
)

// Validate returns all faults at once, of everything but Identity, which the
// program makes.
func (c ElectionConfig) Validate() error {
	var faults []error
	if !label.MatchString(c.Lease) {
		faults = append(faults, fmt.Errorf("lease: %.80q is no name of an object: 1 to 63 lower case letters, digits and hyphens", c.Lease))
	}
	if c.Namespace != "" && !label.MatchString(c.Namespace) {
		faults = append(faults, fmt.Errorf("namespace: %.80q is no name of a namespace", c.Namespace))
	}
	if c.Duration < minLease || c.Duration > maxLease || c.Duration%time.Second != 0 {
		faults = append(faults, fmt.Errorf("duration: %s must be whole seconds, %s to %s", c.Duration, minLease, maxLease))
	}
	return errors.Join(faults...)
}

// Election chooses one of several processes by a Lease of Kubernetes
// (coordination.k8s.io/v1), as other controllers do. It spares the others the work,
// and hands over quickly. It is no lock: a process that was stopped for a while may
// think that it leads when it no longer does, and with Alone several lead at once
// during an outage. What must not happen twice needs a fence of its own, which the
// scaler has in its store.
//
//	         taken, or free           led by another, or nothing heard
//	┌─────────┐ ──────────► ┌─────────┐ for half of the duration
//	│ standby │             │ leading │ ─────────┐
//	└────▲────┘             └─────────┘          │ lead is told to stop, and has
//	     └───────────────────────────────────────┘
//
// Clocks of different machines are never compared. Somebody else's Lease has run
// out when it was seen unchanged for its whole duration by this process's own clock
// (as in client-go's leaderelection, which does the same for the same reason).
type Election struct {
	cfg     ElectionConfig
	client  *client
	log     *slog.Logger
	leading atomic.Bool

	// Owned by Run.
	seen     leaseSpec // as last read
	seenAt   time.Time // when it was first seen like this
	renewed  time.Time // when the Lease was last known to be ours; zero: it is not
	heard    time.Time // when it was last known whose it is, or Run began
	troubled bool      // the last round did not learn that
}

// OpenElection returns an election over the cluster that cfg names. The cluster is
// not yet spoken to; files are read. An empty namespace is the pod's own.
func OpenElection(cfg Config, e ElectionConfig) (*Election, error) {
	if err := errors.Join(cfg.Validate(), e.Validate()); err != nil {
		return nil, err
	}
	a, err := open(cfg)
	if err != nil {
		return nil, fmt.Errorf("kube: %w", err)
	}
	if e.Namespace == "" {
		if e.Namespace, err = cfg.ownNamespace(); err != nil {
			return nil, fmt.Errorf("kube: the election's namespace is not set: %w", err)
		}
	}
	return newElection(a.client(), e)
}

func newElection(c *client, cfg ElectionConfig) (*Election, error) {
	if cfg.Identity == "" || cfg.Namespace == "" {
		return nil, errors.New("kube: an election needs an identity and a namespace")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Election{cfg: cfg, client: c, log: cfg.Log.With("lease", cfg.Namespace+"/"+cfg.Lease)}, nil
}

// Leading reports whether lead is running. It may be called from any goroutine.
func (e *Election) Leading() bool { return e.leading.Load() }

// Run stands for election and calls lead while this process leads, until ctx ends
// or lead returns by itself, whose error it returns then. When the Lease is lost,
// the context of lead ends; lead may be called again once it has returned. The Lease
// is kept until lead has returned, also at the end, and is then given back.
func (e *Election) Run(ctx context.Context, lead func(context.Context) error) error {
	calls := context.WithoutCancel(ctx)
	e.heard = e.cfg.Now()
	var t *term
	stop := ctx.Done()
	for {
		switch mine := e.round(calls); {
		case mine && t == nil && stop != nil:
			t = e.begin(ctx, lead)
		case !mine && t != nil:
			e.log.Warn("the lease is lost, standing by")
			if err := e.end(t); err != nil {
				return err
			}
			t = nil
		}
		var done <-chan error
		if t != nil {
			done = t.done
		}
		pause := time.NewTimer(e.cfg.Duration / renewals)
		select {
		case err := <-done:
			pause.Stop()
			e.leading.Store(false)
			e.release(calls)
			return err
		case <-stop:
			if t == nil {
				pause.Stop()
				e.release(calls) // it may have been taken just now
				return ctx.Err()
			}
			stop = nil // lead is ending, its context is ours
		case <-pause.C:
		}
		pause.Stop()
	}
}

// term is one run of lead.
type term struct {
	cancel context.CancelFunc
	done   chan error
}

func (e *Election) begin(ctx context.Context, lead func(context.Context) error) *term {
	ctx, cancel := context.WithCancel(ctx)
	t := &term{cancel, make(chan error, 1)}
	e.leading.Store(true)
	e.log.Info("leading", "identity", e.cfg.Identity)
	go func() {
		defer cancel()
		t.done <- lead(ctx)
	}()
	return t
}

// end stops a term and waits for it. That it was stopped is no error.
func (e *Election) end(t *term) error {
	t.cancel()
	err := <-t.done
	e.leading.Store(false)
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// round asks the API server once and reports whether this process may lead until
// the next round.
func (e *Election) round(ctx context.Context) bool {
	began := e.cfg.Now()
	ctx, cancel := context.WithTimeout(ctx, e.cfg.Duration/renewals)
	defer cancel()
	mine, err := e.try(ctx)
	now := e.cfg.Now()
	e.tell(err)
	if err == nil {
		e.heard, e.renewed = now, time.Time{}
		if mine {
			e.renewed = began
		}
		return mine
	}
	if e.renewed.IsZero() {
		return e.cfg.Alone && now.Sub(e.heard) >= e.cfg.Duration
	}
	if !e.cfg.Alone && now.Sub(e.renewed) >= e.cfg.Duration/2 {
		e.renewed = time.Time{}
	}
	return !e.renewed.IsZero()
}

// tell logs trouble when it begins and when it is over, not at every round.
func (e *Election) tell(err error) {
	switch {
	case err != nil && !e.troubled:
		e.log.Warn("the lease cannot be read or renewed", "err", err, "leads_without", e.cfg.Alone)
	case err == nil && e.troubled:
		e.log.Info("the lease can be read and renewed again")
	}
	e.troubled = err != nil
}

// leaseObject is the object. Its metadata goes back as it came: labels of whoever made it
// must survive a renewal.
type leaseObject struct {
	APIVersion string                     `json:"apiVersion"`
	Kind       string                     `json:"kind"`
	Metadata   map[string]json.RawMessage `json:"metadata"`
	Spec       leaseSpec                  `json:"spec"`
}

// leaseSpec is the part of it that is used, and compared: its times are never read
// as times.
type leaseSpec struct {
	Holder      string `json:"holderIdentity,omitempty"` // empty is refused; nobody is no field
	Seconds     int    `json:"leaseDurationSeconds"`
	Acquired    string `json:"acquireTime,omitempty"`
	Renewed     string `json:"renewTime,omitempty"`
	Transitions int    `json:"leaseTransitions"`
}

// microTime is the form of Kubernetes' MicroTime.
const microTime = "2006-01-02T15:04:05.000000Z07:00"

// try takes or renews the Lease if it is free or ours, and reports whether it is
// ours now. An error means that this is not known.
func (e *Election) try(ctx context.Context) (mine bool, err error) {
	var got leaseObject
	err = e.client.do(ctx, http.MethodGet, e.path(), nil, nil, &got)
	if code(err) == http.StatusNotFound {
		return e.take(ctx, http.MethodPost, e.collection(), leaseObject{Metadata: map[string]json.RawMessage{
			"name": json.RawMessage(`"` + e.cfg.Lease + `"`), "namespace": json.RawMessage(`"` + e.cfg.Namespace + `"`)}}, 0)
	}
	if err != nil {
		return false, fmt.Errorf("read the lease: %w", err)
	}
	if got.Kind != "Lease" {
		return false, odd("it is a %q where a Lease belongs", got.Kind)
	}
	now := e.cfg.Now()
	if e.seenAt.IsZero() || got.Spec != e.seen {
		e.seen, e.seenAt = got.Spec, now
	}
	switch {
	case got.Spec.Holder == e.cfg.Identity:
		return e.write(ctx, http.MethodPut, e.path(), got, got.Spec.Transitions) // a conflict says little: somebody may have set a label
	case got.Spec.Holder == "" || now.Sub(e.seenAt) >= e.promised(got.Spec):
		return e.take(ctx, http.MethodPut, e.path(), got, got.Spec.Transitions+1)
	}
	return false, nil
}

// promised returns for how long somebody else's Lease counts: what its holder promised,
// within reason, and no less than we would.
func (e *Election) promised(held leaseSpec) time.Duration {
	seconds := min(held.Seconds, int(maxLease/time.Second))
	return max(time.Duration(seconds)*time.Second, e.cfg.Duration)
}

// take is write for a Lease that is not ours. Somebody else may be faster.
func (e *Election) take(ctx context.Context, method, path string, o leaseObject, transitions int) (mine bool, err error) {
	mine, err = e.write(ctx, method, path, o, transitions)
	if code(err) == http.StatusConflict {
		return false, nil
	}
	return mine, err
}

// write puts our name into the Lease. Its version makes sure that nobody else has
// meanwhile: of several, one gets it.
func (e *Election) write(ctx context.Context, method, path string, o leaseObject, transitions int) (mine bool, err error) {
	now := e.cfg.Now().UTC().Format(microTime)
	acquired := o.Spec.Acquired
	if o.Spec.Holder != e.cfg.Identity || acquired == "" {
		acquired = now
	}
	o.APIVersion, o.Kind = "coordination.k8s.io/v1", "Lease"
	o.Spec = leaseSpec{Holder: e.cfg.Identity, Seconds: int(e.cfg.Duration / time.Second), Acquired: acquired, Renewed: now, Transitions: transitions}
	var after leaseObject
	err = e.client.do(ctx, method, path, nil, o, &after)
	if err != nil {
		return false, fmt.Errorf("write the lease: %w", err)
	}
	return after.Spec.Holder == e.cfg.Identity, nil // an admission may change anything
}

// release gives the Lease back if it is ours, so that nobody waits for its end. A
// failure costs the next one that wait.
func (e *Election) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, e.cfg.Duration/renewals)
	defer cancel()
	var o leaseObject
	err := e.client.do(ctx, http.MethodGet, e.path(), nil, nil, &o)
	if err == nil && o.Spec.Holder == e.cfg.Identity {
		o.Spec.Holder, o.Spec.Renewed = "", e.cfg.Now().UTC().Format(microTime)
		err = e.client.do(ctx, http.MethodPut, e.path(), nil, o, &o)
	}
	if err != nil && code(err) != http.StatusConflict && code(err) != http.StatusNotFound {
		e.log.Warn("the lease is not given back, it will run out", "err", err)
	}
}

func (e *Election) collection() string { return leasePath + e.cfg.Namespace + "/leases" }
func (e *Election) path() string       { return e.collection() + "/" + e.cfg.Lease }
