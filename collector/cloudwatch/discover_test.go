package cloudwatch

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/collector"
	"github.com/forescale/forescale/internal/conf"
	"github.com/forescale/forescale/internal/fleet"
)

const prodRole = "arn:aws:iam::111122223333:role/forescale"

// site is a simulated cloud with groups in two accounts, and what a source on it
// needs.
type site struct {
	*fleet.Cloud
	t     testing.TB
	url   string
	log   bytes.Buffer
	clock time.Time
}

func newSite(t *testing.T, groups ...fleet.GroupConfig) *site {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("AWS_CONFIG_FILE", "/dev/null")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
	for i := range groups {
		groups[i].Demand = wave(100)
	}
	c, err := fleet.New(fleet.Config{Start: began, Now: fslot(20), Groups: groups, Roles: []fleet.Role{{ARN: prodRole, ExternalID: "shibboleth"}}})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(fleet.Handler(c))
	t.Cleanup(srv.Close)
	return &site{Cloud: c, t: t, url: srv.URL, clock: fslot(20)}
}

func (s *site) aws() conf.AWS {
	return conf.AWS{Region: "us-east-1", CloudWatchEndpoint: s.url, AutoScalingEndpoint: s.url, STSEndpoint: s.url, LoadBalancingEndpoint: s.url,
		Accounts: map[string]conf.AWSAccount{"prod": {Role: prodRole, ExternalID: "shibboleth", Region: "eu-west-1"}}}
}

func (s *site) open(c Config) *Source {
	s.t.Helper()
	log := slog.New(slog.NewTextHandler(&s.log, nil))
	src, err := Open(s.t.Context(), "cloudwatch", c, Deps{AWS: s.aws(), Step: step, Now: func() time.Time { return s.clock }, Log: log})
	if err != nil {
		s.t.Fatal(err)
	}
	return src
}

// series returns the different series that a Fetch of five slots brings.
func (s *site) series(src collector.Source) []string {
	s.t.Helper()
	samples, err := src.Fetch(s.t.Context(), fslot(5), fslot(10))
	if err != nil {
		s.t.Fatal(err)
	}
	return seriesIn(samples)
}

func seriesIn(samples []api.Sample) []string {
	seen := map[string]bool{}
	var names []string
	for _, sample := range samples {
		if name := collector.SeriesOf(sample).String(); !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// made counts the calls of an operation.
func (s *site) made(operation string) int {
	n := 0
	for call, count := range s.Calls() {
		if call.Operation == operation {
			n += count
		}
	}
	return n
}

func TestGroupsAreFound(t *testing.T) {
	cpu := []string{api.MetricCPU}
	yes := map[string]string{"forescale": "yes"}
	tagged := []fleet.GroupConfig{
		{Name: "web", Tags: yes, Region: "us-east-1"},
		{Name: "api", Tags: map[string]string{"forescale": "yes", "team": "blue"}, Region: "us-east-1"},
		{Name: "batch", Tags: map[string]string{"forescale": "no"}, Region: "us-east-1"}, {Name: "bare", Region: "us-east-1"},
		{Name: "far", Tags: yes, Region: "eu-west-1"},
		{Name: "theirs", Tags: yes, Account: "111122223333"},
	}
	for name, c := range map[string]struct {
		config Config
		want   string // groups that are read
	}{
		"by the value of a tag":              {Config{Discover: []Discovery{{Tags: yes, Metrics: cpu}}}, "api web"},
		"by several tags, all of which hold": {Config{Discover: []Discovery{{Tags: map[string]string{"forescale": "*", "team": "blue"}, Metrics: cpu}}}, "api"},
		"by any value of a tag":              {Config{Discover: []Discovery{{Tags: map[string]string{"forescale": "*"}, Metrics: cpu}}}, "api batch web"},
		"all of them":                        {Config{Discover: []Discovery{{All: true, Metrics: cpu}}}, "api bare batch web"},
		"in another region":                  {Config{Discover: []Discovery{{Tags: yes, Region: "eu-west-1", Metrics: cpu}}}, "far"},
		"in another account, by its role":    {Config{Discover: []Discovery{{Tags: yes, Account: "prod", Metrics: cpu}}}, "theirs"},
		"under another name":                 {Config{Discover: []Discovery{{Tags: yes, Account: "prod", Name: "prod-{auto_scaling_group}", Metrics: cpu}}}, "prod-theirs"},
		"beside those that are named, which have their own say": {
			Config{Groups: []Group{{Name: "shop", AutoScalingGroup: "web", Metrics: cpu}}, Discover: []Discovery{{Tags: yes, Metrics: cpu}}}, "api shop"},
		"once, though two searches find them": {
			Config{Discover: []Discovery{{Tags: yes, Metrics: cpu}, {All: true, Metrics: cpu}}}, "api bare batch web"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, slices.Clone(tagged)...)
			got := strings.ReplaceAll(strings.Join(s.series(s.open(c.config)), " "), "/cpu_utilization", "")
			if got != c.want {
				t.Errorf("read %q, want %q\n%s", got, c.want, s.log.String())
			}
		})
	}
	t.Run("over all pages, a hundred groups each", func(t *testing.T) {
		var many []fleet.GroupConfig
		for i := range 450 {
			many = append(many, fleet.GroupConfig{Name: fmt.Sprintf("g%03d", i)})
		}
		s := newSite(t, many...)
		src := s.open(Config{Discover: []Discovery{{All: true, LoadBalancers: true, Metrics: []string{api.MetricRequests}}}})
		if got := s.series(src); len(got) != 450 {
			t.Errorf("%d series of 450 groups", len(got))
		}
		if groups, targets := s.made("DescribeAutoScalingGroups"), s.made("DescribeTargetGroups"); groups != 5 || targets != 2 {
			t.Errorf("%d and %d calls, want 5 and 2", groups, targets)
		}
	})
	t.Run("with their load balancers, and read requests there", func(t *testing.T) {
		s := newSite(t, slices.Clone(tagged)...)
		got := s.series(s.open(Config{Discover: []Discovery{{Tags: yes, LoadBalancers: true, Metrics: []string{api.MetricRequests}}}}))
		if want := []string{"api/request_count", "web/request_count"}; !slices.Equal(got, want) {
			t.Errorf("read %v, want %v", got, want)
		}
	})
	t.Run("without load balancers, what needs one is left out and said", func(t *testing.T) {
		s := newSite(t, slices.Clone(tagged)...)
		got := s.series(s.open(Config{Discover: []Discovery{{Tags: yes, Metrics: []string{api.MetricCPU, api.MetricRequests}}}}))
		if want := []string{"api/cpu_utilization", "web/cpu_utilization"}; !slices.Equal(got, want) {
			t.Errorf("read %v, want %v", got, want)
		}
		if !strings.Contains(s.log.String(), "groups lack what they are measured at") {
			t.Errorf("nothing was said:\n%s", s.log.String())
		}
	})
	t.Run("of one name in two places, the first is read and the others are named in the log", func(t *testing.T) {
		s := newSite(t, fleet.GroupConfig{Name: "web"})
		src := s.open(Config{Discover: []Discovery{{All: true, Metrics: cpu}, {All: true, Region: "eu-west-1", Metrics: cpu}}})
		samples, err := src.Fetch(t.Context(), fslot(5), fslot(10))
		if err != nil || len(samples) != 5 {
			t.Errorf("%d samples, %v", len(samples), err)
		}
		if !strings.Contains(s.log.String(), "only the first is read") {
			t.Errorf("nothing was said:\n%s", s.log.String())
		}
	})
}

func TestTheSearchIsRepeatedNowAndThen(t *testing.T) {
	s := newSite(t, fleet.GroupConfig{Name: "web"})
	src := s.open(Config{Refresh: 10 * time.Minute, Discover: []Discovery{{All: true, Metrics: []string{api.MetricCPU}}}})
	for i, want := range []int{1, 1, 2, 2, 3} {
		s.series(src)
		if got := s.made("DescribeAutoScalingGroups"); got != want {
			t.Errorf("tick %d: %d searches, want %d", i, got, want)
		}
		s.clock = s.clock.Add(5 * time.Minute)
	}
	t.Run("and when it fails, the known groups are read on", func(t *testing.T) {
		s.clock = s.clock.Add(time.Hour)
		s.SetTraps(fleet.Traps{Faults: []fleet.Fault{{Operation: "DescribeAutoScalingGroups", Kind: fleet.FaultDenied}}})
		if got := s.series(src); len(got) != 1 || !strings.Contains(s.log.String(), "cannot look for groups") {
			t.Errorf("read %v; log:\n%s", got, s.log.String())
		}
	})
	t.Run("a first one that fails is an error of the whole fetch, which reads what else is known", func(t *testing.T) {
		fresh := s.open(Config{Groups: []Group{{Name: "web"}}, Discover: []Discovery{{All: true}}})
		samples, err := fresh.Fetch(t.Context(), fslot(5), fslot(10))
		var se *collector.SeriesError
		if len(seriesIn(samples)) != 4 || errors.As(err, &se) {
			t.Errorf("read %v", seriesIn(samples))
		}
		if err == nil || !strings.Contains(err.Error(), "find groups of us-east-1") || !strings.Contains(err.Error(), "AccessDenied") {
			t.Errorf("got %v", err)
		}
	})
}

func TestADeletedGroupIsReadUntilItsLastPointsAreThere(t *testing.T) {
	a, b := Group{Name: "a", AutoScalingGroup: "a"}, Group{Name: "b", AutoScalingGroup: "b"}
	if got := gone([]Group{a, b}, []Group{b}); len(got) != 1 || got[0].Name != "a" {
		t.Errorf("got %v", got)
	}
	p := &place{found: []Group{b}, leaving: []Group{a}}
	definitions, _ := Config{}.definitions()
	s := &Source{places: []*place{p}, definitions: definitions, log: slog.New(slog.DiscardHandler)}
	s.compile()
	if len(p.queries) != 8 {
		t.Errorf("%d queries of two groups with four metrics", len(p.queries))
	}
}

func TestEachGroupIsReadInItsAccountAndRegion(t *testing.T) {
	s := newSite(t, fleet.GroupConfig{Name: "web"}, fleet.GroupConfig{Name: "far", Region: "eu-west-1"},
		fleet.GroupConfig{Name: "theirs", Account: "111122223333", Region: "eu-west-1"})
	cpu := []string{api.MetricCPU}
	src := s.open(Config{Groups: []Group{
		{Name: "web", Metrics: cpu}, {Name: "far", Region: "eu-west-1", Metrics: cpu}, {Name: "theirs", Account: "prod", Metrics: cpu}}})
	if got := s.series(src); len(got) != 3 {
		t.Errorf("read %v", got)
	}
	want := map[fleet.Call]int{
		{Operation: "GetMetricData", Account: "000000000000", Region: "us-east-1"}:                 1,
		{Operation: "GetMetricData", Account: "000000000000", Region: "eu-west-1"}:                 1,
		{Operation: "GetMetricData", Account: "111122223333", Region: "eu-west-1", Role: prodRole}: 1,
	}
	for call, n := range want {
		if got := s.Calls()[call]; got != n {
			t.Errorf("%d calls %+v, want %d", got, call, n)
		}
	}
	t.Run("and a role that is refused costs the others nothing", func(t *testing.T) {
		s.SetTraps(fleet.Traps{Faults: []fleet.Fault{{Operation: "AssumeRole", Kind: fleet.FaultDenied}}})
		fresh := s.open(Config{Groups: []Group{{Name: "web", Metrics: cpu}, {Name: "theirs", Account: "prod", Metrics: cpu}}})
		samples, err := fresh.Fetch(t.Context(), fslot(5), fslot(10))
		if got := seriesIn(samples); len(got) != 1 || err == nil || !strings.Contains(err.Error(), "theirs/cpu_utilization") {
			t.Errorf("read %v, %v", got, err)
		}
	})
}

func TestAnAccountMustBeConfigured(t *testing.T) {
	_, err := Open(t.Context(), "cloudwatch", Config{Groups: []Group{{Name: "web", Account: "moon"}}, Discover: []Discovery{{All: true, Account: "mars"}}},
		Deps{AWS: conf.AWS{Region: "us-east-1"}, Step: step, Log: slog.New(slog.DiscardHandler)})
	for _, want := range []string{`group "web": account: "moon"`, `discover[0]: account: "mars"`, "aws.accounts"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
