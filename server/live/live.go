// Package live tells those who look that something is new in the stores. It carries
// no data: the stores are the truth, and who is told asks again.
//
// News comes in two ways. Collector and scaler tell it ([Hub.Tell]), within
// milliseconds; and while anyone looks, the stores are asked for what is newest in
// them ([Hub.Watch]), by one reader however many look, in case nobody tells.
//
// Invariants:
//
//   - Telling never waits for a viewer, whatever its connection does.
//   - What is remembered is bounded: a ring of the newest news, encoded once, that
//     all viewers read from, each at its own pace.
//   - A viewer misses nothing unknowingly: who comes back after more news than the
//     ring holds, or to a server that was started anew, is told that everything may
//     have changed.
package live

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/forescale/forescale/api"
)

// The bounds of a Hub.
const (
	ringSize   = 256
	MaxViewers = 1000
	// MaxGroups bounds the groups that are named in one piece of news; more are any.
	MaxGroups = 100
)

// The errors that a caller decides upon.
var (
	ErrFull   = errors.New("too many viewers")
	ErrClosed = errors.New("the server is shutting down")
)

// what is all that can change, in order.
var what = []string{api.ChangedDecision, api.ChangedForecast, api.ChangedModel, api.ChangedSamples}

// Hub passes news on. It is safe for concurrent use.
type Hub struct {
	now   func() time.Time
	onNew func() // called before anyone is told; nil: nothing
	epoch string // begins the ids of this process
	beat  time.Duration

	mu      sync.Mutex
	ring    [ringSize][]byte // message n is at n%ringSize; guarded by mu, with what follows
	next    uint64           // the number of the next message; the first is 1
	wake    chan struct{}    // closed when there is a new one, and then another one
	viewers int
	closed  bool
	asks    chan struct{} // of capacity 1: the stores shall be asked at once
}

// New returns a hub without viewers. onNew, unless nil, is called before viewers are
// told, to forget what was remembered of the stores.
func New(now func() time.Time, onNew func()) *Hub {
	return &Hub{now: now, onNew: onNew, epoch: rand.Text()[:8], beat: heartbeat, next: 1, wake: make(chan struct{}), asks: make(chan struct{}, 1)}
}

// Check returns what is wrong with news from outside.
func Check(c api.Changed) error {
	if len(c.What) == 0 || len(c.What) > len(what) {
		return fmt.Errorf("what: names %d kinds, must be one or more of %s", len(c.What), strings.Join(what, ", "))
	}
	for _, w := range c.What {
		if !slices.Contains(what, w) {
			return fmt.Errorf("what: %.40q is none of %s", w, strings.Join(what, ", "))
		}
	}
	for i, group := range c.Groups {
		if err := api.CheckName(group); err != nil {
			return fmt.Errorf("groups[%d]: %w", i, err)
		}
	}
	return nil
}

// Tell passes news on, which Check has found valid, and has the stores asked at once
// what is new: they find the same news again, and viewers are told of it twice. To
// leave the second out would also leave out what came between the two.
func (h *Hub) Tell(c api.Changed) {
	h.publish(c)
	h.ask()
}

// ask has the stores asked at once.
func (h *Hub) ask() {
	select {
	case h.asks <- struct{}{}:
	default: // they will be
	}
}

// publish puts news into the ring and wakes the viewers.
func (h *Hub) publish(c api.Changed) {
	if c.At.IsZero() {
		c.At = h.now()
	}
	c.At = c.At.UTC()
	slices.Sort(c.What)
	c.What = slices.Compact(c.What)
	if len(c.Groups) > MaxGroups {
		c.Groups = nil
	}
	data, err := json.Marshal(c)
	if err != nil {
		panic(err) // strings and a time always marshal
	}
	if h.onNew != nil {
		h.onNew()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ring[h.next%ringSize] = h.message(h.next, data)
	h.next++
	close(h.wake)
	h.wake = make(chan struct{})
}

// message encodes an event of a stream.
//
// Source: HTML Living Standard, section 9.2.6, Interpreting an event stream.
func (h *Hub) message(n uint64, data []byte) []byte {
	return fmt.Appendf(nil, "id: %s-%d\nevent: changed\ndata: %s\n\n", h.epoch, n, data)
}

// after returns all messages from number n on, joined, the number after the last of
// them, and a channel that is closed when there are more. Where some are no longer
// remembered, there is one message instead that says that everything may be new.
func (h *Hub) after(n uint64) (messages []byte, next uint64, more <-chan struct{}, closed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n > h.next || n+ringSize < h.next || n == 0 {
		return h.everything(), h.next, h.wake, h.closed
	}
	for ; n < h.next; n++ {
		messages = append(messages, h.ring[n%ringSize]...)
	}
	return messages, h.next, h.wake, h.closed
}

// everything is the message to who may have missed something. Hub.mu is held.
func (h *Hub) everything() []byte {
	data, err := json.Marshal(api.Changed{At: h.now().UTC(), What: what})
	if err != nil {
		panic(err)
	}
	return h.message(h.next-1, data)
}

// from returns the number of the first message for a viewer whose last one had an
// id; 0: it may have missed some. No id is a viewer who has just asked for
// everything.
func (h *Hub) from(lastID string) uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	if lastID == "" {
		return h.next
	}
	number, ours := strings.CutPrefix(lastID, h.epoch+"-")
	n, err := strconv.ParseUint(number, 10, 63)
	if !ours || err != nil || n >= h.next {
		return 0
	}
	return n + 1
}

// enter counts a viewer in. The error is ErrFull or ErrClosed.
func (h *Hub) enter() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed:
		return ErrClosed
	case h.viewers >= MaxViewers:
		return ErrFull
	}
	if h.viewers++; h.viewers == 1 {
		h.ask() // nobody has for a while
	}
	return nil
}

func (h *Hub) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.viewers--
}

// Viewers returns how many look.
func (h *Hub) Viewers() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.viewers
}

// Close ends all streams, and every one that is opened later.
func (h *Hub) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed {
		h.closed = true
		close(h.wake)
		h.wake = make(chan struct{})
	}
}

// Source is a store that can tell what is newest in it.
type Source struct {
	Name string
	What []string // that a change of the mark means
	// Mark returns something that is another one whenever there is something new, and
	// the time of what is newest, if it knows one.
	Mark func(ctx context.Context) (mark string, at time.Time, err error)
}

// Watch asks the sources what is newest, every so often while anyone looks and
// whenever somebody tells, until ctx ends. failed is told of each error.
func (h *Hub) Watch(ctx context.Context, sources []Source, every, timeout time.Duration, failed func(source string, err error)) {
	marks := map[string]string{}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.asks:
		case <-ticker.C:
		}
		if h.Viewers() == 0 {
			continue // who comes first asks for everything
		}
		for _, s := range sources {
			if err := h.look(ctx, s, marks, timeout); err != nil && ctx.Err() == nil {
				failed(s.Name, err)
			}
		}
	}
}

// look asks one source, and passes on that it has changed.
func (h *Hub) look(ctx context.Context, s Source, marks map[string]string, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	mark, at, err := s.Mark(ctx)
	if err != nil {
		return err
	}
	old, known := marks[s.Name]
	marks[s.Name] = mark
	if known && old != mark {
		h.publish(api.Changed{At: at, What: slices.Clone(s.What)})
	}
	return nil
}
