package live

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/forescale/forescale/api"
)

func news(what string, groups ...string) api.Changed {
	return api.Changed{What: []string{what}, Groups: groups}
}

// viewer reads a stream over a real connection.
type viewer struct {
	t      *testing.T
	lines  *bufio.Scanner
	close  context.CancelFunc
	lastID string
}

// serve serves a hub with short time limits, which must not end a stream.
func serve(t *testing.T, h *Hub) (url string) {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := h.Serve(r.Context(), w, r.Header.Get("Last-Event-ID")); errors.Is(err, ErrClosed) || errors.Is(err, ErrFull) {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	}))
	s.Config.ReadTimeout, s.Config.WriteTimeout = 50*time.Millisecond, 50*time.Millisecond
	s.Start()
	t.Cleanup(func() { h.Close(); s.Close() })
	return s.URL
}

func view(t *testing.T, url, lastID string) *viewer {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if lastID != "" {
		r.Header.Set("Last-Event-ID", lastID)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil || response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%v, %+v", err, response)
	}
	t.Cleanup(func() { response.Body.Close() })
	v := &viewer{t: t, lines: bufio.NewScanner(response.Body), close: cancel}
	if !v.lines.Scan() || v.lines.Text() != "retry: 2000" {
		t.Fatalf("it begins with %q", v.lines.Text())
	}
	return v
}

// next returns the next news; ok is false at the end of the stream.
func (v *viewer) next() (c api.Changed, ok bool) {
	v.t.Helper()
	for v.lines.Scan() {
		key, value, _ := strings.Cut(v.lines.Text(), ": ")
		switch key {
		case "id":
			v.lastID = value
		case "data":
			if err := json.Unmarshal([]byte(value), &c); err != nil {
				v.t.Fatal(err)
			}
			return c, true
		}
	}
	return c, false
}

func (v *viewer) expect(want string) {
	v.t.Helper()
	c, ok := v.next()
	if got := strings.Join(append(c.What, c.Groups...), " "); !ok || got != want || c.At.IsZero() {
		v.t.Errorf("got %q (%v) at %s, want %q", got, ok, c.At, want)
	}
}

const all = "decision forecast model samples"

func TestNewsReachAllViewersAndWhoComesBackCatchesUp(t *testing.T) {
	forgotten := 0
	h := New(time.Now, func() { forgotten++ })
	url := serve(t, h)
	first, second := view(t, url, ""), view(t, url, "")
	h.Tell(news(api.ChangedSamples, "web"))
	h.Tell(news(api.ChangedDecision))
	for _, v := range []*viewer{first, second} {
		v.expect("samples web")
		v.expect("decision")
	}
	if forgotten != 2 {
		t.Errorf("what was remembered was forgotten %d times", forgotten)
	}
	time.Sleep(100 * time.Millisecond) // longer than the server's time limits
	h.Tell(news(api.ChangedModel))
	first.expect("model")
	second.close()
	h.Tell(news(api.ChangedForecast))
	first.expect("forecast")
	second = view(t, url, second.lastID)
	second.expect("model") // which it had not read yet
	second.expect("forecast")
	view(t, url, "another-1").expect(all)
	view(t, url, "nonsense-%%").expect(all)
	view(t, url, h.epoch+"-99999").expect(all) // of a time to come
	h.Close()
	if _, ok := first.next(); ok {
		t.Error("the stream goes on")
	}
	if response, err := http.Get(url); err != nil || response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("after the end: %v, %v", response, err)
	}
}

func TestWhoWasAwayForMoreThanTheRingHoldsIsToldSo(t *testing.T) {
	h := New(time.Now, nil)
	url := serve(t, h)
	v := view(t, url, "")
	h.Tell(news(api.ChangedSamples, "0"))
	v.expect("samples 0")
	v.close()
	for n := 1; n <= ringSize; n++ {
		h.Tell(news(api.ChangedSamples, fmt.Sprint(n)))
	}
	inTime := view(t, url, v.lastID)
	for n := 1; n <= ringSize; n++ {
		inTime.expect("samples " + fmt.Sprint(n))
	}
	h.Tell(news(api.ChangedSamples))
	late := view(t, url, v.lastID)
	late.expect(all)
	h.Tell(news(api.ChangedModel))
	late.expect("model") // and then goes on
}

func TestTellingDoesNotWaitForAViewerThatDoesNotRead(t *testing.T) {
	h := New(time.Now, nil)
	url := serve(t, h)
	for range 3 {
		view(t, url, "") // and never reads on
	}
	groups := make([]string, MaxGroups)
	for i := range groups {
		groups[i] = strings.Repeat("x", 250)
	}
	for range 10 * ringSize { // far more than any buffer of a connection holds
		h.Tell(news(api.ChangedSamples, groups...))
	}
	if h.Viewers() != 3 {
		t.Errorf("%d viewers", h.Viewers())
	}
}

func TestTooManyGroupsAreAnyGroup(t *testing.T) {
	h := New(time.Now, nil)
	v := view(t, serve(t, h), "")
	h.Tell(news(api.ChangedSamples, make([]string, MaxGroups+1)...))
	v.expect("samples")
}

func TestMoreViewersThanTheBoundAreTurnedAway(t *testing.T) {
	h := New(time.Now, nil)
	for range MaxViewers {
		if err := h.enter(); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.enter(); !errors.Is(err, ErrFull) {
		t.Error(err)
	}
	h.leave()
	if err := h.enter(); err != nil {
		t.Error(err)
	}
}

func TestNewsFromOutsideAreChecked(t *testing.T) {
	for name, c := range map[string]struct {
		news api.Changed
		want string // in the error; empty: it is valid
	}{
		"all kinds":              {api.Changed{What: []string{"samples", "forecast", "decision", "model"}, Groups: []string{"web", "a/b"}}, ""},
		"no kind":                {api.Changed{}, "what"},
		"an unknown kind":        {api.Changed{What: []string{"weather"}}, "weather"},
		"kinds again and again":  {api.Changed{What: make([]string, 5)}, "5 kinds"},
		"a group without a name": {news("samples", "web", ""), "groups[1]"},
		"a line break":           {news("samples", "a\n\nevent: x"), "groups[0]"},
	} {
		if err := Check(c.news); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheStoresAreAskedByOneReaderAndOnlyWhileAnyoneLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(time.Now, nil)
		var mu sync.Mutex // held by the test but while time passes
		asked, mark, fault := 0, "a", error(nil)
		newest := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
		source := Source{"journal", []string{"decision", "forecast"}, func(context.Context) (string, time.Time, error) {
			mu.Lock()
			defer mu.Unlock()
			asked++
			return mark, newest, fault
		}}
		ctx, cancel := context.WithCancel(t.Context())
		var failed []string
		done := make(chan struct{})
		go func() {
			h.Watch(ctx, []Source{source}, 5*time.Second, time.Second, func(name string, err error) { failed = append(failed, name+": "+err.Error()) })
			close(done)
		}()
		pass := func(d time.Duration) { mu.Unlock(); time.Sleep(d); synctest.Wait(); mu.Lock() }
		mu.Lock()
		said := func(from uint64) string {
			messages, _, _, _ := h.after(from)
			return string(messages)
		}
		pass(time.Minute)
		if asked != 0 {
			t.Errorf("asked %d times for nobody", asked)
		}
		for range 200 {
			if err := h.enter(); err != nil {
				t.Fatal(err)
			}
		}
		pass(0)
		if asked != 1 || h.next != 1 {
			t.Errorf("asked %d times, %d messages", asked, h.next-1)
		}
		pass(10 * time.Second)
		if asked != 3 || h.next != 1 {
			t.Errorf("asked %d times in ten seconds, %d messages", asked, h.next-1)
		}
		mark = "b"
		pass(5 * time.Second)
		if got := said(1); !strings.Contains(got, `{"at":"2026-03-02T12:00:00Z","what":["decision","forecast"]}`) || h.next != 2 {
			t.Errorf("after a change: %q", got)
		}
		fault, mark = errors.New("away"), "c"
		pass(5 * time.Second)
		if len(failed) != 1 || failed[0] != "journal: away" || h.next != 2 {
			t.Errorf("failed: %q", failed)
		}
		fault = nil
		h.Tell(news("samples", "web")) // somebody tells: it is asked at once
		pass(0)
		if got := said(2); strings.Count(got, "event: changed") != 2 {
			t.Errorf("told: %q", got)
		}
		mu.Unlock()
		cancel()
		<-done
	})
}
