package postgres

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/internal/pgtest"
)

// A fixture is a backend on a database of its own with one prepared target.
type fixture struct {
	testing.TB
	*backend
	admin   *pgxpool.Pool
	target  backends.Target
	version int64
}

func newFixture(tb testing.TB, target backends.Target) *fixture {
	tb.Helper()
	pool := pgtest.Empty(tb)
	f := &fixture{TB: tb, admin: pool, target: target, backend: store(tb, map[string]any{"url": pgtest.URL(tb, pool)})}
	tb.Cleanup(func() { _ = f.Close() })
	f.prepare()
	return f
}

func (f *fixture) prepare() {
	f.Helper()
	if err := f.Prepare(f.Context(), []backends.Target{f.target}); err != nil {
		f.Fatal(err)
	}
}

func columns(names ...string) (cs []backends.Column) {
	for _, name := range names {
		cs = append(cs, backends.Column{Name: name, Type: "text"})
	}
	return cs
}

func record(version int64, key string, doc any, raw ...[]byte) backends.Record {
	b, err := json.Marshal(doc)
	if err != nil {
		panic(err)
	}
	return backends.Record{Key: key, Version: version, Doc: b, Raw: raw, Digest: backends.ContentDigest(b, raw)}
}

// write wants all records applied.
func (f *fixture) write(records ...backends.Record) {
	f.Helper()
	results, err := backends.WriteBisected(f.Context(), f.backend, f.target, records)
	if err != nil {
		f.Fatal(err)
	}
	for i, r := range results {
		if r.Outcome != backends.Applied {
			f.Fatalf("record %q: %+v", records[i].Key, r)
		}
	}
}

// put writes one document.
func (f *fixture) put(key string, doc any, raw ...[]byte) {
	f.Helper()
	f.version++
	f.write(record(f.version, key, doc, raw...))
}

// strings is what a query of one text column answers.
func (f *fixture) strings(sql string, args ...any) []string {
	f.Helper()
	rows, err := f.admin.Query(f.Context(), sql, args...)
	if err != nil {
		f.Fatalf("%s: %v", sql, err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		f.Fatalf("%s %v: %v", sql, args, err)
	}
	return got
}

func (f *fixture) exec(sql string) {
	f.Helper()
	exec(f, f.admin, sql)
}

// fails wants a query to be refused with a message.
func (f *fixture) fails(sql string, args ...any) string {
	f.Helper()
	_, err := f.admin.Exec(f.Context(), sql, args...)
	if err == nil {
		f.Fatalf("%s succeeded", sql)
	}
	return fmt.Sprint(err)
}
