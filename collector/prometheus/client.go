package prometheus

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/forescale/forescale/internal/conf"
)

const (
	// maxAnswer bounds one answer after decompression, in bytes: 10,000 groups at
	// three slots are some 3 MB.
	maxAnswer = 32 << 20
	// maxTries bounds the tries of one call, callTimeout each of them.
	maxTries    = 5
	callTimeout = time.Minute
	// firstPause is the mean wait before the second try; it doubles up to maxPause.
	// A server that asks for more than maxRetryAfter is left alone.
	firstPause, maxPause = 500 * time.Millisecond, 10 * time.Second
	maxRetryAfter        = time.Minute
	maxCA                = 4 << 20 // bytes of a CA bundle
)

// client makes the calls. It is plain HTTP: the official Go client reads an answer
// of any size into memory, and what is left of it without that is one POST.
type client struct {
	endpoint string // URL of query_range
	http     *http.Client
	header   http.Header
	params   map[string]string
	username string
	password conf.Secret
	bearer   conf.Secret
	pause    time.Duration // firstPause, but in tests

	made, throttled atomic.Int64 // calls
}

// newClient reads the files that the configuration names and connects to nothing.
// Secrets are read to find out now whether they can be; each call reads them anew.
func newClient(c Config, log *slog.Logger) (*client, error) {
	var faults []error
	for field, secret := range map[string]conf.Secret{"password": c.Password, "bearer_token": c.BearerToken} {
		if _, err := secret.Read(); err != nil {
			faults = append(faults, fmt.Errorf("prometheus.%s: %w", field, err))
		}
	}
	setup, err := c.tls()
	if err = errors.Join(append(faults, err)...); err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = setup
	transport.MaxIdleConnsPerHost = parallelCalls
	transport.MaxResponseHeaderBytes = 1 << 20
	base := strings.TrimRight(c.URL, "/")
	if u, err := url.Parse(base); err == nil && u.Scheme == "http" && !loopback(u.Hostname()) && (!c.Password.IsZero() || !c.BearerToken.IsZero()) {
		log.Warn("credentials are sent over plain HTTP: whoever stands between can read them", "host", u.Host)
	}
	return &client{
		endpoint: base + "/api/v1/query_range",
		// A redirected POST becomes a GET without its form, and a redirection is how
		// sign-in pages answer.
		http: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},

		header: c.header(), params: c.Params, username: c.Username, password: c.Password, bearer: c.BearerToken, pause: firstPause,
	}, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// tls returns how to trust and be trusted; nil: as the system does.
func (c Config) tls() (*tls.Config, error) {
	out := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CAFile != "" {
		raw, err := readFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("prometheus.ca_file: %w", err)
		}
		out.RootCAs = x509.NewCertPool()
		if !out.RootCAs.AppendCertsFromPEM(raw) {
			return nil, fmt.Errorf("prometheus.ca_file: %s holds no certificate in PEM", c.CAFile)
		}
	}
	if c.CertFile != "" {
		load := func() (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
			return &pair, err
		}
		if _, err := load(); err != nil {
			return nil, fmt.Errorf("prometheus.cert_file, key_file: %w", err)
		}
		out.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }
	}
	return out, nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxCA+1))
	if err == nil && len(raw) > maxCA {
		err = fmt.Errorf("%s is larger than %d bytes", path, maxCA)
	}
	return raw, err
}

// queryRange evaluates an expression at start, start+step and so on up to end,
// both included, and tries again what may pass by itself.
func (c *client) queryRange(ctx context.Context, expr string, start, end time.Time, step time.Duration) (answer, error) {
	form := url.Values{
		"query": {expr},
		"start": {strconv.FormatInt(start.Unix(), 10)},
		"end":   {strconv.FormatInt(end.Unix(), 10)},
		"step":  {strconv.FormatInt(int64(step/time.Second), 10)},
		// Without it the server would work on for those who have gone.
		"timeout": {strconv.Itoa(int(callTimeout / time.Second))},
	}
	for name, value := range c.params {
		form.Set(name, value)
	}
	body := form.Encode()
	var last error
	a, err := backoff.Retry(ctx, func() (answer, error) {
		a, err := c.once(ctx, body)
		last = err
		return a, paced(ctx, err)
	}, backoff.WithBackOff(&backoff.ExponentialBackOff{InitialInterval: c.pause, RandomizationFactor: 0.5, Multiplier: 2, MaxInterval: maxPause}),
		backoff.WithMaxTries(maxTries), backoff.WithMaxElapsedTime(0)) // the context has the deadline
	if err == nil {
		return a, nil
	}
	if ended := ctx.Err(); ended != nil && !errors.Is(last, ended) { // why it waited is worth more than that it did
		return a, fmt.Errorf("%w: %w", ended, last)
	}
	return a, last
}

// paced returns err as the back-off wants it: final where trying again is of no
// use, or with the time that the server named.
func paced(ctx context.Context, err error) error {
	var refused *refusal
	var final *finalError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &final):
		return backoff.Permanent(err)
	case !errors.As(err, &refused):
		return err // the connection
	case refused.final():
		return backoff.Permanent(err)
	case refused.after == 0:
		return err
	}
	if deadline, ok := ctx.Deadline(); refused.after > maxRetryAfter || ok && time.Until(deadline) < refused.after {
		return backoff.Permanent(err)
	}
	return &backoff.RetryAfterError{Duration: refused.after}
}

// finalError marks an error that another try does not mend.
type finalError struct{ error }

// Unwrap returns the error itself.
func (e *finalError) Unwrap() error { return e.error }

func final(format string, args ...any) error { return &finalError{fmt.Errorf(format, args...)} }

// once makes one call.
func (c *client) once(ctx context.Context, body string) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.endpoint, strings.NewReader(body))
	if err != nil {
		return answer{}, &finalError{err}
	}
	req.Header = c.header.Clone()
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "forescale-collector")
	if host := req.Header.Get("Host"); host != "" { // net/http takes it from elsewhere
		req.Host = host
	}
	secrets, err := c.authorize(req)
	if err != nil {
		return answer{}, &finalError{err}
	}
	c.made.Add(1)
	resp, err := c.http.Do(req)
	if err != nil {
		return answer{}, err // names the method and the URL, which hold no secret
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return answer{}, fmt.Errorf("the answer broke off after %d bytes: %w", len(raw), err)
	}
	if resp.StatusCode == http.StatusTooManyRequests {
		c.throttled.Add(1)
	}
	if resp.StatusCode != http.StatusOK {
		return answer{}, refuse(resp, raw, secrets)
	}
	return decode(raw, secrets)
}

// authorize identifies the request, and returns what no message may hold.
func (c *client) authorize(req *http.Request) (secrets, error) {
	password, err := c.password.Read()
	if err != nil {
		return nil, fmt.Errorf("password: %w", err)
	}
	bearer, err := c.bearer.Read()
	if err != nil {
		return nil, fmt.Errorf("bearer_token: %w", err)
	}
	switch {
	case password != "":
		req.SetBasicAuth(c.username, password)
		return secrets{password, base64.StdEncoding.EncodeToString([]byte(c.username + ":" + password))}, nil
	case strings.ContainsFunc(bearer, func(r rune) bool { return r <= ' ' || r > '~' }):
		// net/http would refuse it too, with an error that holds it.
		return nil, errors.New("bearer_token: holds a character that no token has")
	case bearer != "":
		req.Header.Set("Authorization", "Bearer "+bearer)
		return secrets{bearer}, nil
	}
	return nil, nil
}

// secrets are taken out of what the server says, which may repeat what it was told.
type secrets []string

// hidden returns a text of at most limit bytes without them.
func (s secrets) hidden(text string, limit int) string {
	for _, secret := range s {
		text = strings.ReplaceAll(text, secret, "(secret)")
	}
	return text[:min(len(text), limit)]
}
