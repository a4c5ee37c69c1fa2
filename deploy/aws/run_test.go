package aws

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/blob"
	"github.com/forescale/forescale/internal/blob/s3test"
	"github.com/forescale/forescale/internal/dataset"
	"github.com/forescale/forescale/internal/fleet"
	"github.com/forescale/forescale/internal/function"
	"github.com/forescale/forescale/internal/lambdahost"
	"github.com/forescale/forescale/models"
)

const step = 5 * time.Minute

// request is a call of a program as IAM judges it.
type request struct {
	action, resource string
	context          map[string]string // condition keys
}

// account is a simulated account: the cloud, and a real S3 server, each seen through
// something that takes down what is asked of it.
type account struct {
	cloud    *fleet.Cloud
	endpoint string // of all services but S3
	s3       string

	mu   sync.Mutex
	asks []request // guarded by mu: of S3
	seen map[fleet.Call]int
}

func newAccount(t *testing.T) *account {
	t.Helper()
	now := time.Now().UTC()
	start := now.Truncate(step).Add(-24 * step)
	demand := &fleet.Demand{Start: start, Step: step, Slots: make([]float64, 48), Missing: make([]bool, 48), Unit: 1}
	for i := range demand.Slots {
		demand.Slots[i] = 3.6
	}
	group := func(name, tag string) fleet.GroupConfig {
		return fleet.GroupConfig{Name: name, Demand: demand, Min: 1, Max: 10, Desired: 4, Lead: fleet.Lead{Minutes: 5}, Tags: map[string]string{"forescale": tag}}
	}
	cloud, err := fleet.New(fleet.Config{Start: start, Now: start.Add(6 * step), Groups: []fleet.GroupConfig{group("web", "live"), group("idle", "dry-run")}})
	if err != nil {
		t.Fatal(err)
	}
	if err := cloud.Advance(now); err != nil {
		t.Fatal(err)
	}
	provider := httptest.NewServer(fleet.Handler(cloud))
	t.Cleanup(provider.Close)
	a := &account{cloud: cloud, endpoint: provider.URL, seen: map[fleet.Call]int{}}
	target, err := url.Parse(s3test.StartServer(t).Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		a.mu.Lock()
		a.asks = append(a.asks, ofS3(r.In))
		a.mu.Unlock()
		r.Out.URL.Scheme, r.Out.URL.Host = target.Scheme, target.Host // and the Host that was signed
	}}
	s3 := httptest.NewServer(proxy)
	t.Cleanup(s3.Close)
	a.s3 = s3.URL
	return a
}

// ofS3 returns what a request by path, /BUCKET/KEY, needs.
func ofS3(r *http.Request) request {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	q := request{resource: "arn:aws:s3:::" + path.Join(bucket, key), context: map[string]string{}}
	switch {
	case r.Method == http.MethodGet && key == "":
		q.action = "s3:ListBucket"
		if r.URL.Query().Has("prefix") {
			q.context["s3:prefix"] = r.URL.Query().Get("prefix")
		}
	case r.Method == http.MethodGet, r.Method == http.MethodHead:
		q.action = "s3:GetObject"
	default:
		q.action = "s3:" + strings.ToUpper(r.Method[:1]) + strings.ToLower(r.Method[1:]) + "Object"
	}
	return q
}

// services are those of AWS that the operations of the simulated cloud belong to.
var services = map[string]string{"GetMetricData": "cloudwatch", "DescribeTargetGroups": "elasticloadbalancing", "AssumeRole": "sts"}

// calls returns what was asked since it was last called.
func (a *account) calls() []request {
	a.mu.Lock()
	found := a.asks
	a.asks = nil
	a.mu.Unlock()
	for call, n := range a.cloud.Calls() {
		service := services[call.Operation]
		if service == "" {
			service = "autoscaling"
		}
		q := request{service + ":" + call.Operation, "*", map[string]string{"aws:RequestedRegion": call.Region}}
		if call.Operation == "SetDesiredCapacity" {
			q.resource = "arn:aws:autoscaling:us-east-1:111122223333:autoScalingGroup:1:autoScalingGroupName/" + call.Group
			q.context["autoscaling:ResourceTag/forescale"] = map[string]string{"web": "live", "idle": "dry-run"}[call.Group]
		}
		for range n - a.seen[call] {
			found = append(found, q)
		}
		a.seen[call] = n
	}
	return found
}

// allows reports whether IAM would let a request pass, as far as our policies use it.
func allows(statements []statement, q request) bool {
	allowed := false
	for _, s := range statements {
		if !slices.Contains(s.Action, q.action) || !slices.ContainsFunc(s.Resource, func(p string) bool { return matches(p, q.resource) }) || !s.met(q) {
			continue
		}
		if s.Effect != "Allow" {
			return false
		}
		allowed = true
	}
	return allowed
}

func (s statement) met(q request) bool {
	for operator, of := range s.Condition {
		for key, values := range of {
			have, ok := q.context[key]
			met := false
			switch operator {
			case "StringEquals":
				met = ok && slices.Contains(values, have)
			case "StringLikeIfExists":
				met = !ok || slices.ContainsFunc(values, func(p string) bool { return matches(p, have) })
			}
			if !met {
				return false
			}
		}
	}
	return true
}

// matches compares as IAM does: * is any text, slashes included.
func matches(pattern, text string) bool {
	first, rest, wild := strings.Cut(pattern, "*")
	if !wild {
		return pattern == text
	}
	text, ok := strings.CutPrefix(text, first)
	if !ok {
		return false
	}
	for i := range len(text) + 1 {
		if matches(rest, text[i:]) {
			return true
		}
	}
	return false
}

func TestMain(m *testing.M) {
	code := m.Run()
	lambdahost.Clean()
	os.Exit(code)
}

// environment returns the execution environment of a function of the stack, as the
// template configures it, pointed at the simulated account.
func (a *account) environment(t *testing.T, s *stack, name string) *lambdahost.Environment {
	t.Helper()
	var f lambdaFunction
	s.properties(t, name, &f)
	program := strings.TrimSuffix(path.Base(f.CodeUri.Key), "-arm64.zip")
	// The one change: where the services are.
	here := strings.NewReplacer("?region=us-east-1", "?region=us-east-1&path_style=true&endpoint="+url.QueryEscape(a.s3), "aws: {region: us-east-1}",
		fmt.Sprintf("aws: {region: us-east-1, cloudwatch_endpoint: %[1]q, autoscaling_endpoint: %[1]q, load_balancing_endpoint: %[1]q, sts_endpoint: %[1]q}", a.endpoint))
	env := []string{"AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=" + s3test.AccessKey, "AWS_SECRET_ACCESS_KEY=" + s3test.SecretKey}
	for k, v := range f.Environment.Variables {
		env = append(env, k+"="+here.Replace(v))
	}
	return lambdahost.New(t, lambdahost.Unpack(t, module+"/cmd/"+program, nil), f.FunctionName, name, env...)
}

// predictions is a prediction server that expects the same load for ever.
func predictions(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var req api.PredictRequest
		if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		resp := api.PredictResponse{Model: "m", Version: 1}
		for _, win := range req.Windows {
			resp.Forecasts = append(resp.Forecasts, api.Forecast{Group: win.Group, IssuedAt: win.End, StepSeconds: win.StepSeconds, Point: []float64{3.6, 3.6, 3.6, 3.6}})
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(resp)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// fill makes what is there after a week: a day of parts that is over, and a model.
func (a *account) fill(t *testing.T) {
	t.Helper()
	open := func(prefix string) blob.Store {
		store, err := blob.Open(t.Context(), s3test.StoreURL(a.s3, prefix))
		if err != nil {
			t.Fatal(err)
		}
		return store
	}
	day := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -2)
	for i := range 3 {
		at := day.Add(time.Duration(i) * step)
		row := api.Sample{Group: "web", Metric: api.MetricCPU, Stat: api.StatAvg, Time: at, Value: 50}
		if err := dataset.New(open("data")).Append(t.Context(), "collector", at, []api.Sample{row}, at); err != nil {
			t.Fatal(err)
		}
	}
	spec := models.Spec{Target: api.SeriesDemand, StepSeconds: int(step.Seconds()), Lookback: 2, Horizon: 4, Series: []string{api.SeriesDemand}}
	if _, err := models.NewRegistry(open("models")).Put(t.Context(), models.Manifest{Name: "m", Groups: []string{models.AnyGroup}, Spec: spec}, []byte("model")); err != nil {
		t.Fatal(err)
	}
}

// TestTheFunctionsOfTheTemplateDoTheirWork runs the programs as the template
// configures them, one after another as their schedules do, and judges every call
// that they make by the policies of their roles.
func TestTheFunctionsOfTheTemplateDoTheirWork(t *testing.T) {
	a := newAccount(t)
	a.fill(t)
	s := readTemplate(t, "template.yaml").with(plus(least, map[string]string{"AllowScaling": "true", "ServerUrl": predictions(t),
		"Groups": "[{name: web, mode: live, max: 20, lead_time: 1m, policy: {rule: threshold}}, {name: idle, max: 20, policy: {rule: threshold}}]"}))
	// What a run of a few minutes does not come to.
	unseen := map[string][]string{"CollectorRole": {"s3:DeleteObject"}}
	usual := map[string]map[string]int{}
	a.calls()
	for _, name := range []string{"Collector", "Scaler", "Keeper"} {
		e := a.environment(t, s, name)
		role := name + "Role"
		statements := s.statements(t, role)
		for i := range 2 {
			r := e.Invoke("{}", time.Minute)
			var out function.Outcome
			if err := json.Unmarshal([]byte(r.Payload), &out); err != nil || out.Tick.IsZero() != (name == "Keeper") || out.Counts["Faults"] != 0 {
				t.Fatalf("%s: %+v, %v\n%s", name, r, err, e.Log())
			}
			calls := a.calls()
			var made []string
			count := map[string]int{}
			for _, q := range calls {
				if !allows(statements, q) {
					t.Errorf("%s may not %s %s %v", role, q.action, q.resource, q.context)
				}
				made = append(made, q.action)
				count[q.action]++
			}
			slices.Sort(made)
			if less := surplus(permits(statements...), append(slices.Compact(made), unseen[role]...)); i == 0 && len(less) > 0 {
				t.Errorf("%s may %v, and does not", role, less)
			}
			if name == "Collector" || usual[name] == nil { // its first has a hole to fill
				usual[name] = count
			}
			t.Logf("%s, invocation %d: %v", name, i+1, count)
		}
	}
	// What the page on costs reckons with is no less than what a tick asks for.
	_, each := costs(t)
	for what, actions := range map[string][]string{"S3: list and write": {"s3:ListBucket", "s3:PutObject"}, "S3: read": {"s3:GetObject"}} {
		n := 0
		for _, action := range actions {
			n += usual["Collector"][action] + usual["Scaler"][action]
		}
		if n == 0 || float64(n) > each[what] {
			t.Errorf("%s: %d at a tick, and the page says %g", what, n, each[what])
		}
	}
	for _, g := range a.cloud.State().Groups {
		if live := g.Name == "web"; (g.Desired > 4) != live { // both wish for more
			t.Errorf("%s has %d instances", g.Name, g.Desired)
		}
	}
}

func TestPoliciesAreJudgedAsIAMDoes(t *testing.T) {
	st := []statement{
		{Effect: "Allow", Action: list{"s3:ListBucket"}, Resource: list{"arn:aws:s3:::lake"}, Condition: map[string]map[string]list{"StringLikeIfExists": {"s3:prefix": {"data/*"}}}},
		{Effect: "Allow", Action: list{"s3:GetObject"}, Resource: list{"arn:aws:s3:::lake/data/*"}},
		{Effect: "Allow", Action: list{"autoscaling:SetDesiredCapacity"}, Resource: list{"arn:*:x/*"}, Condition: map[string]map[string]list{"StringEquals": {"tag": {"live"}}}},
		{Effect: "Deny", Action: list{"s3:GetObject"}, Resource: list{"*/secret"}},
	}
	for name, c := range map[string]struct {
		q    request
		want bool
	}{
		"an object below the prefix":     {request{"s3:GetObject", "arn:aws:s3:::lake/data/a/b", nil}, true},
		"an object beside it":            {request{"s3:GetObject", "arn:aws:s3:::lake/other", nil}, false},
		"another action":                 {request{"s3:PutObject", "arn:aws:s3:::lake/data/a", nil}, false},
		"what is denied besides":         {request{"s3:GetObject", "arn:aws:s3:::lake/data/secret", nil}, false},
		"a list below the prefix":        {request{"s3:ListBucket", "arn:aws:s3:::lake", map[string]string{"s3:prefix": "data/open"}}, true},
		"a list of everything":           {request{"s3:ListBucket", "arn:aws:s3:::lake", map[string]string{"s3:prefix": ""}}, false},
		"a missing object, no list":      {request{"s3:ListBucket", "arn:aws:s3:::lake", nil}, true},
		"a group with the tag":           {request{"autoscaling:SetDesiredCapacity", "arn:1:x/2", map[string]string{"tag": "live"}}, true},
		"a group with another":           {request{"autoscaling:SetDesiredCapacity", "arn:1:x/2", map[string]string{"tag": "dry-run"}}, false},
		"a group without any":            {request{"autoscaling:SetDesiredCapacity", "arn:1:x/2", nil}, false},
		"a pattern with several of them": {request{"autoscaling:SetDesiredCapacity", "arn:1:2:x/3/4", map[string]string{"tag": "live"}}, true},
	} {
		if got := allows(st, c.q); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
