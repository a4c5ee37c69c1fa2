package conf

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// The decoder's messages speak of Go types, which no operator knows.
var (
	unknownKey = regexp.MustCompile(`field (.*) not found in type .+$`)
	wrongType  = regexp.MustCompile("cannot unmarshal !!([a-z]+)(?: `(.*)`)? into (\\S+)$")
)

// plain rewrites the messages of a *yaml.TypeError; each begins with its line. keys
// are those that might have been meant.
func plain(err error, keys []string) error {
	var faults *yaml.TypeError
	if !errors.As(err, &faults) {
		return err
	}
	var out []error
	for _, text := range faults.Errors {
		if m := unknownKey.FindStringSubmatchIndex(text); m != nil {
			key := text[m[2]:m[3]]
			text = text[:m[0]] + fmt.Sprintf("unknown key %q", key)
			if slices.Contains(keys, key) {
				text += " here; it belongs to another part of the file"
			} else if meant := nearest(key, keys); meant != "" {
				text += fmt.Sprintf("; did you mean %s?", meant)
			}
		} else if m := wrongType.FindStringSubmatchIndex(text); m != nil {
			what := map[string]string{"seq": "a list", "map": "a mapping"}[text[m[2]:m[3]]]
			if m[4] >= 0 {
				what = fmt.Sprintf("%q", text[m[4]:m[5]])
			}
			text = text[:m[0]] + misfit(what, text[m[6]:m[7]])
		}
		out = append(out, errors.New(text))
	}
	return errors.Join(out...)
}

// misfit says what belongs where something stands that does not fit a Go type.
func misfit(what, goType string) string {
	switch {
	case goType == "time.Duration":
		return what + " is not a length of time such as 90s or 5m"
	case strings.HasPrefix(goType, "int"), strings.HasPrefix(goType, "uint"):
		return what + " is not a whole number"
	case strings.HasPrefix(goType, "float"):
		return what + " is not a number"
	case goType == "bool":
		return what + " is not true or false"
	case strings.HasPrefix(goType, "["):
		return what + " where a list belongs, such as [A, B]"
	case goType == "string", what == "a mapping": // which any other type but a text takes
		return what + " where a text belongs"
	}
	return what + " where a mapping of keys to values belongs"
}

// keysOf returns all keys that a value to be decoded into may have, at any depth.
func keysOf(into any) []string {
	var keys []string
	seen := map[reflect.Type]bool{}
	var walk func(v reflect.Value, t reflect.Type)
	walk = func(v reflect.Value, t reflect.Type) {
		switch t.Kind() {
		case reflect.Interface, reflect.Pointer:
			if v.IsValid() && !v.IsNil() {
				walk(v.Elem(), v.Elem().Type())
			} else if t.Kind() == reflect.Pointer {
				walk(reflect.Value{}, t.Elem())
			}
		case reflect.Slice, reflect.Array, reflect.Map:
			walk(reflect.Value{}, t.Elem())
		case reflect.Struct:
			if seen[t] && t != reflect.TypeFor[section]() { // each section holds another type
				return
			}
			seen[t] = true
			for i := range t.NumField() {
				if key, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ","); key != "" && key != "-" {
					keys = append(keys, key)
				}
				field := reflect.Value{}
				if v.IsValid() {
					field = v.Field(i)
				}
				walk(field, t.Field(i).Type)
			}
		}
	}
	if into != nil {
		walk(reflect.ValueOf(into), reflect.TypeOf(into))
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// nearest returns the key that differs least from a misspelt one, "" when none is
// near: at most two letters, and at most a third of it, may be wrong.
func nearest(key string, keys []string) string {
	best, least := "", min(2, len(key)/3)+1
	for _, k := range keys {
		if d := distance(strings.ToLower(key), k); d < least {
			best, least = k, d
		}
	}
	return best
}

// distance is that of Levenshtein: how many bytes must be inserted, removed or
// replaced to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0] // of the row above, one to the left
		row[0] = i + 1
		for j := range len(b) {
			here := before
			if a[i] != b[j] {
				here++
			}
			before, row[j+1] = row[j+1], min(here, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
