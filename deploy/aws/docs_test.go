package aws

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/forescale/forescale/collector/sources"
	"github.com/forescale/forescale/internal/conf"
	"github.com/forescale/forescale/scaler"
)

func page(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "..", "docs", "aws.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// blocks returns the fenced blocks of a language.
func blocks(text, language string) (found []string) {
	for _, b := range strings.Split(text, "```"+language+"\n")[1:] {
		b, _, _ = strings.Cut(b, "```")
		found = append(found, b)
	}
	return found
}

// override is a parameter of aws cloudformation deploy, quoted or not.
var override = regexp.MustCompile(`'([A-Z]\w+)=([^']*)'|([A-Z]\w+)=(\S+)`)

// Each stack that the page tells to deploy comes about, and the groups in it are
// ones that the scaler takes.
func TestTheStacksOfThePageResolve(t *testing.T) {
	tmpl := readTemplate(t, "template.yaml")
	given, stacks := map[string]string{}, 0
	for _, b := range blocks(page(t), "sh") {
		for line := range strings.SplitSeq(strings.ReplaceAll(b, "\\\n", " "), "\n") {
			_, text, ok := strings.Cut(line, "--parameter-overrides ")
			if !ok {
				continue
			}
			stacks++
			if !strings.Contains(line, "--template-file deploy/aws/template.yaml") || !strings.Contains(line, "CAPABILITY_IAM CAPABILITY_AUTO_EXPAND") {
				t.Errorf("%s", line)
			}
			for _, m := range override.FindAllStringSubmatch(text, -1) {
				given[m[1]+m[3]] = m[2] + m[4] // what is not named keeps its value
			}
			s := tmpl.with(given)
			for r, n := range tmpl.resources {
				if s.made(r) {
					s.value(order(n)["Properties"])
				}
			}
			for _, f := range s.faults {
				t.Errorf("%s\n%s", f, line)
			}
			var f lambdaFunction
			s.properties(t, "Scaler", &f)
			t.Setenv("FORESCALE_YAML", f.Environment.Variables["FORESCALE_YAML"])
			cfg := scaler.DefaultConfig()
			common, err := conf.Load("env:FORESCALE_YAML", "scaler", &cfg)
			if err == nil {
				err = cfg.Validate(common.Step)
			}
			if err != nil || len(cfg.Groups) != 1 || (cfg.Groups[0].Mode == "live") != (given["AllowScaling"] == "true") {
				t.Errorf("%v\n%s", err, f.Environment.Variables["FORESCALE_YAML"])
			}
		}
	}
	if stacks != 3 {
		t.Errorf("%d stacks", stacks)
	}
}

func TestTheConfigurationOfThePageIsValid(t *testing.T) {
	for _, b := range blocks(page(t), "yaml") {
		t.Setenv("FORESCALE_YAML", b)
		collecting, scaling := sources.DefaultConfig(), scaler.DefaultConfig()
		common, err := conf.Load("env:FORESCALE_YAML", "collector", &collecting)
		if err == nil {
			err = collecting.Validate(common.Step)
		}
		if err != nil {
			t.Errorf("%v\n%s", err, b)
		}
		if _, err = conf.Load("env:FORESCALE_YAML", "scaler", &scaling); err == nil {
			err = scaling.Validate(common.Step)
		}
		if err != nil {
			t.Errorf("%v\n%s", err, b)
		}
	}
}

// What the commands speak of is there: targets of make, programs and their flags, functions.
func TestTheCommandsOfThePageAreThere(t *testing.T) {
	text := page(t)
	makefile, err := os.ReadFile(filepath.Join("..", "..", "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("(?m)(?:^|`)make ([a-z-]+)").FindAllStringSubmatch(text, -1) {
		if !strings.Contains(string(makefile), "\n"+m[1]+":") {
			t.Errorf("make has no target %s", m[1])
		}
	}
	programs := regexp.MustCompile(`bin/(forescale[a-z-]*)([^\n`+"`"+`]*)`).FindAllStringSubmatch(text, -1)
	if len(programs) < 5 {
		t.Fatalf("%d commands", len(programs))
	}
	for _, m := range programs {
		files, err := filepath.Glob(filepath.Join("..", "..", "cmd", m[1], "*.go"))
		if err != nil || len(files) == 0 {
			t.Errorf("there is no program %s", m[1])
		}
		var source strings.Builder
		for _, f := range files {
			raw, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			source.Write(raw)
		}
		for _, flag := range regexp.MustCompile(` -([a-z]+)`).FindAllStringSubmatch(m[2], -1) {
			if flag[1] != "check" && !strings.Contains(source.String(), strconv.Quote(flag[1])) {
				t.Errorf("%s has no flag -%s", m[1], flag[1])
			}
		}
	}
	var names []string
	s := readTemplate(t, "template.yaml").with(least)
	for _, f := range functions {
		var of lambdaFunction
		s.properties(t, f, &of)
		names = append(names, of.FunctionName)
	}
	for _, m := range regexp.MustCompile(`(?:--function-name |/aws/lambda/)(\S+)`).FindAllStringSubmatch(text, -1) {
		if !slices.Contains(names, m[1]) {
			t.Errorf("there is no function %s", m[1])
		}
	}
}

// row is one of the page's table of costs: a × b | price / per | a month.
var row = regexp.MustCompile(`(?m)^\| ([^|]+) \| ([\d.]+) × ([\d.]+) \| ([\d.]+) / (\d+) \| ([\d.]+) \|$`)

// costs returns what the rows come to in a month, and how much there is of each at a
// tick, or at all.
func costs(t *testing.T) (months map[string]float64, each map[string]float64) {
	t.Helper()
	months, each = map[string]float64{}, map[string]float64{}
	for _, m := range row.FindAllStringSubmatch(page(t), -1) {
		var v [5]float64
		for i := range v {
			var err error
			if v[i], err = strconv.ParseFloat(m[i+2], 64); err != nil {
				t.Fatal(err)
			}
		}
		if want := v[0] * v[1] * v[2] / v[3]; math.Abs(want-v[4]) > 0.00501 {
			t.Errorf("%s: %.2f, and not %.2f", m[1], want, v[4])
		}
		months[m[1]], each[m[1]] = v[4], v[1]
		if v[0] != 8640 {
			each[m[1]] = v[0]
		}
	}
	return months, each
}

func TestTheCostsOfThePageAddUp(t *testing.T) {
	months, each := costs(t)
	var ticks, server, public float64
	for what, month := range months {
		switch {
		case strings.HasPrefix(what, "Public"):
			public += month
		case strings.HasPrefix(what, "Fargate"), strings.HasPrefix(what, "Its"):
			server += month
		default:
			ticks += month
		}
	}
	text := strings.Join(strings.Fields(page(t)), " ")
	for _, want := range []string{fmt.Sprintf("some %.2f with one group", ticks), fmt.Sprintf("some %.2f, and %.2f more in public subnets", server, public)} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	// What -check prints for a group with a load balancer.
	small, err := os.ReadFile(filepath.Join("..", "..", "cmd", "forescale-collector", "testdata", "cost", "small.golden"))
	if err != nil || !strings.Contains(string(small), fmt.Sprintf(": $%.2f\n", months["GetMetricData, for each group (5 metrics)"])) {
		t.Errorf("-check prints another price, %v:\n%s", err, small)
	}
	tmpl := readTemplate(t, "template.yaml")
	alarms := func(s *stack) (n float64) {
		for r, of := range tmpl.resources {
			if order(of)["Type"].Value == "AWS::CloudWatch::Alarm" && s.made(r) {
				n++
			}
		}
		return n
	}
	without, with := alarms(tmpl.with(least)), alarms(tmpl.with(hosts))
	if each["Alarms"] != without || each["Its alarms"] != with-without {
		t.Errorf("the template has %g alarms, and %g with a server", without, with)
	}
}
