package elasticsearch

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/outflow-db/outflow/backends"
)

// state is what the server has of a target.
type state struct {
	index    *indexState // nil: not there
	carriers []string    // the indices that readers see
	taken    bool        // an index is called as the alias shall be
}

// indexState is one index as GET tells it, with flat settings.
type indexState struct {
	Aliases  map[string]any `json:"aliases"`
	Mappings struct {
		Dynamic    any            `json:"dynamic"`
		Properties map[string]any `json:"properties"`
	} `json:"mappings"`
	Settings map[string]any `json:"settings"`
}

// compare lists what differs between an index and what is wanted of it; building are the indices of generations
// that are being filled, which readers see while one takes the place of another.
func (m *model) compare(s state, building []string) []backends.Change {
	c := comparison{m: m}
	if s.index == nil {
		c.note(backends.Create, "", "", m.index)
	} else {
		c.index(s.index)
	}
	c.alias(s, building)
	return c.found
}

// index compares what is inside of an index that exists.
func (c *comparison) index(s *indexState) {
	c.settings(s)
	if fmt.Sprint(s.Mappings.Dynamic) != "strict" {
		c.note(backends.Alter, "dynamic", fmt.Sprint(s.Mappings.Dynamic), "strict")
	}
	for _, name := range slices.Sorted(maps.Keys(c.m.fields)) {
		c.field("fields."+name, asMap(c.m.fields[name]), asMap(s.Mappings.Properties[name]))
	}
	if _, there := s.Aliases[c.m.write]; !there {
		c.note(backends.Alter, "write alias", "", c.m.write)
	}
}

type comparison struct {
	m     *model
	found []backends.Change
}

func (c *comparison) note(what backends.ChangeKind, field, from, to string) {
	c.found = append(c.found, backends.Change{Target: c.m.target, What: what, Field: field, From: from, To: to})
}

// alias compares what readers see.
func (c *comparison) alias(s state, building []string) {
	if c.m.building {
		return
	}
	switch {
	case s.taken:
		c.note(backends.Rebuild, "alias", "an index of this name", c.m.alias)
	case len(s.carriers) == 0 && s.index != nil:
		c.note(backends.Create, "alias", "", c.m.index)
	case len(s.carriers) == 0: // it comes with the index
	case len(s.carriers) > 1 || s.carriers[0] != c.m.index && !slices.Contains(building, s.carriers[0]):
		c.note(backends.Rebuild, "alias", strings.Join(s.carriers, ", "), c.m.index)
	}
}

// static begins the names of settings that the server takes only when it makes an index.
var static = []string{
	"index.number_of_shards", "index.analysis.", "index.similarity.", "index.sort.", "index.codec", "index.routing_partition_size",
	"index.store.", "index.mode", "index.soft_deletes.enabled", "index.shard.",
}

func (c *comparison) settings(have *indexState) {
	want, got := c.m.wanted(), map[string]string{}
	for name, v := range have.Settings {
		maps.Copy(got, flatten("", map[string]any{name: v}))
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		from := got[name]
		if from == want[name] {
			continue
		}
		what := backends.Alter
		if slices.ContainsFunc(static, func(p string) bool { return strings.HasPrefix(name, p) }) {
			what = backends.Rebuild
		}
		c.note(what, name, from, want[name])
	}
}

// movable are the parameters of a mapping that the server changes in place.
var movable = []string{"ignore_above", "ignore_malformed", "coerce", "search_analyzer", "search_quote_analyzer", "eager_global_ordinals", "dynamic", "meta"}

// added are the parameters that the server adds to a mapping of a type by itself.
var added = map[string][]string{"dense_vector": {"dims", "index", "similarity", "index_options", "element_type"}}

// field compares a field's mapping, with the fields in it. What is there and not wanted any more does no harm and
// stays until a rebuild.
func (c *comparison) field(path string, want, have map[string]any) {
	if have == nil {
		c.note(backends.Alter, path, "", textOf(want))
		return
	}
	names := slices.Collect(maps.Keys(want))
	names = slices.AppendSeq(names, maps.Keys(have))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if name == "fields" || name == "properties" {
			continue
		}
		c.parameter(path, name, want, have)
	}
	for _, part := range []string{"fields", "properties"} {
		in, got := asMap(want[part]), asMap(have[part])
		for _, name := range slices.Sorted(maps.Keys(in)) {
			c.field(path+"."+name, asMap(in[name]), asMap(got[name]))
		}
	}
}

func (c *comparison) parameter(path, name string, want, have map[string]any) {
	to, wanted := want[name]
	from, there := have[name]
	if name == "type" { // which the server leaves out for an object
		to, from = orObject(to), orObject(from)
	}
	if same(to, from) || !wanted && slices.Contains(added[textOf(orObject(want["type"]))], name) {
		return
	}
	what := backends.Rebuild
	if slices.Contains(movable, name) {
		what = backends.Alter
	}
	c.note(what, path+"."+name, told(from, there), told(to, wanted))
}

func orObject(v any) any {
	if v == nil {
		return "object"
	}
	return v
}

func told(v any, there bool) string {
	if !there && v == nil {
		return ""
	}
	return textOf(v)
}

// same says whether the server has what is wanted; of a map it may have more.
func same(want, have any) bool {
	if in := asMap(want); in != nil {
		got := asMap(have)
		for name, v := range in {
			if got == nil || !same(v, got[name]) {
				return false
			}
		}
		return true
	}
	return textOf(want) == textOf(have)
}

func asMap(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}
