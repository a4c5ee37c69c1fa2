package accuracy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/forescale/forescale/internal/file"
	"github.com/forescale/forescale/trainer"
	"github.com/forescale/forescale/trainer/batch"
	"github.com/forescale/forescale/trainer/kernel"
)

// entry is a file of the cache.
type entry struct {
	Fingerprint string      `json:"fingerprint"`
	Measurement Measurement `json:"measurement"`
}

// fingerprint returns a hash of all that a measurement follows from: the program,
// its kernels, the configuration and every value of the data.
func (c Config) fingerprint(t trainer.Config, d trainer.Data) (string, error) {
	config, err := batch.ConfigHash(t)
	if err != nil {
		return "", err
	}
	b, err := json.Marshal([]string{c.Program, kernel.Set(), config, batch.DataHash(d)})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}

func (c Config) cached(j *job) string {
	return filepath.Join(c.Cache, fmt.Sprintf("%s-%s-%.16s.json", j.trace.Name, j.config.Preset, j.fingerprint))
}

// recall returns what was measured before; not ok where nothing was. A file that
// is damaged is as good as none.
func (c Config) recall(j *job) (m Measurement, ok bool, err error) {
	if c.Cache == "" || c.Fresh {
		return m, false, nil
	}
	b, err := os.ReadFile(c.cached(j))
	if errors.Is(err, fs.ErrNotExist) {
		return m, false, nil
	}
	if err != nil {
		return m, false, err
	}
	var e entry
	if json.Unmarshal(b, &e) != nil || e.Fingerprint != j.fingerprint || e.Measurement.Ablation == nil {
		return m, false, nil
	}
	return e.Measurement, true, nil
}

// keep writes a measurement to the cache.
func (c Config) keep(j *job, m Measurement) error {
	if c.Cache == "" {
		return nil
	}
	b, err := json.Marshal(entry{j.fingerprint, m})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.Cache, 0o755); err != nil {
		return err
	}
	return file.Replace(c.cached(j), b)
}
