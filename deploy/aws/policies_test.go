package aws

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// policies are the commands that each is for.
var policies = map[string]string{
	"collector.json": "forescale-collector",
	"scaler.json":    "forescale-scaler",
	"server.json":    "forescale-server",
	"trainer.json":   "forescale-trainer",
	"operator.json":  "forescale",
}

// everywhere are the actions that know no resources, so that they are allowed for
// all or not at all.
var everywhere = []string{
	"cloudwatch:GetMetricData",
	"elasticloadbalancing:DescribeTargetGroups",
	"autoscaling:DescribeAutoScalingGroups",
	"autoscaling:DescribeInstanceRefreshes",
	"autoscaling:DescribePolicies",
	"autoscaling:DescribeScalingActivities",
	"autoscaling:DescribeScheduledActions",
}

// action returns what allows an operation, SERVICE.OPERATION as the SDK names them.
func action(operation string) string {
	service, name, _ := strings.Cut(operation, ".")
	switch {
	case operation == "s3.ListObjectsV2":
		return "s3:ListBucket"
	case service == "elasticloadbalancingv2":
		service = "elasticloadbalancing"
	}
	return service + ":" + name
}

// list is a string or several, as policies have them.
type list []string

func (l *list) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*l = list{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(l))
}

type statement struct {
	Sid, Effect      string
	Action, Resource list
	Principal        map[string]string
	Condition        map[string]map[string]list
}

func read(t *testing.T, file string) []statement {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var policy struct {
		Version   string
		Statement []statement
	}
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.DisallowUnknownFields() // NotAction and NotResource among them
	if err := d.Decode(&policy); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if policy.Version != "2012-10-17" || len(policy.Statement) == 0 {
		t.Errorf("%s: version %q, %d statements", file, policy.Version, len(policy.Statement))
	}
	return policy.Statement
}

// allowed returns the actions of a policy, sorted.
func allowed(statements []statement) []string {
	var all []string
	for _, s := range statements {
		all = append(all, s.Action...)
	}
	slices.Sort(all)
	return all
}

// surplus returns what is in a and not in b.
func surplus(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
}

// withheld is what a program calls only when its configuration asks for more than its
// policy is for: the server writes to the registry with server.model_control alone, and
// who writes there steers the fleet.
var withheld = map[string][]string{"server.json": {"s3:PutObject"}}

func TestPoliciesAllowWhatIsCalledAndNothingElse(t *testing.T) {
	p := load(t)
	for file, command := range policies {
		t.Run(file, func(t *testing.T) {
			var called []string
			for _, op := range p.operations(t, command) {
				called = append(called, action(op))
			}
			if len(called) == 0 {
				t.Fatal("no call was found: the test is blind")
			}
			may := allowed(read(t, file))
			if more := surplus(may, called); len(more) > 0 {
				t.Errorf("%s never calls %v, which %s allows", command, more, file)
			}
			if idle := surplus(withheld[file], called); len(idle) > 0 {
				t.Errorf("%s never calls %v, which is withheld from it", command, idle)
			}
			if less := surplus(surplus(called, may), withheld[file]); len(less) > 0 {
				t.Errorf("%s calls %v, which %s does not allow", command, less, file)
			}
		})
	}
}

func TestPoliciesAreAsNarrowAsTheyCanBe(t *testing.T) {
	for file := range policies {
		for _, s := range read(t, file) {
			if s.Effect != "Allow" || len(s.Action) == 0 || len(s.Resource) == 0 {
				t.Errorf("%s, %s: %+v", file, s.Sid, s)
			}
			for _, a := range s.Action {
				if strings.Contains(a, "*") {
					t.Errorf("%s, %s: %s is more than one action", file, s.Sid, a)
				}
				if slices.Contains(s.Resource, "*") && !slices.Contains(everywhere, a) {
					t.Errorf("%s, %s: %s can be limited to resources, and is not", file, s.Sid, a)
				}
				switch a {
				case "s3:GetObject", "s3:PutObject":
					for _, r := range s.Resource {
						if r != "arn:aws:s3:::EXAMPLE-BUCKET/data/*" && r != "arn:aws:s3:::EXAMPLE-BUCKET/models/*" {
							t.Errorf("%s: %s of %s, which is no prefix of ours", file, a, r)
						}
					}
				case "s3:DeleteObject":
					for _, r := range s.Resource {
						if file == "operator.json" && strings.HasSuffix(r, "/doctor/*") {
							continue // what forescale doctor writes, and nobody else
						}
						if !slices.Contains([]string{"open", "closed", "recent"}, strings.TrimSuffix(strings.TrimPrefix(r, "arn:aws:s3:::EXAMPLE-BUCKET/data/"), "/*")) {
							t.Errorf("%s: %s may be deleted, which is not the lake's", file, r)
						}
					}
				case "s3:ListBucket":
					if len(s.Condition["StringLikeIfExists"]["s3:prefix"]) == 0 {
						t.Errorf("%s: all keys of the bucket may be listed", file)
					}
				case "autoscaling:SetDesiredCapacity":
					if !slices.Equal(s.Condition["StringEquals"]["autoscaling:ResourceTag/forescale"], list{"live"}) {
						t.Errorf("%s: groups without the tag may be scaled", file)
					}
				}
			}
		}
	}
	trust := read(t, "trust.json")
	if len(trust) != 1 || !slices.Equal(trust[0].Action, list{"sts:AssumeRole"}) || len(trust[0].Condition["StringEquals"]["sts:ExternalId"]) != 1 ||
		strings.Contains(trust[0].Principal["AWS"], "*") {
		t.Errorf("trust.json: %+v", trust)
	}
}

func TestEveryPolicyIsChecked(t *testing.T) {
	files, err := filepath.Glob("*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if policies[f] == "" && f != "trust.json" {
			t.Errorf("%s is no policy that the tests know", f)
		}
	}
	if len(files) != len(policies)+1 {
		t.Errorf("%d files", len(files))
	}
}
