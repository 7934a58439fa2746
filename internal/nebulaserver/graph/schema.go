package graph

import (
	"time"

	"github.com/outflow-db/outflow/internal/nebulaserver/ngql"
	"github.com/outflow-db/outflow/internal/nebulaserver/value"
)

// Column is a property of a schema.
type Column struct {
	ngql.ColumnDef
	// Fill is the default, evaluated anew for every row; nil: there is none.
	Fill func() any
}

// Missing is the value of the column in a row that was written without it; false: it cannot be.
func (c *Column) Missing() (any, bool) {
	switch {
	case c.Fill != nil:
		return c.Fill(), true
	case !c.NotNull:
		return value.NULL, true
	}
	return nil, false
}

// Schema is a tag or an edge type at one version. It is not changed.
type Schema struct {
	ID          int32
	Name        string
	Edge        bool
	Columns     []Column
	TTLDuration int64 // seconds; 0: rows live for ever
	TTLCol      string
	Comment     *string
	Gone        map[string]bool // names that were dropped, which never come back

	ready time.Time // when graphd and storaged know of it
	prev  *Schema   // what they know until then
}

// Index is the position of a column, -1: there is none.
func (s *Schema) Index(name string) int {
	for i := range s.Columns {
		if s.Columns[i].Name == name {
			return i
		}
	}
	return -1
}

// Names are those of all columns.
func (s *Schema) Names() []string {
	names := make([]string, len(s.Columns))
	for i := range s.Columns {
		names[i] = s.Columns[i].Name
	}
	return names
}

// at is the version that is known at a time; nil: none.
func (s *Schema) at(now time.Time) *Schema {
	for s != nil && now.Before(s.ready) {
		s = s.prev
	}
	return s
}

// Row is what is stored of a tag or an edge. Values are those of the schema's columns.
type Row struct {
	schema *Schema
	values []any
}

// NewRow is a row of values, one for each column of the schema.
func NewRow(s *Schema, values []any) *Row { return &Row{schema: s, values: values} }

// props are the row's properties under another version of its schema.
func (r *Row) props(s *Schema) value.Map {
	m := make(value.Map, len(s.Columns))
	for i := range s.Columns {
		c := &s.Columns[i]
		if r.schema == s {
			m[c.Name] = r.values[i]
		} else if j := r.schema.Index(c.Name); j >= 0 {
			m[c.Name] = r.values[j]
		} else if v, ok := c.Missing(); ok {
			m[c.Name] = v
		} else {
			m[c.Name] = value.NULL
		}
	}
	return m
}

// expired tells whether the row's time to live has passed.
func (r *Row) expired(s *Schema, now time.Time) bool {
	if s.TTLDuration == 0 || s.TTLCol == "" {
		return false
	}
	i := r.schema.Index(s.TTLCol)
	if i < 0 {
		return false
	}
	t, ok := r.values[i].(int64)
	return ok && now.Unix() > t+s.TTLDuration
}
