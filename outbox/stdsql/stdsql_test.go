package stdsql_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"pgregory.net/rapid"

	"github.com/outflow-db/outflow/internal/pgtest"
	"github.com/outflow-db/outflow/outbox"
	"github.com/outflow-db/outflow/outbox/stdsql"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// database is one, as database/sql and as pgx know it.
func database(t *testing.T) (*sql.DB, *pgxpool.Pool) {
	t.Helper()
	pool := pgtest.New(t)
	db := stdlib.OpenDBFromPool(pool)
	t.Cleanup(func() { db.Close() })
	return db, pool
}

// within runs fn in a transaction that is committed, or rolled back if it fails.
func within(t *testing.T, db *sql.DB, fn func(*sql.Tx) error) error {
	t.Helper()
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := fn(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

func text(t *testing.T, db *sql.DB, query string) string {
	t.Helper()
	var s string
	if err := db.QueryRowContext(t.Context(), "select coalesce(("+query+")::text, '')").Scan(&s); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return s
}

// Everything that a writer can do with pgx it can do with database/sql, in its own transaction; a token is waited for.
func TestWriter(t *testing.T) {
	t.Parallel()
	db, pool := database(t)
	var token string
	if err := within(t, db, func(tx *sql.Tx) (err error) {
		ctx := t.Context()
		if err := errors.Join(
			stdsql.SetHeaders(ctx, tx, map[string]string{"traceparent": "00-1"}),
			stdsql.Put(ctx, tx, outbox.Record{Kind: "note", Key: "1", Body: map[string]int{"a": 1}, Embedding: []float32{0.5, -1}}, outbox.Record{Kind: "note", Key: "2"}),
			stdsql.Delete(ctx, tx, "note", "2", "3"),
			stdsql.Changed(ctx, tx, "note", "4", "5"),
			stdsql.ChangedAll(ctx, tx, "note"),
		); err != nil {
			return err
		}
		token, err = stdsql.Token(ctx, tx)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if got, want := text(t, db, `select string_agg(concat_ws(' ', key, body, embedding), ', ') from outbox.records`), `1 {"a": 1} {0.5,-1}`; got != want {
		t.Errorf("records: %s, want %s", got, want)
	}
	if got, want := text(t, db, `select string_agg(keys::text, ' ' order by id) from outbox.log where headers->>'traceparent' = '00-1'`), "{1,2} {2} {4,5} {}"; got != want {
		t.Errorf("logged %s, want %s", got, want)
	}
	if err := outbox.Wait(t.Context(), pool, token); err != nil {
		t.Error(err)
	}
	if err := within(t, db, func(tx *sql.Tx) (err error) { token, err = stdsql.Token(t.Context(), tx); return err }); err != nil || token != "" {
		t.Errorf("the token of a transaction that wrote nothing: %q, %v", token, err)
	}
}

// Nothing of a transaction that is rolled back stays.
func TestRollback(t *testing.T) {
	t.Parallel()
	db, _ := database(t)
	stop := errors.New("stop")
	err := within(t, db, func(tx *sql.Tx) error {
		return errors.Join(stdsql.Put(t.Context(), tx, outbox.Record{Kind: "note", Key: "1"}), stop)
	})
	if !errors.Is(err, stop) {
		t.Fatal(err)
	}
	if got := text(t, db, `select count(*) from outbox.log`); got != "0" {
		t.Errorf("%s rows in the log", got)
	}
}

// Wrong arguments are refused before anything is sent, and PostgreSQL's refusals come back.
func TestErrors(t *testing.T) {
	t.Parallel()
	db, _ := database(t)
	err := within(t, db, func(tx *sql.Tx) error {
		for _, err := range []error{
			stdsql.Put(t.Context(), tx, outbox.Record{Kind: "Note"}), stdsql.Delete(t.Context(), tx, "note", ""),
			stdsql.Changed(t.Context(), tx, ""), stdsql.ChangedAll(t.Context(), tx, ""),
		} {
			if _, ok := errors.AsType[*outbox.InputError](err); !ok {
				t.Errorf("got %v, want an *InputError", err)
			}
		}
		return stdsql.Changed(t.Context(), tx, "unknown", "1")
	})
	if err == nil || !strings.Contains(err.Error(), "unknown kind") {
		t.Errorf("got %v, want an unknown kind", err)
	}
}

// Whatever a key and a body hold arrives as it is.
func TestTextsArriveAsTheyAre(t *testing.T) {
	t.Parallel()
	db, _ := database(t)
	rapid.Check(t, func(rt *rapid.T) {
		keys := rapid.SliceOfNDistinct(rapid.StringMatching(`([^\x00]|[\\"{}, ]|NULL){1,20}`), 1, 5, rapid.ID[string]).Draw(rt, "keys")
		tx, err := db.BeginTx(context.WithoutCancel(t.Context()), nil)
		if err != nil {
			rt.Fatal(err)
		}
		defer tx.Rollback()
		var records []outbox.Record
		want := map[string]string{}
		for _, k := range keys {
			records = append(records, outbox.Record{Kind: "note", Key: k, Body: k})
			want[k] = k
		}
		if err := stdsql.Put(t.Context(), tx, records...); err != nil {
			rt.Fatal(err)
		}
		rows, err := tx.QueryContext(t.Context(), `select key, body #>> '{}' from outbox.records`)
		if err != nil {
			rt.Fatal(err)
		}
		defer rows.Close()
		got := map[string]string{}
		for rows.Next() {
			var k, v string
			if err := rows.Scan(&k, &v); err != nil {
				rt.Fatal(err)
			}
			got[k] = v
		}
		if diff := cmp.Diff(want, got); diff != "" || rows.Err() != nil {
			rt.Fatal(diff, rows.Err())
		}
	})
}

// A record is put with database/sql, in the application's own transaction.
func Example() {
	write := func(ctx context.Context, db *sql.DB) (token string, err error) {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return "", err
		}
		defer tx.Rollback() // after a commit it does nothing
		if err := stdsql.Put(ctx, tx, outbox.Record{Kind: "note", Key: "1", Body: "hello"}); err != nil {
			return "", err
		}
		if token, err = stdsql.Token(ctx, tx); err != nil {
			return "", err
		}
		return token, tx.Commit()
	}
	_ = write
	fmt.Println("the token is what outbox.Wait waits for")
	// Output: the token is what outbox.Wait waits for
}
