package graph

import (
	"maps"
	"slices"
)

func (s *Space) kind(edge bool) map[string]*Schema {
	if edge {
		return s.edges
	}
	return s.tags
}

func missing(edge bool) error {
	if edge {
		return ErrNoEdge
	}
	return ErrNoTag
}

// Schema is a tag or an edge type as graphd knows it now; nil: there is none.
func (s *Space) Schema(edge bool, name string) *Schema {
	s.store.mu.RLock()
	defer s.store.mu.RUnlock()
	return s.kind(edge)[name].at(s.store.Now())
}

// Latest is a tag or an edge type as metad knows it.
func (s *Space) Latest(edge bool, name string) (*Schema, error) {
	s.store.mu.RLock()
	defer s.store.mu.RUnlock()
	if sc := s.kind(edge)[name]; sc != nil {
		return sc, nil
	}
	return nil, missing(edge)
}

// Schemas are all tags or edge types that graphd knows now, by name.
func (s *Space) Schemas(edge bool) []*Schema {
	s.store.mu.RLock()
	defer s.store.mu.RUnlock()
	var all []*Schema
	for _, name := range slices.Sorted(maps.Keys(s.kind(edge))) {
		if sc := s.kind(edge)[name].at(s.store.Now()); sc != nil {
			all = append(all, sc)
		}
	}
	return all
}

// Names are those of all tags or edge types that metad knows.
func (s *Space) Names(edge bool) []string {
	s.store.mu.RLock()
	defer s.store.mu.RUnlock()
	return slices.Sorted(maps.Keys(s.kind(edge)))
}

// Create makes a tag or an edge type.
func (s *Space) Create(sc Schema, ifNotExists bool) error {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	if s.kind(sc.Edge)[sc.Name] != nil {
		if ifNotExists {
			return nil
		}
		return ErrExisted
	}
	if s.kind(!sc.Edge)[sc.Name] != nil { // a name is that of a tag or of an edge type, not of both
		return ErrExisted
	}
	sc.ID, sc.Gone, sc.ready = s.store.nextID(), map[string]bool{}, s.store.Now().Add(s.store.Delay)
	s.kind(sc.Edge)[sc.Name] = &sc
	return nil
}

// Alter replaces a tag or an edge type by what change makes of a copy of it.
func (s *Space) Alter(edge bool, name string, change func(*Schema) error) error {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	old := s.kind(edge)[name]
	if old == nil {
		return missing(edge)
	}
	sc := *old
	sc.Columns, sc.Gone = slices.Clone(old.Columns), maps.Clone(old.Gone)
	if err := change(&sc); err != nil {
		return err
	}
	sc.prev, sc.ready = old, s.store.Now().Add(s.store.Delay)
	s.kind(edge)[name] = &sc
	return nil
}

// IndexedLocked are the columns of a schema that an index is on; Alter's change may ask.
func (s *Space) IndexedLocked(edge bool, name string) map[string]bool {
	cols := map[string]bool{}
	for _, i := range s.indexes {
		if i.Edge == edge && i.On == name {
			cols[""] = true // an index there is
			for _, f := range i.Fields {
				cols[f.Name] = true
			}
		}
	}
	return cols
}

// Drop drops a tag or an edge type that no index is on; its rows are out of reach.
func (s *Space) Drop(edge bool, name string, ifExists bool) error {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	switch {
	case s.kind(edge)[name] == nil && ifExists:
		return nil
	case s.kind(edge)[name] == nil:
		return missing(edge)
	case len(s.IndexedLocked(edge, name)) > 0:
		return ErrHasIndex
	}
	delete(s.kind(edge), name)
	return nil
}
