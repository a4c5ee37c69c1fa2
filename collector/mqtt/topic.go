package mqtt

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/forescale/forescale/api"
)

// prefix begins the topics of our own convention.
const prefix = "forescale/v1/"

// Bounds of a topic at AWS IoT Core, which our own convention keeps everywhere.
const (
	maxTopicBytes   = 256
	maxTopicSlashes = 7
)

// Topic returns the topic of a sensor's metric, or the sensor's own for payloads
// that name their metrics when metric is empty.
func Topic(group, sensor, metric string) (string, error) {
	if group == "" || sensor == "" {
		return "", errors.New("topic: group and sensor must not be empty")
	}
	for _, name := range []string{group, sensor} { // the collector would refuse each message
		if err := checkName(name); err != nil {
			return "", fmt.Errorf("topic: %w", err)
		}
	}
	levels := []string{escape(group), escape(sensor)}
	if metric != "" {
		levels = append(levels, escape(metric))
	}
	topic := prefix + strings.Join(levels, "/")
	if len(topic) > maxTopicBytes {
		return "", fmt.Errorf("topic of group %.40q, sensor %.40q: %d bytes are more than %d; use shorter names", group, sensor, len(topic), maxTopicBytes)
	}
	return topic, nil
}

// escape encodes a name so that it is one level of a topic.
func escape(name string) string { return strings.ReplaceAll(url.PathEscape(name), "+", "%2B") }

// Pattern says which topics are subscribed to and what their levels mean.
type Pattern struct {
	// Topic is a topic whose levels may be {group}, {sensor} or {metric}, or + for
	// one that means nothing here; # may end it.
	Topic string `yaml:"topic"`
	// Group, Sensor and Metric are fixed values of what the topic does not say.
	Group  string `yaml:"group"`
	Sensor string `yaml:"sensor"`
	Metric string `yaml:"metric"`
	// Metrics renames metrics of the topic or the payload, for example temp:
	// temperature. The unit must be that of the new name.
	Metrics map[string]string `yaml:"metrics"`
}

// source is what a topic says about the readings of its messages.
type source struct {
	group, sensor string
	metric        string // empty: the payload names the metrics
	rename        map[string]string
}

// The variables of a pattern.
const (
	levelGroup  = "{group}"
	levelSensor = "{sensor}"
	levelMetric = "{metric}"
)

// validate returns all faults of the pattern at once.
func (p Pattern) validate() error {
	var faults []error
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	levels := strings.Split(p.Topic, "/")
	if p.Topic == "" || strings.HasPrefix(p.Topic, "$") {
		bad("topic: %q must not be empty or begin with $", p.Topic)
	}
	seen := map[string]int{}
	for i, level := range levels {
		switch {
		case level == levelGroup, level == levelSensor, level == levelMetric:
			seen[level]++
		case level == "+", level == "#" && i == len(levels)-1:
		case strings.ContainsAny(level, "{}+#\x00"):
			bad("topic: the level %q is neither text nor one of %s, %s, %s, +, nor # at the end", level, levelGroup, levelSensor, levelMetric)
		}
	}
	for _, v := range []struct {
		level, fixed string
		needed       bool
	}{{levelGroup, p.Group, true}, {levelSensor, p.Sensor, true}, {levelMetric, p.Metric, false}} {
		name := strings.Trim(v.level, "{}")
		switch n := seen[v.level]; {
		case n > 1:
			bad("topic: %s is there twice", v.level)
		case n == 1 && v.fixed != "":
			bad("%s: the topic says it already", name)
		case n == 0 && v.fixed == "" && v.needed:
			bad("topic: lacks %s; add the level, or set %s", v.level, name)
		case len(v.fixed) > api.MaxNameLen:
			bad("%s: longer than %d bytes", name, api.MaxNameLen)
		}
	}
	for from, to := range p.Metrics {
		if from == "" || to == "" || len(to) > api.MaxNameLen {
			bad("metrics: %q to %q: names must be 1 to %d bytes long", from, to, api.MaxNameLen)
		}
	}
	return errors.Join(faults...)
}

// filter returns the topic filter that the pattern subscribes to.
func (p Pattern) filter() string {
	levels := strings.Split(p.Topic, "/")
	for i, level := range levels {
		if strings.HasPrefix(level, "{") {
			levels[i] = "+"
		}
	}
	return strings.Join(levels, "/")
}

// match returns what the topic says. ok is false for a topic of another pattern;
// the error speaks of one of this pattern whose names cannot be used.
func (p Pattern) match(topic string) (s source, ok bool, err error) {
	s = source{group: p.Group, sensor: p.Sensor, metric: p.Metric, rename: p.Metrics}
	levels := strings.Split(topic, "/")
	pattern := strings.Split(p.Topic, "/")
	if n := len(pattern) - 1; pattern[n] == "#" {
		if len(levels) < n {
			return s, false, nil
		}
		pattern, levels = pattern[:n], levels[:n]
	}
	if len(pattern) != len(levels) {
		return s, false, nil
	}
	variables := map[string]*string{levelGroup: &s.group, levelSensor: &s.sensor, levelMetric: &s.metric}
	for i, level := range pattern {
		if _, variable := variables[level]; !variable && level != "+" && level != levels[i] {
			return s, false, nil
		}
	}
	for i, level := range pattern {
		if into, variable := variables[level]; variable {
			if *into, err = name(levels[i]); err != nil {
				return s, true, fmt.Errorf("level %d: %w", i+1, err)
			}
		}
	}
	return s, true, nil
}

// name decodes one level of a topic.
func name(level string) (string, error) {
	text, err := url.PathUnescape(level)
	if err != nil {
		return "", err
	}
	return text, checkName(text)
}

// checkName is api.CheckName, in a sentence.
func checkName(name string) error {
	if err := api.CheckName(name); err != nil {
		return fmt.Errorf("the name %w", err)
	}
	return nil
}
