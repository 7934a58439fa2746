package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// reader turns nodes of the file into values and collects what is wrong with them.
type reader struct {
	expander
	file     string
	problems []Problem
	checks   []func() // what can be said only once everything is read
}

func (r *reader) later(check func()) { r.checks = append(r.checks, check) }

// field reads one value. The path names it in problems.
type field func(n *yaml.Node, path string)

// fail notes a problem at a node; a node without a line came from the environment, which its path names.
func (r *reader) fail(n *yaml.Node, path, format string, args ...any) {
	p := Problem{Path: path, Text: fmt.Sprintf(format, args...)}
	if n.Line > 0 {
		p.File, p.Line, p.Column = r.file, n.Line, n.Column
	}
	r.problems = append(r.problems, p)
}

// mapping reads n's fields, each of which must be known.
func (r *reader) mapping(n *yaml.Node, path string, known map[string]field) {
	r.pairs(n, path, func(key, value *yaml.Node) {
		read, ok := known[key.Value]
		if !ok {
			names := slices.Sorted(maps.Keys(known))
			r.fail(key, path, "unknown field %q%s: want %s", short(key.Value), suggest(key.Value, names), strings.Join(names, ", "))
			return
		}
		read(value, join(path, key.Value))
	})
}

// override reads fields for which the environment has a variable, OUTFLOW_WORKER_LEASE for worker.lease, and gives
// the fields back for the file, which those then skip. An empty variable is none.
func (r *reader) override(path string, known map[string]field) map[string]field {
	rest := maps.Clone(known)
	for _, name := range slices.Sorted(maps.Keys(known)) {
		variable := "OUTFLOW_" + strings.ToUpper(strings.ReplaceAll(join(path, name), ".", "_"))
		if value, ok := r.env(variable); ok && value != "" {
			known[name](&yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: value}, variable)
			rest[name] = func(*yaml.Node, string) {}
		}
	}
	return rest
}

// pairs calls fn with each key and value of a mapping, refusing keys that are there twice or are no text.
func (r *reader) pairs(n *yaml.Node, path string, fn func(key, value *yaml.Node)) {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		return
	}
	if n.Kind != yaml.MappingNode {
		r.wrong(n, path, "a mapping")
		return
	}
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode || key.ShortTag() == "!!merge" {
			r.wrong(key, path, "a name")
			continue
		}
		if line, twice := lines[key.Value]; twice {
			r.fail(key, path, "%s is there twice, first in line %d", short(key.Value), line)
			continue
		}
		lines[key.Value] = key.Line
		fn(key, value)
	}
}

// list calls fn with each element of a list.
func (r *reader) list(n *yaml.Node, path string, fn field) {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		return
	}
	if n.Kind != yaml.SequenceNode {
		r.wrong(n, path, "a list")
		return
	}
	for i, element := range n.Content {
		fn(element, fmt.Sprintf("%s[%d]", path, i))
	}
}

// wrong notes that n is not of the form that was wanted.
func (r *reader) wrong(n *yaml.Node, path, want string) {
	if n.Kind == yaml.AliasNode {
		r.fail(n, path, "want %s, have an alias: write the value out", want)
		return
	}
	r.fail(n, path, "want %s, have %s", want, form(n))
}

// form names what a node is, without its content, which may be a secret.
func form(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.ShortTag() == "!!null":
		return "nothing"
	case n.ShortTag() == "!!merge":
		return "a merge of mappings"
	default:
		return "a single value"
	}
}

// scalar is the text of a value, its references replaced; referred says that there were some, so that a problem
// must not quote it. ok is false when a problem was noted instead.
func (r *reader) scalar(n *yaml.Node, path, want string) (text string, referred, ok bool) {
	if n.Kind != yaml.ScalarNode || n.ShortTag() == "!!null" {
		r.wrong(n, path, want)
		return "", false, false
	}
	if n.Line == 0 {
		return n.Value, false, true
	}
	text, referred, err := r.expand(n.Value)
	if err != nil {
		r.fail(n, path, "%v", err)
		return "", referred, false
	}
	return text, referred, true
}

// any is a value of settings as a map, a slice, a string, an int, a float64, a bool or nil.
func (r *reader) any(n *yaml.Node, path string) any {
	switch n.Kind {
	case yaml.MappingNode:
		m := map[string]any{}
		r.pairs(n, path, func(key, value *yaml.Node) { m[key.Value] = r.any(value, join(path, key.Value)) })
		return m
	case yaml.SequenceNode:
		list := []any{}
		r.list(n, path, func(element *yaml.Node, path string) { list = append(list, r.any(element, path)) })
		return list
	case yaml.ScalarNode:
		return r.single(n, path)
	default:
		r.wrong(n, path, "a value")
		return nil
	}
}

// single is a value of settings that is neither a mapping nor a list. One with a reference is text unless a tag
// says otherwise, so that a password of digits stays as it is.
func (r *reader) single(n *yaml.Node, path string) any {
	if n.ShortTag() == "!!null" {
		return nil
	}
	text, referred, ok := r.scalar(n, path, "a value")
	if !ok || (referred && n.Style&yaml.TaggedStyle == 0) {
		return text
	}
	copied := *n
	copied.Value = text
	var v any
	if err := copied.Decode(&v); err != nil {
		r.fail(n, path, "want a value of type %s", n.ShortTag())
	}
	return v
}

// join is the path of a field within path.
func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
