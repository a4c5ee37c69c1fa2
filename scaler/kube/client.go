package kube

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// maxAnswer bounds one answer of the API server, in bytes: a page of pods is
	// the largest, at some 10 KiB a pod.
	maxAnswer = 64 << 20
	// pageSize is how many objects a list call asks for at a time; maxPages bounds
	// the pages, so that a server whose tokens never end does not hold a tick.
	pageSize, maxPages = 500, 200
	// attempts is how often a call is made that the API server has no time for.
	attempts = 4
	// firstPause is the wait before the second attempt when the server names none;
	// it doubles. A server that asks for more than maxPause is left alone.
	firstPause, maxPause = 100 * time.Millisecond, 5 * time.Second
)

// client speaks to one API server.
type client struct {
	base       *url.URL
	http       *http.Client
	credential credential
	sleep      func(context.Context, time.Duration) bool // sleep, but in tests
}

// A statusError is an answer other than success: a Status object, as far as the
// answer was one (Kubernetes API concepts, "Response status").
type statusError struct {
	Code    int           // of HTTP
	Reason  string        // machine-readable; empty: it was no Status
	Message string        // for a person
	Field   string        // the first field that is at fault, if any
	Kind    string        // the resource that is at fault, if any
	After   time.Duration // when to try again; 0: nothing was said
}

func (e *statusError) Error() string {
	return fmt.Sprintf("%d %s: %s", e.Code, cmp.Or(e.Reason, http.StatusText(e.Code)), cmp.Or(e.Message, "no message"))
}

// status returns the statusError in err, or nil when the server has not answered.
func status(err error) *statusError {
	var s *statusError
	errors.As(err, &s)
	return s
}

// code returns the HTTP code in err, 0 when the server has not answered.
func code(err error) int {
	if s := status(err); s != nil {
		return s.Code
	}
	return 0
}

// get reads path into what into points to, and tries again while the server has
// no time, for as long as ctx lasts.
func (c *client) get(ctx context.Context, path string, query url.Values, into any) error {
	pause := firstPause
	for n := 1; ; n++ {
		err := c.do(ctx, http.MethodGet, path, query, nil, into)
		if err == nil || n == attempts || !passing(err) || !c.sleep(ctx, wait(err, pause)) {
			return err
		}
		pause *= 2
	}
}

// passing reports whether a fault may pass by itself: the server answered so, or
// has not answered.
func passing(err error) bool {
	var odd *oddAnswer
	switch c := code(err); {
	case errors.As(err, &odd), errors.Is(err, errCredential):
		return false
	case c == 0:
		return true
	default:
		return c == http.StatusTooManyRequests || c >= 500 && c != http.StatusNotImplemented
	}
}

// wait returns how long to wait after err: pause, if the server names nothing else.
func wait(err error, pause time.Duration) time.Duration {
	if s := status(err); s != nil && s.After > 0 {
		return s.After
	}
	return pause
}

// sleep waits and returns true, or returns false at once when the wait is longer
// than ctx or maxPause.
func sleep(ctx context.Context, d time.Duration) bool {
	if deadline, ok := ctx.Deadline(); d > maxPause || ok && time.Until(deadline) <= d {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// do makes one call. Credentials that are refused are renewed once.
func (c *client) do(ctx context.Context, method, path string, query url.Values, body, into any) error {
	err := c.once(ctx, method, path, query, body, into)
	if code(err) == http.StatusUnauthorized && c.credential.renew() {
		err = c.once(ctx, method, path, query, body, into)
	}
	return err
}

func (c *client) once(ctx context.Context, method, path string, query url.Values, body, into any) error {
	u := *c.base
	u.Path, u.RawQuery = c.base.Path+path, query.Encode()
	var content io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return err
		}
		content = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), content)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "forescale-scaler")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	token, err := c.credential.token(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", errCredential, err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return fmt.Errorf("%s %s: the answer broke off: %w", method, path, err)
	}
	return decode(resp, raw, into)
}

// errCredential: there is nothing to identify with, so nothing was sent.
var errCredential = errors.New("no credential")

// oddAnswer is an answer that no API server gives: something else answers at the
// address, or stands between.
type oddAnswer struct{ why string }

func (e *oddAnswer) Error() string { return "an odd answer, not of a Kubernetes API server: " + e.why }

func odd(format string, args ...any) error { return &oddAnswer{fmt.Sprintf(format, args...)} }

// decode returns the error that an answer is, or fills what into points to.
func decode(resp *http.Response, raw []byte, into any) error {
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return refusal(resp, raw)
	}
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch {
	case len(raw) > maxAnswer:
		return odd("it is larger than %d bytes", maxAnswer)
	case kind != "application/json":
		return odd("its content type is %q", kind)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return odd("%v", err)
	}
	return nil
}

// refusal returns an answer other than success as an error.
func refusal(resp *http.Response, raw []byte) error {
	e := &statusError{Code: resp.StatusCode}
	var s struct {
		Kind    string `json:"kind"`
		Message string `json:"message"`
		Reason  string `json:"reason"`
		Details struct {
			Kind              string `json:"kind"`
			RetryAfterSeconds int    `json:"retryAfterSeconds"`
			Causes            []struct {
				Field string `json:"field"`
			} `json:"causes"`
		} `json:"details"`
	}
	if json.Unmarshal(raw, &s) == nil && s.Kind == "Status" {
		e.Reason, e.Message, e.Kind = s.Reason, s.Message, s.Details.Kind
		e.After = seconds(s.Details.RetryAfterSeconds)
		if len(s.Details.Causes) > 0 {
			e.Field = s.Details.Causes[0].Field
		}
	} else {
		e.Message = fmt.Sprintf("%.200q", raw)
	}
	if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
		e.After = seconds(n)
	}
	return e
}

// seconds returns a time that a server named, within reason.
func seconds(n int) time.Duration { return time.Duration(min(max(n, 0), 3600)) * time.Second }

// list calls each with every object of a list, page by page. An expired page
// token (410 Gone) is an error: the caller's next look begins anew.
func list[T any](ctx context.Context, c *client, path string, query url.Values, each func(*T)) error {
	next := ""
	for range maxPages {
		q := url.Values{"limit": {strconv.Itoa(pageSize)}}
		for k, v := range query {
			q[k] = v
		}
		if next != "" {
			q.Set("continue", next)
		}
		var page struct {
			Kind     string `json:"kind"`
			Metadata struct {
				Continue string `json:"continue"`
			} `json:"metadata"`
			Items []T `json:"items"`
		}
		if err := c.get(ctx, path, q, &page); err != nil {
			return err
		}
		if !strings.HasSuffix(page.Kind, "List") {
			return odd("it is a %q where a list belongs", page.Kind)
		}
		for i := range page.Items {
			each(&page.Items[i])
		}
		if next = page.Metadata.Continue; next == "" {
			return nil
		}
	}
	return fmt.Errorf("no end after %d pages", maxPages)
}
