package mqtt

import (
	"reflect"
	"strings"
	"testing"
)

func TestTopicAndBack(t *testing.T) {
	patterns := DefaultConfig().Topics
	for name, c := range map[string]struct{ group, sensor, metric, topic string }{
		"plain names":                          {"web", "probe-1", "temperature", "forescale/v1/web/probe-1/temperature"},
		"the sensor's own topic":               {"web", "probe-1", "", "forescale/v1/web/probe-1"},
		"characters that topics reserve":       {"a/b", "c+d#", "100%", "forescale/v1/a%2Fb/c%2Bd%23/100%25"},
		"names that look encoded already":      {"%2F", "x", "y", "forescale/v1/%252F/x/y"},
		"letters beyond ASCII and white space": {"halle 7", "fühler", "y", "forescale/v1/halle%207/f%C3%BChler/y"},
	} {
		t.Run(name, func(t *testing.T) {
			topic, err := Topic(c.group, c.sensor, c.metric)
			if err != nil || topic != c.topic {
				t.Fatalf("got %s, %v", topic, err)
			}
			var got *source
			for _, p := range patterns {
				if s, ok, err := p.match(topic); err != nil {
					t.Fatal(err)
				} else if ok && got != nil {
					t.Fatal("two patterns match")
				} else if ok {
					got = &s
				}
			}
			if want := (&source{group: c.group, sensor: c.sensor, metric: c.metric}); !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
	for _, c := range [][3]string{{"", "a", "b"}, {"a", "", "b"}, {strings.Repeat("a", 250), "b", "c"}} {
		if topic, err := Topic(c[0], c[1], c[2]); err == nil {
			t.Errorf("got %s", topic)
		}
	}
}

func TestPatternsMatch(t *testing.T) {
	for name, c := range map[string]struct {
		pattern Pattern
		topic   string
		want    source
		other   bool   // the topic is of another pattern
		fault   string // of the topic
	}{
		"levels in another order": {pattern: Pattern{Topic: "plant/{metric}/+/{sensor}", Group: "hall"}, topic: "plant/temp/x/7",
			want: source{group: "hall", sensor: "7", metric: "temp"}},
		"the rest of a topic":             {pattern: Pattern{Topic: "{group}/{sensor}/#"}, topic: "a/b/c/d", want: source{group: "a", sensor: "b"}},
		"a rest that is not there":        {pattern: Pattern{Topic: "{group}/{sensor}/#"}, topic: "a/b", want: source{group: "a", sensor: "b"}},
		"too few levels":                  {pattern: Pattern{Topic: "{group}/{sensor}/#"}, topic: "a", other: true},
		"too many levels":                 {pattern: Pattern{Topic: "{group}/{sensor}"}, topic: "a/b/c", other: true},
		"another text":                    {pattern: Pattern{Topic: "x/{group}/{sensor}"}, topic: "y/a/b", other: true},
		"an empty name":                   {pattern: Pattern{Topic: "x/{group}/{sensor}"}, topic: "x//b", fault: "level 2"},
		"a name with a control character": {pattern: Pattern{Topic: "x/{group}/{sensor}"}, topic: "x/a%0a/b", fault: "control characters"},
		"a name that is not UTF-8":        {pattern: Pattern{Topic: "x/{group}/{sensor}"}, topic: "x/a/%ff", fault: "UTF-8"},
		"an escape that is none":          {pattern: Pattern{Topic: "x/{group}/{sensor}"}, topic: "x/a/100%", fault: "level 3"},
		"a wrong name and another text":   {pattern: Pattern{Topic: "{group}/{sensor}/x"}, topic: "/a/y", other: true},
	} {
		t.Run(name, func(t *testing.T) {
			if err := c.pattern.validate(); err != nil {
				t.Fatal(err)
			}
			got, ok, err := c.pattern.match(c.topic)
			switch {
			case c.fault != "":
				if err == nil || !ok || !strings.Contains(err.Error(), c.fault) {
					t.Errorf("got %+v, %v, %v", got, ok, err)
				}
			case ok == c.other || err != nil || ok && !reflect.DeepEqual(got, c.want):
				t.Errorf("got %+v, %v, %v", got, ok, err)
			}
		})
	}
	if got := (Pattern{Topic: "a/{group}/+/{sensor}/#"}).filter(); got != "a/+/+/+/#" {
		t.Error(got)
	}
}

func FuzzMatch(f *testing.F) {
	f.Add("forescale/v1/a/b/c")
	f.Add("forescale/v1/%2F/%")
	f.Fuzz(func(t *testing.T, topic string) {
		for _, p := range DefaultConfig().Topics {
			s, ok, err := p.match(topic)
			if !ok || err != nil {
				continue
			}
			again, err := Topic(s.group, s.sensor, s.metric)
			if err != nil { // longer than our own topics
				continue
			}
			if back, ok, err := p.match(again); !ok || err != nil || !reflect.DeepEqual(back, s) {
				t.Fatalf("%q: %+v became %+v", topic, s, back)
			}
		}
	})
}
