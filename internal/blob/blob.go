// Package blob stores immutable objects and small compare-and-swap pointers
// under slash-separated keys, over memory, a directory or S3. It knows nothing
// of what the objects hold.
//
// Every store keeps the same contract, which one conformance suite checks:
//
//   - An object is visible whole or not at all, whatever dies while it is
//     written.
//   - Of several racing writers that Put differing bytes with IfAbsent or the
//     same IfMatch, exactly one succeeds.
//   - A Put whose answer was lost may be repeated: when the store then holds the
//     very bytes that were to be written, the repetition succeeds. Writers that
//     compete for one key (a lease, a counter) must therefore put something of
//     their own into the bytes, or two of them may both believe they have won.
//   - List is in byte order of the keys.
package blob

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"
)

// The errors that a caller decides upon; test with errors.Is.
var (
	// ErrNotFound: no object has that key.
	ErrNotFound = errors.New("object not found")
	// ErrConflict: the condition of a Put did not hold. Read again and decide anew.
	ErrConflict = errors.New("object exists or has changed")
	// ErrKey: the key is not one that a store accepts (see CheckKey).
	ErrKey = errors.New("invalid object key")
)

// Object is an object as it was read.
type Object struct {
	Data []byte
	ETag string // opaque; changes with the content
}

// Info is an entry of a listing.
type Info struct {
	Key      string
	Size     int64
	Modified time.Time
	// Version differs between the contents that a key has had. It is opaque and
	// cheap: not every store can tell the ETag of Get without reading the object.
	Version string
}

// Condition restricts a Put. Its zero value means: always.
type Condition struct {
	absent   bool
	matching bool
	etag     string
}

// IfAbsent lets a Put succeed only when no object has the key.
func IfAbsent() Condition { return Condition{absent: true} }

// IfMatch lets a Put succeed only when the object has this ETag still. An empty
// ETag, which no object has, never matches: forgetting to Get first must not
// turn a compare-and-swap into an overwrite.
func IfMatch(etag string) Condition { return Condition{matching: true, etag: etag} }

// Absent reports whether the condition is IfAbsent.
func (c Condition) Absent() bool { return c.absent }

// Matching reports whether the condition is IfMatch.
func (c Condition) Matching() bool { return c.matching }

// ETag returns the ETag of an IfMatch condition, otherwise "".
func (c Condition) ETag() string { return c.etag }

// Store is a flat space of objects. Implementations are safe for concurrent use.
type Store interface {
	// Get returns the object, or ErrNotFound.
	Get(ctx context.Context, key string) (Object, error)
	// GetRange returns length bytes of the object from offset on, fewer where it
	// ends before, none beyond its end; ErrNotFound if there is no object. A
	// negative offset counts from the end: the last -offset bytes, or all when the
	// object is shorter. Two calls may see two versions of an object that changes.
	GetRange(ctx context.Context, key string, offset, length int64) ([]byte, error)
	// Put writes the object if cond holds and returns its ETag, otherwise
	// ErrConflict. IfMatch on a key that does not exist is ErrConflict too.
	Put(ctx context.Context, key string, data []byte, cond Condition) (etag string, err error)
	// List yields the objects whose key has the prefix and is greater than
	// after, in byte order. It stops after yielding an error.
	List(ctx context.Context, prefix, after string) iter.Seq2[Info, error]
	// Delete removes the object. Removing what is not there is no error.
	Delete(ctx context.Context, key string) error
}

// Escape makes any name usable as one segment of a key: every byte outside of
// A-Z a-z 0-9 - _ is percent-encoded, and so is a dot unless it stands between
// other characters. It is reversible (Unescape) and never yields "", "." or "..".
func Escape(name string) string {
	if name == "" {
		return "%"
	}
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		c := name[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_',
			c == '.' && i > 0 && i < len(name)-1 && name[i-1] != '.':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// Unescape returns the name that Escape encoded.
func Unescape(segment string) (string, error) {
	if segment == "%" {
		return "", nil
	}
	name, err := url.PathUnescape(segment)
	if err != nil {
		return "", fmt.Errorf("key segment %q: %w", segment, err)
	}
	return name, nil
}

// CheckKey returns ErrKey, with the reason, unless key is made of non-empty
// segments none of which is "." or "..", in valid UTF-8, without a leading
// slash, a backslash or a control character, and at most 1024 bytes long.
func CheckKey(key string) error {
	bad := func(why string) error { return fmt.Errorf("%w: %.80q %s", ErrKey, key, why) }
	if key == "" || len(key) > 1024 {
		return bad("must be 1 to 1024 bytes long")
	}
	if !utf8.ValidString(key) {
		return bad("is not valid UTF-8")
	}
	for i := 0; i < len(key); i++ {
		if key[i] < ' ' || key[i] == 0x7f || key[i] == '\\' {
			return bad("holds a control character or a backslash")
		}
	}
	for seg := range strings.SplitSeq(key, "/") {
		switch seg {
		case "":
			return bad("is absolute or has an empty segment")
		case ".", "..":
			return bad("has a relative segment")
		}
	}
	return nil
}
