package graph

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/outflow-db/outflow/internal/nebulaserver/ngql"
	"github.com/outflow-db/outflow/internal/nebulaserver/value"
)

// Index is an index on a tag or an edge type. It has the rows that were written since it was made, and all of
// them once it was rebuilt.
type Index struct {
	ID      int32
	Name    string
	Edge    bool
	On      string
	Fields  []ngql.IndexField
	Comment *string

	ready   time.Time
	built   bool
	entries map[string]Entry
	sorted  []Entry // all of them, in order, until one changes; nil: it is not known
}

// Entry is a row as an index knows it: a vertex, or an edge from Vid to Dst.
type Entry struct {
	Vid, Dst any
	Rank     int64
	Values   []any // of the index's fields; strings cut to the field's length
}

func (e Entry) key() string {
	var b strings.Builder
	for _, v := range append(slices.Clone(e.Values), e.Vid, e.Dst, e.Rank) {
		b.WriteString(value.Key(v))
		b.WriteByte(0)
	}
	return b.String()
}

// values are what the index keeps of a row.
func (i *Index) values(m value.Map) []any {
	all := make([]any, len(i.Fields))
	for n, f := range i.Fields {
		v := m[f.Name]
		if s, ok := v.(string); ok && f.Len > 0 && len(s) > f.Len {
			v = s[:f.Len]
		}
		all[n] = v
	}
	return all
}

// reindex keeps all indexes on a schema when a row replaces another; either may be nil.
func (s *Space) reindex(edge bool, sc *Schema, e Entry, old, row *Row) {
	for _, i := range s.indexes {
		if i.Edge != edge || i.On != sc.Name {
			continue
		}
		i.sorted = nil
		if old != nil {
			e.Values = i.values(old.props(sc))
			delete(i.entries, e.key())
		}
		if row != nil {
			e.Values = i.values(row.props(sc))
			i.entries[e.key()] = e
		}
	}
}

// CreateIndex makes an index.
func (s *Space) CreateIndex(i Index, ifNotExists bool) error {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	if s.indexes[i.Name] != nil {
		if ifNotExists && s.indexes[i.Name].Edge == i.Edge {
			return nil
		}
		return ErrExisted
	}
	for _, other := range s.indexes {
		if other.Edge == i.Edge && other.On == i.On && other.serves(i.Fields) {
			return ErrExisted
		}
	}
	i.ID, i.ready, i.entries = s.store.nextID(), s.store.Now().Add(s.store.Delay), map[string]Entry{}
	s.indexes[i.Name] = &i
	return nil
}

// serves tells whether an index on these fields would add nothing to this one.
func (i *Index) serves(fields []ngql.IndexField) bool {
	if len(fields) == 0 {
		return len(i.Fields) == 0
	}
	return len(fields) <= len(i.Fields) && slices.Equal(i.Fields[:len(fields)], fields)
}

// DropIndex drops an index.
func (s *Space) DropIndex(edge bool, name string, ifExists bool) error {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	if i := s.indexes[name]; i == nil || i.Edge != edge {
		if ifExists {
			return nil
		}
		return ErrNoIndex
	}
	delete(s.indexes, name)
	return nil
}

// Index is an index by name; nil: there is none.
func (s *Space) Index(edge bool, name string) *Index {
	s.store.mu.RLock()
	defer s.store.mu.RUnlock()
	if i := s.indexes[name]; i != nil && i.Edge == edge {
		return i
	}
	return nil
}

// Indexes are all indexes on tags or edge types, by name.
func (s *Space) Indexes(edge bool) []*Index {
	s.store.mu.RLock()
	defer s.store.mu.RUnlock()
	var all []*Index
	for _, name := range slices.Sorted(maps.Keys(s.indexes)) {
		if s.indexes[name].Edge == edge {
			all = append(all, s.indexes[name])
		}
	}
	return all
}

// Usable tells whether graphd knows of the index.
func (s *Space) Usable(i *Index) bool { return !s.store.Now().Before(i.ready) }

// Built tells whether the index was rebuilt.
func (s *Space) Built(i *Index) bool {
	s.store.mu.RLock()
	defer s.store.mu.RUnlock()
	return i.built
}

// Rebuild fills an index with all rows.
func (s *Space) Rebuild(i *Index) {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	i.built = true
	sc := s.kind(i.Edge)[i.On]
	add := func(e Entry, r *Row) {
		e.Values = i.values(r.props(sc))
		i.entries[e.key()] = e
	}
	i.entries, i.sorted = map[string]Entry{}, nil
	if !i.Edge {
		for vid, rows := range s.vertices {
			if r := rows[sc.ID]; r != nil {
				add(Entry{Vid: vid}, r)
			}
		}
		return
	}
	for src, edges := range s.out {
		for k, r := range edges {
			if k.edge == sc.ID {
				add(Entry{Vid: src, Dst: k.other, Rank: k.rank}, r)
			}
		}
	}
}

// Bounds are of what an index's first field holds, both inclusive; nil: there is none.
type Bounds struct{ From, To any }

// Entries are those of an index within the bounds, in its order. The caller does not change them.
func (s *Space) Entries(i *Index, b Bounds) []Entry {
	s.store.mu.RLock()
	defer s.store.mu.RUnlock()
	all := s.inOrder(i)
	from, to := 0, len(all)
	if b.From != nil {
		from, _ = slices.BinarySearchFunc(all, b.From, func(e Entry, v any) int { return value.Compare(e.Values[0], v) })
	}
	if b.To != nil {
		to, _ = slices.BinarySearchFunc(all, b.To, func(e Entry, v any) int {
			if value.Compare(e.Values[0], v) <= 0 {
				return -1
			}
			return 1
		})
	}
	return all[from:max(from, to)]
}

// inOrder sorts the entries unless they are as they were. The caller holds the store's lock, for reading at least.
func (s *Space) inOrder(i *Index) []Entry {
	s.store.sorting.Lock()
	defer s.store.sorting.Unlock()
	if i.sorted == nil {
		i.sorted = slices.SortedFunc(maps.Values(i.entries), func(a, b Entry) int {
			if d := slices.CompareFunc(a.Values, b.Values, value.Compare); d != 0 {
				return d
			}
			return slices.CompareFunc([]any{a.Vid, a.Dst, a.Rank}, []any{b.Vid, b.Dst, b.Rank}, value.Compare)
		})
	}
	return i.sorted
}
