package backendtest

import (
	"fmt"
	"slices"
	"sync"

	"pgregory.net/rapid"

	"github.com/outflow-db/outflow/backends"
)

// stale wants records refused because version 10 is stored, and that version told if any is.
func (x *bench) stale(records ...backends.Record) {
	x.Helper()
	const stored = 10
	results := x.try(records)
	for i, record := range records {
		if r := results[i]; r.Outcome != backends.Stale || r.Stored != 0 && r.Stored != stored {
			x.Errorf("key %q of version %d over %d: %s, want stale", record.Key, record.Version, stored, describe(r))
		}
	}
}

// A write or delete of an older version is refused and changes nothing; one of the same version is not.
func testStale(tb test, s Suite) {
	x := newBench(tb, s)
	if !x.backend.Features().Guarded {
		tb.Skip("the store does not promise to refuse older versions")
	}
	old := x.state(5, 1, "a", "b")
	x.write(x.state(10, 2, "a", "b"))
	x.stale(old[0])
	x.stale(gone(9, "b")...)
	x.check()
	x.write(x.state(10, 3, "a"))
	x.check()
}

// After a delete, a late write of an older version is refused too, even of a key that never was.
func testTombstones(tb test, s Suite) {
	x := newBench(tb, s)
	if !x.backend.Features().Tombstones {
		tb.Skip("the store does not promise to remember deletes")
	}
	late := x.state(7, 1, "a", "never")
	x.write(x.state(5, 2, "a"))
	x.write(gone(10, "a", "never"))
	x.stale(late...)
	x.stale(gone(9, "a")...)
	x.check("a", "never")
	x.write(x.state(11, 3, "a"))
	x.check("never")
}

// Whatever sequence of writes, deletes and late replays comes, the store holds what a map with a version
// guard holds.
func testModel(tb test, s Suite) {
	x := newBench(tb, s)
	f := x.backend.Features()
	keys := []string{"k1", "k2", "k3", "k4"}
	contents := make([][]backends.Record, 3) // by seed, in the order of the keys
	for seed := range contents {
		contents[seed] = x.state(1, seed, keys...)
	}
	base := int64(0) // versions grow over all runs, because the store stays the same
	rapid.Check(tb, func(rt *rapid.T) {
		base += 100
		x.write(gone(base, keys...))
		m := model{features: f, keys: map[string]held{}}
		for range rapid.IntRange(1, 8).Draw(rt, "steps") {
			m.step(rt, x, keys, contents, base)
		}
		x.check(keys...)
	})
}

// model is what a store with a version guard holds.
type model struct {
	features backends.Features
	keys     map[string]held
	newest   int64
}

type held struct {
	version int64
	deleted bool
}

// step sends one batch and compares the answers with the model's. A store that guards nothing, or not
// deletes, gets no batch that only a guard could refuse.
func (m *model) step(rt *rapid.T, x *bench, keys []string, contents [][]backends.Record, base int64) {
	version := base + int64(rapid.IntRange(1, 90).Draw(rt, "version"))
	if !m.features.Guarded || !m.features.Tombstones {
		version = max(version, m.newest)
	}
	m.newest = max(m.newest, version)
	var batch []backends.Record
	for i, key := range keys {
		switch seed := rapid.IntRange(-2, len(contents)-1).Draw(rt, "content"); {
		case seed >= 0:
			r := contents[seed][i]
			r.Version = version
			batch = append(batch, r)
		case seed == -1:
			batch = append(batch, gone(version, key)...)
		}
	}
	for i, got := range x.try(batch) {
		r, want := batch[i], backends.Applied
		if m.features.Guarded && m.keys[r.Key].version > version {
			want = backends.Stale
		} else {
			m.keys[r.Key] = held{version, r.Deleted}
			x.expect(batch[i : i+1])
		}
		if got.Outcome != want {
			rt.Fatalf("key %q of version %d over %+v: %s", r.Key, version, m.keys[r.Key], describe(got))
		}
	}
}

// In whatever order the versions of a key arrive, and however often, the highest stays. That holds for a delete among
// them, too, where deletes are remembered.
func testPermutations(tb test, s Suite) {
	x := newBench(tb, s)
	if !x.backend.Features().Guarded {
		tb.Skip("the store does not promise to refuse older versions")
	}
	const versions = 4
	orders := permutations(versions)
	var keys, deleted []string
	for i := range orders {
		keys = append(keys, fmt.Sprintf("key %d", i))
		if x.backend.Features().Tombstones { // the highest version of these is a delete
			deleted = append(deleted, fmt.Sprintf("deleted %d", i))
		}
	}
	both := slices.Concat(keys, deleted)
	all := make([][]backends.Record, versions)
	for v := range all {
		all[v] = x.state(int64(v+1), v, both...)
	}
	copy(all[versions-1][len(keys):], gone(versions, deleted...))
	for step := range 2 * versions { // in the order, and then backwards
		at := min(step, 2*versions-1-step)
		batch := make([]backends.Record, len(both))
		for i := range both {
			batch[i] = all[orders[i%len(orders)][at]][i]
		}
		for i, r := range x.try(batch) {
			if r.Outcome == backends.Failed {
				x.Fatalf("key %q of version %d: %s", batch[i].Key, batch[i].Version, describe(r))
			}
		}
	}
	x.expect(all[versions-1])
	x.check(deleted...)
}

// permutations are all orders of 0 to n-1.
func permutations(n int) [][]int {
	if n == 0 {
		return [][]int{nil}
	}
	var all [][]int
	for _, p := range permutations(n - 1) {
		for at := range n {
			all = append(all, slices.Insert(slices.Clone(p), at, n-1))
		}
	}
	return all
}

// Many versions of the same keys, written at once: the highest stays.
func testConcurrentVersions(tb test, s Suite) {
	x := newBench(tb, s)
	if !x.backend.Features().Guarded {
		tb.Skip("the store does not promise to refuse older versions")
	}
	keys := make([]string, 50)
	for i := range keys {
		keys[i] = fmt.Sprintf("key %d", i)
	}
	var batches [][]backends.Record
	for v := range 8 {
		batches = append(batches, x.state(int64(v+1), v, keys...))
	}
	x.expect(batches[7])
	var writers sync.WaitGroup
	for i, batch := range batches {
		if i%2 == 0 { // not all in the same order
			for a, b := 0, len(batch)-1; a < b; a, b = a+1, b-1 {
				batch[a], batch[b] = batch[b], batch[a]
			}
		}
		writers.Go(func() {
			if err := x.insist(batch); err != nil {
				tb.Errorf("version %d: %v", batch[0].Version, err)
			}
		})
	}
	writers.Wait()
	x.check()
}

// insist writes until it is neither transient nor too much, as the engine does.
func (x *bench) insist(records []backends.Record) error {
	for {
		_, err := backends.WriteBisected(x.Context(), x.backend, x.target, records)
		if err == nil || backends.ClassOf(err) != backends.Transient && backends.ClassOf(err) != backends.Overload {
			return err
		}
	}
}
