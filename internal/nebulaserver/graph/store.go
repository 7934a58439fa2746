package graph

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/outflow-db/outflow/internal/nebulaserver/ngql"
)

// Store has all spaces of a server.
type Store struct {
	// Now tells the time; set before use.
	Now func() time.Time
	// Delay is how long it takes until a new space, tag, edge type or index can be used.
	Delay time.Duration
	// Before is called before each write to a partition, without a lock; an error refuses the write.
	Before func(space string, part int) error

	mu     sync.RWMutex
	spaces map[string]*Space
	ids    int32
	jobs   []Job

	sorting sync.Mutex // within mu: of what indexes keep sorted
}

// NewStore is an empty store with the machine's clock.
func NewStore() *Store { return &Store{Now: time.Now, spaces: map[string]*Space{}} }

// Space is a graph of its own.
type Space struct {
	ID              int32
	Name            string
	Parts, Replicas int
	Charset         string
	Collate         string
	Vid             ngql.ColumnType
	Comment         *string

	store    *Store
	ready    time.Time
	tags     map[string]*Schema
	edges    map[string]*Schema
	indexes  map[string]*Index
	vertices map[any]map[int32]*Row
	out, in  map[any]map[edgeKey]*Row
	stats    [][2]any // of the last job: name and count
	held     map[string]bool
}

// Job is one of SHOW JOBS.
type Job struct {
	ID      int64
	Space   string
	Command string
	At      time.Time
}

// CreateSpace makes a space of these settings.
func (st *Store) CreateSpace(s Space, ifNotExists bool) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.spaces[s.Name] != nil {
		if ifNotExists {
			return nil
		}
		return ErrExisted
	}
	s.ID, s.store, s.ready = st.nextID(), st, st.Now().Add(st.Delay)
	s.tags, s.edges, s.indexes = map[string]*Schema{}, map[string]*Schema{}, map[string]*Index{}
	s.held = map[string]bool{}
	s.clear()
	st.spaces[s.Name] = &s
	return nil
}

// CopySpace makes a space with the settings, schemas and indexes of another, and none of its data.
func (st *Store) CopySpace(name, from string, ifNotExists bool) error {
	old := st.Any(from)
	if old == nil {
		return ErrNoSpace
	}
	s := Space{Name: name, Parts: old.Parts, Replicas: old.Replicas, Charset: old.Charset, Collate: old.Collate, Vid: old.Vid, Comment: old.Comment}
	exists := st.Any(name) != nil
	if err := st.CreateSpace(s, ifNotExists); err != nil || exists {
		return err
	}
	made := st.Any(name)
	st.mu.Lock()
	defer st.mu.Unlock()
	made.tags, made.edges = maps.Clone(old.tags), maps.Clone(old.edges)
	for n, i := range old.indexes {
		c := *i
		c.entries, c.sorted = map[string]Entry{}, nil
		made.indexes[n] = &c
	}
	return nil
}

func (st *Store) nextID() int32 {
	st.ids++
	return st.ids
}

// Any is a space whether it can be used yet or not; nil: there is none.
func (st *Store) Any(name string) *Space {
	st.mu.RLock()
	defer st.mu.RUnlock()
	return st.spaces[name]
}

// Usable is a space that can be used; nil: there is none.
func (st *Store) Usable(name string) *Space {
	if s := st.Any(name); s != nil && !st.Now().Before(s.ready) {
		return s
	}
	return nil
}

// Unknown is a space that graphd does not know yet: it has nothing, and is in no list.
func (st *Store) Unknown() *Space {
	s := &Space{store: st, Parts: 1, tags: map[string]*Schema{}, edges: map[string]*Schema{}, indexes: map[string]*Index{}}
	s.clear()
	return s
}

// Spaces are the names of all spaces.
func (st *Store) Spaces() []string {
	st.mu.RLock()
	defer st.mu.RUnlock()
	return slices.Sorted(maps.Keys(st.spaces))
}

// DropSpace drops a space, or what is in it.
func (st *Store) DropSpace(name string, ifExists, onlyData bool) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	s := st.spaces[name]
	switch {
	case s == nil && ifExists:
		return nil
	case s == nil:
		return ErrNoSpace
	case onlyData:
		s.clear()
		for _, i := range s.indexes {
			i.entries, i.sorted = map[string]Entry{}, nil
		}
	default:
		delete(st.spaces, name)
	}
	return nil
}

func (s *Space) clear() {
	s.vertices, s.out, s.in = map[any]map[int32]*Row{}, map[any]map[edgeKey]*Row{}, map[any]map[edgeKey]*Row{}
}

// Submit notes a job, which is done at once.
func (st *Store) Submit(space, command string) int64 {
	st.mu.Lock()
	defer st.mu.Unlock()
	id := int64(len(st.jobs) + 1)
	st.jobs = append(st.jobs, Job{ID: id, Space: space, Command: command, At: st.Now()})
	return id
}

// Jobs are those of a space, the newest first.
func (st *Store) Jobs(space string) []Job {
	st.mu.RLock()
	defer st.mu.RUnlock()
	var all []Job
	for _, j := range slices.Backward(st.jobs) {
		if j.Space == space {
			all = append(all, j)
		}
	}
	return all
}

// Write is one row's change in one partition. Refused, if it is not nil, is why storaged will not do it.
type Write struct {
	Part    int
	Refused error
	Do      func()
}

// Apply does writes partition by partition. Within a partition it is all or nothing; across partitions, those
// that can be written are, and the error is that of the first that cannot, as graphd answers.
func (s *Space) Apply(writes []Write) error {
	parts := map[int][]Write{}
	for _, w := range writes {
		parts[w.Part] = append(parts[w.Part], w)
	}
	var first error
	for _, part := range slices.Sorted(maps.Keys(parts)) {
		if err := s.applyPart(part, parts[part]); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// Hold keeps a row, by any name of it, for one UPDATE or UPSERT from its reading to its writing; false: another one has
// it. Only these two ask: an INSERT meanwhile is not noticed, as in storaged.
func (s *Space) Hold(row string) (release func(), ok bool) {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	if s.held[row] {
		return nil, false
	}
	s.held[row] = true
	return func() {
		s.store.mu.Lock()
		defer s.store.mu.Unlock()
		delete(s.held, row)
	}, true
}

func (s *Space) applyPart(part int, writes []Write) error {
	for _, w := range writes {
		if w.Refused != nil {
			return w.Refused
		}
	}
	if s.store.Before != nil {
		if err := s.store.Before(s.Name, part); err != nil {
			return err
		}
	}
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	for _, w := range writes {
		w.Do()
	}
	return nil
}
