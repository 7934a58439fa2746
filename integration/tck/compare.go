package main

import (
	"math"
	"slices"

	"github.com/vesoft-inc/nebula-go/v3/nebula"

	"github.com/outflow-db/outflow/internal/nebulaserver/value"
)

// matches tells whether a value is what a cell says. Relaxed, a vertex and an edge may have more than is written.
func matches(want, got any, relaxed bool) bool {
	switch w := want.(type) {
	case pattern:
		return w.MatchString(value.Plain(got))
	case wantVertex:
		v, ok := got.(*value.Vertex)
		return ok && w.matches(v, relaxed)
	case wantEdge:
		e, ok := got.(*value.Edge)
		return ok && w.matches(e.Forward(), relaxed)
	case value.List:
		l, ok := got.(value.List)
		return ok && all(w, l, relaxed)
	case value.Set:
		s, ok := got.(value.Set)
		return ok && len(s) == len(w) && !slices.ContainsFunc(w, func(x any) bool {
			return !slices.ContainsFunc(s, func(y any) bool { return matches(x, y, relaxed) })
		})
	case value.Map:
		m, ok := got.(value.Map)
		return ok && props(w, m, relaxed)
	case string:
		switch got.(type) {
		case nebula.Date, nebula.Time, nebula.DateTime, nebula.Duration, value.Geography:
			return w == value.Plain(got)
		}
	case float64:
		f, ok := got.(float64)
		return ok && (f == w || math.IsNaN(f) && math.IsNaN(w) || math.Abs(f-w) < 1e-8*max(1, math.Abs(w)))
	case nil:
		return got == nil
	}
	return got != nil && value.Type(want) == value.Type(got) && value.Compare(want, got) == 0
}

func all(want, got []any, relaxed bool) bool {
	if len(want) != len(got) {
		return false
	}
	for i := range want {
		if !matches(want[i], got[i], relaxed) {
			return false
		}
	}
	return true
}

func props(want, got value.Map, relaxed bool) bool {
	if !relaxed && len(want) != len(got) {
		return false
	}
	for k, w := range want {
		if g, ok := got[k]; !ok || !matches(w, g, relaxed) {
			return false
		}
	}
	return true
}

func (w wantVertex) matches(v *value.Vertex, relaxed bool) bool {
	if w.has && !matches(w.id, v.ID, relaxed) || !relaxed && len(w.tags) != len(v.Tags) {
		return false
	}
	for _, t := range w.tags {
		g, ok := v.Tag(t.name)
		if !ok || (t.props != nil || !relaxed) && !props(t.props, g.Props, relaxed) {
			return false
		}
	}
	return true
}

func (w wantEdge) matches(e *value.Edge, relaxed bool) bool {
	switch {
	case (w.name != "" || !relaxed) && w.name != e.Name,
		(w.ends || !relaxed) && (!matches(w.src, e.Src, relaxed) || !matches(w.dst, e.Dst, relaxed)),
		w.rank != nil && *w.rank != e.Rank:
		return false
	}
	return w.props == nil && relaxed || props(w.props, e.Props, relaxed)
}

// unmatched is the first row of want that rows have no match for, each row counting once; -1: there is none. Rows
// that are left over come back, too.
func unmatched(want, got [][]any, relaxed bool) (missing int, rest [][]any) {
	rest = slices.Clone(got)
	for i, w := range want {
		j := slices.IndexFunc(rest, func(g []any) bool { return all(w, g, relaxed) })
		if j < 0 {
			return i, rest
		}
		rest = slices.Delete(rest, j, j+1)
	}
	return -1, rest
}
