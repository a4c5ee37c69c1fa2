package oip

import (
	"maps"
	"slices"
	"strings"
)

// ParseIndex reads the body of a request for the repository index, which may be
// empty, and reports whether only models that are ready are asked for.
func ParseIndex(body []byte) (ready bool, err error) {
	var from struct {
		Ready bool `json:"ready"`
	}
	if len(body) > 0 {
		err = decode(body, &from)
	}
	return from.Ready, err
}

// ParseControl checks the body of a request to load or unload a model, which may be
// empty. Parameters that would bring a model or a configuration along are refused:
// models come from the registry.
func ParseControl(body []byte) error {
	if len(body) == 0 {
		return nil
	}
	var from struct {
		Parameters parameters `json:"parameters"`
	}
	if err := decode(body, &from); err != nil {
		return err
	}
	return CheckControl(slices.Collect(maps.Keys(from.Parameters)))
}

// CheckControl is ParseControl for the names of the parameters alone.
func CheckControl(names []string) error {
	slices.Sort(names)
	for _, name := range names {
		if name == "config" || strings.HasPrefix(name, "file:") {
			return fault("parameters."+clip(name), "is not taken: models come from the registry alone")
		}
	}
	return nil
}

func clip(name string) string { return name[:min(len(name), 64)] }
