package batch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestGroupsAreCutIntoLots(t *testing.T) {
	size := func(group string) int64 { return int64(len(group)) }
	for name, c := range map[string]struct {
		groups []string
		limit  int64
		want   string
	}{
		"none":                       {nil, 10, "[]"},
		"all in one":                 {[]string{"aa", "bb"}, 4, "[[aa bb]]"},
		"two lots":                   {[]string{"aa", "bb", "c"}, 4, "[[aa bb] [c]]"},
		"one that is larger than it": {[]string{"a", "bbbbbb", "c"}, 4, "[[a] [bbbbbb] [c]]"},
	} {
		if got := fmt.Sprint(Lots(c.groups, size, c.limit)); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestAShelfReadsALotOnceAndHoldsOneAtATime(t *testing.T) {
	var reads []string
	var s *Shelf[string]
	s = NewShelf([][]string{{"a", "b", "none"}, {"c", "d"}}, func(_ context.Context, groups []string) (map[string]string, error) {
		reads = append(reads, strings.Join(groups, " "))
		delete(s.items, "none")
		if len(s.items) > 0 {
			t.Errorf("%v are still there when the next lot is read", s.items)
		}
		found := map[string]string{}
		for _, group := range groups {
			if group != "none" {
				found[group] = "data of " + group
			}
		}
		return found, nil
	})
	var mu sync.Mutex
	var got []string
	take := func(group string) {
		item, ok, err := s.Take(t.Context(), group)
		if err != nil || ok != (group != "none") {
			t.Errorf("%s: %v, %v", group, ok, err)
		}
		mu.Lock()
		defer mu.Unlock()
		got = append(got, item)
	}
	for _, lot := range [][]string{{"a", "b", "none"}, {"c", "d"}} {
		var wg sync.WaitGroup
		for _, group := range lot {
			wg.Go(func() { take(group) })
		}
		wg.Wait()
	}
	slices.Sort(got)
	if want := []string{"", "data of a", "data of b", "data of c", "data of d"}; !slices.Equal(got, want) || len(reads) != 2 {
		t.Errorf("%q after reading %q", got, reads)
	}
	if _, ok, err := s.Take(t.Context(), "a"); ok || err != nil {
		t.Errorf("taken twice: %v, %v", ok, err)
	}
	if _, _, err := s.Take(t.Context(), "stranger"); err == nil {
		t.Error("a group of no lot is found")
	}
}

func TestALotThatCannotBeReadFailsItsGroupsOnly(t *testing.T) {
	reads := 0
	s := NewShelf([][]string{{"a", "b"}, {"c"}}, func(_ context.Context, groups []string) (map[string]int, error) {
		if reads++; groups[0] == "a" {
			return nil, errors.New("store is away")
		}
		return map[string]int{"c": 1}, nil
	})
	for _, group := range []string{"a", "b"} {
		if _, _, err := s.Take(t.Context(), group); err == nil {
			t.Errorf("%s: no error", group)
		}
	}
	if item, ok, err := s.Take(t.Context(), "c"); item != 1 || !ok || err != nil || reads != 2 {
		t.Errorf("%v, %v, %v after %d reads", item, ok, err, reads)
	}
}

func TestAStoppedReadingIsNotTheLotsFault(t *testing.T) {
	s := NewShelf([][]string{{"a"}}, func(ctx context.Context, _ []string) (map[string]int, error) {
		return map[string]int{"a": 1}, ctx.Err()
	})
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if _, _, err := s.Take(stopped, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if item, ok, err := s.Take(t.Context(), "a"); item != 1 || !ok || err != nil {
		t.Errorf("%v, %v, %v", item, ok, err)
	}
}
