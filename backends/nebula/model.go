package nebula

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/backends/nebula/ngql"
	"github.com/outflow-db/outflow/internal/settings"
)

// Properties that are ours. No column has a name that begins so.
const (
	reserved    = "outflow_"
	keyProp     = reserved + "key"
	versionProp = reserved + "version"
	digestProp  = reserved + "digest"
	slotProp    = reserved + "slot"
)

// own are our properties, in the order in which rows have them, before those of the columns.
var own = []property{
	{name: keyProp, typ: "STRING"},
	{name: versionProp, typ: "INT64"},
	{name: digestProp, typ: "FIXED_STRING(16)"},
	{name: slotProp, typ: "INT64"},
}

// model is what a target's settings and columns make of its tags or edge types.
type model struct {
	target, kind string
	vid          vidType
	key          keyRule
	types        []string // names of tags, or of edge types
	typeAt       map[string]int
	props        []property // of the columns
	propAt       map[string]int
	indexes      []index
	dropEdges    []string // types of the edges that go with a vertex
}

// property is a property of a tag or an edge type.
type property struct {
	name string
	typ  string // as a statement has it
	read reader
}

// index is one of the indexes that are asked for.
type index struct {
	name   string // without the type's
	fields []field
}

type field struct {
	name   string
	length int // of a string
}

// String is the field as a statement has it.
func (f field) String() string {
	s := string(ngql.AppendName(nil, f.name))
	if f.length > 0 {
		s += "(" + strconv.Itoa(f.length) + ")"
	}
	return s
}

// modelReader reads the settings of a target.
type modelReader struct {
	*settings.Reader
	m *model
}

// model reads the target's settings: vertex, edge, types, properties, indexes, delete_edges.
func (b *backend) model(t backends.Target) (*model, error) {
	m := &model{target: t.Name, kind: t.Kind, vid: b.options.vid, types: []string{t.Name}, typeAt: map[string]int{}, propAt: map[string]int{}}
	r := modelReader{settings.New(t.Settings), m}
	m.key = r.readKey()
	r.readProperties(t.Columns)
	r.readIndexes()
	r.readDropEdges()
	for i, name := range m.types {
		if err := ngql.CheckName(name); err != nil {
			r.Fail("types.names", "cannot be one of a tag or an edge type: "+err.Error())
		}
		m.typeAt[name] = i
	}
	if len(m.typeAt) < len(m.types) {
		r.Fail("types.names", "has a name twice")
	}
	if err := r.Err(); err != nil {
		e := b.failFor("layout", t, backends.Rejected, err)
		e.Advice = "mend the target's settings: see docs/nebula.md"
		return nil, e
	}
	return m, nil
}

// readProperties gives every column a property: of the type that the setting says, else of the column's own.
func (r modelReader) readProperties(columns []backends.Column) {
	chosen := r.Values("properties")
	for _, c := range columns {
		typ := typeOf(c)
		if v, ok := chosen[c.Name]; ok {
			typ, _ = v.(string)
			typ = strings.ToUpper(strings.TrimSpace(typ))
		}
		read := readerOf(typ)
		switch err := ngql.CheckName(c.Name); {
		case strings.HasPrefix(c.Name, reserved):
			r.Fail("properties."+c.Name, "cannot be: names that begin with "+reserved+" are taken, so give the column another in the query")
		case err != nil:
			r.Fail("properties."+c.Name, "cannot be a name, so give the column another in the query: "+err.Error())
		case read == nil:
			r.Fail("properties."+c.Name, "has no type that is known: want "+typeNames)
		}
		r.m.propAt[c.Name] = len(r.m.props)
		r.m.props = append(r.m.props, property{c.Name, typ, read})
	}
	for _, name := range slices.Sorted(maps.Keys(chosen)) {
		if _, ok := r.m.propAt[name]; !ok {
			r.Fail("properties."+name, "names no column of the query")
		}
	}
}

var fieldText = regexp.MustCompile(`^(.+?)(?:\(([0-9]{1,3})\))?$`)

const maxIndexed = 256 // bytes of a string in an index

// readIndexes reads lists of columns by the names of indexes. A text is indexed by its first bytes: name(32).
func (r modelReader) readIndexes() {
	all := r.Values("indexes")
	for _, name := range slices.Sorted(maps.Keys(all)) {
		i := index{name: name}
		list, isList := all[name].([]any)
		if !isList {
			list = []any{all[name]}
		}
		for _, v := range list {
			text, _ := v.(string)
			f, problem := r.field(text)
			if problem != "" {
				r.Fail("indexes."+name, problem)
			}
			i.fields = append(i.fields, f)
		}
		if err := ngql.CheckName(name); err != nil || name == indexName || len(list) == 0 {
			r.Fail("indexes."+name, "cannot be: want another name than "+indexName+", and a column at least")
		}
		r.m.indexes = append(r.m.indexes, i)
	}
}

func (r modelReader) field(text string) (f field, problem string) {
	parts := fieldText.FindStringSubmatch(text)
	if parts == nil {
		return f, "must be a list of columns, such as [name(32), line]"
	}
	f.name = parts[1]
	f.length, _ = strconv.Atoi(parts[2]) // 0 if there is none
	at, ok := r.m.propAt[f.name]
	if !ok {
		return f, fmt.Sprintf("names %q, which is no column of the query", f.name)
	}
	switch typ := r.m.props[at].typ; {
	case typ == "STRING" && (f.length < 1 || f.length > maxIndexed):
		return f, fmt.Sprintf("needs how many bytes of %s it is of, 1 to %d, such as %s(32)", f.name, maxIndexed, f.name)
	case typ != "STRING" && f.length > 0:
		return f, fmt.Sprintf("has a length for %s, which is a %s", f.name, typ)
	}
	return f, ""
}

// readDropEdges reads the types of edges that go with a vertex.
func (r modelReader) readDropEdges() {
	r.m.dropEdges = r.Strings("delete_edges")
	if len(r.m.dropEdges) > 0 && r.m.key.edge {
		r.Fail("delete_edges", "is for vertices")
	}
	for _, name := range r.m.dropEdges {
		if err := ngql.CheckName(name); err != nil {
			r.Fail("delete_edges", "cannot name an edge type: "+err.Error())
		}
	}
}

// names are those of all properties, in the order in which rows have them.
func (m *model) names() []string {
	names := make([]string, 0, len(own)+len(m.props))
	for _, p := range slices.Concat(own, m.props) {
		names = append(names, p.name)
	}
	return names
}

// what is the word for what the target has.
func (m *model) what() string {
	if m.key.edge {
		return "EDGE"
	}
	return "TAG"
}
