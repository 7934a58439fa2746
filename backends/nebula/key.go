package nebula

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/outflow-db/outflow/backends/nebula/ngql"
	"github.com/outflow-db/outflow/internal/settings"
)

// place is a vertex, or an edge, of a type: what identifies a record in the store.
type place struct {
	typ      int // in model.types
	src, dst ngql.ID
	rank     int64 // src alone for a vertex
}

// keyRule says which columns of a key, counted from 0, make a place. A key of one column is its text; a key of several
// is a JSON array.
type keyRule struct {
	edge     bool
	src, dst []int // several: the JSON array of them, as they are the key of another kind
	rank     int   // -1: none
	typ      int   // -1: there is one type only
	columns  int
}

// readKey reads the settings vertex, edge and type.
func (r modelReader) readKey() keyRule {
	k := keyRule{rank: -1, typ: -1}
	used := map[int]bool{}
	k.edge = r.Has("edge")
	if k.edge && r.Has("vertex") {
		r.Fail("edge", "and vertex exclude each other")
	}
	if vertex := r.Values("vertex"); vertex != nil {
		k.src = r.positions("vertex.id", vertex["id"], used)
		r.unknown("vertex", vertex, "id")
	}
	if ends := r.Values("edge"); k.edge {
		k.src = r.positions("edge.source", ends["source"], used)
		k.dst = r.positions("edge.target", ends["target"], used)
		k.rank = r.position("edge.rank", ends["rank"], used)
		r.unknown("edge", ends, "source", "target", "rank")
	}
	r.Map("types", func(t *settings.Reader) {
		k.typ = t.Int("column", -1, 0, 99)
		r.m.types = t.Strings("names")
		if k.typ < 0 || len(r.m.types) == 0 {
			t.Fail("column", "and names must both be there: the column of the key that has the type, and the types that there are")
		}
	})
	if k.typ >= 0 {
		used[k.typ] = true
	}
	for at := range used {
		k.columns = max(k.columns, at+1)
	}
	if len(used) < k.columns {
		r.Fail("vertex and edge", fmt.Sprintf("leave a column of the key out: of columns 0 to %d each must be in it once, for two records could be one", k.columns-1))
	}
	if !k.edge && k.src == nil && k.typ >= 0 {
		r.Fail("types.column", "needs vertex.id: the columns of the key that make the id of the vertex")
	}
	return k
}

// positions are the columns of an id: a number, or a list of them.
func (r modelReader) positions(name string, v any, used map[int]bool) []int {
	list, isList := v.([]any)
	if !isList {
		list = []any{v}
	}
	var all []int
	for _, one := range list {
		n, ok := whole(one)
		if !ok {
			r.Fail(name, "must be a column of the key, counted from 0, or a list of them")
			return nil
		}
		used[n] = true
		all = append(all, n)
	}
	if len(all) == 0 {
		r.Fail(name, "must be a column of the key, counted from 0, or a list of them")
	}
	return all
}

func (r modelReader) position(name string, v any, used map[int]bool) int {
	if v == nil {
		return -1
	}
	n, ok := whole(v)
	if !ok {
		r.Fail(name, "must be a column of the key, counted from 0")
		return -1
	}
	used[n] = true
	return n
}

func (r modelReader) unknown(section string, values map[string]any, known ...string) {
next:
	for name := range values {
		for _, k := range known {
			if name == k {
				continue next
			}
		}
		r.Fail(section+"."+name, "is unknown: want "+strings.Join(known, ", "))
	}
}

// whole is a small number that is not negative, as YAML and JSON have it.
func whole(v any) (int, bool) {
	n := -1
	switch v := v.(type) {
	case int:
		n = v
	case int64:
		n = int(v)
	case uint64:
		n = int(min(v, 1000))
	case float64:
		if v == float64(int(v)) {
			n = int(v)
		}
	}
	return n, n >= 0 && n < 100
}

// place is what the key identifies, or why it cannot be.
func (m *model) place(key string) (place, error) {
	p := place{}
	parts, err := m.key.split(key)
	if err != nil {
		return p, err
	}
	if m.key.typ >= 0 {
		if p.typ, err = m.typeOf(parts[m.key.typ].String()); err != nil {
			return p, err
		}
	}
	if m.key.rank >= 0 {
		if p.rank, err = strconv.ParseInt(parts[m.key.rank].String(), 10, 64); err != nil {
			return p, fmt.Errorf("column %d of the key cannot be a rank: want an integer of 64 bits", m.key.rank)
		}
	}
	src := key
	if m.key.src != nil {
		src = join(parts, m.key.src)
	}
	var ok bool
	if p.src, ok = m.vid.of(src); ok && m.key.edge {
		p.dst, ok = m.vid.of(join(parts, m.key.dst))
	}
	if !ok {
		return p, errors.New("the key cannot be an id of type " + m.vid.String())
	}
	return p, nil
}

func (m *model) typeOf(name string) (int, error) {
	if i, ok := m.typeAt[name]; ok {
		return i, nil
	}
	return 0, fmt.Errorf("the type %q is none of types.names", name)
}

// split is the key by its columns.
func (k keyRule) split(key string) ([]gjson.Result, error) {
	if k.columns == 0 {
		return nil, nil
	}
	if k.columns == 1 {
		return []gjson.Result{{Type: gjson.String, Str: key}}, nil
	}
	list := gjson.Parse(key)
	if !list.IsArray() || !gjson.Valid(key) {
		return nil, fmt.Errorf("the key is no list of %d columns", k.columns)
	}
	parts := list.Array()
	if len(parts) != k.columns {
		return nil, fmt.Errorf("the key has %d columns: want %d", len(parts), k.columns)
	}
	for i, part := range parts {
		if part.Type == gjson.Null {
			return nil, fmt.Errorf("column %d of the key is null", i)
		}
	}
	return parts, nil
}

// join is one column of a key, or several as the key of another kind: a JSON array as PostgreSQL writes it.
func join(parts []gjson.Result, columns []int) string {
	if len(columns) == 1 {
		return parts[columns[0]].String()
	}
	raw := make([]string, len(columns))
	for i, c := range columns {
		raw[i] = parts[c].Raw
	}
	return "[" + strings.Join(raw, ", ") + "]"
}
