package mqtt

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"time"
	"unicode/utf8"
)

// Bounds of a payload. AWS IoT Core takes no larger one.
const (
	maxPayload  = 128 << 10 // bytes
	maxReadings = 2000
)

// Value is one measured value of a payload.
type Value struct {
	Metric string    // empty: the topic names it
	Time   time.Time // UTC, in microseconds; zero: the payload does not say
	Value  float64   // finite, in the unit that api.Metrics fixes for the metric
}

// Decode reads a payload. named says that the topic names the metric; otherwise
// the payload has to. These are the forms, where a time may be missing and an
// array may mix them:
//
//	{"time": "2026-03-01T12:00:00Z", "value": 21.5}                                 with the metric in the topic
//	{"time": 1772366400, "metric": "temperature", "value": 21.5}                    without
//	{"time": 1772366400123, "metrics": {"temperature": 21.5, "humidity": 40}}       without
//	[{"time": …, …}, …]
//
// A time is RFC 3339 with its zone, or a Unix time: a number below 1e11 is in
// seconds (until the year 5138), one from 1e11 to 1e14 in milliseconds (from 1973
// on). Larger ones, which micro- and nanoseconds would be, are refused rather
// than guessed at.
//
// Keys are known ones, each at most once. A payload is taken whole or not at all.
func Decode(payload []byte, named bool) ([]Value, error) {
	switch {
	case len(payload) > maxPayload:
		return nil, fmt.Errorf("%d bytes are more than %d", len(payload), maxPayload)
	case !utf8.Valid(payload):
		return nil, errors.New("is not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(payload))
	dec.UseNumber()
	d := decoder{Decoder: dec, named: named}
	first, err := d.Token()
	switch {
	case err != nil:
		return nil, fmt.Errorf("is not JSON: %w", err)
	case first == json.Delim('['):
		for i := 0; d.More(); i++ {
			if err := d.expect(json.Delim('{')); err != nil {
				return nil, fmt.Errorf("element %d: %w", i, err)
			}
			if err := d.object(); err != nil {
				return nil, fmt.Errorf("element %d: %w", i, err)
			}
		}
		if err := d.expect(json.Delim(']')); err != nil {
			return nil, err
		}
	case first == json.Delim('{'):
		if err := d.object(); err != nil {
			return nil, err
		}
	default:
		return nil, errors.New("is neither an object nor an array")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON value")
	}
	if len(d.values) == 0 {
		return nil, errors.New("holds no reading")
	}
	return d.values, nil
}

// decoder walks the tokens of a payload. Its grammar is flat, so that neither
// depth nor memory depends on what a sensor sends.
type decoder struct {
	*json.Decoder
	named  bool
	values []Value
}

func (d *decoder) expect(want json.Delim) error {
	switch got, err := d.Token(); {
	case err != nil:
		return fmt.Errorf("is not JSON: %w", err)
	case got != want:
		return fmt.Errorf("%v where %v should be", shown(got), want)
	}
	return nil
}

// object reads the rest of an object whose brace has been read.
func (d *decoder) object() error {
	var at time.Time
	var metric string
	var value float64
	var metrics []Value
	seen := map[string]bool{}
	for d.More() {
		key, err := d.key(seen)
		if err != nil {
			return err
		}
		switch key {
		case "time":
			at, err = d.time()
		case "metric":
			metric, err = d.metric()
		case "value":
			value, err = d.number()
		case "metrics":
			metrics, err = d.metrics()
		default:
			err = errors.New("unknown; time, metric, value and metrics are known")
		}
		if err != nil {
			return fmt.Errorf("%.40q: %w", key, err)
		}
	}
	if err := d.expect(json.Delim('}')); err != nil {
		return err
	}
	switch {
	case seen["value"] == seen["metrics"]:
		return errors.New("needs value or metrics, and not both")
	case seen["metrics"] && seen["metric"]:
		return errors.New("metric does not go with metrics")
	case d.named && (seen["metric"] || seen["metrics"]):
		return errors.New("names a metric, which the topic does already")
	case !d.named && seen["value"] && !seen["metric"]:
		return errors.New("needs a metric, because the topic names none")
	case seen["value"]:
		metrics = []Value{{Metric: metric, Value: value}}
	}
	if len(d.values)+len(metrics) > maxReadings {
		return fmt.Errorf("more than %d readings", maxReadings)
	}
	for _, v := range metrics {
		v.Time = at
		d.values = append(d.values, v)
	}
	return nil
}

// metrics reads an object of numbers by metric.
func (d *decoder) metrics() ([]Value, error) {
	if err := d.expect(json.Delim('{')); err != nil {
		return nil, err
	}
	var out []Value
	seen := map[string]bool{}
	for d.More() {
		metric, err := d.key(seen)
		if err != nil {
			return nil, err
		}
		if err := checkName(metric); err != nil {
			return nil, err
		}
		value, err := d.number()
		if err != nil {
			return nil, fmt.Errorf("%.40q: %w", metric, err)
		}
		if out = append(out, Value{Metric: metric, Value: value}); len(out) > maxReadings {
			return nil, fmt.Errorf("more than %d readings", maxReadings)
		}
	}
	if err := d.expect(json.Delim('}')); err != nil {
		return nil, err
	}
	if len(out) == 0 {
		return nil, errors.New("is empty")
	}
	return out, nil
}

// key reads a key that has not been there before.
func (d *decoder) key(seen map[string]bool) (string, error) {
	token, err := d.Token()
	if err != nil {
		return "", fmt.Errorf("is not JSON: %w", err)
	}
	key := token.(string) // encoding/json lets no other token stand here
	if seen[key] {
		return "", fmt.Errorf("%.40q is there twice", key)
	}
	seen[key] = true
	return key, nil
}

func (d *decoder) metric() (string, error) {
	token, err := d.Token()
	if err != nil {
		return "", fmt.Errorf("is not JSON: %w", err)
	}
	text, ok := token.(string)
	if !ok {
		return "", fmt.Errorf("%v is no string", shown(token))
	}
	return text, checkName(text)
}

func (d *decoder) number() (float64, error) {
	token, err := d.Token()
	if err != nil {
		return 0, fmt.Errorf("is not JSON: %w", err)
	}
	number, ok := token.(json.Number)
	if !ok {
		return 0, fmt.Errorf("%v is no number; leave a missing value out", shown(token))
	}
	value, err := number.Float64()
	if err != nil {
		return 0, fmt.Errorf("%.40s is not in the range of a double", number)
	}
	return value, nil
}

// Unix times below msFrom are in seconds, from there on in milliseconds, and
// from noTime on they are none.
const (
	msFrom = 1e11
	noTime = 1e14
)

func (d *decoder) time() (time.Time, error) {
	token, err := d.Token()
	if err != nil {
		return time.Time{}, fmt.Errorf("is not JSON: %w", err)
	}
	switch v := token.(type) {
	case string:
		at, err := time.Parse(time.RFC3339Nano, v)
		if err != nil || at.Year() < 1970 {
			return time.Time{}, fmt.Errorf("%.40q is no time as RFC 3339 writes it, with a zone, since 1970", v)
		}
		return at.UTC().Truncate(time.Microsecond), nil
	case json.Number:
		unix, err := v.Float64()
		switch {
		case err != nil || unix < 0 || unix >= noTime:
			return time.Time{}, fmt.Errorf("%.40s is no Unix time in seconds (below 1e11) or milliseconds (below 1e14)", v)
		case unix >= msFrom:
			return time.UnixMicro(int64(math.Round(unix * 1e3))).UTC(), nil
		}
		return time.UnixMicro(int64(math.Round(unix * 1e6))).UTC(), nil
	}
	return time.Time{}, fmt.Errorf("%v is neither a string nor a number", shown(token))
}

// shown returns a token for an error message, cut short.
func shown(token json.Token) string {
	if token == nil {
		return "null"
	}
	return fmt.Sprintf("%.40v", token)
}

// Encode returns the payload of metrics that were measured at one time, for a
// topic without a metric.
func Encode(at time.Time, metrics map[string]float64) ([]byte, error) {
	for _, metric := range slices.Sorted(maps.Keys(metrics)) {
		if math.IsNaN(metrics[metric]) || math.IsInf(metrics[metric], 0) {
			return nil, fmt.Errorf("%s: %v is not finite; leave a missing value out", metric, metrics[metric])
		}
		if err := checkName(metric); err != nil {
			return nil, err
		}
	}
	payload, err := json.Marshal(struct {
		Time    time.Time          `json:"time"`
		Metrics map[string]float64 `json:"metrics"`
	}{at.UTC(), metrics})
	return payload, err
}
