package azuremonitor

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/forescale/forescale/internal/conf"
)

const (
	apiVersion = "2018-01-01"
	// maxAnswer bounds one answer after decompression, in bytes; a call's points are
	// some 6 MB.
	maxAnswer = 16 << 20
	// maxRetries bounds the tries after the first, tryTimeout each try. A server that
	// asks for more than maxPause is left alone.
	maxRetries = 4
	tryTimeout = time.Minute
	maxPause   = time.Minute
	// maxText bounds what is repeated of the server's words, in bytes.
	maxText = 500
)

// client makes the calls.
type client struct {
	endpoint  string
	pipeline  runtime.Pipeline
	transport *transport
}

// newClient returns a client with credentials from the SDK's default chain, or the
// referenced token. Nothing is sent yet. pause is the first wait between two
// tries, 0: the SDK's own.
func newClient(c Config, pause time.Duration) (*client, error) {
	var credential azcore.TokenCredential = static{c.Token}
	if c.Token.IsZero() {
		chain, err := azidentity.NewDefaultAzureCredential(nil)
		if err != nil {
			return nil, fmt.Errorf("azure_monitor: credentials: %w", err)
		}
		credential = chain
	} else if _, err := c.Token.Read(); err != nil {
		return nil, fmt.Errorf("azure_monitor.token: %w", err)
	}
	u, err := url.Parse(c.endpoint())
	if err != nil {
		return nil, fmt.Errorf("azure_monitor.endpoint: %w", err)
	}
	authorize := runtime.NewBearerTokenPolicy(credential, []string{c.endpoint() + "/.default"},
		&policy.BearerTokenOptions{InsecureAllowCredentialWithHTTP: loopback(u.Hostname())})
	wire := &transport{client: &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	pipeline := runtime.NewPipeline("forescale-collector", "v1", runtime.PipelineOptions{PerRetry: []policy.Policy{authorize}},
		&policy.ClientOptions{
			Transport: wire,
			Retry:     policy.RetryOptions{MaxRetries: maxRetries, TryTimeout: tryTimeout, RetryDelay: pause, MaxRetryDelay: maxPause},
		})
	return &client{endpoint: c.endpoint(), pipeline: pipeline, transport: wire}, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// static is a token that somebody else renews where it is referred to.
type static struct{ conf.Secret }

// tokenLife is for how long the SDK keeps a static token before it asks again.
const tokenLife = 10 * time.Minute

// GetToken implements azcore.TokenCredential.
func (s static) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	text, err := s.Read()
	if err == nil && strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		err = fmt.Errorf("it holds a character that no token has") // net/http would show it
	}
	if err != nil {
		return azcore.AccessToken{}, fmt.Errorf("azure_monitor.token: %w", err)
	}
	return azcore.AccessToken{Token: text, ExpiresOn: time.Now().Add(tokenLife)}, nil
}

// transport counts calls and bounds what can be read of an answer, wherever in the
// pipeline.
type transport struct {
	client          *http.Client
	made, throttled atomic.Int64 // calls
}

// Do implements policy.Transporter.
func (t *transport) Do(req *http.Request) (*http.Response, error) {
	t.made.Add(1)
	resp, err := t.client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusTooManyRequests {
		t.throttled.Add(1)
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, maxAnswer+1), resp.Body}
	return resp, nil
}

// refusal is an answer other than 200 OK.
type refusal struct {
	status     int    // of HTTP
	code, text string // as Azure says it, without secrets; may be empty
}

// Error tells what the server said.
func (r *refusal) Error() string {
	out := fmt.Sprintf("%d %s", r.status, http.StatusText(r.status))
	if r.code != "" {
		out += " (" + r.code + ")"
	}
	if r.text != "" {
		out += ": " + r.text
	}
	return out
}

// metrics makes one call, tries included, and returns the body of the answer.
func (c *client) metrics(ctx context.Context, resource string, params url.Values) ([]byte, error) {
	u, err := url.Parse(c.endpoint)
	if err != nil {
		return nil, err
	}
	u = u.JoinPath(resource, "providers/Microsoft.Insights/metrics")
	params.Set("api-version", apiVersion)
	u.RawQuery = strings.ReplaceAll(params.Encode(), "+", "%20") // a plus is a plus to some of Azure's services
	req, err := runtime.NewRequest(ctx, http.MethodGet, u.String())
	if err != nil {
		return nil, err
	}
	req.Raw().Header.Set("Accept", "application/json")
	runtime.SkipBodyDownload(req) // we read it ourselves, in bounds
	resp, err := c.pipeline.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return nil, fmt.Errorf("the answer broke off after %d bytes: %w", len(raw), err)
	case len(raw) > maxAnswer:
		return nil, fmt.Errorf("the answer is larger than %d bytes", maxAnswer)
	case resp.StatusCode != http.StatusOK:
		return nil, refuse(resp, raw)
	}
	return raw, nil
}

// refuse reads an answer other than 200 OK, of either of the two forms that the
// Resource Manager and Azure Monitor use.
func refuse(resp *http.Response, raw []byte) error {
	type fault struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	var a struct {
		Error fault `json:"error"`
		fault
	}
	r := &refusal{status: resp.StatusCode}
	if json.Unmarshal(raw, &a) != nil {
		return r // what is not Azure's may hold anything
	}
	if a.Error == (fault{}) {
		a.Error = a.fault
	}
	_, token, _ := strings.Cut(resp.Request.Header.Get("Authorization"), " ")
	hidden := func(text string) string {
		if token != "" {
			text = strings.ReplaceAll(text, token, "(secret)")
		}
		return text[:min(len(text), maxText)]
	}
	r.code, r.text = hidden(a.Error.Code), hidden(a.Error.Message)
	return r
}
