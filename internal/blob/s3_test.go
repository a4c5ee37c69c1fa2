package blob_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/blob/s3test"
)

func openURL(t *testing.T, rawURL string) blob.Store {
	t.Helper()
	s, err := blob.Open(t.Context(), rawURL)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestS3(t *testing.T) {
	server := s3test.StartServer(t)
	var n atomic.Int32
	conformance(t, func(t *testing.T) func() blob.Store {
		storeURL := server.URL(fmt.Sprintf("some/prefix/%d", n.Add(1)))
		return func() blob.Store { return openURL(t, storeURL) }
	})
}

func TestS3ListsMoreKeysThanAPageHolds(t *testing.T) {
	server := s3test.StartServer(t)
	s, err := blob.NewS3(t.Context(), blob.S3Config{
		Bucket: s3test.Bucket, Prefix: "paged", Endpoint: server.Endpoint, PathStyle: true, PageSize: 97,
	})
	if err != nil {
		t.Fatal(err)
	}
	const n = 1100
	want := make([]string, n)
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := w; i < n; i += 8 {
				want[i] = fmt.Sprintf("date=%d/%04d.parquet", i%7, i)
				if _, err := s.Put(t.Context(), want[i], []byte{byte(i)}, blob.IfAbsent()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	slices.Sort(want)
	for name, lister := range map[string]blob.Store{"small pages": s, "the server's own pages": openURL(t, server.URL("paged"))} {
		if got := list(t, lister, "", ""); !slices.Equal(got, want) {
			t.Errorf("%s: listed %d keys, want %d in order", name, len(got), n)
		}
		if got := list(t, lister, "date=", want[500]); !slices.Equal(got, want[501:]) {
			t.Errorf("%s: listed %d keys after the 501st, want %d", name, len(got), n-501)
		}
	}
}

func TestS3KeepsWhatItAcknowledgedWhenTheServerIsKilled(t *testing.T) {
	server := s3test.StartServer(t)
	acknowledged := map[string]string{}
	for round := range 6 {
		s, err := blob.NewS3(t.Context(), blob.S3Config{
			Bucket: s3test.Bucket, Endpoint: server.Endpoint, PathStyle: true, MaxAttempts: 1,
		})
		if err != nil {
			t.Fatal(err)
		}
		kill := time.AfterFunc(time.Duration(20+17*round)*time.Millisecond, server.Kill)
		for i := 0; i < 100_000; i++ {
			key := fmt.Sprintf("r%d/%05d", round, i)
			data := strings.Repeat(key, 1+1000*(i%30))
			if _, err := s.Put(t.Context(), key, []byte(data), blob.IfAbsent()); err != nil {
				break
			}
			acknowledged[key] = data
		}
		kill.Stop()
		server.Kill()
		if err := server.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if len(acknowledged) < 10 {
		t.Fatalf("only %d objects were written; the test shows nothing", len(acknowledged))
	}
	s := openURL(t, server.URL(""))
	for key, data := range acknowledged {
		if got, _ := get(t, s, key); got != data {
			t.Errorf("%s holds %d bytes, not the %d acknowledged", key, len(got), len(data))
		}
	}
	for _, key := range list(t, s, "", "") { // an unacknowledged one may exist, but whole
		if got, _ := get(t, s, key); !strings.HasPrefix(got, key) || len(got)%len(key) != 0 {
			t.Errorf("%s is visible in part: %d bytes", key, len(got))
		}
	}
}

// faulty stands between client and server and spoils the next requests that it
// is told to, in order.
type faulty struct {
	proxy http.Handler
	mu    sync.Mutex
	plan  []fault // guarded by mu
	seen  int     // guarded by mu: all requests
}

type fault string

const (
	answer409   fault = "409"               // ConditionalRequestConflict, nothing written
	answer503   fault = "503"               // SlowDown, nothing written
	loseAnswer  fault = "lost answer"       // the server does it, the client never hears
	cutAnswer   fault = "answer cut short"  // headers and half of the body
	ignoreRange fault = "whole object"      // although a range was asked for
	otherRange  fault = "another range"     // a byte further than asked for
	pass        fault = "passes unhindered" // nothing wrong
)

func (f *faulty) next() fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen++
	if len(f.plan) == 0 {
		return pass
	}
	first := f.plan[0]
	f.plan = f.plan[1:]
	return first
}

func (f *faulty) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch f.next() {
	case answer409:
		s3Error(w, http.StatusConflict, "ConditionalRequestConflict")
	case answer503:
		s3Error(w, http.StatusServiceUnavailable, "SlowDown")
	case loseAnswer:
		f.proxy.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	case cutAnswer:
		rec := httptest.NewRecorder()
		f.proxy.ServeHTTP(rec, r)
		for k, v := range rec.Header() {
			w.Header()[k] = v
		}
		w.WriteHeader(rec.Code)
		w.Write(rec.Body.Bytes()[:rec.Body.Len()/2])
		panic(http.ErrAbortHandler)
	case ignoreRange: // the signature covers the header: answer from a sound request
		rec := httptest.NewRecorder()
		f.proxy.ServeHTTP(rec, r)
		data := []byte(strings.Repeat("0123456789", 10_000))
		w.Header().Set("ETag", rec.Header().Get("ETag"))
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		w.Write(data)
	case otherRange:
		w.Header().Set("Content-Range", "bytes 50004-50008/100000")
		w.WriteHeader(http.StatusPartialContent)
		w.Write([]byte("45678"))
	default:
		f.proxy.ServeHTTP(w, r)
	}
}

func s3Error(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>made up</Message></Error>", code)
}

// startFaulty returns a store that speaks to a real server through a faulty
// line, and one that speaks to it directly.
func startFaulty(t *testing.T) (line *faulty, through, direct blob.Store) {
	t.Helper()
	server := s3test.StartServer(t)
	target, err := url.Parse(server.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	// Host is part of the signature, so it is left as the client sent it.
	line = &faulty{proxy: &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host = target.Scheme, target.Host
		r.Out.Host = r.In.Host
	}}}
	front := httptest.NewServer(line)
	t.Cleanup(front.Close)
	return line, openURL(t, s3test.StoreURL(front.URL, "f")), openURL(t, server.URL("f"))
}

func TestS3GetsThroughAFaultyLine(t *testing.T) {
	line, through, direct := startFaulty(t)
	for i, tc := range []struct {
		name     string
		plan     []fault
		requests int // that the call may take
	}{
		{"nothing is wrong", nil, 1},
		{"a 409 is tried again", []fault{answer409, answer409}, 3},
		{"a 503 is tried again", []fault{answer503}, 2},
		{"a lost answer meets its own object, which is read", []fault{loseAnswer}, 3},
		{"a lost answer twice", []fault{loseAnswer, loseAnswer}, 4},
		{"everything at once", []fault{answer503, loseAnswer, answer409, cutAnswer}, 7},
	} {
		for _, cond := range []string{"if absent", "if match", "always"} {
			t.Run(tc.name+", "+cond, func(t *testing.T) {
				key := fmt.Sprintf("%d/%s", i, strings.ReplaceAll(cond, " ", "-"))
				condition := blob.Condition{}
				switch cond {
				case "if absent":
					condition = blob.IfAbsent()
				case "if match":
					condition = blob.IfMatch(put(t, direct, key, "before", blob.IfAbsent()))
				}
				line.mu.Lock()
				line.plan, line.seen = slices.Clone(tc.plan), 0
				line.mu.Unlock()
				etag := put(t, through, key, "after", condition)
				line.mu.Lock()
				seen := line.seen
				line.plan = nil
				line.mu.Unlock()
				if seen > tc.requests {
					t.Errorf("it took %d requests, want at most %d", seen, tc.requests)
				}
				if got, gotTag := get(t, direct, key); got != "after" || gotTag != etag {
					t.Errorf("the object holds %q, %s; put returned %s", got, gotTag, etag)
				}
			})
		}
	}
}

func TestS3DoesNotTakeAStrangersObjectForItsOwn(t *testing.T) {
	line, through, direct := startFaulty(t)
	put(t, direct, "k", "a stranger's", blob.IfAbsent())
	line.plan = []fault{loseAnswer, answer409}
	if _, err := through.Put(t.Context(), "k", []byte("mine"), blob.IfAbsent()); !errors.Is(err, blob.ErrConflict) {
		t.Errorf("put: %v", err)
	}
	if got, _ := get(t, direct, "k"); got != "a stranger's" {
		t.Errorf("the object now holds %q", got)
	}
}

func TestS3ReadsAgainWhenABodyIsCutShort(t *testing.T) {
	line, through, direct := startFaulty(t)
	data := strings.Repeat("0123456789", 10_000)
	put(t, direct, "k", data, blob.IfAbsent())
	line.plan = []fault{cutAnswer, answer503, cutAnswer}
	if got, _ := get(t, through, "k"); got != data {
		t.Errorf("read %d bytes of %d", len(got), len(data))
	}
	line.plan = []fault{cutAnswer, cutAnswer, cutAnswer, cutAnswer}
	if o, err := through.Get(t.Context(), "k"); err == nil || !strings.Contains(err.Error(), "get k") {
		t.Errorf("an object that is never sent whole: %d bytes, %v", len(o.Data), err)
	}
}

func TestS3ReadsARangeThroughAFaultyLine(t *testing.T) {
	line, through, direct := startFaulty(t)
	put(t, direct, "k", strings.Repeat("0123456789", 10_000), blob.IfAbsent())
	for name, plan := range map[string][]fault{
		"a body cut short is read again":        {cutAnswer, answer503, cutAnswer},
		"a server may send the object as whole": {ignoreRange},
	} {
		for offset, want := range map[int64]string{50_003: "34567", -5: "56789"} {
			line.plan = slices.Clone(plan)
			if got, err := through.GetRange(t.Context(), "k", offset, 5); err != nil || string(got) != want {
				t.Errorf("%s: %q, %v; want %q", name, got, err, want)
			}
		}
	}
	line.plan = []fault{otherRange}
	if got, err := through.GetRange(t.Context(), "k", 50_003, 5); err == nil {
		t.Errorf("a range that was not asked for was taken: %q", got)
	}
}

func TestS3GivesUpOnAConflictThatDoesNotEnd(t *testing.T) {
	line, _, direct := startFaulty(t)
	front := httptest.NewServer(line)
	defer front.Close()
	s, err := blob.NewS3(t.Context(), blob.S3Config{Bucket: s3test.Bucket, Prefix: "f", Endpoint: front.URL, PathStyle: true, MaxAttempts: 3})
	if err != nil {
		t.Fatal(err)
	}
	line.plan = slices.Repeat([]fault{answer409}, 50)
	_, err = s.Put(t.Context(), "k", []byte("x"), blob.IfAbsent())
	// Not ErrConflict: that would tell the caller that an object is there.
	if err == nil || errors.Is(err, blob.ErrConflict) {
		t.Errorf("put: %v", err)
	}
	line.mu.Lock()
	defer line.mu.Unlock()
	if line.seen != 3 {
		t.Errorf("it took %d requests, want 3", line.seen)
	}
	if keys := list(t, direct, "", ""); keys != nil {
		t.Errorf("there is %q", keys)
	}
}

func TestS3ErrorsSayWhatToDo(t *testing.T) {
	server := s3test.StartServer(t)
	for name, tc := range map[string]struct {
		url, secret, want string
	}{
		"the bucket does not exist":  {"s3://nowhere?path_style=true&endpoint=" + server.Endpoint, s3test.SecretKey, `bucket "nowhere" does not exist`},
		"the secret is wrong":        {server.URL("x"), "wrong", "AWS_SECRET_ACCESS_KEY"},
		"nobody listens":             {s3test.StoreURL("http://127.0.0.1:1", "x"), s3test.SecretKey, "http://127.0.0.1:1 cannot be reached"},
		"there are no credentials":   {server.URL("x"), "", "no credentials found"},
		"there is no region for AWS": {"s3://lake", s3test.SecretKey, "AWS_REGION"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("AWS_REGION", "")
			t.Setenv("AWS_DEFAULT_REGION", "")
			t.Setenv("AWS_SECRET_ACCESS_KEY", tc.secret)
			if tc.secret == "" {
				t.Setenv("AWS_ACCESS_KEY_ID", "")
			}
			calls := map[string]func(blob.Store) error{
				"Get":    func(s blob.Store) error { _, err := s.Get(t.Context(), "k"); return err },
				"Put":    func(s blob.Store) error { _, err := s.Put(t.Context(), "k", nil, blob.IfAbsent()); return err },
				"Match":  func(s blob.Store) error { _, err := s.Put(t.Context(), "k", nil, blob.IfMatch("x")); return err },
				"List":   func(s blob.Store) error { return firstError(s.List(t.Context(), "", "")) },
				"Delete": func(s blob.Store) error { return s.Delete(t.Context(), "k") },
			}
			if name == "nobody listens" { // each call waits for some seconds before it gives up
				calls = map[string]func(blob.Store) error{"Get": calls["Get"]}
			}
			for call, do := range calls {
				s, err := blob.Open(t.Context(), tc.url)
				if err == nil {
					err = do(s)
				}
				if err == nil || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("%s: %v; want %q", call, err, tc.want)
				}
				if errors.Is(err, blob.ErrNotFound) || errors.Is(err, blob.ErrConflict) {
					t.Errorf("%s: %v looks like an answer about the object", call, err)
				}
				if err != nil && strings.Contains(err.Error(), s3test.SecretKey) {
					t.Errorf("%s shows the secret: %v", call, err)
				}
			}
		})
	}
}

func firstError(list func(func(blob.Info, error) bool)) error {
	for _, err := range list {
		return err
	}
	return nil
}

func TestS3EndsWithItsContext(t *testing.T) {
	stop := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-stop }))
	defer silent.Close()
	defer close(stop)
	t.Setenv("AWS_ACCESS_KEY_ID", "k")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "s")
	s := openURL(t, s3test.StoreURL(silent.URL, "x"))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, err := s.Get(ctx, "k"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Get: %v", err)
	}
	if _, err := s.Put(ctx, "k", nil, blob.IfAbsent()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Put: %v", err)
	}
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("a silent server held the caller for %v", d)
	}
}

// The SDK complains of a broken connection on standard error, unless told where to.
func TestS3WritesTheSDKsLogToOurs(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", s3test.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", s3test.SecretKey)
	t.Setenv("AWS_CONFIG_FILE", "/dev/null")
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		fmt.Fprint(w, "<Error>")
	}))
	defer front.Close()
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s, err := blob.Open(t.Context(), s3test.StoreURL(front.URL, "x"), blob.WithLog(log))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := s.Put(ctx, "k", []byte("x"), blob.Condition{}); err == nil {
		t.Error("half an answer was taken for one")
	}
	if !strings.Contains(out.String(), `level=DEBUG msg="AWS SDK" class=WARN`) {
		t.Errorf("the log has nothing of the SDK: %q", out.String())
	}
}
