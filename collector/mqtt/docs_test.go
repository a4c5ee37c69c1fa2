package mqtt

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/forescale/forescale/internal/conf"
)

var fenced = regexp.MustCompile("(?s)```(json|yaml)\n(.*?)```")

// What docs/sensors.md shows is what this package takes.
func TestTheExamplesOfTheDocumentAreValid(t *testing.T) {
	text, err := os.ReadFile("../../docs/sensors.md")
	if err != nil {
		t.Fatal(err)
	}
	payloads, sources := 0, 0
	for _, m := range fenced.FindAllStringSubmatch(string(text), -1) {
		if m[1] == "json" {
			for line := range strings.Lines(m[2]) {
				if _, err := Decode([]byte(line), !strings.Contains(line, "metric")); err != nil {
					t.Errorf("%s: %v", line, err)
				}
				payloads++
			}
			continue
		}
		_, body, ok := strings.Cut(m[2], "- mqtt:\n")
		if !ok {
			if _, topics, ok := strings.Cut(m[2], "topics:\n"); ok {
				body = "        broker: mqtt://x\n        client_id: x\n        topics:\n" + topics
			} else {
				continue // another program's section
			}
		}
		var c Config
		if err := conf.Decode([]byte(body), &c); err != nil {
			t.Errorf("%s: %v", body, err)
		} else if err := c.Validate(); err != nil {
			t.Errorf("%s: %v", body, err)
		}
		sources++
	}
	if payloads < 3 || sources < 3 {
		t.Errorf("found %d payloads and %d configurations", payloads, sources)
	}
}
