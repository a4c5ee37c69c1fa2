package window

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/forescale/forescale/api"
	"github.com/forescale/forescale/models"
)

// FieldError says which field of a window does not fit the model.
type FieldError struct {
	Field  string // path inside the window's JSON, for example series.demand[3]
	Detail string // what was expected and what was there
}

func (e *FieldError) Error() string { return "window: " + e.Field + ": " + e.Detail }

func fieldError(field, format string, args ...any) error {
	return &FieldError{Field: field, Detail: fmt.Sprintf(format, args...)}
}

// Encode writes a window into one row of the model's inputs: series, of shape
// [Lookback, Channels] with the channel changing fastest, and context, of shape
// [ContextLen(spec)], both laid out as models.Spec documents.
//
// A missing value of a series takes the last known one before it or, at the
// start of the lookback, the first known one. A missing lagged value takes the
// newest value of its series; for a series that is not among Spec.Series, the
// flag's value at the newest slot or the lagged value nearest to it.
//
// The window must fit spec exactly: the error is a *FieldError for anything
// missing, superfluous, of the wrong length, infinite or too large for a
// float32, and for the gaps that Slide calls ErrGap. Encode does not allocate
// unless it fails. spec must have passed Check, and len(series) and len(context)
// must be right; otherwise the error is not a FieldError.
func Encode(spec models.Spec, w *api.Window, series, context []float32) error {
	if want := spec.Lookback * spec.Channels(); len(series) != want {
		return fmt.Errorf("encode window: series has room for %d values, the model reads %d", len(series), want)
	}
	if want := ContextLen(spec); len(context) != want {
		return fmt.Errorf("encode window: context has room for %d values, the model reads %d", len(context), want)
	}
	if w.StepSeconds != spec.StepSeconds {
		return fieldError("step_seconds", "expected %d, got %d", spec.StepSeconds, w.StepSeconds)
	}
	if w.End.IsZero() {
		return fieldError("end", "expected the end of the newest slot, got none")
	}
	if err := encodeSeries(spec, w, series); err != nil {
		return err
	}
	rest, err := encodeLags(spec, w, context)
	if err != nil {
		return err
	}
	if rest, err = encodeFuture(spec, w, rest); err != nil {
		return err
	}
	return encodeCalendar(spec, w, rest)
}

func encodeSeries(spec models.Spec, w *api.Window, dst []float32) error {
	channels := spec.Channels()
	for c, name := range spec.Series {
		values, ok := w.Series[name]
		if !ok {
			return fieldError(path("series", name), "expected %d values, got no such series", spec.Lookback)
		}
		if len(values) != spec.Lookback {
			return fieldError(path("series", name), "expected %d values, got %d", spec.Lookback, len(values))
		}
		if i := unfit(values); i >= 0 {
			return fieldError(at(path("series", name), i), "expected a number that fits float32, got %v", values[i])
		}
		if from, n, found := findGap(values, spec.MaxGap, c == 0); found {
			if from+n == len(values) {
				return fieldError(at(path("series", name), len(values)-1),
					"expected a value in the newest slot, got null, and %d in all up to it", n)
			}
			return fieldError(at(path("series", name), from),
				"expected at most %d values in a row to be null, got %d", spec.MaxGap, n)
		}
		last := float32(values[firstKnown(values)])
		for t, v := range values {
			if !math.IsNaN(v) {
				last = float32(v)
			}
			dst[t*channels+c] = last
			if spec.Masks {
				mask := float32(0)
				if math.IsNaN(v) {
					mask = 1
				}
				dst[t*channels+len(spec.Series)+c] = mask
			}
		}
	}
	if len(w.Series) > len(spec.Series) {
		return superfluous("series", w.Series, func(name string) bool { return slices.Contains(spec.Series, name) })
	}
	return nil
}

func encodeLags(spec models.Spec, w *api.Window, dst []float32) (rest []float32, err error) {
	want := 1 + spec.Horizon
	for _, lag := range spec.Lags {
		byOffset, ok := w.Lags[lag.Series]
		if !ok {
			return nil, fieldError(path("lags", lag.Series), "expected %d offsets, got no such series", len(lag.Offsets))
		}
		standIn, found := 0.0, false
		for _, offset := range lag.Offsets {
			values, ok := byOffset[offset]
			if !ok {
				return nil, fieldError(lagPath(lag.Series, offset), "expected %d values, got no such offset", want)
			}
			if len(values) != want {
				return nil, fieldError(lagPath(lag.Series, offset), "expected %d values, got %d", want, len(values))
			}
			if i := unfit(values); i >= 0 {
				return nil, fieldError(at(lagPath(lag.Series, offset), i), "expected a number that fits float32, got %v", values[i])
			}
			for k, v := range values {
				if math.IsNaN(v) && !found {
					if standIn, found = newest(w, lag.Series); !found {
						return nil, fieldError(at(lagPath(lag.Series, offset), k), "expected a known value of the series in any lag, got only null")
					}
				}
				if math.IsNaN(v) {
					v = standIn
				}
				dst[k] = float32(v)
			}
			dst = dst[want:]
		}
	}
	return dst, superfluousLags(spec, w)
}

// newest returns the value that stands in for a missing lag of the series.
func newest(w *api.Window, name string) (value float64, known bool) {
	for _, values := range []api.Series{w.Series[name], w.Future[name][:min(1, len(w.Future[name]))]} {
		for i := len(values) - 1; i >= 0; i-- {
			if v := values[i]; !math.IsNaN(v) && !tooLarge(v) {
				return v, true
			}
		}
	}
	value, known = latestLag(w.Lags[name])
	return value, known && !tooLarge(value)
}

func encodeFuture(spec models.Spec, w *api.Window, dst []float32) (rest []float32, err error) {
	want := 1 + spec.Horizon
	for _, name := range spec.Future {
		values, ok := w.Future[name]
		if !ok {
			return nil, fieldError(path("future", name), "expected %d values, got no such flag", want)
		}
		if len(values) != want {
			return nil, fieldError(path("future", name), "expected %d values, got %d", want, len(values))
		}
		for k, v := range values {
			if math.IsNaN(v) || tooLarge(v) {
				return nil, fieldError(at(path("future", name), k), "expected a number that fits float32, got %s", show(v))
			}
			dst[k] = float32(v)
		}
		dst = dst[want:]
	}
	if len(w.Future) > len(spec.Future) {
		return nil, superfluous("future", w.Future, func(name string) bool { return slices.Contains(spec.Future, name) })
	}
	return dst, nil
}

func encodeCalendar(spec models.Spec, w *api.Window, dst []float32) error {
	if len(spec.Calendar) == 0 {
		return nil
	}
	zone, err := loadZone(spec.TimeZone)
	if err != nil {
		return err
	}
	slots := newClocks(zone, w.End.Add(-spec.Step()), spec.Step())
	for _, name := range spec.Calendar {
		f, ok := features[name]
		if !ok {
			return fmt.Errorf("spec: calendar: unknown feature %.40q", name)
		}
		n := len(f.components)
		for k := range f.size(spec) / n {
			f.put(dst[:n], slots.at(k))
			dst = dst[n:]
		}
	}
	return nil
}

// unfit returns the index of the first value that a float32 cannot hold, or -1.
func unfit(values api.Series) int {
	for i, v := range values {
		if tooLarge(v) {
			return i
		}
	}
	return -1
}

// tooLarge is false for NaN.
func tooLarge(v float64) bool { return math.Abs(v) > math.MaxFloat32 }

func firstKnown(values api.Series) int {
	for i, v := range values {
		if !math.IsNaN(v) {
			return i
		}
	}
	return 0
}

// superfluous names the first key, in alphabetical order, that the model does
// not read: a typo, or a window made for another model.
func superfluous(field string, values map[string]api.Series, wanted func(string) bool) error {
	var extra []string
	for name := range values {
		if !wanted(name) {
			extra = append(extra, name)
		}
	}
	return fieldError(path(field, slices.Min(extra)), "the model does not read it")
}

func superfluousLags(spec models.Spec, w *api.Window) error {
	field := ""
	for name, byOffset := range w.Lags {
		for offset := range byOffset {
			if !wantsLag(spec, name, offset) {
				if p := lagPath(name, offset); field == "" || p < field {
					field = p
				}
			}
		}
		if !wantsLags(spec, name) {
			if p := path("lags", name); field == "" || p < field {
				field = p
			}
		}
	}
	if field == "" {
		return nil
	}
	return fieldError(field, "the model does not read it")
}

func wantsLags(spec models.Spec, name string) bool {
	for _, lag := range spec.Lags {
		if lag.Series == name {
			return true
		}
	}
	return false
}

func wantsLag(spec models.Spec, name string, offset int) bool {
	for _, lag := range spec.Lags {
		if lag.Series != name {
			continue
		}
		if _, found := slices.BinarySearch(lag.Offsets, offset); found {
			return true
		}
	}
	return false
}

// path joins a field and a key; a key that is no plain name is quoted and, since
// it may come from anywhere, cut.
func path(field, name string) string {
	plain := name != "" && len(name) <= api.MaxNameLen
	for _, r := range name {
		plain = plain && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-')
	}
	if plain {
		return field + "." + name
	}
	return fmt.Sprintf("%s[%.64q]", field, name)
}

func lagPath(name string, offset int) string { return path("lags", name) + "." + strconv.Itoa(offset) }

func at(field string, i int) string { return field + "[" + strconv.Itoa(i) + "]" }

// show writes a missing value as JSON does.
func show(v float64) string {
	if math.IsNaN(v) {
		return "null"
	}
	return fmt.Sprint(v)
}
