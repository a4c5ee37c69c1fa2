// Package session remembers which browsers have shown a token, so that the token
// itself need not stay in them. It knows neither HTTP nor what the clients may do.
//
// Invariants:
//
//   - A session is named by 256 random bits, of which only a hash is remembered.
//   - A session ends after Longest, or after Idle without a request, and with the
//     process. Nothing of it is stored.
//   - There are at most Most of them, however many are opened.
package session

import (
	"container/list"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"sync"
	"time"
)

// The bounds of sessions.
const (
	Longest = 12 * time.Hour
	Idle    = time.Hour
	Most    = 10_000 // beyond it the one that was used longest ago ends
)

// idBytes is the length of the two secrets of a session.
const idBytes = 32

// Session is one browser that has logged in.
type Session struct {
	Client string    // of the configuration
	CSRF   string    // what the pages of this server send with each change, and others cannot know
	Until  time.Time // it ends then, however much it is used
}

// Proves reports whether a request that was sent with the text, as its CSRF token,
// comes from a page of this server.
func (s Session) Proves(csrf string) bool {
	return subtle.ConstantTimeCompare([]byte(s.CSRF), []byte(csrf)) == 1
}

// Sessions are those that are open. It is safe for concurrent use.
type Sessions struct {
	now func() time.Time

	mu    sync.Mutex
	known map[[sha256.Size]byte]*list.Element // by the hash of their id; guarded by mu, with what follows
	order list.List                           // of *open, the one used last in front
}

type open struct {
	Session
	key  [sha256.Size]byte
	used time.Time
}

// New returns no sessions.
func New(now func() time.Time) *Sessions {
	return &Sessions{now: now, known: map[[sha256.Size]byte]*list.Element{}}
}

// Open opens a session for a client and returns its id, which goes to the browser and
// nowhere else.
func (s *Sessions) Open(client string) (id string, opened Session) {
	id = secret()
	one := &open{Session{client, secret(), s.now().Add(Longest)}, sha256.Sum256([]byte(id)), s.now()}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.known) >= Most {
		s.drop(s.order.Back())
	}
	s.known[one.key] = s.order.PushFront(one)
	return id, one.Session
}

// Get returns the session with an id, which counts as a use of it; ok is false when
// there is none, or none any more.
func (s *Sessions) Get(id string) (_ Session, ok bool) {
	if len(id) != base64.RawURLEncoding.EncodedLen(idBytes) {
		return Session{}, false
	}
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.known[sha256.Sum256([]byte(id))]
	if e == nil {
		return Session{}, false
	}
	one := e.Value.(*open)
	if !now.Before(one.Until) || now.Sub(one.used) >= Idle {
		s.drop(e)
		return Session{}, false
	}
	one.used = now
	s.order.MoveToFront(e)
	return one.Session, true
}

// Close ends the session with an id, if there is one.
func (s *Sessions) Close(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.known[sha256.Sum256([]byte(id))]; e != nil {
		s.drop(e)
	}
}

// Len returns how many sessions are remembered; some may have ended.
func (s *Sessions) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.known)
}

// drop forgets a session. Sessions.mu is held.
func (s *Sessions) drop(e *list.Element) {
	delete(s.known, e.Value.(*open).key)
	s.order.Remove(e)
}

func secret() string {
	var bits [idBytes]byte
	_, _ = rand.Read(bits[:]) // never fails: it ends the process instead
	return base64.RawURLEncoding.EncodeToString(bits[:])
}
