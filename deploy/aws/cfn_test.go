package aws

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// template is the text of a CloudFormation template, with its intrinsic functions as
// tags or as keys.
type template struct {
	parameters, conditions, resources, outputs, rules map[string]*yaml.Node
	rest                                              *yaml.Node
}

// order returns what a mapping holds, by its keys.
func order(n *yaml.Node) map[string]*yaml.Node {
	found := map[string]*yaml.Node{}
	if n != nil && n.Kind == yaml.MappingNode {
		for i := 0; i < len(n.Content); i += 2 {
			found[n.Content[i].Value] = n.Content[i+1]
		}
	}
	return found
}

func readTemplate(t *testing.T, file string) *template {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	top := order(doc.Content[0])
	return &template{order(top["Parameters"]), order(top["Conditions"]), order(top["Resources"]), order(top["Outputs"]), order(top["Rules"]), doc.Content[0]}
}

// stack is a template with its parameters set: what would be made of it.
type stack struct {
	*template
	given  map[string]any // parameters, those with defaults included
	faults []string
}

// The pseudo parameters of the account of the tests.
var pseudo = map[string]any{
	"AWS::AccountId": "111122223333", "AWS::Region": "us-east-1", "AWS::Partition": "aws", "AWS::URLSuffix": "amazonaws.com",
	"AWS::StackName": "forescale", "AWS::NoValue": noValue{},
}

// noValue removes the property, or the element, that it is the value of.
type noValue struct{}

func (t *template) with(given map[string]string) *stack {
	s := &stack{template: t, given: map[string]any{}}
	for name, p := range t.parameters {
		of := order(p)
		value, ok := given[name]
		if d := of["Default"]; !ok && d != nil {
			value, ok = d.Value, true
		}
		if !ok {
			s.fault("parameter %s has no value", name)
		}
		if list := of["AllowedValues"]; list != nil && !slices.ContainsFunc(list.Content, func(n *yaml.Node) bool { return n.Value == value }) {
			s.fault("parameter %s may not be %q", name, value)
		}
		if p := of["AllowedPattern"]; p != nil && !regexp.MustCompile(p.Value).MatchString(value) {
			s.fault("parameter %s may not be %q", name, value)
		}
		s.given[name] = value
		if of["Type"].Value == "CommaDelimitedList" {
			var list []any
			for part := range strings.SplitSeq(value, ",") {
				list = append(list, strings.TrimSpace(part))
			}
			s.given[name] = list
		}
	}
	for name := range given {
		if t.parameters[name] == nil {
			s.fault("there is no parameter %s", name)
		}
	}
	return s
}

func (s *stack) fault(format string, args ...any) {
	s.faults = append(s.faults, fmt.Sprintf(format, args...))
}

// holds returns whether a condition is true.
func (s *stack) holds(name string) bool {
	n := s.conditions[name]
	if n == nil {
		s.fault("there is no condition %s", name)
		return false
	}
	truth, ok := s.value(n).(bool)
	if !ok {
		s.fault("condition %s is neither true nor false", name)
	}
	return truth
}

// made reports whether a resource is part of the stack.
func (s *stack) made(name string) bool {
	n := s.resources[name]
	if n == nil {
		return false
	}
	c := order(n)["Condition"]
	return c == nil || s.holds(c.Value)
}

// value returns what a node comes to.
func (s *stack) value(n *yaml.Node) any {
	if n == nil { // a resource without properties
		return map[string]any{}
	}
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		s.fault("line %d: CloudFormation knows no aliases", n.Line)
		return nil
	}
	if name, ok := strings.CutPrefix(n.Tag, "!"); ok && !strings.HasPrefix(n.Tag, "!!") {
		return s.call(name, n)
	}
	switch n.Kind {
	case yaml.MappingNode:
		if len(n.Content) == 2 {
			switch key := n.Content[0].Value; {
			case strings.HasPrefix(key, "Fn::"):
				return s.call(strings.TrimPrefix(key, "Fn::"), n.Content[1])
			case key == "Ref":
				return s.call(key, n.Content[1])
			}
		}
		out := map[string]any{}
		for i := 0; i < len(n.Content); i += 2 {
			if v := s.value(n.Content[i+1]); !isNoValue(v) {
				if _, twice := out[n.Content[i].Value]; twice {
					s.fault("line %d: %s comes twice", n.Content[i].Line, n.Content[i].Value)
				}
				out[n.Content[i].Value] = v
			}
		}
		return out
	case yaml.SequenceNode:
		out := []any{}
		for _, c := range n.Content {
			if v := s.value(c); !isNoValue(v) {
				out = append(out, v)
			}
		}
		return out
	}
	var v any
	if err := n.Decode(&v); err != nil {
		s.fault("line %d: %v", n.Line, err)
	}
	return v
}

func isNoValue(v any) bool { _, is := v.(noValue); return is }

// call returns what an intrinsic function comes to.
func (s *stack) call(name string, n *yaml.Node) any {
	args := n.Content
	arg := func(i int) any {
		if i >= len(args) {
			s.fault("line %d: %s has too few arguments", n.Line, name)
			return nil
		}
		return s.value(args[i])
	}
	switch name {
	case "Ref":
		return s.ref(n.Value, n.Line)
	case "GetAtt":
		of, attribute, _ := strings.Cut(n.Value, ".")
		return s.attribute(of, attribute, n.Line)
	case "Sub":
		return s.sub(n)
	case "Condition":
		return s.holds(n.Value)
	case "If":
		if len(args) != 3 {
			s.fault("line %d: If has %d arguments", n.Line, len(args))
			return nil
		}
		if s.holds(args[0].Value) {
			return arg(1)
		}
		return arg(2)
	case "Equals":
		return fmt.Sprint(arg(0)) == fmt.Sprint(arg(1))
	case "Not":
		truth, _ := arg(0).(bool)
		return !truth
	case "And", "Or":
		for i := range args {
			if truth, _ := arg(i).(bool); truth == (name == "Or") {
				return truth
			}
		}
		return name == "And"
	case "Join":
		list, _ := arg(1).([]any)
		var parts []string
		for _, p := range list {
			parts = append(parts, fmt.Sprint(p))
		}
		return strings.Join(parts, fmt.Sprint(arg(0)))
	}
	s.fault("line %d: the test does not know the function %s", n.Line, name)
	return nil
}

func (s *stack) ref(name string, line int) any {
	if v, ok := s.given[name]; ok {
		return v
	}
	if v, ok := pseudo[name]; ok {
		return v
	}
	if !s.made(name) {
		s.fault("line %d: %s is neither a parameter nor a resource of this stack", line, name)
		return nil
	}
	if function := order(order(s.resources[name])["Properties"])["FunctionName"]; function != nil {
		return s.value(function)
	}
	return strings.ToLower(name)
}

// attributes are those that the types of resources have, as far as they are used. See
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-template-resource-type-ref.html
var attributes = map[string][]string{
	"AWS::S3::Bucket":                {"Arn"},
	"AWS::SQS::Queue":                {"Arn", "QueueName"},
	"AWS::IAM::Role":                 {"Arn"},
	"AWS::Logs::LogGroup":            {"Arn"},
	"AWS::ServiceDiscovery::Service": {"Arn"},
	"AWS::ECS::Service":              {"Name"},
}

func (s *stack) attribute(of, attribute string, line int) any {
	if !s.made(of) {
		s.fault("line %d: %s is no resource of this stack", line, of)
		return nil
	}
	kind := order(s.resources[of])["Type"].Value
	if !slices.Contains(attributes[kind], attribute) {
		s.fault("line %d: a %s has no attribute %s, as far as the test knows", line, kind, attribute)
	}
	if kind == "AWS::S3::Bucket" {
		return "arn:aws:s3:::" + strings.ToLower(of)
	}
	return "arn:aws:" + strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(kind, "AWS::"), "::", ":")) + ":" + of
}

var placeholder = regexp.MustCompile(`\$\{([^!}][^}]*)\}`)

func (s *stack) sub(n *yaml.Node) any {
	text, own := n.Value, map[string]*yaml.Node{}
	if n.Kind == yaml.SequenceNode {
		text, own = n.Content[0].Value, order(n.Content[1])
	}
	used := map[string]bool{}
	out := placeholder.ReplaceAllStringFunc(text, func(m string) string {
		name := placeholder.FindStringSubmatch(m)[1]
		used[name] = true
		if v := own[name]; v != nil {
			return fmt.Sprint(s.value(v))
		}
		if of, attribute, ok := strings.Cut(name, "."); ok {
			return fmt.Sprint(s.attribute(of, attribute, n.Line))
		}
		return fmt.Sprint(s.ref(name, n.Line))
	})
	for name := range own {
		if !used[name] {
			s.fault("line %d: %s is not used", n.Line, name)
		}
	}
	return out
}

// properties decodes the properties of a resource, as they come out, over into.
func (s *stack) properties(t *testing.T, name string, into any) {
	t.Helper()
	n := s.resources[name]
	if n == nil || !s.made(name) {
		t.Fatalf("there is no resource %s", name)
	}
	raw, err := json.Marshal(s.value(order(n)["Properties"]))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}
