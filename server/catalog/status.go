package catalog

import (
	"slices"
	"time"

	"github.com/forescale/forescale/models"
	"github.com/forescale/forescale/server/tensor"
)

// State says how a model stands.
type State string

// The states of a model.
const (
	StateAvailable State = "available" // not loaded yet; the first request loads it
	StateServing   State = "serving"   // its champion serves
	StateStale     State = "stale"     // an older version serves, because the champion failed
	StateLoading   State = "loading"   // the champion is being loaded
	StateFailed    State = "failed"    // the champion failed and nothing serves
)

// Status is how one model stands, for people.
type Status struct {
	Name     string          `json:"name"`
	State    State           `json:"state"`
	Champion int             `json:"champion"`          // the version that should serve; 0: the registry cannot tell
	Serving  int             `json:"serving,omitempty"` // the version that serves; 0: none is loaded
	LoadedAt time.Time       `json:"loaded_at,omitzero"`
	Manifest models.Manifest `json:"manifest"` // of the version that serves, otherwise of the champion; its golden request left out
	Inputs   []tensor.Info   `json:"inputs,omitempty"`
	Outputs  []tensor.Info   `json:"outputs,omitempty"`
	Failure  *Failure        `json:"failure,omitempty"`
	Pinned   []int           `json:"pinned,omitempty"` // versions that are kept loaded; a champion among them stays
	Shadow   int             `json:"shadow,omitempty"` // the version that gets a copy of the requests; 0: none
}

// Failure says why a version does not serve.
type Failure struct {
	Version int       `json:"version,omitempty"`
	Reason  string    `json:"reason"`
	At      time.Time `json:"at,omitzero"`
	RetryAt time.Time `json:"retry_at,omitzero"`
}

// RegistryStatus says when the registry was last read and what is wrong with it.
type RegistryStatus struct {
	ReadAt time.Time `json:"read_at,omitzero"` // the last time that it could be read
	Error  string    `json:"error,omitempty"`  // of the latest attempt
}

// Status returns how every known model stands, by name, and the registry.
func (c *Catalog) Status() ([]Status, RegistryStatus) {
	ix := c.index.Load()
	var registry RegistryStatus
	registry.ReadAt = ix.readAt
	select { // a reading that goes on may take long; its outcome is not known yet
	case c.reading <- struct{}{}:
		if c.readErr != nil {
			registry.Error = c.readErr.Error()
		}
		<-c.reading
	default:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	list := make([]Status, 0, len(ix.champions)+len(ix.faults))
	for name, m := range ix.champions {
		s := c.entries[name].status(name, m, ix.faults[name])
		s.Manifest.Golden, s.Manifest.Calibration = nil, nil // thousands of numbers that nobody reads here
		orders := ix.stands[name].Orders
		for _, pin := range orders.Pinned {
			s.Pinned = append(s.Pinned, pin.Version)
		}
		if orders.Shadow != nil {
			s.Shadow = orders.Shadow.Version
		}
		if c.off[name] {
			s.State, s.Failure = StateFailed, &Failure{Reason: ErrUnloaded.Error()}
		}
		list = append(list, s)
	}
	for name, err := range ix.faults {
		if _, known := ix.champions[name]; !known {
			list = append(list, Status{Name: name, State: StateFailed, Failure: &Failure{Reason: err.Error()}})
		}
	}
	slices.SortFunc(list, func(a, b Status) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return list, registry
}

// status describes one model. e may be nil. Catalog.mu is held.
func (e *entry) status(name string, champion models.Manifest, fault error) Status {
	s := Status{Name: name, State: StateAvailable, Champion: champion.Version, Manifest: champion}
	if fault != nil {
		s.Failure = &Failure{Reason: fault.Error()}
	}
	if e == nil {
		return s
	}
	if e.failure != nil {
		s.State = StateFailed
		s.Failure = &Failure{Version: e.failure.version, Reason: e.failure.err.Error(), At: e.failure.at, RetryAt: e.failure.retryAt}
	}
	if v := e.current; v != nil {
		if s.State = StateServing; v.Manifest.Version != champion.Version {
			s.State = StateStale
		}
		s.Serving, s.LoadedAt, s.Manifest = v.Manifest.Version, v.LoadedAt, v.Manifest
		s.Inputs, s.Outputs = v.session.Inputs(), v.session.Outputs()
	}
	if e.loading != nil && e.current == nil {
		s.State = StateLoading
	}
	return s
}

// NameFor returns the name of the model that serves a group, as far as the
// latest reading of the registry tells; empty: none. It does no I/O.
func (c *Catalog) NameFor(group string) string {
	name, _ := c.index.Load().nameFor(group)
	return name
}

// Target returns the series that the model of a group forecasts; empty: unknown.
func (c *Catalog) Target(group string) string {
	ix := c.index.Load()
	name, _ := ix.nameFor(group)
	return ix.champions[name].Spec.Target
}
