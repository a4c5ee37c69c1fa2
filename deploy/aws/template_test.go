package aws

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/forescale/forescale/internal/conf"
	"github.com/forescale/forescale/server"
)

var hash = "sha256:" + strings.Repeat("0a", 32)

// The ways in which the template is used, each with what it must be given.
var (
	least  = map[string]string{"CodeBucket": "code", "Groups": "[{name: web, max: 20}]"}
	scales = plus(least, map[string]string{"AllowScaling": "true", "ServerUrl": "https://forescale.example.com", "ServerTokenSecret": "token", "KmsKeyArn": "arn:aws:kms:us-east-1:111122223333:key/1",
		"Regions": "us-east-1, eu-west-1", "AccountRoles": "arn:aws:iam::444455556666:role/forescale", "Calendar": "business_calendar.json", "AlarmEmail": "ops@example.com", "Architecture": "x86_64"})
	hosts = plus(least, map[string]string{"AllowScaling": "true", "ServerRepository": "forescale-server", "ServerTag": "v1", "ServerTokenSecret": "token", "ServerTokenHash": hash,
		"VpcId": "vpc-1", "Subnets": "subnet-1,subnet-2"})
	hostsInPublic = plus(hosts, map[string]string{"PublicSubnets": "true", "RouteTables": "rtb-1", "ViewerTokenHash": "sha256:" + strings.Repeat("0b", 32), "ViewerCidr": "10.0.0.0/8", "KmsKeyArn": "arn:aws:kms:us-east-1:111122223333:key/1"})
	ways          = map[string]map[string]string{"the least": least, "a server elsewhere": scales, "a server of its own": hosts, "a server in public subnets": hostsInPublic}
)

func plus(a, b map[string]string) map[string]string {
	sum := maps.Clone(a)
	maps.Copy(sum, b)
	return sum
}

func TestEverythingInTheTemplateResolves(t *testing.T) {
	tmpl := readTemplate(t, "template.yaml")
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			s := tmpl.with(way)
			for c := range tmpl.conditions {
				s.holds(c)
			}
			for r, n := range tmpl.resources {
				if !s.made(r) {
					continue
				}
				s.value(order(n)["Properties"])
				if d := order(n)["DependsOn"]; d != nil && !s.made(d.Value) {
					s.fault("%s depends on %s, which is not there", r, d.Value)
				}
			}
			for _, o := range tmpl.outputs {
				if c := order(o)["Condition"]; c == nil || s.holds(c.Value) {
					s.value(order(o)["Value"])
				}
			}
			s.value(order(tmpl.rest)["Globals"])
			for _, f := range s.faults {
				t.Error(f)
			}
		})
	}
	t.Run("what does not resolve is found", func(t *testing.T) {
		s := tmpl.with(map[string]string{"Groups": "x", "Surplus": "x", "Architecture": "vax"})
		if len(s.faults) != 3 {
			t.Errorf("faults of parameters: %q", s.faults)
		}
		s = tmpl.with(least) // without a server
		s.value(order(tmpl.resources["ServerTask"])["Properties"])
		if !slices.ContainsFunc(s.faults, func(f string) bool { return strings.Contains(f, "ServerRole") }) {
			t.Errorf("a reference to what is not made: %q", s.faults)
		}
	})
}

// Whoever makes the server without what it needs is told before anything is made.
func TestTheRulesAskForWhatAServerNeeds(t *testing.T) {
	tmpl := readTemplate(t, "template.yaml")
	ask := func(way map[string]string) (missing []string) {
		s := tmpl.with(way)
		rule := order(tmpl.rules["ServerNeedsAPlace"])
		if on, _ := s.value(rule["RuleCondition"]).(bool); !on {
			return nil
		}
		for _, a := range rule["Assertions"].Content {
			if ok, _ := s.value(order(a)["Assert"]).(bool); !ok {
				missing = append(missing, order(a)["AssertDescription"].Value)
			}
		}
		return missing
	}
	for name, way := range ways {
		if m := ask(way); len(m) > 0 {
			t.Errorf("%s: %q", name, m)
		}
	}
	if m := ask(plus(least, map[string]string{"ServerRepository": "r", "ServerUrl": "https://x"})); len(m) != 5 {
		t.Errorf("a server without anything: %q", m)
	}
}

// statements returns what the role of a resource may and may not do.
func (s *stack) statements(t *testing.T, role string) (all []statement) {
	t.Helper()
	var r struct {
		Policies []struct {
			PolicyDocument struct {
				Version   string
				Statement []statement
			}
		}
		ManagedPolicyArns []string
	}
	s.properties(t, role, &r)
	if len(r.ManagedPolicyArns) > 0 {
		t.Errorf("%s: %v are policies of others", role, r.ManagedPolicyArns)
	}
	for _, p := range r.Policies {
		all = append(all, p.PolicyDocument.Statement...)
	}
	return all
}

// ofTheService are the actions that Lambda and ECS make with a role on behalf of the
// program, and S3 with its key: no call of the program's.
func ofTheService(action string) bool {
	service, _, _ := strings.Cut(action, ":")
	return slices.Contains([]string{"logs", "sqs", "kms", "ec2", "ecr"}, service)
}

// permits returns the actions that are allowed, each once, less those of the services.
func permits(statements ...statement) []string {
	var found []string
	for _, s := range statements {
		if s.Effect == "Allow" {
			found = append(found, s.Action...)
		}
	}
	found = slices.DeleteFunc(found, ofTheService)
	slices.Sort(found)
	return slices.Compact(found)
}

// The policies beside the template are held to the programs' calls; the roles in it
// are held to them.
func TestTheRolesMayDoWhatTheProgramsCallAndNothingElse(t *testing.T) {
	s := readTemplate(t, "template.yaml").with(plus(hosts, map[string]string{"AccountRoles": "arn:aws:iam::444455556666:role/forescale"}))
	for file, roles := range map[string][]string{"collector.json": {"CollectorRole", "KeeperRole"}, "scaler.json": {"ScalerRole"}, "server.json": {"ServerRole"}, "": {"ServerStartRole"}} {
		var want []string
		if file != "" {
			want = permits(read(t, file)...)
		}
		var have []statement
		for _, r := range roles {
			have = append(have, s.statements(t, r)...)
		}
		if got := permits(have...); !slices.Equal(got, want) {
			t.Errorf("%v may\n%v, and %s says\n%v", roles, got, file, want)
		}
	}
}

func TestNoRoleIsWiderThanItMustBe(t *testing.T) {
	tmpl := readTemplate(t, "template.yaml")
	for name, way := range ways {
		s := tmpl.with(way)
		for role, n := range tmpl.resources {
			if order(n)["Type"].Value != "AWS::IAM::Role" || !s.made(role) {
				continue
			}
			for _, st := range s.statements(t, role) {
				for _, r := range st.Resource {
					wild := r == "*" || strings.HasPrefix(r, "arn:aws:autoscaling:*")
					if wild && len(st.Condition) == 0 {
						t.Errorf("%s: %s, %s: %s without a condition", name, role, st.Sid, r)
					}
					if strings.Contains(r, "<nil>") {
						t.Errorf("%s: %s, %s: %s", name, role, st.Sid, r)
					}
				}
				for _, a := range st.Action {
					if strings.Contains(a, "*") || len(st.Resource) == 0 {
						t.Errorf("%s: %s, %s: %s of %v", name, role, st.Sid, a, st.Resource)
					}
				}
			}
		}
		may := slices.Contains(permits(s.statements(t, "ScalerRole")...), "autoscaling:SetDesiredCapacity")
		if may != (way["AllowScaling"] == "true") {
			t.Errorf("%s: the scaler may scale: %t", name, may)
		}
	}
	for _, st := range tmpl.with(scales).statements(t, "ScalerRole") {
		if slices.Contains(st.Action, "autoscaling:SetDesiredCapacity") && !slices.Equal(st.Condition["StringEquals"]["autoscaling:ResourceTag/forescale"], list{"live"}) {
			t.Error("groups without the tag may be scaled")
		}
	}
}

func TestTheBucketIsSafe(t *testing.T) {
	tmpl := readTemplate(t, "template.yaml")
	for name, algorithm := range map[string]string{"the least": "AES256", "a server elsewhere": "aws:kms"} {
		s := tmpl.with(ways[name])
		var b struct {
			BucketEncryption struct {
				ServerSideEncryptionConfiguration []struct {
					ServerSideEncryptionByDefault struct{ SSEAlgorithm, KMSMasterKeyID string }
				}
			}
			VersioningConfiguration        struct{ Status string }
			PublicAccessBlockConfiguration map[string]bool
			LifecycleConfiguration         struct {
				Rules []struct {
					Status, Prefix              string
					ExpirationInDays            int
					NoncurrentVersionExpiration struct{ NoncurrentDays any }
				}
			}
		}
		s.properties(t, "Lake", &b)
		e := b.BucketEncryption.ServerSideEncryptionConfiguration
		if len(e) != 1 || e[0].ServerSideEncryptionByDefault.SSEAlgorithm != algorithm || (e[0].ServerSideEncryptionByDefault.KMSMasterKeyID != "") != (algorithm == "aws:kms") {
			t.Errorf("%s: encryption %+v", name, e)
		}
		if p := b.PublicAccessBlockConfiguration; b.VersioningConfiguration.Status != "Enabled" || !p["BlockPublicAcls"] || !p["BlockPublicPolicy"] || !p["IgnorePublicAcls"] || !p["RestrictPublicBuckets"] {
			t.Errorf("%s: %+v", name, b)
		}
		for _, r := range b.LifecycleConfiguration.Rules {
			if r.Status != "Enabled" || r.ExpirationInDays != 0 {
				t.Errorf("%s: a rule that removes what is in use, or does nothing: %+v", name, r)
			}
		}
		var p struct {
			PolicyDocument struct {
				Statement []struct {
					Effect, Principal string
					Condition         map[string]map[string]string
				}
			}
		}
		s.properties(t, "LakePolicy", &p)
		if st := p.PolicyDocument.Statement; len(st) != 2 || st[0].Effect != "Deny" || st[0].Principal != "*" || st[0].Condition["Bool"]["aws:SecureTransport"] != "false" ||
			st[1].Effect != "Deny" || st[1].Condition["NumericLessThan"]["s3:TlsVersion"] != "1.2" {
			t.Errorf("%s: %+v", name, st)
		}
	}
	for _, key := range []string{"DeletionPolicy", "UpdateReplacePolicy"} {
		if n := order(tmpl.resources["Lake"])[key]; n == nil || n.Value != "Retain" {
			t.Errorf("the history goes with the stack: %s", key)
		}
	}
}

// function is what the template says of one of the functions.
type lambdaFunction struct {
	FunctionName, Role           string
	CodeUri                      struct{ Key string }
	Timeout, MemorySize          int
	ReservedConcurrentExecutions int
	VpcConfig                    map[string][]string
	Environment                  struct{ Variables map[string]string }
	Events                       map[string]struct {
		Type       string
		Properties struct{ Schedule string }
	}
}

var functions = []string{"Collector", "Keeper", "Scaler"}

func TestFunctionsRunOneAtATimeWithinTheirFiveMinutes(t *testing.T) {
	tmpl := readTemplate(t, "template.yaml")
	s := tmpl.with(least)
	for _, name := range functions {
		var f lambdaFunction
		s.properties(t, name, &f)
		var schedules []string
		for _, e := range f.Events {
			schedules = append(schedules, e.Properties.Schedule)
		}
		if f.ReservedConcurrentExecutions != 1 || len(schedules) != 1 || f.VpcConfig != nil || !strings.HasSuffix(f.CodeUri.Key, "-arm64.zip") {
			t.Errorf("%s: %+v", name, f)
		}
		if name != "Keeper" && (f.Timeout < 120 || f.Timeout >= 300 || !strings.Contains(schedules[0], "/5 * * * ? *")) {
			t.Errorf("%s: %d s, %s", name, f.Timeout, schedules[0])
		}
	}
	var f lambdaFunction
	tmpl.with(hosts).properties(t, "Scaler", &f)
	if !slices.Equal(f.VpcConfig["SubnetIds"], []string{"subnet-1", "subnet-2"}) || !strings.Contains(f.Environment.Variables["FORESCALE_SERVER_TOKEN"], "resolve:secretsmanager:token}}") {
		t.Errorf("beside a server: %+v", f)
	}
}

func TestTheServersConfigurationIsValid(t *testing.T) {
	for _, way := range []map[string]string{hosts, hostsInPublic} {
		var task struct {
			ContainerDefinitions []struct {
				Image       string
				Command     []string
				Environment []struct{ Name, Value string }
			}
			RuntimePlatform struct{ CpuArchitecture string }
		}
		readTemplate(t, "template.yaml").with(way).properties(t, "ServerTask", &task)
		c := task.ContainerDefinitions[0]
		t.Setenv(c.Environment[0].Name, c.Environment[0].Value)
		cfg := server.Defaults()
		if !slices.Equal(c.Command, []string{"-config", "env:FORESCALE_YAML"}) || c.Image != "111122223333.dkr.ecr.us-east-1.amazonaws.com/forescale-server:v1" || task.RuntimePlatform.CpuArchitecture != "ARM64" {
			t.Errorf("%+v", task)
		}
		common, err := conf.Load(c.Command[1], "server", &cfg)
		if err == nil {
			err = cfg.Validate()
		}
		if err != nil || common.Models != "s3://lake/models?region=us-east-1" {
			t.Errorf("%+v, %v", common, err)
		}
	}
}

// Each way to fail has an alarm for each function, and each alarm tells somebody.
func TestAlarms(t *testing.T) {
	tmpl := readTemplate(t, "template.yaml")
	s := tmpl.with(hosts)
	found := map[string]bool{}
	for name, n := range tmpl.resources {
		if order(n)["Type"].Value != "AWS::CloudWatch::Alarm" || !s.made(name) {
			continue
		}
		var a struct {
			Namespace, MetricName, TreatMissingData, AlarmDescription string
			Dimensions                                                []struct{ Name, Value string }
			AlarmActions                                              []string
		}
		s.properties(t, name, &a)
		if len(a.AlarmActions) != 1 || a.AlarmDescription == "" {
			t.Errorf("%s tells nobody: %+v", name, a)
		}
		// What is not there is the very fault where an alarm waits for a sign of life.
		alive := slices.Contains([]string{"Invocations", "TickAge", "Rows", "CPUUtilization"}, a.MetricName)
		if alive != (a.TreatMissingData == "breaching") {
			t.Errorf("%s: missing data are %s", name, a.TreatMissingData)
		}
		found[a.MetricName+" of "+a.Dimensions[len(a.Dimensions)-1].Value] = true
	}
	for _, want := range []string{
		"Errors of forescale-collector", "Errors of forescale-scaler", "Errors of forescale-keeper", "Throttles of forescale-collector", "Throttles of forescale-scaler",
		"Invocations of forescale-collector", "Invocations of forescale-scaler", "TickAge of forescale-collector", "TickAge of forescale-scaler",
		"Rows of forescale-collector", "Faults of forescale-scaler",
	} {
		if !found[want] {
			t.Errorf("no alarm for %s in %v", want, slices.Sorted(maps.Keys(found)))
		}
	}
	if len(found) != 13 {
		t.Errorf("%d alarms: %v", len(found), slices.Sorted(maps.Keys(found)))
	}
}
