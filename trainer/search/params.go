package search

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/forescale/forescale/internal/conf"
)

// Params are the parameters of one trial by name: string, bool, int, float64, or
// []any of them.
type Params map[string]any

// Candidates returns the parameters of the trials 0 … n-1. Those of trial i follow
// from the space, the seed and i alone. No two are equal, so n must not exceed
// Size; a caller can check each against its configuration before it runs any.
//
// A trial's draw that repeats an earlier trial's is drawn again.
func (s Space) Candidates(seed uint64, n int) []Params {
	if float64(n) > s.Size() {
		panic(fmt.Sprintf("search: %d trials of a space of %v combinations", n, s.Size()))
	}
	seen := make(map[string]bool, n)
	all := make([]Params, 0, n)
	for trial := range uint64(n) {
		for attempt := uint64(0); ; attempt++ {
			p := s.sample(seed, trial, attempt)
			// fmt writes the keys of a map in order.
			if key := fmt.Sprintf("%#v", p); !seen[key] {
				seen[key] = true
				all = append(all, p)
				break
			}
		}
	}
	return all
}

func (s Space) sample(seed, trial, attempt uint64) Params {
	p := make(Params, len(s))
	for name, d := range s {
		p[name] = d.draw(stream(seed, name, trial, attempt))
	}
	return p
}

// stream returns the random numbers of one parameter in one attempt at one trial.
// Each has its own, so that a further parameter changes none of the others.
func stream(seed uint64, name string, trial, attempt uint64) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(name))
	h.Write(binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, trial), attempt))
	return rand.New(rand.NewPCG(seed, h.Sum64()))
}

// draw returns a value of the domain.
func (d Domain) draw(rng *rand.Rand) any {
	u := rng.Float64()
	switch d.kind {
	case kindChoice:
		return d.choices[rng.IntN(len(d.choices))]
	case kindInt:
		return int(d.low) + rng.IntN(int(d.high-d.low)+1)
	case kindLogInt:
		// Half a step beyond the bounds, so that each whole number has its share.
		v := math.Round(geometric(d.low-0.5, d.high+0.5, u))
		return int(min(max(v, d.low), d.high))
	case kindUniform:
		return sixDigits(d.low+u*(d.high-d.low), d)
	case kindLog:
		return sixDigits(geometric(d.low, d.high, u), d)
	}
	panic("search: a domain without a kind was not validated")
}

// geometric returns low·(high/low)^u.
func geometric(low, high, u float64) float64 {
	return math.Exp(math.Log(low) + u*(math.Log(high)-math.Log(low)))
}

// sixDigits rounds v to what a person can read and copy, which is far finer than
// any loss can tell, and keeps it in the domain.
func sixDigits(v float64, d Domain) float64 {
	v, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 6, 64), 64)
	if err != nil {
		panic(err) // what FormatFloat writes, ParseFloat reads
	}
	return min(max(v, d.low), d.high)
}

// Float returns a number. It panics when the parameter is not one.
func (p Params) Float(name string) float64 {
	switch v := p[name].(type) {
	case int:
		return float64(v)
	case float64:
		return v
	}
	panic(fmt.Sprintf("search: parameter %q is %v, not a number", name, p[name]))
}

// YAML returns the parameters as a fragment of the configuration, sorted by name.
func (p Params) YAML() string {
	root := map[string]any{}
	for name, value := range p {
		at := root
		keys := strings.Split(name, ".")
		for _, key := range keys[:len(keys)-1] {
			inner, ok := at[key].(map[string]any)
			if !ok {
				inner = map[string]any{}
				at[key] = inner
			}
			at = inner
		}
		at[keys[len(keys)-1]] = value
	}
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(root); err != nil {
		panic(err) // texts, numbers and truth values can be written
	}
	return b.String()
}

// json returns the parameters as JSON, where 32 and 32.0 are written alike.
func (p Params) json() string {
	text, err := json.Marshal(p)
	if err != nil {
		panic(err) // texts, finite numbers and truth values can be written
	}
	return string(text)
}

// Apply puts the parameters over the configuration that into points to, as the
// fragment of YAML would. The error names the parameters that it has no key for,
// or a key of another type.
func (p Params) Apply(into any) error {
	if err := conf.Decode([]byte(p.YAML()), into); err != nil {
		return fmt.Errorf("parameters %s: %w", strings.TrimSpace(strings.ReplaceAll(p.YAML(), "\n", " ")), err)
	}
	return nil
}
