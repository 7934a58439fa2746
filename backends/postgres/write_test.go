package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgconn"
	"pgregory.net/rapid"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/internal/pgtest"
)

// Each code of PostgreSQL has the class whose behaviour is right for it.
func TestClasses(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]backends.Class{
		"08006": backends.Transient, "08007": backends.Unknown, "40003": backends.Unknown, "40001": backends.Transient, "40P01": backends.Transient,
		"57P01": backends.Transient, "57P03": backends.Transient, "57014": backends.Transient, "55P03": backends.Transient, "25006": backends.Transient,
		"53300": backends.Overload, "53100": backends.Overload, "53200": backends.Overload, "28P01": backends.Denied, "28000": backends.Denied,
		"42501": backends.Denied, "42P01": backends.Schema, "42703": backends.Schema, "3F000": backends.Schema, "3D000": backends.Schema, "42883": backends.Schema,
		"22003": backends.Rejected, "22P02": backends.Rejected, "22021": backends.Rejected, "23505": backends.Rejected, "54000": backends.Rejected,
		"21000": backends.Rejected, "P0001": backends.Rejected, "XX000": backends.Transient, "58030": backends.Transient, "": backends.Unknown,
	} {
		if got := classOf(fmt.Errorf("wrapped: %w", &pgconn.PgError{Code: code})); got != want {
			t.Errorf("%s: got %s, want %s", code, got, want)
		}
	}
	b := store(t, map[string]any{"url": "postgres://h/d"})
	defer func() { _ = b.Close() }()
	for err, want := range map[error]backends.Class{
		io.ErrUnexpectedEOF: backends.Unknown, context.DeadlineExceeded: backends.Unknown, b.fail("x", backends.Overload, io.EOF): backends.Overload,
	} {
		if got := b.classify("write", err).Class; got != want {
			t.Errorf("%v: got %s, want %s", err, got, want)
		}
	}
	for code, want := range map[string]string{"53300": "connections", "53100": "disk", "3D000": "create it", "54000": "shorten"} {
		if got := advice(&pgconn.PgError{Code: code}); !strings.Contains(got, want) {
			t.Errorf("%s: got %q", code, got)
		}
	}
}

// An acknowledged write is flushed, even where the role's default is not to.
func TestWriteIsDurable(t *testing.T) {
	t.Parallel()
	f := newFixture(t, backends.Target{Kind: "k", Name: "t", Columns: columns("a")})
	f.exec(`create table seen (setting text);
		create function see() returns trigger language plpgsql as $$ begin insert into seen values (current_setting('synchronous_commit')); return null; end $$;
		create constraint trigger see after insert on readmodel.t deferrable initially deferred for each row execute function see()`)
	f.exec("alter database " + f.admin.Config().ConnConfig.Database + " set synchronous_commit = off")
	_ = f.Close()
	f.backend = store(t, map[string]any{"url": pgtest.URL(t, f.admin)}) // new connections
	f.put("x", map[string]any{"a": "1"})
	f.put("y", map[string]any{"a": "1"})
	if got := f.strings("select setting from seen"); fmt.Sprint(got) != "[on on]" {
		t.Errorf("at commit synchronous_commit was %v", got)
	}
}

// Tombstones older than the setting are removed in the wake of a write, younger ones and live records stay.
func TestTombstonesArePruned(t *testing.T) {
	t.Parallel()
	f := newFixture(t, backends.Target{Kind: "k", Name: "t", Columns: columns("a")})
	var batch []backends.Record
	for i := range pruneRows + 2 {
		batch = append(batch, backends.Record{Key: fmt.Sprint(i), Version: 1, Deleted: true})
	}
	f.write(append(batch, record(1, "live", map[string]any{"a": ""}))...)
	f.exec("update readmodel.t set deleted_at = deleted_at - interval '7 days 23 hours' where key = '0'")
	f.exec("update readmodel.t set deleted_at = deleted_at - interval '8 days 1 minute' where key > '0' and deleted_at is not null")
	count := func() string { return f.strings("select count(*)::text from readmodel.t")[0] }
	f.put("one", map[string]any{"a": ""}) // the first write was less than ten minutes ago
	if got := count(); got != fmt.Sprint(pruneRows+4) {
		t.Errorf("%s rows: pruned too early", got)
	}
	f.pruned.again(`"readmodel"."t"`)
	f.put("one", map[string]any{"a": ""})
	if got := count(); got != "4" {
		t.Errorf("%s rows: want a helping of %d pruned", got, pruneRows)
	}
	f.put("one", map[string]any{"a": ""}) // after a full helping the next is due at once
	if got := f.strings("select key from readmodel.t order by key"); fmt.Sprint(got) != "[0 live one]" {
		t.Errorf("left are %v", got)
	}
}

// A failing removal of tombstones does not fail the write.
func TestPruneMayFail(t *testing.T) {
	t.Parallel()
	f := newFixture(t, backends.Target{Kind: "k", Name: "t", Columns: columns("a")})
	f.exec(`create function no() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$;
		create trigger no before delete on readmodel.t for each row execute function no()`)
	f.write(backends.Record{Key: "x", Version: 1, Deleted: true})
	f.exec("update readmodel.t set deleted_at = '2000-01-01'")
	f.pruned.again(`"readmodel"."t"`)
	f.put("y", map[string]any{"a": ""})
}

// Pruning is due at first, then after its pause.
func TestPruneTimes(t *testing.T) {
	t.Parallel()
	var p pruneTimes
	now := time.Unix(0, 0)
	var got []bool
	for _, after := range []time.Duration{0, 0, pruneEvery - 1, pruneEvery, pruneEvery} {
		got = append(got, p.take("t", now.Add(after)))
	}
	if d := cmp.Diff([]bool{true, false, false, true, false}, got); d != "" || !p.take("other", now) {
		t.Error(d)
	}
}

// A standby is not healthy: it takes no writes. Nor is a server whose transactions are read-only.
func TestReadOnlyIsTransient(t *testing.T) {
	t.Parallel()
	f := newFixture(t, backends.Target{Kind: "k", Name: "t", Columns: columns("a")})
	f.exec("alter database " + f.admin.Config().ConnConfig.Database + " set default_transaction_read_only = on")
	b := store(t, map[string]any{"url": pgtest.URL(t, f.admin)})
	defer func() { _ = b.Close() }()
	_, err := b.Write(t.Context(), f.target, []backends.Record{record(1, "x", map[string]any{"a": ""})})
	if backends.ClassOf(err) != backends.Transient {
		t.Errorf("got %v", err)
	}
}

// A column's text is found in any document that PostgreSQL writes.
func TestTexts(t *testing.T) {
	t.Parallel()
	f := newFixture(t, backends.Target{Kind: "k", Name: "t", Columns: columns("a")})
	value := rapid.SampledFrom([]string{
		`null`, `true`, `0`, `-1.5e3`, `""`, `"x"`, `"a\"b\\"`, `"}{,:"`, `"\u0001\n🚀"`, `[]`, `{}`, `[1, [2, "]"]]`, `{"a": {"b": "}"}, "c": []}`, `"\\"`,
	})
	rapid.Check(t, func(rt *rapid.T) {
		names := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"", "a", "b", `"`, `\`, "é", "a:b", "{", "n", "\t"}), 0, 6, rapid.ID).Draw(rt, "names")
		values := make([]string, len(names))
		for i := range values {
			values[i] = value.Draw(rt, "value")
		}
		doc := f.strings("select jsonb_object($1::text[], array_fill(''::text, array[cardinality($1::text[])]))::text", names)[0]
		var want []string
		for i, name := range names {
			doc = f.strings("select jsonb_set($1::jsonb, array[$2::text], $3::jsonb)::text", doc, name, values[i])[0]
		}
		for _, name := range append(slices.Clone(names), "absent") {
			want = append(want, f.strings("select coalesce($1::jsonb ->> $2, '')", doc, name)[0])
		}
		got, err := texts([]byte(doc), append(slices.Clone(names), "absent"))
		if err != nil {
			rt.Fatalf("%s: %v", doc, err)
		}
		if d := cmp.Diff(want, got); d != "" {
			rt.Fatalf("%s (-want +got):\n%s", doc, d)
		}
	})
}

// What is no document is refused, and never read beyond its end.
func FuzzTexts(f *testing.F) {
	for _, s := range []string{`{"a": 1}`, `{`, `{"a"`, `{"a":`, `{"a": "`, `{"a": "\`, `{"a": [}`, `x`, ``, `{"a": }`, `{}x`, `[]`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got, err := texts([]byte(s), []string{"a"}); err != nil && got != nil {
			t.Errorf("%q: both %v and %v", s, got, err)
		}
	})
}

// A document that cannot be read is refused for its record.
func TestBadDocument(t *testing.T) {
	t.Parallel()
	m := &model{text: []string{"a"}}
	for _, doc := range []string{``, `x`, `{`, `{"a": 1`, `{"a": "\q"}`, `{"\q": 1}`, `{"a" 1}`, `{"a":`} {
		if err := m.index(&index{}, []byte(doc)); err == nil {
			t.Errorf("%q was read", doc)
		}
	}
	if err := m.index(&index{}, []byte(`{}`)); err != nil {
		t.Error(err)
	}
	if !errors.Is(m.index(&index{}, nil), errNoDocument) {
		t.Error("no document is not told")
	}
}
