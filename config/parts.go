package config

import (
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/outflow-db/outflow/backends"
)

var (
	kindName    = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)
	backendName = regexp.MustCompile(`^[a-z0-9]+([_-][a-z0-9]+)*$`)
)

// kinds reads the part of the file that says which tables are watched.
func (r *reader) kinds(c *Config) field {
	return func(n *yaml.Node, path string) {
		r.pairs(n, path, func(key, value *yaml.Node) {
			k := Kind{Name: key.Value, Line: key.Line}
			path := join(path, short(key.Value))
			if !kindName.MatchString(k.Name) {
				r.fail(key, path, "a kind's name has small letters, digits and _, begins with a letter and is up to 63 long")
			}
			r.mapping(value, path, map[string]field{
				"table":      r.table(c, &k),
				"list":       r.text(&k.List, "a query that yields every key, in one text column named key"),
				"key":        r.columns(&k.Key),
				"per_row":    r.flag(&k.PerRow),
				"history":    r.flag(&k.History),
				"dependants": r.dependants(c, &k),
			})
			r.placed(key, value, path)
			c.Kinds = append(c.Kinds, k)
		})
	}
}

// placed notes fields of a kind that contradict each other about where its records are.
func (r *reader) placed(key, kind *yaml.Node, path string) {
	switch {
	case has(kind, "table") && has(kind, "list"):
		r.fail(key, path, "table and list exclude each other: the table has the keys")
	case !has(kind, "table") && (has(kind, "key") || has(kind, "per_row") || has(kind, "history")):
		r.fail(key, path, "table is missing, to which key, per_row and history belong")
	}
}

// table reads a kind's table, which no other kind may have.
func (r *reader) table(c *Config, k *Kind) field {
	read := r.text(&k.Table, "a table such as app.orders")
	return func(n *yaml.Node, path string) {
		read(n, path)
		for _, other := range c.Kinds {
			if other.Table == k.Table && k.Table != "" {
				r.fail(n, path, "table %s is that of kind %s already", short(n.Value), other.Name)
			}
		}
	}
}

// columns reads one column or a list of them.
func (r *reader) columns(to *[]string) field {
	return func(n *yaml.Node, path string) {
		read := func(n *yaml.Node, path string) {
			var column string
			r.text(&column, "a column")(n, path)
			if column != "" && slices.Contains(*to, column) {
				r.fail(n, path, "column %s is there twice", short(n.Value))
			}
			*to = append(*to, column)
		}
		if n.Kind != yaml.SequenceNode {
			read(n, path)
			return
		}
		r.list(n, path, read)
	}
}

// dependants reads which kinds depend on k. They must exist, and no kind may come back to itself.
func (r *reader) dependants(c *Config, k *Kind) field {
	return func(n *yaml.Node, path string) {
		k.Dependants = map[string]string{}
		name := k.Name
		r.pairs(n, path, func(key, value *yaml.Node) {
			var query string
			path := join(path, short(key.Value))
			r.query(&query)(value, path)
			k.Dependants[key.Value] = query
			r.later(func() {
				if !r.known(key, path, "kind", key.Value, names(c.Kinds, func(k Kind) string { return k.Name })) {
					return
				}
				if circle := c.circle(name, key.Value); circle != nil {
					r.fail(key, path, "a kind must not depend on itself: %s", strings.Join(circle, " -> "))
				}
			})
		})
	}
}

// backends reads the part of the file that says which stores there are.
func (r *reader) backends(c *Config) field {
	return func(n *yaml.Node, path string) {
		r.pairs(n, path, func(key, value *yaml.Node) {
			b := Backend{Name: key.Value, Line: key.Line, Settings: map[string]any{}}
			path := join(path, short(key.Value))
			if !backendName.MatchString(b.Name) || len(b.Name) > 63 {
				r.fail(key, path, "a backend's name has small letters and digits, with single - or _ between them, and is up to 63 long")
			}
			r.mapping(value, path, map[string]field{
				"type":     r.backendType(&b.Type),
				"settings": r.settings(&b.Settings),
				"worker":   func(n *yaml.Node, path string) { r.mapping(n, path, r.limits(&b.Worker)) },
				"verify":   func(*yaml.Node, string) {}, // see below
			})
			at := len(c.Backends)
			r.later(func() { // what holds for all may stand behind the backends
				s := &c.Backends[at].Worker.Verify
				if *s = c.Verify; has(value, "verify") {
					r.own(child(value, "verify"), path+".verify", s)
				}
			})
			if known, ok := backends.SettingsOf(b.Type); ok {
				if n := child(value, "settings"); n != nil {
					r.described(n, path+".settings", known.Backend)
				}
			}
			if !has(value, "type") {
				r.fail(key, path, "type is missing: want one of %s", strings.Join(backends.Types(), ", "))
			}
			c.Backends = append(c.Backends, b)
		})
	}
}

func (r *reader) backendType(to *string) field {
	read := r.text(to, "a type of backend")
	return func(n *yaml.Node, path string) {
		read(n, path)
		if *to != "" {
			r.known(n, path, "type of backend", *to, backends.Types())
		}
	}
}

// projections reads the part of the file that says what goes where.
func (r *reader) projections(c *Config) field {
	return func(n *yaml.Node, path string) {
		r.list(n, path, func(n *yaml.Node, path string) {
			p := Projection{Line: n.Line, Settings: map[string]any{}}
			known := map[string]field{
				"kind":     r.reference(&p.Kind, "kind", func() []string { return names(c.Kinds, func(k Kind) string { return k.Name }) }),
				"backend":  r.reference(&p.Backend, "backend", func() []string { return names(c.Backends, func(b Backend) string { return b.Name }) }),
				"target":   r.text(&p.Target, "a target such as an index, a collection or a table"),
				"query":    r.query(&p.Query),
				"settings": r.settings(&p.Settings),
			}
			r.mapping(n, path, known)
			for _, name := range []string{"kind", "backend", "target", "query"} {
				if n.Kind == yaml.MappingNode && !has(n, name) {
					r.fail(n, path, "%s is missing", name)
				}
			}
			r.alone(c, p, n, path)
			r.later(func() { r.aim(c, p, n, path) })
			c.Projections = append(c.Projections, p)
		})
	}
}

// aim compares the settings of a projection with those that its backend's type knows.
func (r *reader) aim(c *Config, p Projection, n *yaml.Node, path string) {
	i := slices.IndexFunc(c.Backends, func(b Backend) bool { return b.Name == p.Backend })
	settings := child(n, "settings")
	if i < 0 || settings == nil {
		return
	}
	if known, ok := backends.SettingsOf(c.Backends[i].Type); ok {
		r.described(settings, path+".settings", known.Target)
	}
}

// alone notes if another projection writes p's target: two kinds there would overwrite each other's keys.
func (r *reader) alone(c *Config, p Projection, n *yaml.Node, path string) {
	for _, other := range c.Projections {
		if p.Target != "" && other.Backend == p.Backend && other.Target == p.Target {
			r.fail(n, path, "its target is that of the projection in line %d already", other.Line)
		}
	}
}

// reference reads the name of something that the file must have.
func (r *reader) reference(to *string, what string, known func() []string) field {
	read := r.text(to, "a "+what)
	return func(n *yaml.Node, path string) {
		read(n, path)
		name := *to
		if name != "" {
			r.later(func() { r.known(n, path, what, name, known()) })
		}
	}
}

// query reads SQL that uses its parameter.
func (r *reader) query(to *string) field {
	read := r.text(to, "SQL with $1, the keys as text[]")
	return func(n *yaml.Node, path string) {
		read(n, path)
		if *to != "" && !strings.Contains(*to, "$1") {
			r.fail(n, path, "the query does not use $1, the keys as text[]")
		}
	}
}

// settings reads a mapping whose fields only the type of backend knows.
func (r *reader) settings(to *map[string]any) field {
	return func(n *yaml.Node, path string) {
		r.pairs(n, path, func(key, value *yaml.Node) { (*to)[key.Value] = r.any(value, join(path, short(key.Value))) })
	}
}

// known says whether name is one of the names there are, and notes a problem if not.
func (r *reader) known(n *yaml.Node, path, what, name string, all []string) bool {
	if slices.Contains(all, name) {
		return true
	}
	have := "there is none"
	if len(all) > 0 {
		have = "have " + strings.Join(all, ", ")
	}
	r.fail(n, path, "unknown %s %q%s: %s", what, short(n.Value), suggest(name, all), have)
	return false
}

// names lists the names of things.
func names[T any](things []T, name func(T) string) []string {
	list := make([]string, len(things))
	for i, t := range things {
		list[i] = name(t)
	}
	return list
}

// has says whether a mapping has a field.
func has(n *yaml.Node, name string) bool { return child(n, name) != nil }

// child is a field of a mapping, or nil.
func child(n *yaml.Node, name string) *yaml.Node {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Kind == yaml.MappingNode && n.Content[i].Value == name {
			return n.Content[i+1]
		}
	}
	return nil
}

// circle is the way from a kind through its dependant first back to the kind, or nil if there is none.
func (c *Config) circle(kind, first string) []string {
	var walk func(at string, way []string) []string
	seen := map[string]bool{}
	walk = func(at string, way []string) []string {
		way = append(way, at)
		if at == kind {
			return way
		}
		if seen[at] {
			return nil
		}
		seen[at] = true
		for _, next := range c.dependantsOf(at) {
			if found := walk(next, slices.Clone(way)); found != nil {
				return found
			}
		}
		return nil
	}
	return walk(first, []string{kind})
}
