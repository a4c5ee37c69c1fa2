package prometheus

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/collector/unit"
	"github.com/forescale/forescale/internal/conf"
)

// Config says which server is asked, and for what.
type Config struct {
	// URL is the server's, with its path prefix if it has one: the part before /api/v1.
	URL string `yaml:"url"`

	// CAFile is a PEM bundle that replaces the system's roots. CertFile and KeyFile
	// are the client's certificate, read again for each connection.
	CAFile   string `yaml:"ca_file"`
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
	// Username and Password are sent as basic authentication, BearerToken as itself.
	Username    string      `yaml:"username"`
	Password    conf.Secret `yaml:"password"`
	BearerToken conf.Secret `yaml:"bearer_token"`
	// Headers are sent with each call, for example X-Scope-OrgID; Params are form
	// fields besides those of query_range, for example partial_response.
	Headers map[string]string `yaml:"headers"`
	Params  map[string]string `yaml:"params"`

	Queries          []Query           `yaml:"queries"`
	Istio            *Istio            `yaml:"istio"`
	KubeStateMetrics *KubeStateMetrics `yaml:"kube_state_metrics"`
	ContainerCPU     *ContainerCPU     `yaml:"container_cpu"`
}

// Query is one expression. Each result series is a group.
type Query struct {
	Metric string   `yaml:"metric"` // the name in the lake
	Stat   api.Stat `yaml:"stat"`   // default: the usual one of the metric
	// Expr is PromQL; $step stands for the length of a slot.
	Expr string `yaml:"expr"`
	// Group makes the group's name out of a result series' labels, for example
	// "{service}" or "shop/{service}". Without a label all series are one group.
	Group string `yaml:"group"`
	// Aggregate says what becomes of several result series of one group in a slot:
	// sum, avg, min or max. Default: that is an error.
	Aggregate       string `yaml:"aggregate"`
	unit.Conversion `yaml:",inline"`

	where string // the field path, for messages; set by expand
}

// aggregates are the values of Query.Aggregate.
var aggregates = []string{"sum", "avg", "min", "max"}

// reserved are the form fields that the driver sets itself.
var reserved = []string{"query", "start", "end", "step", "timeout"}

// query is a Query that is ready to be asked.
type query struct {
	Query
	expr   string // with the step put in
	group  template
	factor float64
}

// Validate returns all faults at once.
func (c Config) Validate() error {
	_, err := c.queries(5 * time.Minute) // the length of a step decides nothing
	return errors.Join(c.validateAccess(), err)
}

func (c Config) validateAccess() error {
	var faults []error
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf("prometheus."+format, args...)) }
	u, err := url.Parse(c.URL)
	switch {
	case err != nil: // its text would hold what may be a password
		bad("url: is not a URL")
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "":
		bad("url: want http(s)://HOST[:PORT][/PREFIX]")
	case u.User != nil:
		bad("url: holds a user; use username and password")
	case strings.Contains(u.Path, "/api/v1"):
		bad("url: %s must end before /api/v1", c.URL)
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		bad("cert_file, key_file: one needs the other")
	}
	if (c.Username == "") != c.Password.IsZero() {
		bad("username, password: one needs the other")
	}
	if !c.Password.IsZero() && !c.BearerToken.IsZero() {
		bad("password, bearer_token: exclude each other")
	}
	if err := c.Password.Validate(); err != nil {
		bad("password: %w", err)
	}
	if err := c.BearerToken.Validate(); err != nil {
		bad("bearer_token: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Headers)) {
		switch value := c.Headers[name]; {
		case textproto.CanonicalMIMEHeaderKey(name) == "Authorization":
			bad("headers.%s: use password or bearer_token, which refer to a secret", name)
		case !headerName.MatchString(name) || strings.ContainsAny(value, "\r\n\x00"):
			bad("headers.%s: is not a header", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Params)) {
		if slices.Contains(reserved, name) {
			bad("params.%s: is set by the query itself", name)
		}
	}
	return errors.Join(faults...)
}

// queries returns what the configuration asks for, in its order, then the
// presets'. The error lists all faults.
func (c Config) queries(step time.Duration) ([]query, error) {
	list, faults := c.expand()
	var out []query
	seen := map[string]string{}
	for _, q := range list {
		ready, err := q.ready(step)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		key := fmt.Sprintf("%s %s %s %s", q.Metric, ready.Stat, q.Group, ready.expr)
		if first, twice := seen[key]; twice {
			faults = append(faults, fmt.Errorf("prometheus.%s: asks for the same as %s", q.where, first))
			continue
		}
		seen[key] = q.where
		out = append(out, ready)
	}
	if len(list) == 0 && len(faults) == 0 {
		faults = append(faults, errors.New("prometheus: needs queries, istio, kube_state_metrics or container_cpu"))
	}
	return out, errors.Join(faults...)
}

// expand returns the written queries and those of the presets, each with its place.
func (c Config) expand() (list []Query, faults []error) {
	for i, q := range c.Queries {
		q.where = fmt.Sprintf("queries[%d]", i)
		list = append(list, q)
	}
	add := func(name string, queries []Query, wrong []error) {
		for _, fault := range wrong {
			faults = append(faults, fmt.Errorf("prometheus.%s.%w", name, fault))
		}
		for _, q := range queries {
			q.where = name
			list = append(list, q)
		}
	}
	if c.Istio != nil {
		queries, wrong := c.Istio.queries()
		add("istio", queries, wrong)
	}
	if c.KubeStateMetrics != nil {
		queries, wrong := c.KubeStateMetrics.queries()
		add("kube_state_metrics", queries, wrong)
	}
	if c.ContainerCPU != nil {
		queries, wrong := c.ContainerCPU.queries()
		add("container_cpu", queries, wrong)
	}
	return list, faults
}

// ready checks a query and makes it ready to be asked.
func (q Query) ready(step time.Duration) (query, error) {
	var faults []error
	bad := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("prometheus."+q.where+"."+format, args...))
	}
	out := query{Query: q}
	if q.Metric == "" || len(q.Metric) > api.MaxNameLen {
		bad("metric: must be 1 to %d bytes long", api.MaxNameLen)
	}
	if q.Stat == "" {
		out.Stat = api.DefaultStat(q.Metric)
	} else if !q.Stat.Valid() {
		bad("stat: %q is not avg, sum, min, max, count or p95", q.Stat)
	}
	if q.Aggregate != "" && !slices.Contains(aggregates, q.Aggregate) {
		bad("aggregate: %q is none of %s", q.Aggregate, strings.Join(aggregates, ", "))
	}
	var err error
	if out.factor, err = q.Factor(q.Metric); err != nil {
		bad("%w", err)
	}
	if out.group, err = parseTemplate(q.Group); err != nil {
		bad("group: %w", err)
	}
	if err := checkExpr(q.Expr); err != nil {
		bad("expr: %w", err)
	}
	out.expr = strings.ReplaceAll(q.Expr, "$step", fmt.Sprintf("%ds", int(step/time.Second)))
	return out, errors.Join(faults...)
}

// Describe returns what is asked for with slots of that length, one line for each
// expression: the series, where its group comes from, the unit, and the PromQL.
func (c Config) Describe(step time.Duration) []string {
	queries, _ := c.queries(step) // faults are told by Validate
	var out []string
	for _, q := range queries {
		line := fmt.Sprintf("%s: %s of group %s", q.where, api.SeriesName(q.Metric, q.Stat), q.Group)
		if q.Aggregate != "" {
			line += ", " + q.Aggregate + " of series"
		}
		if conversion := q.Conversion.String(); conversion != "" {
			line += ", " + conversion
		}
		out = append(out, line+" = "+q.expr)
	}
	return out
}

// header returns the configured headers.
func (c Config) header() http.Header {
	h := http.Header{}
	for name, value := range c.Headers {
		h.Set(name, value)
	}
	return h
}
