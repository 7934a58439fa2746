package config

import (
	"math"
	"regexp"
	"slices"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/outflow-db/outflow/backends"
)

// described compares settings with what their type of backend knows. A type that does not say takes anything here.
func (r *reader) described(n *yaml.Node, path string, known map[string]backends.Setting) {
	r.setting(n, path, backends.Setting{Shape: backends.Mapping, Fields: known})
}

// setting compares one value with what it may be. Nothing is always right: it is the default.
func (r *reader) setting(n *yaml.Node, path string, s backends.Setting) {
	if n.Kind == yaml.AliasNode || n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		return
	}
	if s.Or != nil && shaped(n, *s.Or) {
		s = *s.Or
	}
	switch {
	case s.Shape == backends.Anything:
	case s.Shape == backends.List && n.Kind == yaml.SequenceNode:
		r.list(n, path, func(n *yaml.Node, path string) { r.setting(n, path, *s.Of) })
	case s.Shape == backends.List:
		r.setting(n, path, *s.Of)
	case !shaped(n, s):
		r.wrong(n, path, s.String())
	case s.Shape == backends.Mapping:
		r.fields(n, path, s)
	case s.Shape == backends.Names:
		r.pairs(n, path, func(key, value *yaml.Node) { r.setting(value, join(path, short(key.Value)), *s.Of) })
	default:
		r.value(n, path, s)
	}
}

// shaped says whether a node is a mapping where one is wanted, and else a single value.
func shaped(n *yaml.Node, s backends.Setting) bool {
	if s.Shape == backends.Mapping || s.Shape == backends.Names {
		return n.Kind == yaml.MappingNode
	}
	return n.Kind == yaml.ScalarNode
}

func (r *reader) fields(n *yaml.Node, path string, s backends.Setting) {
	known := map[string]field{}
	for name, of := range s.Fields {
		known[name] = func(n *yaml.Node, path string) { r.setting(n, path, of) }
	}
	r.mapping(n, path, known)
	for _, name := range s.Required {
		if !has(n, name) {
			r.fail(n, path, "%s is missing: want %s", name, s.Fields[name])
		}
	}
}

// value compares a single value. It quotes none: a secret may be in the wrong place.
func (r *reader) value(n *yaml.Node, path string, s backends.Setting) {
	aside := reader{expander: r.expander} // what is wrong with references is known
	v := aside.single(n, path)
	if len(aside.problems) == 0 && !suits(v, s) {
		r.fail(n, path, "want %s, have %s", s, kindOf(v))
	}
}

// suits says whether a value is one of those that a setting may have.
func suits(v any, s backends.Setting) bool {
	switch s.Shape {
	case backends.Text:
		text, ok := v.(string)
		return ok && (len(s.Words) == 0 || slices.Contains(s.Words, text)) && (s.Pattern == "" || regexp.MustCompile(s.Pattern).MatchString(text))
	case backends.Whole:
		n, ok := number(v)
		return ok && n == math.Trunc(n) && (s.Least == 0 && s.Most == 0 || n >= float64(s.Least) && n <= float64(s.Most))
	case backends.Number:
		_, ok := number(v)
		return ok
	case backends.Flag:
		_, ok := v.(bool)
		return ok
	default: // a span
		text, ok := v.(string)
		d, err := time.ParseDuration(text)
		return ok && err == nil && d >= s.AtLeast
	}
}

// number is a value that is one, as YAML has it.
func number(v any) (float64, bool) {
	switch v := v.(type) {
	case int:
		return float64(v), true
	case int64:
		return float64(v), true
	case uint64:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

// kindOf names what a value is, without the value.
func kindOf(v any) string {
	switch v.(type) {
	case string:
		return "another text"
	case bool:
		return "true or false"
	default:
		return "another value"
	}
}
