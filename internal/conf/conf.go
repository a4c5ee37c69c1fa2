// Package conf reads the one YAML file that configures every Forescale process.
// Its top level holds what all of them share ([Common]) and one section per
// service, which that service's own package defines, fills with defaults and
// validates. Unknown keys are errors, wherever they stand.
package conf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Common is what the processes share.
type Common struct {
	// Data is the URL of the data lake: file:///DIR or
	// s3://BUCKET/PREFIX[?endpoint=URL&region=NAME&path_style=true].
	Data string `yaml:"data"`
	// Models is the URL of the model registry, in the same form.
	Models string `yaml:"models"`
	// Calendar is the path of the business calendar; empty: none.
	Calendar string `yaml:"calendar"`
	// Step is the length of a slot, default 5m.
	Step time.Duration `yaml:"step"`
	AWS  AWS           `yaml:"aws"`
	Log  Log           `yaml:"log"`
}

// AWS says how to reach the AWS services. Credentials come from the SDK's
// default chain, never from this file.
type AWS struct {
	Region string `yaml:"region"`
	// CloudWatchEndpoint and AutoScalingEndpoint replace the public endpoints,
	// for example by those of the simulated cloud.
	CloudWatchEndpoint  string `yaml:"cloudwatch_endpoint"`
	AutoScalingEndpoint string `yaml:"autoscaling_endpoint"`
}

// Log configures the process log.
type Log struct {
	Level  string `yaml:"level"`  // debug, info (default), warn or error
	Format string `yaml:"format"` // text (default) or json
}

// sections are the top-level keys that belong to a service.
var sections = []string{"collector", "trainer", "server", "scaler"}

// maxFileSize bounds a configuration file, in bytes.
const maxFileSize = 4 << 20

// Load reads the file at path, decodes its section (named for a service) over
// into, which the caller has filled with defaults, and returns the shared part.
// An empty path leaves every default in place. The error lists all unknown keys
// and wrong types at once, each with its line.
func Load(path, section string, into any) (Common, error) {
	common := defaults()
	if path == "" {
		return common, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return common, fmt.Errorf("configuration: %w", err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err != nil {
		return common, fmt.Errorf("configuration %s: %w", path, err)
	}
	if len(raw) > maxFileSize {
		return common, fmt.Errorf("configuration %s: larger than %d bytes", path, maxFileSize)
	}
	if common, err = parse(raw, section, into); err != nil {
		return common, fmt.Errorf("configuration %s:\n%w", path, err)
	}
	return common, nil
}

func defaults() Common {
	return Common{Step: 5 * time.Minute, Log: Log{Level: "info", Format: "text"}}
}

func parse(raw []byte, section string, into any) (Common, error) {
	common := defaults()
	var doc yaml.Node
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		return common, err
	}
	if len(doc.Content) == 0 { // an empty file
		return common, nil
	}
	root := doc.Content[0]
	if root.Kind != yaml.MappingNode {
		return common, fmt.Errorf("line %d: the file must be a mapping of keys to values", root.Line)
	}
	shared := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	var faults []error
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		switch {
		case key.Value == section:
			faults = append(faults, strict(value, into))
		case slices.Contains(sections, key.Value): // another service's section
		default:
			shared.Content = append(shared.Content, key, value)
		}
	}
	faults = append(faults, strict(shared, &common))
	if common.Step <= 0 || common.Step%time.Minute != 0 || 24*time.Hour%common.Step != 0 {
		faults = append(faults, fmt.Errorf("step: %s must be whole minutes that divide a day", common.Step))
	}
	return common, errors.Join(faults...)
}

// strict decodes a node, reporting each key that into does not know.
func strict(node *yaml.Node, into any) error {
	// yaml.Node.Decode cannot refuse unknown keys, so the node goes through text
	// once more. Blank lines in front keep the line numbers of the messages.
	text, err := yaml.Marshal(node)
	if err != nil {
		return err
	}
	line := node.Line
	if len(node.Content) > 0 {
		line = node.Content[0].Line
	}
	dec := yaml.NewDecoder(io.MultiReader(strings.NewReader(strings.Repeat("\n", max(0, line-1))), bytes.NewReader(text)))
	dec.KnownFields(true)
	if err := dec.Decode(into); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}
