package graph

import (
	"cmp"
	"slices"

	"github.com/outflow-db/outflow/internal/nebulaserver/value"
)

// edgeKey is an edge as seen from one of its ends.
type edgeKey struct {
	edge  int32
	rank  int64
	other any
}

// Part is the partition of a vertex, from 1.
func (s *Space) Part(vid any) int { return partOf(vid, s.Parts) }

// FitsVid tells whether an id is short enough.
func (s *Space) FitsVid(vid any) bool {
	str, ok := vid.(string)
	return !ok || len(str) <= s.Vid.Len
}

// PutTag is the write of a row of a vertex. With keep a row that is there stays; with blind the index entries
// of the row that is replaced stay, too.
func (s *Space) PutTag(vid any, row *Row, keep, blind bool) func() {
	return func() {
		rows := s.vertices[vid]
		if rows == nil {
			rows = map[int32]*Row{}
			s.vertices[vid] = rows
		}
		id := row.schema.ID
		old := rows[id]
		if old != nil && keep && !old.expired(row.schema, s.store.Now()) {
			return
		}
		rows[id] = row
		s.reindex(false, row.schema, Entry{Vid: vid}, unless(blind, old), row)
	}
}

func unless(blind bool, r *Row) *Row {
	if blind {
		return nil
	}
	return r
}

// DropTag is the write that removes a row of a vertex, if there is one.
func (s *Space) DropTag(vid any, sc *Schema) func() {
	return func() {
		rows := s.vertices[vid]
		if old := rows[sc.ID]; old != nil {
			s.reindex(false, sc, Entry{Vid: vid}, old, nil)
			delete(rows, sc.ID)
		}
		if len(rows) == 0 {
			delete(s.vertices, vid)
		}
	}
}

// PutOut is the write of an edge at its source, PutIn that of the same edge at its target.
func (s *Space) PutOut(src, dst any, rank int64, row *Row, keep, blind bool) func() {
	return func() {
		if old, ok := s.put(s.out, src, edgeKey{row.schema.ID, rank, dst}, row, keep); ok {
			s.reindex(true, row.schema, Entry{Vid: src, Dst: dst, Rank: rank}, unless(blind, old), row)
		}
	}
}

// PutIn is PutOut's other half.
func (s *Space) PutIn(src, dst any, rank int64, row *Row, keep bool) func() {
	return func() { s.put(s.in, dst, edgeKey{row.schema.ID, rank, src}, row, keep) }
}

func (s *Space) put(side map[any]map[edgeKey]*Row, vid any, key edgeKey, row *Row, keep bool) (old *Row, done bool) {
	edges := side[vid]
	if edges == nil {
		edges = map[edgeKey]*Row{}
		side[vid] = edges
	}
	old = edges[key]
	if old != nil && keep && !old.expired(row.schema, s.store.Now()) {
		return old, false
	}
	edges[key] = row
	return old, true
}

// DropOut is the write that removes an edge at its source, DropIn that at its target.
func (s *Space) DropOut(src, dst any, rank int64, sc *Schema) func() {
	return func() {
		key := edgeKey{sc.ID, rank, dst}
		if old := s.out[src][key]; old != nil {
			s.reindex(true, sc, Entry{Vid: src, Dst: dst, Rank: rank}, old, nil)
			delete(s.out[src], key)
		}
	}
}

// DropIn is DropOut's other half.
func (s *Space) DropIn(src, dst any, rank int64, sc *Schema) func() {
	return func() { delete(s.in[dst], edgeKey{sc.ID, rank, src}) }
}

// TagProps are the properties of one tag of a vertex; false: it does not have the tag.
func (s *Space) TagProps(vid any, sc *Schema) (value.Map, bool) {
	s.store.mu.RLock()
	defer s.store.mu.RUnlock()
	r := s.vertices[vid][sc.ID]
	if r == nil || r.expired(sc, s.store.Now()) {
		return nil, false
	}
	return r.props(sc), true
}

// Vertex has those of the tags that a vertex has, by name; nil: it has no tag at all, of the tags or others.
func (s *Space) Vertex(vid any, tags []*Schema) *value.Vertex {
	v := &value.Vertex{ID: vid}
	for _, sc := range tags {
		if m, ok := s.TagProps(vid, sc); ok {
			v.Tags = append(v.Tags, value.Tag{Name: sc.Name, Props: m})
		}
	}
	if len(v.Tags) == 0 && !s.hasAny(vid) {
		return nil
	}
	return v
}

func (s *Space) hasAny(vid any) bool {
	for _, sc := range s.Schemas(false) {
		if _, ok := s.TagProps(vid, sc); ok {
			return true
		}
	}
	return false
}

// EdgeProps are the properties of an edge as its source has it; false: there is none.
func (s *Space) EdgeProps(src, dst any, rank int64, sc *Schema) (value.Map, bool) {
	s.store.mu.RLock()
	defer s.store.mu.RUnlock()
	r := s.out[src][edgeKey{sc.ID, rank, dst}]
	if r == nil || r.expired(sc, s.store.Now()) {
		return nil, false
	}
	return r.props(sc), true
}

// Edges are the edges of these types that begin at a vertex, or, reversed, those that end there: by type, rank
// and other end.
func (s *Space) Edges(vid any, types []*Schema, reversed bool) []*value.Edge {
	s.store.mu.RLock()
	defer s.store.mu.RUnlock()
	side, sign := s.out, int32(1)
	if reversed {
		side, sign = s.in, -1
	}
	var all []*value.Edge
	for key, row := range side[vid] {
		i := slices.IndexFunc(types, func(sc *Schema) bool { return sc.ID == key.edge })
		if i < 0 || row.expired(types[i], s.store.Now()) {
			continue
		}
		all = append(all, &value.Edge{
			Src: vid, Dst: key.other, Type: sign * key.edge, Name: types[i].Name, Rank: key.rank, Props: row.props(types[i]),
		})
	}
	slices.SortFunc(all, func(a, b *value.Edge) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type)*int(sign), cmp.Compare(a.Rank, b.Rank), value.Compare(a.Dst, b.Dst))
	})
	return all
}

// Vids are the ids of all vertices that have a tag, in order.
func (s *Space) Vids() []any {
	s.store.mu.RLock()
	defer s.store.mu.RUnlock()
	all := make([]any, 0, len(s.vertices))
	for vid := range s.vertices {
		all = append(all, vid)
	}
	slices.SortFunc(all, value.Compare)
	return all
}

// Count counts for SHOW STATS; Stats has what was counted last.
func (s *Space) Count() {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	per, vertices, edges := map[int32]int64{}, int64(0), int64(0)
	for _, rows := range s.vertices {
		vertices++
		for id := range rows {
			per[id]++
		}
	}
	for _, keys := range s.out {
		for k := range keys {
			per[k.edge]++
			edges++
		}
	}
	s.stats = nil
	for _, kind := range []bool{false, true} {
		for _, sc := range s.kind(kind) {
			s.stats = append(s.stats, [2]any{[]string{"Tag", "Edge"}[edgeDigit(kind)] + "|" + sc.Name, per[sc.ID]})
		}
	}
	slices.SortFunc(s.stats, func(a, b [2]any) int { return -cmp.Compare(a[0].(string), b[0].(string)) })
	s.stats = append(s.stats, [2]any{"Space|vertices", vertices}, [2]any{"Space|edges", edges})
}

func edgeDigit(edge bool) int {
	if edge {
		return 1
	}
	return 0
}

// Stats are the counts of the last Count: "Tag|name", "Edge|name" or "Space|vertices", and a number.
func (s *Space) Stats() [][2]any {
	s.store.mu.RLock()
	defer s.store.mu.RUnlock()
	return s.stats
}
