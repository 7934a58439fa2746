package value

import (
	"github.com/vesoft-inc/nebula-go/v3/nebula"
)

// ToWire gives a value the form that the client reads.
func ToWire(v any) *nebula.Value {
	switch v := v.(type) {
	case nil:
		return nebula.NewValue()
	case Null:
		n := nebula.NullType(v)
		return &nebula.Value{NVal: &n}
	case bool:
		return &nebula.Value{BVal: &v}
	case int64:
		return &nebula.Value{IVal: &v}
	case float64:
		return &nebula.Value{FVal: &v}
	case string:
		return &nebula.Value{SVal: []byte(v)}
	case nebula.Date:
		return &nebula.Value{DVal: &v}
	case nebula.Time:
		return &nebula.Value{TVal: &v}
	case nebula.DateTime:
		return &nebula.Value{DtVal: &v}
	case nebula.Duration:
		return &nebula.Value{DuVal: &v}
	case Geography:
		return &nebula.Value{GgVal: v.wire()}
	case List:
		return &nebula.Value{LVal: &nebula.NList{Values: wires(v)}}
	case Set:
		return &nebula.Value{UVal: &nebula.NSet{Values: wires(v)}}
	case Map:
		return &nebula.Value{MVal: &nebula.NMap{Kvs: props(v)}}
	case *Vertex:
		return &nebula.Value{VVal: v.wire()}
	case *Edge:
		return &nebula.Value{EVal: &nebula.Edge{
			Src: ToWire(v.Src), Dst: ToWire(v.Dst), Type: v.Type, Name: []byte(v.Name), Ranking: v.Rank, Props: props(v.Props),
		}}
	}
	panic("no value: " + Type(v))
}

func wires(all []any) []*nebula.Value {
	out := make([]*nebula.Value, len(all))
	for i, v := range all {
		out[i] = ToWire(v)
	}
	return out
}

func props(m Map) map[string]*nebula.Value {
	out := make(map[string]*nebula.Value, len(m))
	for k, v := range m {
		out[k] = ToWire(v)
	}
	return out
}

func (v *Vertex) wire() *nebula.Vertex {
	w := &nebula.Vertex{Vid: ToWire(v.ID), Tags: make([]*nebula.Tag, len(v.Tags))}
	for i, t := range v.Tags {
		w.Tags[i] = &nebula.Tag{Name: []byte(t.Name), Props: props(t.Props)}
	}
	return w
}

// FromWire reads what a client sent or a server answered. Paths and tables inside of cells are not read:
// they come out as BAD_DATA.
func FromWire(w *nebula.Value) any {
	switch {
	case w == nil:
		return nil
	case w.IsSetNVal():
		return Null(*w.NVal)
	case w.IsSetBVal():
		return *w.BVal
	case w.IsSetIVal():
		return *w.IVal
	case w.IsSetFVal():
		return *w.FVal
	case w.IsSetSVal():
		return string(w.SVal)
	case w.IsSetDVal():
		return *w.DVal
	case w.IsSetTVal():
		return *w.TVal
	case w.IsSetDtVal():
		return *w.DtVal
	case w.IsSetDuVal():
		return *w.DuVal
	case w.IsSetGgVal():
		return geographyOf(w.GgVal)
	}
	return fromWireCompound(w)
}

func fromWireCompound(w *nebula.Value) any {
	switch {
	case w.IsSetLVal():
		return List(values(w.LVal.Values))
	case w.IsSetUVal():
		return Set(values(w.UVal.Values))
	case w.IsSetMVal():
		return fromProps(w.MVal.Kvs)
	case w.IsSetVVal():
		v := &Vertex{ID: FromWire(w.VVal.Vid)}
		for _, t := range w.VVal.Tags {
			v.Tags = append(v.Tags, Tag{Name: string(t.Name), Props: fromProps(t.Props)})
		}
		return v
	case w.IsSetEVal():
		e := w.EVal
		return &Edge{
			Src: FromWire(e.Src), Dst: FromWire(e.Dst), Type: e.Type, Name: string(e.Name),
			Rank: e.Ranking, Props: fromProps(e.Props),
		}
	case w.IsSetPVal(), w.IsSetGVal():
		return BadData
	}
	return nil
}

func values(ws []*nebula.Value) []any {
	out := make([]any, len(ws))
	for i, w := range ws {
		out[i] = FromWire(w)
	}
	return out
}

func fromProps(ws map[string]*nebula.Value) Map {
	out := make(Map, len(ws))
	for k, w := range ws {
		out[k] = FromWire(w)
	}
	return out
}
