// Package settings reads a map of settings, as YAML or JSON made it, into typed values and reports every
// problem at once: what is missing, of the wrong type, out of range or unknown.
package settings

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Reader reads one map. Each setting is read once; what was not read is unknown. It is not safe for
// concurrent use.
type Reader struct {
	values map[string]any
	prefix string
	read   map[string]bool
	errs   *[]error
}

// New makes a reader of values, which it does not change. A nil map holds no settings.
func New(values map[string]any) *Reader {
	return &Reader{values: values, read: map[string]bool{}, errs: new([]error)}
}

// Err is every problem met so far and every setting that was not read, or nil. It is called last.
func (r *Reader) Err() error {
	r.unknown()
	return errors.Join(*r.errs...)
}

func (r *Reader) unknown() {
	for _, name := range slices.Sorted(maps.Keys(r.values)) {
		if !r.read[name] {
			r.Fail(name, "is unknown: have "+strings.Join(slices.Sorted(maps.Keys(r.read)), ", "))
		}
	}
}

// Fail notes a problem with a setting that the caller found.
func (r *Reader) Fail(name, problem string) {
	*r.errs = append(*r.errs, fmt.Errorf("setting %s%s %s", r.prefix, name, problem))
}

func value[T any](r *Reader, name string, def T, want string) T {
	r.read[name] = true
	got, there := r.values[name]
	if !there || got == nil {
		return def
	}
	v, ok := got.(T)
	if !ok {
		r.Fail(name, fmt.Sprintf("is %s: want %s", describe(got), want))
		return def
	}
	return v
}

// describe names a value's type and not the value, which may be a secret.
func describe(v any) string {
	switch v.(type) {
	case string:
		return "a text"
	case bool:
		return "true or false"
	case int, int64, uint64, float64:
		return "a number"
	case []any, []string:
		return "a list"
	case map[string]any:
		return "a map"
	default:
		return fmt.Sprintf("of type %T", v)
	}
}

// Has says whether a setting is given at all, for one whose absence means something.
func (r *Reader) Has(name string) bool { return r.values[name] != nil }

// String reads a text.
func (r *Reader) String(name, def string) string { return value(r, name, def, "a text") }

// Int reads a whole number from least to most.
func (r *Reader) Int(name string, def, least, most int) int {
	r.read[name] = true
	var n int
	switch v := r.values[name].(type) {
	case nil:
		return def
	case int:
		n = v
	case float64: // as JSON has it
		n = int(v)
		if float64(n) != v {
			r.Fail(name, fmt.Sprintf("is %v: want a whole number", v))
			return def
		}
	default:
		r.Fail(name, "is "+describe(v)+": want a whole number")
		return def
	}
	if n < least || n > most {
		r.Fail(name, fmt.Sprintf("is %d: want %d to %d", n, least, most))
		return def
	}
	return n
}

// Duration reads a text such as 90s or 192h, of at least least.
func (r *Reader) Duration(name string, def, least time.Duration) time.Duration {
	if d, ok := r.values[name].(time.Duration); ok {
		r.read[name] = true
		return r.atLeast(name, d, least)
	}
	text := value(r, name, def.String(), "a duration such as 90s")
	d, err := time.ParseDuration(text)
	if err != nil {
		r.Fail(name, fmt.Sprintf("is %q: want a duration such as 90s or 192h", text))
		return def
	}
	return r.atLeast(name, d, least)
}

func (r *Reader) atLeast(name string, d, least time.Duration) time.Duration {
	if d < least {
		r.Fail(name, fmt.Sprintf("is %s: want at least %s", d, least))
		return least
	}
	return d
}

// Strings reads a list of texts; a single text is a list of one.
func (r *Reader) Strings(name string) []string {
	r.read[name] = true
	switch v := r.values[name].(type) {
	case nil:
		return nil
	case string:
		return []string{v}
	case []string:
		return slices.Clone(v)
	case []any:
		return r.texts(name, v)
	default:
		r.Fail(name, "is "+describe(v)+": want a list of texts")
		return nil
	}
}

func (r *Reader) texts(name string, list []any) []string {
	var texts []string
	for i, v := range list {
		text, ok := v.(string)
		if !ok {
			r.Fail(fmt.Sprintf("%s[%d]", name, i), "is "+describe(v)+": want a text")
			continue
		}
		texts = append(texts, text)
	}
	return texts
}

// Map reads a map of settings with read, which is not called when there is none. Unknown settings in it
// are reported.
func (r *Reader) Map(name string, read func(*Reader)) {
	values := value(r, name, map[string]any(nil), "a map")
	if values == nil {
		return
	}
	in := &Reader{values: values, prefix: r.prefix + name + ".", read: map[string]bool{}, errs: r.errs}
	read(in)
	in.unknown()
}

// Bool reads true or false.
func (r *Reader) Bool(name string, def bool) bool { return value(r, name, def, "true or false") }

// Values reads a map as it is, for a caller that passes it on; nil when there is none.
func (r *Reader) Values(name string) map[string]any {
	return value(r, name, map[string]any(nil), "a map")
}
