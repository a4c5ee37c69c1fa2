package blob_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/forescale/forescale/internal/blob"
)

// conformance checks the contract of a Store. fresh returns a store that is
// empty; two calls of open on one of them are two clients of the same objects.
func conformance(t *testing.T, fresh func(t *testing.T) (open func() blob.Store)) {
	for name, check := range map[string]func(*testing.T, func() blob.Store){
		"an object is read as it was written":                      checkRoundTrip,
		"a missing object is ErrNotFound":                          checkMissing,
		"IfAbsent protects what exists":                            checkIfAbsent,
		"IfMatch replaces only what was read":                      checkIfMatch,
		"a repeated put succeeds":                                  checkRepeat,
		"of sixteen racing IfAbsent writers one wins":              checkRaceAbsent,
		"racing IfMatch increments lose nothing":                   checkRaceMatch,
		"a listing is in byte order and honours prefix and after":  checkList,
		"a listing stops when the consumer does, and with its ctx": checkListStop,
		"keys that could leave the store are refused":              checkKeys,
		"deleting is idempotent":                                   checkDelete,
		"a range is that part of the object":                       checkRange,
		"a version changes with the content":                       checkVersion,
		"bytes that were handed over are not shared":               checkNoAliasing,
	} {
		t.Run(name, func(t *testing.T) { check(t, fresh(t)) })
	}
}

func put(t *testing.T, s blob.Store, key, data string, cond blob.Condition) string {
	t.Helper()
	etag, err := s.Put(t.Context(), key, []byte(data), cond)
	if err != nil {
		t.Fatalf("Put(%q): %v", key, err)
	}
	if etag == "" {
		t.Fatalf("Put(%q) returned no ETag", key)
	}
	return etag
}

func get(t *testing.T, s blob.Store, key string) (data, etag string) {
	t.Helper()
	o, err := s.Get(t.Context(), key)
	if err != nil {
		t.Fatalf("Get(%q): %v", key, err)
	}
	return string(o.Data), o.ETag
}

func list(t *testing.T, s blob.Store, prefix, after string) (keys []string) {
	t.Helper()
	for info, err := range s.List(t.Context(), prefix, after) {
		if err != nil {
			t.Fatalf("List(%q, %q): %v", prefix, after, err)
		}
		keys = append(keys, info.Key)
	}
	return keys
}

func checkRoundTrip(t *testing.T, open func() blob.Store) {
	a, b := open(), open()
	big := make([]byte, 3<<20)
	for i := range big {
		big[i] = byte(i * i >> 7)
	}
	for key, data := range map[string]string{
		"empty":                                "",
		"a/b/c.txt":                            "hello",
		"per%2Fcent/%25 & +":                   "an escaped name, a blank, signs that URLs treat apart",
		"ünï/çødé=1":                           "unicode",
		"binary":                               "\x00\xff\r\n\x00",
		"big":                                  string(big),
		"x/" + blob.Escape("../../etc/passwd"): "a name from outside",
	} {
		etag := put(t, a, key, data, blob.Condition{})
		got, gotTag := get(t, b, key)
		if got != data {
			t.Errorf("%q: read %d bytes, wrote %d", key, len(got), len(data))
		}
		if gotTag != etag {
			t.Errorf("%q: Get says ETag %s, Put said %s", key, gotTag, etag)
		}
		for info, err := range b.List(t.Context(), key, "") {
			if err != nil {
				t.Fatal(err)
			}
			if info.Key != key || info.Size != int64(len(data)) || info.Modified.IsZero() {
				t.Errorf("%q is listed as %+v", key, info)
			}
		}
	}
	put(t, a, "a/b/c.txt", "other", blob.Condition{})
	if got, _ := get(t, b, "a/b/c.txt"); got != "other" {
		t.Errorf("an unconditional put left %q", got)
	}
}

func checkMissing(t *testing.T, open func() blob.Store) {
	s := open()
	put(t, s, "a/b", "x", blob.Condition{})
	for _, key := range []string{"nothing", "a/c", "a/c/d", "a", "a/b/c"} {
		if _, err := s.Get(t.Context(), key); !errors.Is(err, blob.ErrNotFound) || !strings.Contains(err.Error(), key) {
			t.Errorf("Get(%q): %v is not ErrNotFound with the key", key, err)
		}
	}
	if keys := list(t, s, "nothing/", ""); keys != nil {
		t.Errorf("listed %q", keys)
	}
}

func checkIfAbsent(t *testing.T, open func() blob.Store) {
	s := open()
	put(t, s, "d/k", "first", blob.IfAbsent())
	if _, err := s.Put(t.Context(), "d/k", []byte("second"), blob.IfAbsent()); !errors.Is(err, blob.ErrConflict) {
		t.Errorf("the second put: %v", err)
	}
	if got, _ := get(t, s, "d/k"); got != "first" {
		t.Errorf("the object is now %q", got)
	}
}

func checkIfMatch(t *testing.T, open func() blob.Store) {
	s := open()
	if _, err := s.Put(t.Context(), "p", []byte("x"), blob.IfMatch("0123456789abcdef")); !errors.Is(err, blob.ErrConflict) {
		t.Errorf("IfMatch on nothing: %v", err)
	}
	one := put(t, s, "p", "one", blob.IfAbsent())
	two := put(t, s, "p", "two", blob.IfMatch(one))
	if one == two {
		t.Errorf("the ETag %s did not change with the content", one)
	}
	if _, err := s.Put(t.Context(), "p", []byte("three"), blob.IfMatch(one)); !errors.Is(err, blob.ErrConflict) {
		t.Errorf("a stale ETag: %v", err)
	}
	if _, err := s.Put(t.Context(), "p", []byte("four"), blob.IfMatch("")); !errors.Is(err, blob.ErrConflict) {
		t.Errorf("an empty ETag: %v", err)
	}
	if got, etag := get(t, s, "p"); got != "two" || etag != two {
		t.Errorf("the object is now %q, %s", got, etag)
	}
}

func checkRepeat(t *testing.T, open func() blob.Store) {
	s := open()
	one := put(t, s, "p", "one", blob.IfAbsent())
	if again := put(t, s, "p", "one", blob.IfAbsent()); again != one {
		t.Errorf("the repetition returned %s, not %s", again, one)
	}
	two := put(t, s, "p", "two", blob.IfMatch(one))
	if again := put(t, s, "p", "two", blob.IfMatch(one)); again != two {
		t.Errorf("the repetition returned %s, not %s", again, two)
	}
}

func checkRaceAbsent(t *testing.T, open func() blob.Store) {
	for round := range 5 {
		key := fmt.Sprintf("race/%d", round)
		var mu sync.Mutex
		var winners []string
		var wg sync.WaitGroup
		for w := range 16 {
			wg.Go(func() {
				data := fmt.Sprintf("writer %d", w)
				_, err := open().Put(t.Context(), key, []byte(data), blob.IfAbsent())
				if err == nil {
					mu.Lock()
					winners = append(winners, data)
					mu.Unlock()
				} else if !errors.Is(err, blob.ErrConflict) {
					t.Errorf("%s: %v", data, err)
				}
			})
		}
		wg.Wait()
		got, _ := get(t, open(), key)
		if len(winners) != 1 || winners[0] != got {
			t.Errorf("%q believe they won; the object holds %q", winners, got)
		}
	}
}

func checkRaceMatch(t *testing.T, open func() blob.Store) {
	put(t, open(), "counter", "", blob.IfAbsent())
	const writers, each = 4, 5
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			s := open()
			for i := range each {
				if err := increment(t.Context(), s, "counter", fmt.Sprintf("%d.%d\n", w, i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got, _ := get(t, open(), "counter")
	lines := strings.Fields(got)
	slices.Sort(lines)
	if n := len(slices.Compact(lines)); n != writers*each || strings.Count(got, "\n") != n {
		t.Errorf("%d increments left %q", writers*each, got)
	}
}

// increment appends line to the object by compare-and-swap.
func increment(ctx context.Context, s blob.Store, key, line string) error {
	for {
		o, err := s.Get(ctx, key)
		if err != nil {
			return err
		}
		_, err = s.Put(ctx, key, append(o.Data, line...), blob.IfMatch(o.ETag))
		if !errors.Is(err, blob.ErrConflict) {
			return err
		}
	}
}

func checkList(t *testing.T, open func() blob.Store) {
	s := open()
	keys := []string{"a-b", "a.b", "a/b", "a/b-c", "a/bc/d", "a/bc.d", "a/c/d/e", "a0", "ab", "b/x=1/y", "b/x=10/y", "b/x=2/y", "z"}
	for _, k := range keys {
		put(t, s, k, k, blob.Condition{})
	}
	slices.Sort(keys)
	prefixes := []string{"", "a", "a/", "a/b", "a/bc/", "a/bc/d", "b/x=1", "b/x=1/", "b/x=1/y", "zz", "q/", "../", "./", "/", "a//"}
	for _, prefix := range prefixes {
		for _, after := range append([]string{"", "a/", "a/zz", "a/b/x", "b/x=1/y0", "b/x=1", "zzz"}, keys...) {
			var want []string
			for _, k := range keys {
				if strings.HasPrefix(k, prefix) && k > after {
					want = append(want, k)
				}
			}
			if got := list(t, s, prefix, after); !slices.Equal(got, want) {
				t.Errorf("List(%q, %q) = %q, want %q", prefix, after, got, want)
			}
		}
	}
}

func checkListStop(t *testing.T, open func() blob.Store) {
	s := open()
	for i := range 5 {
		put(t, s, fmt.Sprintf("k/%d", i), "x", blob.Condition{})
	}
	n := 0
	for range s.List(t.Context(), "", "") {
		if n++; n == 2 {
			break
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	n = 0
	for _, err := range s.List(ctx, "", "") {
		if n++; !errors.Is(err, context.Canceled) {
			t.Errorf("after the end of ctx: %v", err)
		}
	}
	if n != 1 {
		t.Errorf("a listing without time yielded %d times, want its error once", n)
	}
	if _, err := s.Get(ctx, "k/1"); !errors.Is(err, context.Canceled) {
		t.Errorf("Get after the end of ctx: %v", err)
	}
	if _, err := s.Put(ctx, "k/9", nil, blob.IfAbsent()); !errors.Is(err, context.Canceled) {
		t.Errorf("Put after the end of ctx: %v", err)
	}
}

func checkKeys(t *testing.T, open func() blob.Store) {
	s := open()
	for _, key := range []string{"", "/etc/passwd", "..", "../x", "a/../../x", "a/./b", "a//b", "a/", `a\b`, "a\nb", "a\x00b", "a\xffb", strings.Repeat("k", 1025)} {
		_, getErr := s.Get(t.Context(), key)
		_, putErr := s.Put(t.Context(), key, []byte("x"), blob.Condition{})
		for op, err := range map[string]error{"Get": getErr, "Put": putErr, "Delete": s.Delete(t.Context(), key)} {
			if !errors.Is(err, blob.ErrKey) {
				t.Errorf("%s(%.20q): %v", op, key, err)
			}
		}
	}
	if keys := list(t, s, "", ""); keys != nil {
		t.Errorf("refused keys are listed: %q", keys)
	}
}

func checkDelete(t *testing.T, open func() blob.Store) {
	s := open()
	put(t, s, "a/b", "x", blob.Condition{})
	put(t, s, "a/c", "x", blob.Condition{})
	for range 2 {
		if err := s.Delete(t.Context(), "a/b"); err != nil {
			t.Fatal(err)
		}
	}
	if keys := list(t, s, "", ""); !slices.Equal(keys, []string{"a/c"}) {
		t.Errorf("left: %q", keys)
	}
	put(t, s, "a/b", "y", blob.IfAbsent())
}

func checkRange(t *testing.T, open func() blob.Store) {
	s := open()
	data := strings.Repeat("0123456789", 20_000)
	put(t, s, "a/long", data, blob.Condition{})
	put(t, s, "a/none", "", blob.Condition{})
	n := int64(len(data))
	for _, tc := range []struct {
		name           string
		key            string
		offset, length int64
		want           string
	}{
		{"the beginning", "a/long", 0, 5, "01234"},
		{"the middle", "a/long", 100_003, 4, "3456"},
		{"all", "a/long", 0, n, data},
		{"past the end, cut there", "a/long", n - 3, 100, "789"},
		{"at the end", "a/long", n, 1, ""},
		{"beyond the end", "a/long", n + 7, 10, ""},
		{"the last bytes", "a/long", -4, 4, "6789"},
		{"some of the last bytes", "a/long", -4, 2, "67"},
		{"fewer last bytes than asked for", "a/long", -4, 100, "6789"},
		{"more last bytes than there are", "a/long", -n - 10, 2 * n, data},
		{"the beginning of nothing", "a/none", 0, 5, ""},
		{"the end of nothing", "a/none", -5, 5, ""},
	} {
		got, err := s.GetRange(t.Context(), tc.key, tc.offset, tc.length)
		if err != nil || string(got) != tc.want {
			t.Errorf("%s: %d bytes, %v; want %d", tc.name, len(got), err, len(tc.want))
		}
	}
	for _, key := range []string{"a/other", "a", "a/long/x"} {
		if _, err := s.GetRange(t.Context(), key, 0, 1); !errors.Is(err, blob.ErrNotFound) || !strings.Contains(err.Error(), key) {
			t.Errorf("a range of %q: %v is not ErrNotFound with the key", key, err)
		}
	}
	if _, err := s.GetRange(t.Context(), "../x", 0, 1); !errors.Is(err, blob.ErrKey) {
		t.Errorf("a range of a relative key: %v", err)
	}
	for _, length := range []int64{0, -1, blob.MaxSize + 1} {
		if got, err := s.GetRange(t.Context(), "a/long", 0, length); err == nil {
			t.Errorf("a range of %d bytes returned %d", length, len(got))
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.GetRange(ctx, "a/long", 0, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of ctx: %v", err)
	}
}

func checkVersion(t *testing.T, open func() blob.Store) {
	s := open()
	version := func() string {
		for info, err := range s.List(t.Context(), "v/", "") {
			if err != nil {
				t.Fatal(err)
			}
			return info.Version
		}
		return ""
	}
	seen := map[string]string{}
	for i := range 50 {
		data := fmt.Sprintf("content %02d", i)
		put(t, s, "v/k", data, blob.Condition{})
		v := version()
		if was := seen[v]; v == "" || was != "" {
			t.Errorf("version %q of %q is also that of %q", v, data, was)
		}
		seen[v] = data
		if again := version(); again != v {
			t.Errorf("the version of %q changed by itself from %q to %q", data, v, again)
		}
	}
}

func checkNoAliasing(t *testing.T, open func() blob.Store) {
	s := open()
	data := []byte("abc")
	if _, err := s.Put(t.Context(), "k", data, blob.Condition{}); err != nil {
		t.Fatal(err)
	}
	data[0] = 'X'
	o, err := s.Get(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	o.Data[1] = 'X'
	if got, _ := get(t, s, "k"); !bytes.Equal([]byte(got), []byte("abc")) {
		t.Errorf("the object changed to %q", got)
	}
}

func TestMemory(t *testing.T) {
	conformance(t, func(*testing.T) func() blob.Store {
		s := blob.NewMemory()
		return func() blob.Store { return s }
	})
}
