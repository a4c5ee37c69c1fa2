package sources

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every example of the page on sources is one that -check accepts.
func TestTheExamplesOfTheDocsAreValid(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "sources.md"))
	if err != nil {
		t.Fatal(err)
	}
	examples := strings.Split(string(page), "```yaml\n")[1:]
	if len(examples) < 3 {
		t.Fatalf("%d examples", len(examples))
	}
	for _, example := range examples {
		example, _, _ = strings.Cut(example, "```")
		c, common, err := load(t, example)
		if err == nil {
			err = c.Validate(common.Step)
		}
		if err != nil {
			t.Errorf("%v\nin\n%s", err, example)
		}
	}
}

// The commented examples of the shipped configuration are valid too.
func TestTheExamplesOfTheShippedConfigurationAreValid(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("..", "..", "deploy", "forescale.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	inside := false
	for line := range strings.Lines(string(raw)) {
		text, commented := strings.CutPrefix(line, "    # ")
		if inside = commented && (inside || strings.HasPrefix(text, "- prometheus:") || strings.HasPrefix(text, "- azure_monitor:")); inside {
			line = "    " + text
		}
		lines = append(lines, line)
	}
	c, common, err := load(t, strings.Join(lines, ""))
	if err == nil {
		err = c.Validate(common.Step)
	}
	var prometheus, azure bool
	for _, s := range c.Sources {
		prometheus, azure = prometheus || s.Prometheus != nil, azure || s.AzureMonitor != nil
	}
	if err != nil || !prometheus || !azure {
		t.Errorf("Prometheus %t, Azure Monitor %t, error %v", prometheus, azure, err)
	}
}
