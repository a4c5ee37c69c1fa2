package targets

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/conf"
	"github.com/forescale/forescale/internal/fleet"
	"github.com/forescale/forescale/scaler"
	"github.com/forescale/forescale/scaler/asg"
)

// TestMain gives the SDK credentials and nothing of the machine's own.
func TestMain(m *testing.M) {
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_SESSION_TOKEN": "", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_REGION": "", "AWS_DEFAULT_REGION": "", "AWS_PROFILE": "",
	} {
		os.Setenv(name, value)
	}
	os.Exit(m.Run())
}

var monday = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

const (
	prodRole = "arn:aws:iam::111111111111:role/ops/forescale"
	testRole = "arn:aws:iam::222222222222:role/forescale"
)

// accounts serves a cloud with groups in three accounts and two regions, and
// returns it with the configuration that reaches them all.
func accounts(t *testing.T, change func(*fleet.Config)) (*fleet.Cloud, scaler.Config, conf.AWS) {
	t.Helper()
	demand := &fleet.Demand{Start: monday, Step: 5 * time.Minute, Slots: make([]float64, 288), Missing: make([]bool, 288), Unit: 1}
	group := func(name, account, region string) fleet.GroupConfig {
		return fleet.GroupConfig{Name: name, Demand: demand, Min: 2, Max: 20, Desired: 10, History: fleet.Static(10), Account: account, Region: region}
	}
	config := fleet.Config{
		Start: monday, Now: monday.Add(time.Hour),
		Roles: []fleet.Role{{ARN: prodRole, ExternalID: "open sesame"}, {ARN: testRole}},
		Groups: []fleet.GroupConfig{
			group("own", "", "eu-central-1"), group("prod-us", "111111111111", "us-east-1"),
			group("prod-eu", "111111111111", "eu-west-1"), group("test-eu", "222222222222", "eu-central-1"),
		},
	}
	if change != nil {
		change(&config)
	}
	cloud, err := fleet.New(config)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(fleet.Handler(cloud))
	t.Cleanup(server.Close)
	return cloud, scaler.Config{Groups: []scaler.Group{
			{Name: "own", Target: "asg"},
			{Name: "shop", Target: "asg", TargetName: "prod-us", Account: "prod"},
			{Name: "shop-eu", Target: "asg", TargetName: "prod-eu", Account: "prod", Region: "eu-west-1"},
			{Name: "trial", Target: "asg", TargetName: "test-eu", Account: "test"},
		}}, conf.AWS{
			Region: "eu-central-1", AutoScalingEndpoint: server.URL, STSEndpoint: server.URL, CallsPerSecond: 1000,
			Accounts: map[string]conf.AWSAccount{
				"prod": {Role: prodRole, ExternalID: "open sesame", Region: "us-east-1"},
				"test": {Role: testRole},
			},
		}
}

// everyone is our names of the groups.
var everyone = []string{"own", "shop", "shop-eu", "trial"}

func TestEachGroupIsScaledAsItsOwnRole(t *testing.T) {
	cloud, cfg, aws := accounts(t, nil)
	target, err := Open(t.Context(), cfg, conf.Common{AWS: aws}, nil)
	if err != nil {
		t.Fatal(err)
	}
	found, err := target.Capacities(t.Context(), everyone)
	if err != nil || len(found) != 4 || found["shop"].Desired != 10 {
		t.Fatalf("found %v, %v", found, err)
	}
	for i, g := range everyone {
		if err := target.Scale(t.Context(), g, 11+i); err != nil {
			t.Fatal(err)
		}
	}
	if err := cloud.Advance(cloud.Now().Add(10 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	launches, err := target.(scaler.Launches).Launches(t.Context(), everyone, monday)
	for i, g := range everyone {
		if len(launches[g]) != 1+i {
			t.Errorf("%s: %d launches, want %d", g, len(launches[g]), 1+i)
		}
	}
	if err != nil {
		t.Error(err)
	}
	// The cloud knows the caller by the access key that AssumeRole gave out.
	want := map[string][3]string{ // by the provider's name: account, region, role
		"own": {"000000000000", "eu-central-1", ""}, "prod-us": {"111111111111", "us-east-1", prodRole},
		"prod-eu": {"111111111111", "eu-west-1", prodRole}, "test-eu": {"222222222222", "eu-central-1", testRole},
	}
	seen := map[string]bool{}
	for call := range cloud.Calls() {
		if call.Group == "" {
			continue
		}
		seen[call.Group+" "+call.Operation] = true
		if got := [3]string{call.Account, call.Region, call.Role}; got != want[call.Group] {
			t.Errorf("%s of %s as %v, want %v", call.Operation, call.Group, got, want[call.Group])
		}
	}
	for g := range want {
		for _, op := range []string{"SetDesiredCapacity", "DescribeInstanceRefreshes", "DescribeScalingActivities"} {
			if !seen[g+" "+op] {
				t.Errorf("no %s of %s", op, g)
			}
		}
	}
	if n := assumed(cloud); n != 3 {
		t.Errorf("%d roles assumed, want one for each account and region", n)
	}
}

// assumed counts the calls of AssumeRole.
func assumed(c *fleet.Cloud) (n int) {
	for call, times := range c.Calls() {
		if call.Operation == "AssumeRole" {
			n += times
		}
	}
	return n
}

func TestCredentialsAreKeptUntilTheyAreAboutToExpire(t *testing.T) {
	for _, c := range []struct {
		name     string
		sessions time.Duration
		renewed  bool
	}{{"an hour is kept", time.Hour, false}, {"a minute is too short to be kept", time.Minute, true}} {
		t.Run(c.name, func(t *testing.T) {
			cloud, cfg, aws := accounts(t, func(f *fleet.Config) { f.SessionTime = c.sessions })
			target, err := Open(t.Context(), cfg, conf.Common{AWS: aws}, nil)
			if err != nil {
				t.Fatal(err)
			}
			for i := range 5 {
				if err := target.Scale(t.Context(), "shop", 10+i); err != nil {
					t.Fatal(err)
				}
			}
			if n := assumed(cloud); c.renewed != (n >= 5) || n == 0 || !c.renewed && n > 1 {
				t.Errorf("assumed %d times for 5 calls", n)
			}
		})
	}
}

// A role that may not be assumed costs the groups of no other account anything.
func TestARoleThatIsRefusedCostsNoOther(t *testing.T) {
	_, cfg, aws := accounts(t, nil)
	aws.Accounts["prod"] = conf.AWSAccount{Role: prodRole, ExternalID: "wrong", Region: "us-east-1"}
	target, err := Open(t.Context(), cfg, conf.Common{AWS: aws}, nil)
	if err != nil {
		t.Fatal(err)
	}
	found, err := target.Capacities(t.Context(), everyone)
	if _, there := found["shop"]; len(found) != 2 || there || err == nil || !strings.Contains(err.Error(), "sts:AssumeRole") {
		t.Errorf("found %v, %v", found, err)
	}
	if err := target.Scale(t.Context(), "shop", 12); !errors.Is(err, scaler.ErrRefused) {
		t.Errorf("scale: %v", err)
	}
	if err := target.Scale(t.Context(), "trial", 12); err != nil {
		t.Errorf("scale of another: %v", err)
	}
}

func TestAccountsThatAreOneShareItsPace(t *testing.T) {
	_, cfg, aws := accounts(t, nil)
	aws.Accounts["audit"] = conf.AWSAccount{Role: "arn:aws:iam::111111111111:role/audit", Region: "us-east-1"}
	o := opener{aws: aws, throttles: map[[2]string]*asg.Throttle{}}
	for _, g := range append(cfg.Groups, scaler.Group{Account: "audit"}, scaler.Group{Region: "eu-central-1"}) {
		if _, err := o.open(t.Context(), g.Account, g.Region); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for where := range o.throttles {
		got = append(got, fmt.Sprint(where))
	}
	slices.Sort(got)
	want := []string{"[ eu-central-1]", "[111111111111 eu-west-1]", "[111111111111 us-east-1]", "[222222222222 eu-central-1]"}
	if !slices.Equal(got, want) {
		t.Errorf("throttles of %q, want %q", got, want)
	}
}

func TestTheSameNameInTwoPlacesIsTwoGroups(t *testing.T) {
	here, there := provider{"web": 3}, provider{"web": 4}
	r := NewRouter(config(
		scaler.Group{Name: "web", Target: "one"}, scaler.Group{Name: "web-us", Target: "one", TargetName: "web", Region: "us-east-1"},
	), map[string]scaler.Target{"one": here, "one//us-east-1": there})
	found, err := r.Capacities(t.Context(), []string{"web", "web-us"})
	if err != nil || found["web"].Desired != 3 || found["web-us"].Desired != 4 {
		t.Errorf("found %v, %v", found, err)
	}
	if err := r.Scale(t.Context(), "web-us", 9); err != nil || here["web"] != 3 || there["web"] != 9 {
		t.Errorf("%v, %v, %v", err, here, there)
	}
}

// starter is a driver that knows of one launch in every group.
type starter struct{ provider }

func (starter) Launches(_ context.Context, groups []string, since time.Time) (map[string][]api.Launch, error) {
	found := map[string][]api.Launch{}
	for _, g := range groups {
		found[g] = []api.Launch{{At: since, Took: time.Minute}}
	}
	return found, nil
}

// A driver that knows nothing of launches says nothing, and keeps no other from it.
func TestLaunchesComeFromTheDriversThatHaveThem(t *testing.T) {
	r := NewRouter(config(scaler.Group{Name: "web", Target: "one"}, scaler.Group{Name: "db", Target: "two"}),
		map[string]scaler.Target{"one": provider{}, "two": starter{}})
	found, err := r.(scaler.Launches).Launches(t.Context(), []string{"web", "db", "stranger"}, monday)
	if len(found) != 1 || len(found["db"]) != 1 || !errors.Is(err, scaler.ErrUnknownGroup) {
		t.Errorf("found %v, %v", found, err)
	}
}

func TestAnAccountThatIsNotConfiguredIsNamed(t *testing.T) {
	err := Validate(config(scaler.Group{Name: "web", Target: "asg", Account: "prd"}, scaler.Group{Name: "db", Target: "gke", Region: "eu-west-1"}),
		conf.Common{AWS: conf.AWS{RivalCalls: -1}})
	for _, want := range []string{`scaler.groups[1] (db): account, region: belong to the target asg, not to gke`,
		`scaler.groups[0] (web): account: "prd" is not in aws.accounts`, "rival_calls"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not mention %q", err, want)
		}
	}
}
