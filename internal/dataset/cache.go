package dataset

import (
	"container/list"
	"sync"
	"unsafe"
)

// cache keeps the most recently used decoded parts and footers within a number of
// bytes, and the time spans of many more parts, so that a part that was evicted
// need not be read again only to learn that it is of no interest. Everything is
// kept under the name of one content (versioned), so nothing is ever invalid. It is safe for concurrent use.
type cache struct {
	mu    sync.Mutex
	limit int64
	used  int64                    // guarded by mu
	order *list.List               // guarded by mu: *entry, most recently used first
	byKey map[string]*list.Element // guarded by mu
	spans map[string]span          // guarded by mu
}

type entry struct {
	key   string
	value cached
	size  int64
}

// cached is what the cache keeps: a *part or a *closedFile.
type cached interface {
	size() int64 // estimated memory, in bytes
}

// span is the least and the greatest time of a part's rows, in microseconds.
type span struct{ min, max int64 }

// maxSpans bounds cache.spans: about 20 MB with its keys.
const maxSpans = 100_000

func newCache(limit int64) *cache {
	return &cache{limit: limit, order: list.New(), byKey: map[string]*list.Element{}, spans: map[string]span{}}
}

// get returns what is kept under the name, or nil.
func (c *cache) get(key string) cached {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byKey[key]
	if !ok {
		return nil
	}
	c.order.MoveToFront(e)
	return e.Value.(*entry).value
}

// put adds the value and evicts others until the limit holds. A value that alone
// exceeds the limit is not kept.
func (c *cache) put(key string, value cached) {
	size := value.size() + int64(len(key))
	c.mu.Lock()
	defer c.mu.Unlock()
	if p, ok := value.(*part); ok {
		if len(c.spans) >= maxSpans {
			clear(c.spans) // they come back as parts are read
		}
		c.spans[key] = span{p.min, p.max}
	}
	if _, ok := c.byKey[key]; ok || size > c.limit {
		return
	}
	c.byKey[key] = c.order.PushFront(&entry{key, value, size})
	c.used += size
	for c.used > c.limit {
		last := c.order.Back()
		e := last.Value.(*entry)
		c.order.Remove(last)
		delete(c.byKey, e.key)
		c.used -= e.size
	}
}

// span returns the span of a part, if it is known.
func (c *cache) span(key string) (s span, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, known = c.spans[key]
	return s, known
}

// outside reports whether the part is known to have no rows in [lo, hi).
func (c *cache) outside(key string, lo, hi int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok := c.spans[key]
	return ok && (s.max < lo || s.min >= hi)
}

// size estimates the memory that the part takes, in bytes.
func (p *part) size() int64 {
	n := int64(cap(p.rows))*int64(unsafe.Sizeof(row{})) + int64(unsafe.Sizeof(*p))
	for _, s := range p.series {
		n += int64(unsafe.Sizeof(s)) + int64(len(s.group)+len(s.metric)+len(s.stat))
	}
	return n
}

// size estimates the memory that the footer takes, in bytes.
func (f *closedFile) size() int64 {
	n := int64(unsafe.Sizeof(*f)) + 8*int64(len(f.parts))
	for _, b := range f.blocks {
		n += int64(unsafe.Sizeof(b)) + int64(len(b.first)+len(b.last))
	}
	return n
}
