package exec

import (
	"fmt"
	"maps"
	"slices"

	"github.com/outflow-db/outflow/internal/nebulaserver/eval"
	"github.com/outflow-db/outflow/internal/nebulaserver/graph"
	"github.com/outflow-db/outflow/internal/nebulaserver/ngql"
	"github.com/outflow-db/outflow/internal/nebulaserver/value"
)

// match plans MATCH by brute force: all vertices are tried where the ids are not given.
func (p *planner) match(s *ngql.Match) (*plan, error) {
	all := []ngql.Expr{s.Where, s.Skip, s.Limit}
	for _, c := range s.Return.Columns {
		all = append(all, c.Expr)
	}
	if err := undefined(all...); err != nil {
		return nil, err
	}
	skip, err := p.count(s.Skip, "SKIP", 0)
	if err != nil {
		return nil, err
	}
	limit, err := p.count(s.Limit, "LIMIT", -1)
	if err != nil {
		return nil, err
	}
	aliases := aliasesOf(s)
	cols := s.Return.Columns
	if len(cols) == 0 {
		for _, a := range aliases {
			cols = append(cols, ngql.Column{Expr: &ngql.Label{Name: a}})
		}
	}
	t := &eval.Types{Params: p.c.Params, Vid: p.vidType(), Label: func(name string) (string, error) {
		if !slices.Contains(aliases, name) {
			return "", graph.Semantic("Alias used but not defined: `%s'", name)
		}
		return eval.Any, nil
	}}
	names, types, err := outputs(cols, t)
	if err != nil {
		return nil, err
	}
	if err := boolean(s.Where, t, "Boolean"); err != nil {
		return nil, err
	}
	run := func(r *runner, _ *Table) (*Table, error) {
		m := &matcher{r: r, s: s}
		var err error
		if m.space, err = r.space(); err != nil {
			return nil, err
		}
		if !m.anchored() && limit < 0 && p.unindexed(s) {
			return nil, graph.Failed("Scan vertices or edges need to specify a limit number, or limit number can not push down.")
		}
		m.tags, m.edges = m.space.Schemas(false), m.space.Schemas(true)
		m.start()
		out := project(ngql.Yield{Distinct: s.Return.Distinct, Columns: cols}, nil, names, types, m.found)
		if s.Order != nil && len(out.Rows) == len(m.found) {
			out.Rows = sorted(out.Rows, m.withColumns(out), s.Order)
		}
		out.Rows = window(out.Rows, skip, limit)
		return out, nil
	}
	return &plan{names, types, run}, nil
}

// unindexed tells whether no tag of the first node has an index to begin with.
func (p *planner) unindexed(s *ngql.Match) bool {
	for _, i := range p.space.Indexes(false) {
		if slices.Contains(s.First.Tags, i.On) {
			return false
		}
	}
	return true
}

func (p *planner) count(e ngql.Expr, what string, otherwise int64) (int64, error) {
	if e == nil {
		return otherwise, nil
	}
	if !evaluable(e) {
		return 0, graph.Semantic("%s should be instantly evaluable", what)
	}
	n, ok := p.constant(e).(int64)
	if !ok {
		return 0, graph.Semantic("%s should be of type integer", what)
	}
	if n < 0 {
		return 0, graph.Semantic("%s should not be negative", what)
	}
	return n, nil
}

func aliasesOf(s *ngql.Match) []string {
	all := []string{s.First.Alias}
	for _, h := range s.Hops {
		all = append(all, h.Alias, h.Node.Alias)
	}
	return slices.DeleteFunc(all, func(a string) bool { return a == "" })
}

// matcher tries paths.
type matcher struct {
	r     *runner
	s     *ngql.Match
	space *graph.Space
	tags  []*graph.Schema
	edges []*graph.Schema
	found []*eval.Scope
}

func (m *matcher) scope(locals value.Map) *eval.Scope {
	return &eval.Scope{Params: m.r.c.Params, Now: m.r.c.Store.Now(), Locals: locals}
}

// anchor is the value that WHERE compares id(first) with by op.
func (m *matcher) anchor(op string) (any, bool) {
	var found any
	var ok bool
	var look func(e ngql.Expr)
	look = func(e ngql.Expr) {
		b, is := e.(*ngql.Binary)
		if !is {
			return
		}
		if b.Op == "AND" {
			look(b.L)
			look(b.R)
			return
		}
		c, call := b.L.(*ngql.Call)
		if b.Op == op && call && c.Name == "id" && c.Args[0].String() == m.s.First.Alias && evaluable(b.R) {
			found, ok = eval.Eval(b.R, m.scope(nil)), true
		}
	}
	look(m.s.Where)
	return found, ok
}

func (m *matcher) anchored() bool {
	_, eq := m.anchor("==")
	_, in := m.anchor("IN")
	return eq || in
}

func (m *matcher) start() {
	if v, ok := m.anchor("=="); ok {
		m.node(v, m.s.First, value.Map{}, 0)
		return
	}
	if v, ok := m.anchor("IN"); ok {
		if l, ok := v.(value.List); ok {
			for _, id := range value.Distinct(l) {
				m.node(id, m.s.First, value.Map{}, 0)
			}
		}
		return
	}
	for _, id := range m.space.Vids() {
		m.node(id, m.s.First, value.Map{}, 0)
	}
}

// node tries a vertex for the pattern's next node, and goes on from there.
func (m *matcher) node(id any, n ngql.MatchNode, locals value.Map, hop int) {
	v := m.space.Vertex(id, m.tags)
	if v == nil {
		if hop == 0 || len(n.Tags) > 0 {
			return
		}
		v = &value.Vertex{ID: id}
	}
	for i, tag := range n.Tags {
		t, ok := v.Tag(tag)
		if !ok || n.Props[i] != nil && !m.same(t.Props, n.Props[i], locals) {
			return
		}
	}
	locals = maps.Clone(locals)
	if n.Alias != "" {
		if was, ok := locals[n.Alias]; ok && !value.Equal(was, v) {
			return
		}
		locals[n.Alias] = v
	}
	if hop == len(m.s.Hops) {
		if sc := m.scope(locals); m.s.Where == nil || eval.Eval(m.s.Where, sc) == true {
			m.found = append(m.found, sc)
		}
		return
	}
	m.hop(id, locals, hop)
}

func (m *matcher) same(props value.Map, want *ngql.MapOf, locals value.Map) bool {
	for i, k := range want.Keys {
		if !same(props[k], eval.Eval(want.Values[i], m.scope(locals))) {
			return false
		}
	}
	return true
}

func same(a, b any) bool { return a != nil && value.Equal(a, b) }

func (m *matcher) hop(id any, locals value.Map, hop int) {
	h := m.s.Hops[hop]
	types := slices.DeleteFunc(slices.Clone(m.edges), func(sc *graph.Schema) bool {
		return h.Types != nil && !slices.Contains(h.Types, sc.Name)
	})
	var edges []*value.Edge
	if h.Direction != "<" {
		edges = m.space.Edges(id, types, false)
	}
	if h.Direction != ">" {
		edges = append(edges, m.space.Edges(id, types, true)...)
	}
	for _, e := range edges {
		if used(locals, e) {
			continue
		}
		next := maps.Clone(locals)
		name := h.Alias
		if name == "" {
			name = fmt.Sprintf("edge %d", hop) // no alias can have a blank
		}
		next[name] = e
		m.node(e.Dst, h.Node, next, hop+1)
	}
}

// used tells whether an edge is in the path already.
func used(locals value.Map, e *value.Edge) bool {
	for _, v := range locals {
		if other, ok := v.(*value.Edge); ok && value.Equal(other, e) {
			return true
		}
	}
	return false
}

// withColumns lets ORDER BY see the columns by their names.
func (m *matcher) withColumns(t *Table) []*eval.Scope {
	out := make([]*eval.Scope, len(m.found))
	for i, sc := range m.found {
		locals := maps.Clone(sc.Locals)
		for j, n := range t.Names {
			locals[n] = t.Rows[i][j]
		}
		out[i] = m.scope(locals)
	}
	return out
}
