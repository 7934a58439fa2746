package backendtest

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/internal/content"
)

// Memory is a backend that keeps every promise, in memory: for tests of what uses backends. Its zero value
// is ready; its fields are set before its first use. Several may share a MemoryStore, as several processes
// share a server.
type Memory struct {
	// Name is the backend's name in errors. Empty: "memory".
	Name string
	// Promises are what Features answers; what they leave out, Memory does not do.
	Promises backends.Features
	// Store holds the records. Nil: one of its own.
	Store *MemoryStore
	// Before, if not nil, is called at the beginning of every method that does I/O: "prepare", "plan", "write",
	// "scan", "lookup", "compare", "count", "health". Its error is the method's, and nothing is done.
	Before func(ctx context.Context, op string, target backends.Target, records []backends.Record) error
	// After, if not nil, is called when a write has been applied. Its error is the write's.
	After func(ctx context.Context, target backends.Target, records []backends.Record) error
	// Refuse, if not nil, says why a record is refused for good.
	Refuse func(target backends.Target, record backends.Record) error

	mu     sync.Mutex
	closed bool
}

// MemoryStore holds what Memory writes. Its zero value is an empty store. It is safe for concurrent use.
type MemoryStore struct {
	mu      sync.Mutex
	targets map[string]map[string]stored
}

type stored struct {
	backends.Entry
	deleted bool
	doc     []byte
	raw     [][]byte
}

const memoryPage = 1000

// Everything is what a store can promise at best.
func Everything() backends.Features {
	return backends.Features{Guarded: true, Tombstones: true, Recomputed: true}
}

// Features are the Promises.
func (m *Memory) Features() backends.Features { return m.Promises }

// Layout folds all columns into the document.
func (m *Memory) Layout(t backends.Target) (backends.Layout, error) {
	return backends.DocLayout(t), nil
}

// Prepare makes the targets.
func (m *Memory) Prepare(ctx context.Context, targets []backends.Target) error {
	s, err := m.begin(ctx, "prepare", backends.Target{}, nil)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range targets {
		if s.targets[t.Name] == nil {
			s.targets[t.Name] = map[string]stored{}
		}
	}
	return nil
}

// Plan tells which targets Prepare would make.
func (m *Memory) Plan(ctx context.Context, targets []backends.Target) ([]backends.Change, error) {
	s, err := m.begin(ctx, "plan", backends.Target{}, nil)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var changes []backends.Change
	for _, t := range targets {
		if s.targets[t.Name] == nil {
			changes = append(changes, backends.Change{Target: t.Name, What: backends.Create, To: "a map"})
		}
	}
	return changes, nil
}

// Write stores and deletes records.
func (m *Memory) Write(ctx context.Context, t backends.Target, records []backends.Record) ([]backends.Result, error) {
	s, err := m.begin(ctx, "write", t, records)
	if err != nil {
		return nil, err
	}
	results, err := m.apply(s, t, records)
	if err == nil && m.After != nil {
		err = m.After(ctx, t, records)
	}
	if err != nil {
		return nil, err
	}
	return results, nil
}

func (m *Memory) apply(s *MemoryStore, t backends.Target, records []backends.Record) ([]backends.Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	held, err := m.target(s, "write", t)
	if err != nil {
		return nil, err
	}
	results := make([]backends.Result, len(records))
	for i, r := range records {
		if m.Refuse != nil {
			if err := m.Refuse(t, r); err != nil {
				e := m.fail("write", t, backends.Rejected, err)
				e.Key = r.Key
				results[i] = backends.Result{Outcome: backends.Failed, Err: e}
				continue
			}
		}
		results[i] = m.one(held, r)
	}
	return results, nil
}

// one stores or deletes one record, if its version is not older.
func (m *Memory) one(held map[string]stored, r backends.Record) backends.Result {
	old, there := held[r.Key]
	if m.Promises.Guarded && there && old.Version > r.Version {
		return backends.Result{Outcome: backends.Stale, Stored: old.Version}
	}
	if r.Deleted && !m.Promises.Tombstones {
		delete(held, r.Key)
		return backends.Result{}
	}
	held[r.Key] = stored{Entry: backends.Entry{Key: r.Key, Version: r.Version, Digest: r.Digest}, deleted: r.Deleted, doc: r.Doc, raw: r.Raw}
	return backends.Result{}
}

// entry is what Scan and Lookup tell of a record.
func (m *Memory) entry(s stored) backends.Entry {
	if m.Promises.Recomputed {
		s.Digest = backends.ContentDigest(s.doc, s.raw)
	}
	return s.Entry
}

// Scan reports the live records in the order of their keys.
func (m *Memory) Scan(ctx context.Context, t backends.Target, fn func([]backends.Entry) error) error {
	s, err := m.begin(ctx, "scan", t, nil)
	if err != nil {
		return err
	}
	s.mu.Lock()
	held, err := m.target(s, "scan", t)
	keys := slices.Sorted(maps.Keys(held))
	s.mu.Unlock()
	if err != nil {
		return err
	}
	for page := range slices.Chunk(keys, memoryPage) {
		entries, err := m.Lookup(ctx, t, page)
		if err != nil {
			return err
		}
		if len(entries) == 0 {
			continue
		}
		if err := fn(entries); err != nil {
			return err
		}
	}
	return nil
}

// Lookup tells what is held for the keys.
func (m *Memory) Lookup(ctx context.Context, t backends.Target, keys []string) ([]backends.Entry, error) {
	s, err := m.begin(ctx, "lookup", t, nil)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	held, err := m.target(s, "lookup", t)
	if err != nil {
		return nil, err
	}
	var entries []backends.Entry
	for _, key := range keys {
		if r, there := held[key]; there && !r.deleted {
			entries = append(entries, m.entry(r))
		}
	}
	return entries, nil
}

// Compare compares the documents that are held.
func (m *Memory) Compare(ctx context.Context, t backends.Target, records []backends.Record) ([]backends.Mismatch, error) {
	s, err := m.begin(ctx, "compare", t, records)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	held, err := m.target(s, "compare", t)
	if err != nil {
		return nil, err
	}
	var found []backends.Mismatch
	for _, r := range records {
		have, there := held[r.Key]
		if !there || have.deleted {
			continue
		}
		columns, err := content.Differ(r.Doc, have.doc)
		if err != nil {
			return nil, m.fail("compare", t, backends.Unknown, err)
		}
		if len(columns) > 0 {
			found = append(found, backends.Mismatch{Key: r.Key, Columns: columns})
		}
	}
	return found, nil
}

// Count counts the live records.
func (m *Memory) Count(ctx context.Context, t backends.Target) (int64, error) {
	s, err := m.begin(ctx, "count", t, nil)
	if err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	held, err := m.target(s, "count", t)
	n := int64(0)
	for _, r := range held {
		if !r.deleted {
			n++
		}
	}
	return n, err
}

// Health is nil until Close.
func (m *Memory) Health(ctx context.Context) error {
	_, err := m.begin(ctx, "health", backends.Target{}, nil)
	return err
}

// Close makes later calls fail. The store keeps its records.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}

// begin is what every call begins with; its answer is the store.
func (m *Memory) begin(ctx context.Context, op string, t backends.Target, records []backends.Record) (*MemoryStore, error) {
	if ctx.Err() != nil {
		return nil, m.fail(op, t, backends.Transient, ctx.Err())
	}
	if m.Before != nil {
		if err := m.Before(ctx, op, t, records); err != nil {
			return nil, err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, m.fail(op, t, backends.Transient, errors.New("the backend is closed"))
	}
	if m.Store == nil {
		m.Store = &MemoryStore{}
	}
	m.Store.mu.Lock()
	defer m.Store.mu.Unlock()
	if m.Store.targets == nil {
		m.Store.targets = map[string]map[string]stored{}
	}
	return m.Store, nil
}

func (m *Memory) target(s *MemoryStore, op string, t backends.Target) (map[string]stored, error) {
	held := s.targets[t.Name]
	if held == nil {
		return nil, m.fail(op, t, backends.Schema, errors.New("target "+t.Name+" is missing"))
	}
	return held, nil
}

func (m *Memory) fail(op string, t backends.Target, class backends.Class, err error) *backends.Error {
	name := m.Name
	if name == "" {
		name = "memory"
	}
	return &backends.Error{Op: op, Backend: name, Kind: t.Kind, Class: class, Err: err}
}
