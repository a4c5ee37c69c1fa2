package scaler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/journal"
	"github.com/forescale/forescale/scaler/plan"
)

const (
	stateKey    = "scaler/state.json" // of the default shard; compressed as records are
	stateFormat = 1
)

// state is what has to survive a scaler: one object for all groups.
type state struct {
	Format int       `json:"format"`
	Tick   time.Time `json:"tick,omitzero"` // newest tick whose record is written
	// Groups keeps groups that are no longer configured: they may come back.
	Groups map[string]groupState `json:"groups"`
	// Braked is the stretch of time over which the fleet-wide brake has been pulled.
	Braked stretch `json:"braked,omitzero"`
	// Pending is the tick under way. A decision of it whose outcome has no status
	// is an intent.
	Pending *api.TickRecord `json:"pending,omitempty"`
	// Notes are what became known after a tick's record was written. They enter
	// the next one's errors.
	Notes []string `json:"notes,omitempty"`
}

// stretch is a time from the first to the last tick of something.
type stretch struct {
	Since time.Time `json:"since,omitzero"`
	Last  time.Time `json:"last,omitzero"`
}

type groupState struct {
	plan.State
	// Unconfirmed is a change that was not accepted as far as the record knows. The
	// next look at the group tells.
	Unconfirmed *change `json:"unconfirmed,omitempty"`
	// Lead is what was learned of the lead time; nil: nothing yet.
	Lead *learned `json:"lead,omitempty"`
	// Unrecalled says that the group's demand from before its first decision has not
	// been entered into State yet.
	Unrecalled bool `json:"unrecalled,omitempty"`
	// Unit is what was learned of the group's load; nil: nothing yet.
	Unit *unit `json:"unit,omitempty"`
	// Shadow is the group as it would be by its shadow; nil: it has none.
	Shadow *imagined `json:"shadow,omitempty"`
}

type change struct {
	Tick time.Time `json:"tick"`
	From int       `json:"from"`
	To   int       `json:"to"`
	// Recorded is what the record says of it.
	Recorded api.OutcomeStatus `json:"recorded"`
}

// ledger reads and swaps the state. It belongs to one tick of one scaler.
type ledger struct {
	store    blob.Store
	key      string
	deadline time.Duration
	etag     string
	state    state
}

// load reads the state. A state that cannot be read is an error and never an
// empty one: starting afresh would forget cooldowns and intents.
func (l *ledger) load(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, l.deadline)
	defer cancel()
	o, err := l.store.Get(ctx, l.key)
	if errors.Is(err, blob.ErrNotFound) {
		l.etag, l.state = "", state{Format: stateFormat, Groups: map[string]groupState{}}
		return nil
	}
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	if l.etag != "" && o.ETag == l.etag {
		return nil // as it was at the first look
	}
	var st state
	data, err := journal.Unpack(o.Data)
	if err == nil {
		err = json.Unmarshal(data, &st)
	}
	if err != nil {
		return fmt.Errorf("state %s: %w; move the object away to start without cooldowns", l.key, err)
	}
	if st.Format != stateFormat {
		return fmt.Errorf("state %s: format %d, this version reads %d", l.key, st.Format, stateFormat)
	}
	if st.Groups == nil {
		st.Groups = map[string]groupState{}
	}
	l.etag, l.state = o.ETag, st
	return nil
}

// swap writes the state. ErrLeaseLost: somebody else has, in between.
func (l *ledger) swap(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, l.deadline)
	defer cancel()
	data, err := json.Marshal(l.state)
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	cond := blob.IfAbsent()
	if l.etag != "" {
		cond = blob.IfMatch(l.etag)
	}
	etag, err := l.store.Put(ctx, l.key, journal.Pack(data), cond)
	if errors.Is(err, blob.ErrConflict) {
		return fmt.Errorf("state %s has changed: %w", l.key, ErrLeaseLost)
	}
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	l.etag = etag
	return nil
}

// settle enters a completed tick. What was accepted starts its cooldown. What
// was not stays unconfirmed: an answer may have been lost, or another scaler may
// have carried out what the one that wrote the record had to give up.
func (st *state) settle(rec api.TickRecord) {
	st.Tick, st.Pending = rec.Tick, nil
	for _, d := range rec.Decisions {
		g := st.Groups[d.Group]
		g.State = g.State.After(d)
		if d.Capacity.Known() {
			g.Unconfirmed = nil // otherwise the group has not been looked at yet
		}
		if g.Shadow != nil {
			g.Shadow.settle(d)
		}
		if d.Outcome.Status == api.OutcomeFailed || d.Outcome.Status == api.OutcomeSkipped {
			g.Unconfirmed = &change{Tick: d.Tick, From: d.Capacity.Desired, To: d.Desired, Recorded: d.Outcome.Status}
		}
		st.Groups[d.Group] = g
	}
}

// confirm resolves a group's unconfirmed change by the capacity seen since.
func (st *state) confirm(group string, c api.Capacity) {
	g := st.Groups[group]
	if g.Unconfirmed == nil {
		return
	}
	if u := *g.Unconfirmed; c.Desired == u.To {
		g.State = g.State.Accepted(u.Tick, u.From, u.To)
		st.note("group %s: tick %s: recorded as %s, but the change to %d was carried out", group, stamp(u.Tick), u.Recorded, u.To)
	}
	g.Unconfirmed = nil
	st.Groups[group] = g
}

// maxNotes bounds the notes between two records.
const maxNotes = 1000

func (st *state) note(format string, args ...any) {
	if len(st.Notes) < maxNotes {
		st.Notes = append(st.Notes, fmt.Sprintf(format, args...))
	}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
