package asg_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/internal/fleet"
	"github.com/forescale/forescale/scaler"
	"github.com/forescale/forescale/scaler/asg"
)

var monday = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

// TestMain gives the SDK credentials and nothing of the machine's own.
func TestMain(m *testing.M) {
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": "/nonexistent", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent", "AWS_REGION": "", "AWS_DEFAULT_REGION": "", "AWS_PROFILE": "",
	} {
		os.Setenv(name, value)
	}
	os.Exit(m.Run())
}

// simulate serves a cloud of n groups web-000, web-001, … of ten instances each,
// and returns it with a target that uses the real SDK.
func simulate(t *testing.T, n int) (*fleet.Cloud, *asg.Target) {
	t.Helper()
	return simulateWith(t, n, nil, asg.Config{})
}

// simulateWith is simulate with changes to the cloud and settings of the target.
func simulateWith(t testing.TB, n int, change func(*fleet.Config), settings asg.Config) (*fleet.Cloud, *asg.Target) {
	t.Helper()
	demand := &fleet.Demand{Start: monday, Step: 5 * time.Minute, Slots: make([]float64, 2880), Missing: make([]bool, 2880), Unit: 1}
	for i := range demand.Slots {
		demand.Slots[i] = 4
	}
	cfg := fleet.Config{Start: monday, Now: monday.Add(time.Hour)}
	for i := range n {
		cfg.Groups = append(cfg.Groups, fleet.GroupConfig{Name: name(i), Demand: demand, Min: 2, Max: 20, Desired: 10,
			History: fleet.Static(10), Lead: fleet.Lead{Minutes: 5}})
	}
	if change != nil {
		change(&cfg)
	}
	cloud, err := fleet.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := cloud.Advance(monday.Add(90 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(fleet.Handler(cloud))
	t.Cleanup(server.Close)
	client := &http.Client{Transport: &http.Transport{}} // idle connections of its own, to close
	t.Cleanup(client.CloseIdleConnections)
	settings.Region, settings.Endpoint, settings.HTTP = "eu-central-1", server.URL, client
	if settings.Throttle == nil {
		settings.Throttle = asg.NewThrottle(10_000) // tests have no time to spare
	}
	target, err := asg.Open(t.Context(), settings, nil)
	if err != nil {
		t.Fatal(err)
	}
	return cloud, target
}

func name(i int) string { return fmt.Sprintf("web-%03d", i) }

func names(n int) []string {
	var all []string
	for i := range n {
		all = append(all, name(i))
	}
	return all
}

// advance moves a cloud's clock on.
func advance(t *testing.T, c *fleet.Cloud, by time.Duration) {
	t.Helper()
	if err := c.Advance(c.Now().Add(by)); err != nil {
		t.Fatal(err)
	}
}

// read returns the capacity of one group, as a tick reads it.
func read(t *testing.T, target *asg.Target, group string) api.Capacity {
	t.Helper()
	found, err := target.Capacities(t.Context(), []string{group})
	if err != nil {
		t.Fatal(err)
	}
	return found[group]
}

// made counts the calls of an operation; of one group, unless group is empty.
func made(c *fleet.Cloud, operation, group string) (n int) {
	for call, times := range c.Calls() {
		if call.Operation == operation && (group == "" || call.Group == group) {
			n += times
		}
	}
	return n
}

func desired(t *testing.T, target *asg.Target, group string) int {
	t.Helper()
	found, err := target.Capacities(t.Context(), []string{group})
	if err != nil {
		t.Fatal(err)
	}
	return found[group].Desired
}

func TestCapacityCountsWhatServesAndWhatStarts(t *testing.T) {
	cloud, target := simulate(t, 1)
	if err := target.Scale(t.Context(), "web-000", 13); err != nil {
		t.Fatal(err)
	}
	if err := cloud.Advance(cloud.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	found, err := target.Capacities(t.Context(), []string{"web-000"})
	c := found["web-000"]
	if err != nil || c.InService != 10 || c.Pending != 3 || c.Desired != 13 || c.Min != 2 || c.Max != 20 {
		t.Errorf("got %+v, %v", c, err)
	}
	if err := cloud.Advance(cloud.Now().Add(10 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	found, _ = target.Capacities(t.Context(), []string{"web-000"})
	if c := found["web-000"]; c.InService != 13 || c.Pending != 0 {
		t.Errorf("after the lead time: %+v", c)
	}
}

func TestManyGroupsAreReadInBatchesAndPages(t *testing.T) {
	_, target := simulate(t, 230)
	found, err := target.Capacities(t.Context(), append(names(230), "nobody"))
	if len(found) != 230 || !errors.Is(err, scaler.ErrUnknownGroup) || !strings.Contains(err.Error(), `"nobody"`) {
		t.Errorf("%d groups, %v", len(found), err)
	}
}

func TestABatchThatFailsCostsNoOther(t *testing.T) {
	cloud, target := simulate(t, 150)
	cloud.SetTraps(fleet.Traps{Faults: []fleet.Fault{{Operation: "DescribeAutoScalingGroups", Kind: fleet.FaultDenied, Count: 1}}})
	found, err := target.Capacities(t.Context(), names(150))
	if err == nil || len(found) != 50 && len(found) != 100 {
		t.Errorf("%d groups, %v", len(found), err)
	}
}

// TestScaleSaysTruthfullyWhatHappened puts each trap of the provider in the way.
func TestScaleSaysTruthfullyWhatHappened(t *testing.T) {
	set := func(kind fleet.FaultKind, count int) fleet.Traps {
		return fleet.Traps{Faults: []fleet.Fault{{Operation: "SetDesiredCapacity", Kind: kind, Count: count}}}
	}
	for _, c := range []struct {
		name    string
		traps   fleet.Traps
		group   string
		to      int
		want    error // nil: accepted
		open    bool  // an error that leaves the effect open
		desired int
	}{
		{"a plain change is accepted", fleet.Traps{}, "web-000", 12, nil, false, 12},
		{"above the maximum is refused", fleet.Traps{}, "web-000", 21, scaler.ErrBounds, false, 10},
		{"below the minimum is refused", fleet.Traps{}, "web-000", 1, scaler.ErrBounds, false, 10},
		{"a negative number never leaves the house", fleet.Traps{}, "web-000", -1, scaler.ErrBounds, false, 10},
		{"an unknown group is refused", fleet.Traps{}, "nobody", 3, scaler.ErrUnknownGroup, false, 10},
		{"throttling is waited out", set(fleet.FaultThrottle, 2), "web-000", 12, nil, false, 12},
		{"throttling without end is busy", set(fleet.FaultThrottle, 0), "web-000", 12, scaler.ErrBusy, false, 10},
		{"contention is waited out", set(fleet.FaultContention, 2), "web-000", 12, nil, false, 12},
		{"contention without end is busy", set(fleet.FaultContention, 0), "web-000", 12, scaler.ErrBusy, false, 10},
		{"an activity in progress is busy", set(fleet.FaultInProgress, 0), "web-000", 12, scaler.ErrBusy, false, 10},
		{"a request that the provider does not take is refused", set(fleet.FaultInvalid, 0), "web-000", 12, scaler.ErrRefused, false, 10},
		{"missing permission is refused", set(fleet.FaultDenied, 0), "web-000", 12, scaler.ErrRefused, false, 10},
		{"a lost answer is found out by asking again", set(fleet.FaultLostResponse, 1), "web-000", 12, nil, false, 12},
		{"answers lost every time are found out by reading", set(fleet.FaultLostResponse, 0), "web-000", 12, nil, false, 12},
		{"requests lost every time leave it open", set(fleet.FaultLostRequest, 0), "web-000", 12, nil, true, 10},
		{"a provider that hangs leaves it open", set(fleet.FaultHang, 0), "web-000", 12, nil, true, 10},
		{"an answer lost before a refusal is found out by reading", fleet.Traps{Faults: []fleet.Fault{
			{Operation: "SetDesiredCapacity", Kind: fleet.FaultLostResponse, Count: 1},
			{Operation: "SetDesiredCapacity", Kind: fleet.FaultThrottle},
		}}, "web-000", 12, nil, false, 12},
		{"an answer lost before a refusal stays open when nobody can look", fleet.Traps{Faults: []fleet.Fault{
			{Operation: "SetDesiredCapacity", Kind: fleet.FaultLostResponse, Count: 1},
			{Operation: "SetDesiredCapacity", Kind: fleet.FaultDenied},
			{Operation: "DescribeAutoScalingGroups", Kind: fleet.FaultDenied},
		}}, "web-000", 12, nil, true, 12},
		{"neither call nor reading comes through", fleet.Traps{Faults: []fleet.Fault{{Kind: fleet.FaultHang, Count: 2}}}, "web-000", 12, nil, true, 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // they mostly wait
			cloud, target := simulate(t, 1)
			cloud.SetTraps(c.traps)
			ctx, cancel := context.WithTimeout(t.Context(), 6*time.Second)
			if strings.Contains(c.name, "hang") || strings.Contains(c.name, "neither") {
				ctx, cancel = context.WithTimeout(t.Context(), time.Second)
			}
			defer cancel()
			err := target.Scale(ctx, c.group, c.to)
			switch {
			case c.open && (err == nil || errors.Is(err, scaler.ErrRefused)):
				t.Errorf("got %v, want an error that leaves it open", err)
			case !c.open && !errors.Is(err, c.want):
				t.Errorf("got %v, want %v", err, c.want)
			case c.want != nil && !errors.Is(err, scaler.ErrRefused):
				t.Errorf("%v is no refusal", err)
			}
			cloud.SetTraps(fleet.Traps{})
			if got := desired(t, target, "web-000"); got != c.desired {
				t.Errorf("desired capacity is %d, want %d", got, c.desired)
			}
		})
	}
}

// The group's own cooldown and a stuck instance must not stand in the way.
func TestAStuckInstanceDoesNotBlockAChange(t *testing.T) {
	cloud, target := simulate(t, 1)
	cloud.SetTraps(fleet.Traps{Launches: []fleet.LaunchTrap{{Kind: fleet.LaunchStuck}}})
	for _, n := range []int{11, 12, 9} {
		if err := target.Scale(t.Context(), "web-000", n); err != nil {
			t.Fatal(err)
		}
		if err := cloud.Advance(cloud.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if got := desired(t, target, "web-000"); got != n {
			t.Errorf("desired capacity is %d, want %d", got, n)
		}
	}
}

func TestAProviderThatIsNotThereIsAnError(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	target, err := asg.Open(t.Context(), asg.Config{Region: "eu-central-1", Endpoint: "http://" + address}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if found, err := target.Capacities(ctx, []string{"web"}); err == nil || len(found) != 0 {
		t.Errorf("capacities %v, %v", found, err)
	}
	if err := target.Scale(ctx, "web", 3); err == nil || errors.Is(err, scaler.ErrRefused) {
		t.Errorf("scale: %v", err)
	}
}

// A provider whose pages never end must not hold a tick.
func TestEndlessPagesEnd(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `<DescribeAutoScalingGroupsResponse><DescribeAutoScalingGroupsResult><AutoScalingGroups/><NextToken>again</NextToken></DescribeAutoScalingGroupsResult></DescribeAutoScalingGroupsResponse>`)
	}))
	defer server.Close()
	target, err := asg.Open(t.Context(), asg.Config{Region: "eu-central-1", Endpoint: server.URL, Throttle: asg.NewThrottle(10_000)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := target.Capacities(t.Context(), []string{"web"}); err == nil || !strings.Contains(err.Error(), "pages") {
		t.Errorf("got %v", err)
	}
}

func TestWithoutARegionTheErrorSaysWhatToSet(t *testing.T) {
	if _, err := asg.Open(t.Context(), asg.Config{Region: "", Endpoint: ""}, nil); err == nil || !strings.Contains(err.Error(), "aws.region") {
		t.Errorf("got %v", err)
	}
}
