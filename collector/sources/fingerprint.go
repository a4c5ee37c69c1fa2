package sources

import (
	"crypto/sha256"
	"encoding/hex"

	"go.yaml.in/yaml/v3"
)

// Fingerprints returns a hash of each source's configuration, by its name: what
// collector.Deps.Configured wants.
func (c Config) Fingerprints() (map[string]string, error) {
	prints := map[string]string{}
	for _, s := range c.Sources {
		d, err := s.driver()
		if err != nil {
			return nil, err
		}
		text, err := yaml.Marshal(s)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(text)
		prints[s.nameWith(d)] = hex.EncodeToString(sum[:])
	}
	return prints, nil
}
