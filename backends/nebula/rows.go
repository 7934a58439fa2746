package nebula

import (
	"errors"
	"fmt"

	"github.com/tidwall/gjson"
	"github.com/vesoft-inc/nebula-go/v3/nebula"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/backends/nebula/ngql"
)

// row makes the values of a record, in the order of model.names. The slice is used again by the next call.
func (m *model) row(r backends.Record, values []ngql.Value) ([]ngql.Value, error) {
	values = append(values[:0], ngql.String(r.Key), ngql.Int(r.Version), ngql.String(r.Digest.String()), ngql.Int(slotOf(r.Key)))
	for range m.props {
		values = append(values, ngql.Null())
	}
	if len(m.props) == 0 {
		return values, nil
	}
	doc := gjson.ParseBytes(r.Doc)
	if !doc.IsObject() || !gjson.ValidBytes(r.Doc) {
		return values, errDocument
	}
	var err error
	doc.ForEach(func(name, v gjson.Result) bool {
		at, ok := m.propAt[name.Str]
		if !ok || v.Type == gjson.Null {
			return true
		}
		if values[len(own)+at], err = m.props[at].read(v); err != nil {
			err = fmt.Errorf("column %s cannot be a property of type %s: %w", name.Str, m.props[at].typ, err)
		}
		return err == nil
	})
	return values, err
}

var errDocument = errors.New("the document is no JSON object")

// text is a string in an answer; empty: it is none.
func text(v *nebula.Value) string {
	if v == nil {
		return ""
	}
	return string(v.SVal)
}

// integer is a number in an answer; 0: it is none.
func integer(v *nebula.Value) int64 {
	if v == nil || v.IVal == nil {
		return 0
	}
	return *v.IVal
}

// idOf is the id of a vertex in an answer.
func idOf(v *nebula.Value) ngql.ID {
	if v != nil && v.IVal != nil {
		return ngql.IntID(*v.IVal)
	}
	return ngql.StringID(text(v))
}

// values are the rows of an answer that have so many columns.
func values(data *nebula.DataSet, columns int) [][]*nebula.Value {
	if data == nil {
		return nil
	}
	var rows [][]*nebula.Value
	for _, r := range data.Rows {
		if len(r.Values) >= columns {
			rows = append(rows, r.Values)
		}
	}
	return rows
}
