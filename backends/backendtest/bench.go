package backendtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/internal/projection"
)

// A bench is one test's backend, target and source, with what the store ought to hold.
type bench struct {
	testing.TB
	suite   Suite
	backend backends.Backend
	target  backends.Target
	layout  backends.Layout
	pool    *pgxpool.Pool
	schema  string
	query   string
	want    map[string]backends.Entry
}

// newBench opens a backend and prepares a target of the suite's base shape.
func newBench(tb testing.TB, s Suite) *bench {
	tb.Helper()
	return benchOf(tb, s, s.Base, s.Open(tb))
}

func benchOf(tb testing.TB, s Suite, shape Shape, b backends.Backend) *bench {
	tb.Helper()
	x := unprepared(tb, s, shape, b)
	if err := b.Prepare(tb.Context(), []backends.Target{x.target}); err != nil {
		tb.Fatalf("preparing: %v", err)
	}
	return x
}

func unprepared(tb testing.TB, s Suite, shape Shape, b backends.Backend) *bench {
	tb.Helper()
	tb.Cleanup(func() {
		if err := b.Close(); err != nil {
			tb.Errorf("closing: %v", err)
		}
	})
	settings, _ := s.settings(shape)
	x := &bench{TB: tb, suite: s, backend: b, pool: s.source, want: map[string]backends.Entry{}}
	x.schema = "case_" + strings.ToLower(rand.Text())
	x.sql(tables())
	x.query = x.ours(shapes[shape])
	columns, _, err := projection.Describe(tb.Context(), x.pool, x.query)
	if err != nil {
		tb.Fatal(err)
	}
	x.target = backends.Target{Kind: "item", Name: "conformance_" + string(shape), Columns: columns, Settings: settings}
	if x.layout, err = b.Layout(x.target); err != nil {
		tb.Fatalf("the layout of %s: %v", shape, err)
	}
	return x
}

// ours puts the case's schema in place of @.
func (x *bench) ours(sql string) string { return strings.ReplaceAll(sql, "@", x.schema) }

func (x *bench) sql(sql string, args ...any) {
	x.Helper()
	if _, err := x.pool.Exec(x.Context(), x.ours(sql), args...); err != nil {
		x.Fatalf("%.100s: %v", sql, err)
	}
}

// put writes rows of table item; the content follows from the key and the seed.
func (x *bench) put(seed int, keys ...string) {
	x.Helper()
	x.sql(`insert into @.item select k, 'name ' || seed, seed, md5(k || seed), array[seed, 1, -1, octet_length(k)]::real[],
	              'a' || length(k), 'b' || seed, 'calls' from unnest($1::text[]) k, (select $2::int) s(seed)
	       on conflict (key) do update set (name, n, note, embedding, src, dst, typ) =
	              (excluded.name, excluded.n, excluded.note, excluded.embedding, excluded.src, excluded.dst, excluded.typ)`, keys, seed)
}

// read reads the rows as the engine does; a key without a row is a deleted record.
func (x *bench) read(version int64, keys ...string) []backends.Record {
	x.Helper()
	tx, err := x.pool.Begin(x.Context())
	if err != nil {
		x.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(x.Context())) }()
	if _, err := tx.Exec(x.Context(), projection.Locals); err != nil {
		x.Fatal(err)
	}
	rows, err := tx.Query(x.Context(), projection.SQL(x.query, x.layout), projection.Formats(x.layout), keys)
	if err != nil {
		x.Fatal(err)
	}
	found := map[string]backends.Record{}
	for r, err := range projection.Read(rows, x.layout, version) {
		if err != nil {
			x.Fatal(err)
		}
		found[r.Key] = r
	}
	records := make([]backends.Record, len(keys))
	for i, key := range keys {
		records[i] = backends.Record{Key: key, Version: version, Deleted: true}
		if r, ok := found[key]; ok {
			records[i] = r
		}
	}
	return records
}

// state is put and read: records of a content.
func (x *bench) state(version int64, seed int, keys ...string) []backends.Record {
	x.Helper()
	x.put(seed, keys...)
	return x.read(version, keys...)
}

// gone are deleted records.
func gone(version int64, keys ...string) []backends.Record {
	records := make([]backends.Record, len(keys))
	for i, key := range keys {
		records[i] = backends.Record{Key: key, Version: version, Deleted: true}
	}
	return records
}

// write writes the records and wants every one applied; the store ought to hold them from now on.
func (x *bench) write(records []backends.Record) {
	x.Helper()
	results := x.try(records)
	for i, record := range records {
		if r := results[i]; r.Outcome != backends.Applied {
			x.Errorf("record %q of version %d: got %v, want applied", record.Key, record.Version, describe(r))
		}
	}
	x.expect(records)
}

// try writes the records and wants an answer for each.
func (x *bench) try(records []backends.Record) []backends.Result {
	x.Helper()
	results, err := backends.WriteBisected(x.Context(), x.backend, x.target, records)
	if err != nil {
		x.Fatalf("writing %d records: %v", len(records), err)
	}
	return results
}

func (x *bench) expect(records []backends.Record) {
	for _, r := range records {
		if r.Deleted {
			delete(x.want, r.Key)
		} else {
			x.want[r.Key] = backends.Entry{Key: r.Key, Version: r.Version, Digest: r.Digest}
		}
	}
}

func describe(r backends.Result) string {
	switch r.Outcome {
	case backends.Applied:
		return "applied"
	case backends.Stale:
		return fmt.Sprintf("stale, %d is stored", r.Stored)
	default:
		return fmt.Sprintf("failed: %v", r.Err)
	}
}

// check compares what Scan and Lookup tell with what the store ought to hold. Keys in absent are looked up
// as well.
func (x *bench) check(absent ...string) {
	x.Helper()
	x.refresh()
	if d := cmp.Diff(x.want, x.scan()); d != "" {
		x.Errorf("the store differs from what was written (-want +got):\n%s", d)
	}
	keys := slices.Concat(slices.Sorted(maps.Keys(x.want)), absent)
	if d := cmp.Diff(x.want, x.lookup(keys...)); d != "" {
		x.Errorf("lookup differs from what was written (-want +got):\n%s", d)
	}
}

func (x *bench) refresh() {
	x.Helper()
	if x.suite.Refresh == nil {
		return
	}
	if err := x.suite.Refresh(x.Context()); err != nil {
		x.Fatalf("refreshing: %v", err)
	}
}

// maxPage is more than any store should keep in memory for a page.
const maxPage = 20_000

func (x *bench) scan() map[string]backends.Entry {
	x.Helper()
	got := map[string]backends.Entry{}
	err := x.backend.Scan(x.Context(), x.target, func(page []backends.Entry) error {
		if len(page) > maxPage {
			x.Errorf("a page of %d entries", len(page))
		}
		for _, e := range page {
			if _, twice := got[e.Key]; twice {
				x.Errorf("key %q was scanned twice", e.Key)
			}
			got[e.Key] = e
		}
		return nil
	})
	if err != nil {
		x.Fatalf("scanning: %v", err)
	}
	return got
}

func (x *bench) lookup(keys ...string) map[string]backends.Entry {
	x.Helper()
	entries, err := x.backend.Lookup(x.Context(), x.target, keys)
	if err != nil {
		x.Fatalf("looking up %d keys: %v", len(keys), err)
	}
	got := map[string]backends.Entry{}
	for _, e := range entries {
		got[e.Key] = e
	}
	return got
}

// class wants err to be an *Error of one of the classes, with what an operator needs.
func (x *bench) class(err error, want ...backends.Class) {
	x.Helper()
	if err == nil {
		x.Errorf("got no error, want class %v", want)
		return
	}
	checkError(x, err, want...)
}

func checkError(tb testing.TB, err error, want ...backends.Class) {
	tb.Helper()
	e := backends.AsError("", "", err)
	switch {
	case !slices.Contains(want, e.Class):
		tb.Errorf("got class %s, want %v: %v", e.Class, want, err)
	case e.Op == "" || e.Backend == "" || e.What() == "":
		tb.Errorf("op, backend or advice is missing in %#v", e)
	}
}
