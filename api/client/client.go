// Package client speaks to the inference server. A Client keeps its connections
// and may be used from any number of goroutines.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/forescale/forescale/api"
)

// The bounds that a Client has unless an Option changes them.
const (
	DefaultTimeout  = 15 * time.Second // of one call, attempts and waits included
	DefaultAttempts = 4
	MaxResponse     = 64 << 20 // bytes
)

// The wait before another attempt doubles from the first to the longest. A
// Retry-After of the server counts when it is longer.
const (
	firstWait   = 50 * time.Millisecond
	longestWait = 2 * time.Second
)

// Client calls one server.
type Client struct {
	base        string
	http        *http.Client
	timeout     time.Duration
	attempts    int
	maxResponse int64
	tls         TLS
	token       func() (string, error) // nil: none
}

// Option changes a Client.
type Option func(*Client)

// WithTimeout bounds one call, attempts and waits included.
func WithTimeout(d time.Duration) Option { return func(c *Client) { c.timeout = d } }

// WithAttempts bounds the attempts of one call, the first included. The waits
// between them double up to 2 s: 4, the default, gives up after a third of a
// second, which spares a caller with many calls to make; 12 outlast 10 s.
func WithAttempts(n int) Option { return func(c *Client) { c.attempts = n } }

// WithMaxResponse bounds the body of an answer, in bytes.
func WithMaxResponse(n int64) Option { return func(c *Client) { c.maxResponse = n } }

// New returns a client of the server at baseURL, for example http://127.0.0.1:8650.
func New(baseURL string, options ...Option) (*Client, error) {
	u, err := url.Parse(baseURL)
	if err == nil && u.User != nil { // whose password no message may repeat
		return nil, errors.New("the server URL holds a user; use a token")
	}
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("server URL %q is not of the form http://HOST:PORT", baseURL)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 16
	c := &Client{base: strings.TrimSuffix(baseURL, "/"), timeout: DefaultTimeout, attempts: DefaultAttempts, maxResponse: MaxResponse,
		http: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // the server never redirects
		}}}
	for _, option := range options {
		option(c)
	}
	if u.Scheme == "https" && c.tls != (TLS{}) {
		if err := c.tls.Check(); err != nil {
			return nil, err
		}
		transport.DialTLSContext = c.tls.dial
		transport.Proxy = nil // it would be asked to connect, and not to speak TLS by these files
	}
	return c, nil
}

// Predict asks for one forecast per window, in their order. A window that could
// not be answered has the reason in its forecast. The error is an *api.Problem
// when the server answered with one; when it could not be reached, or was still
// busy at the last attempt, it wraps the last reason.
//
// A forecast depends on nothing but the request, so a repeated attempt is harmless.
func (c *Client) Predict(ctx context.Context, req api.PredictRequest) (api.PredictResponse, error) {
	var response api.PredictResponse
	body, err := json.Marshal(req)
	if err != nil {
		return response, fmt.Errorf("predict: %w", err)
	}
	if err := c.call(ctx, http.MethodPost, api.RoutePredict, body, &response); err != nil {
		return response, fmt.Errorf("predict: %w", err)
	}
	if len(response.Forecasts) != len(req.Windows) {
		return response, fmt.Errorf("predict: %d forecasts for %d windows", len(response.Forecasts), len(req.Windows))
	}
	return response, nil
}

// Ready returns nil when the server says that it can serve, otherwise why not.
// It tries once.
func (c *Client) Ready(ctx context.Context) error {
	once := *c
	once.attempts = 1
	var status struct{ Status string }
	if err := once.call(ctx, http.MethodGet, api.RouteReady, nil, &status); err != nil {
		return fmt.Errorf("ready: %w", err)
	}
	return nil
}

// Notify says that something new is in the stores. The error is an *api.Problem when
// the server answered with one.
func (c *Client) Notify(ctx context.Context, news api.Changed) error {
	body, err := json.Marshal(news)
	if err != nil {
		return fmt.Errorf("notify: %w", err)
	}
	if err := c.call(ctx, http.MethodPost, api.RouteNotify, body, nil); err != nil {
		return fmt.Errorf("notify: %w", err)
	}
	return nil
}

// call makes attempts until one succeeds, fails for good, or time is up.
func (c *Client) call(ctx context.Context, method, path string, body []byte, into any) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	wait := firstWait
	for attempt := 1; ; attempt++ {
		after, again, err := c.attempt(ctx, method, path, body, into)
		switch {
		case err == nil:
			return nil
		case !again || ctx.Err() != nil:
			return err
		case attempt == c.attempts:
			return fmt.Errorf("gave up after %d attempts: %w", attempt, err)
		}
		// Half of the wait is random, so that clients that were turned away
		// together do not come back together.
		pause := max(after, wait/2+rand.N(wait/2+1))
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < pause {
			return fmt.Errorf("no time left for another attempt: %w", err)
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return errors.Join(context.Cause(ctx), err)
		case <-timer.C:
		}
		wait = min(2*wait, longestWait)
	}
}

// attempt makes one request. after is the least wait that the server asked for,
// again whether another attempt may go better.
func (c *Client) attempt(ctx context.Context, method, path string, body []byte, into any) (after time.Duration, again bool, err error) {
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return 0, false, err
	}
	if parent, ok := ctx.Value(traceKey{}).(string); ok {
		r.Header.Set("Traceparent", parent)
	}
	r.Header.Set("Accept", "application/json, "+api.ProblemType)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if err := c.authorize(r); err != nil {
		return 0, false, err
	}
	response, err := c.http.Do(r)
	if err != nil {
		return 0, true, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, c.maxResponse+1))
	switch {
	case err != nil:
		return 0, true, fmt.Errorf("answer cut short: %w", err)
	case int64(len(answer)) > c.maxResponse:
		return 0, false, fmt.Errorf("answer larger than %d bytes", c.maxResponse)
	case response.StatusCode == http.StatusNoContent && into == nil:
		return 0, false, nil
	case response.StatusCode == http.StatusOK && into != nil:
		if err := json.Unmarshal(answer, into); err != nil {
			return 0, false, fmt.Errorf("answer: %w", err)
		}
		return 0, false, nil
	}
	if token := r.Header.Get("Authorization"); token != "" { // whatever answers may repeat what it was sent
		answer = bytes.ReplaceAll(answer, []byte(strings.TrimPrefix(token, "Bearer ")), []byte("(token)"))
	}
	busy := response.StatusCode == http.StatusTooManyRequests || response.StatusCode == http.StatusServiceUnavailable
	return retryAfter(response.Header.Get("Retry-After")), busy, problemOf(response, answer)
}

// problemOf returns the problem in an answer, or one made of its status when
// something other than our server has answered.
func problemOf(response *http.Response, answer []byte) *api.Problem {
	var p api.Problem
	kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if kind == api.ProblemType && json.Unmarshal(answer, &p) == nil && p.Title != "" {
		p.Status = response.StatusCode
		return &p
	}
	return &api.Problem{Title: http.StatusText(response.StatusCode), Status: response.StatusCode,
		Detail: fmt.Sprintf("answered %q with %.200q", response.Header.Get("Content-Type"), answer)}
}

// retryAfter reads the header in its form of seconds, 0 when it has none.
func retryAfter(text string) time.Duration {
	seconds, err := strconv.Atoi(text)
	if err != nil || seconds < 0 || seconds > 3600 {
		return 0
	}
	return time.Duration(seconds) * time.Second
}
