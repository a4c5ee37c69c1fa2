package batch

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"hash"
	"io"
	"maps"
	"math"
	"reflect"
	"slices"
	"time"

	"github.com/forescale/forescale/trainer"
)

// ConfigHash returns a hash of what a configuration says: of the fields that a
// configuration file has. What has no influence on the model, the number of
// workers, a search for other settings and what is no setting, has none on the
// hash. settings are what the caller does with the model beside (where it delivers
// to, under which name).
func ConfigHash(c trainer.Config, settings ...string) (string, error) {
	c.Workers, c.Search = 0, nil
	fields := map[string]any{"": settings}
	v := reflect.ValueOf(c)
	for i := range v.NumField() {
		if f := v.Type().Field(i); f.Tag.Get("yaml") != "-" {
			fields[f.Name] = v.Field(i).Interface()
		}
	}
	b, err := json.Marshal(fields) // in the order of the names; tells no list from an empty one, as YAML does not
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}

// DataHash returns a hash of a history: every value, bit for bit, of every series,
// its time and step, what is censored, and what the calendar says of its slots and
// the day after. What is planned for later changes no model of this history.
func DataHash(d trainer.Data) string {
	h := hasher{sha256.New(), make([]byte, 0, 8<<10)}
	g := d.Grid
	h.text(g.Group)
	h.number(uint64(g.Start.UnixNano()))
	h.number(uint64(g.Step))
	for _, name := range slices.Sorted(maps.Keys(g.Columns)) {
		h.text(name)
		h.number(uint64(len(g.Columns[name])))
		for _, v := range g.Columns[name] {
			h.value(v)
		}
	}
	h.number(uint64(len(g.Censored)))
	for _, c := range g.Censored {
		if c {
			h.number(1)
		} else {
			h.number(0)
		}
	}
	if d.Flags != nil {
		slots := g.Len() + int(24*time.Hour/g.Step)
		for _, name := range slices.Sorted(slices.Values(d.FlagNames)) {
			h.text(name)
			for i := range slots {
				h.value(d.Flags.Flag(name, g.Time(i)))
			}
		}
	}
	h.flush()
	return hex.EncodeToString(h.to.Sum(nil))
}

// Fingerprint joins what a model follows from.
func Fingerprint(program, config, data string) string {
	sum := sha256.Sum256([]byte(program + "\n" + config + "\n" + data))
	return hex.EncodeToString(sum[:])
}

// hasher gathers numbers before it hashes them: SHA-256 is slow on eight bytes.
type hasher struct {
	to     hash.Hash
	buffer []byte
}

func (h *hasher) number(v uint64) {
	if len(h.buffer)+8 > cap(h.buffer) {
		h.flush()
	}
	h.buffer = binary.LittleEndian.AppendUint64(h.buffer, v)
}

func (h *hasher) value(v float64) {
	if math.IsNaN(v) {
		v = math.NaN() // missing is missing, whatever its bits
	}
	h.number(math.Float64bits(v))
}

func (h *hasher) text(s string) {
	h.number(uint64(len(s)))
	h.flush()
	_, _ = io.WriteString(h.to, s) // a hash does not fail
}

func (h *hasher) flush() {
	_, _ = h.to.Write(h.buffer)
	h.buffer = h.buffer[:0]
}
