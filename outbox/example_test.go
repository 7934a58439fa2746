package outbox_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outflow-db/outflow/internal/pgtest"
	"github.com/outflow-db/outflow/outbox"
)

// A record is stored with the application's own rows, or not at all.
func ExamplePut() {
	ctx := context.Background()
	pool, done := database() // an application's own, with the migrations applied
	defer done()
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		return outbox.Put(ctx, tx,
			outbox.Record{Kind: "article", Key: "42", Body: map[string]any{"title": "Positions are snapshots"}, Embedding: []float32{0.1, 0.2}},
			outbox.Record{Kind: "article", Key: "43", Body: map[string]any{"title": "Keys, not payloads"}})
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(changes(ctx, pool))
	// Output: article [42 43]
}

func ExampleDelete() {
	ctx := context.Background()
	pool, done := database() // an application's own, with the migrations applied
	defer done()
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if err := outbox.Put(ctx, tx, outbox.Record{Kind: "draft", Key: "1"}); err != nil {
			return err
		}
		return outbox.Delete(ctx, tx, "draft", "1")
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(changes(ctx, pool))
	// Output:
	// draft [1]
	// draft [1]
}

// Everything that is wrong with the arguments is said at once, before anything is sent.
func ExampleInputError() {
	ctx := context.Background()
	pool, done := database() // an application's own, with the migrations applied
	defer done()
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		return outbox.Put(ctx, tx, outbox.Record{Kind: "article", Key: ""}, outbox.Record{Kind: "Article", Key: "44"})
	})
	fmt.Println(err)
	// Output:
	// putting records: records[0].key: it is empty
	// records[1].kind: "Article" is no name of a kind: small letters, digits and _, a letter first, at most 63
}

// A table is watched once, such as by a migration. From then on every write to it is logged.
func ExampleWatch() {
	ctx := context.Background()
	pool, done := database() // an application's own, with the migrations applied
	defer done()
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `create table books (isbn text primary key, title text)`); err != nil {
			return err
		}
		if err := outbox.Watch(ctx, tx, outbox.Kind{Name: "book", Table: "books"}); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `insert into books values ('978-0', 'Outbox'), ('978-1', 'Inbox')`)
		return err
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(changes(ctx, pool))
	// Output: book [978-0 978-1]
}

// What no watch sees, such as a value that a projection reads from elsewhere, is said to have changed.
func ExampleChanged() {
	ctx := context.Background()
	pool, done := database() // an application's own, with the migrations applied
	defer done()
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if err := outbox.Watch(ctx, tx, outbox.Kind{Name: "price", List: `select sku::text as key from generate_series(1, 3) sku`}); err != nil {
			return err
		}
		return outbox.Changed(ctx, tx, "price", "1", "3")
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(changes(ctx, pool))
	// Output: price [1 3]
}

// The token tells a later reader which transaction to wait for: see Wait.
func ExampleToken() {
	ctx := context.Background()
	pool, done := database() // an application's own, with the migrations applied
	defer done()
	var before, after string
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) (err error) {
		if before, err = outbox.Token(ctx, tx); err != nil {
			return err
		}
		if err := outbox.Put(ctx, tx, outbox.Record{Kind: "article", Key: "45"}); err != nil {
			return err
		}
		after, err = outbox.Token(ctx, tx)
		return err
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(before == "", after != "")
	// Output: true true
}

// changes shows what was logged.
func changes(ctx context.Context, pool *pgxpool.Pool) string {
	var text string
	err := pool.QueryRow(ctx, `select string_agg(kind || ' [' || array_to_string(keys, ' ') || ']', E'\n' order by id) from outbox.log`).Scan(&text)
	if err != nil {
		panic(err)
	}
	return text
}

// database is a fresh database of the tests' server. done must be called.
func database() (pool *pgxpool.Pool, done func()) {
	t := &example{}
	return pgtest.New(t), t.end
}

// example is as much of a test as package pgtest needs of one.
type example struct {
	testing.TB
	cleanups []func()
}

func (*example) Helper()                           {}
func (*example) Context() context.Context          { return context.Background() }
func (*example) Fatal(args ...any)                 { panic(fmt.Sprint(args...)) }
func (*example) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (*example) Error(args ...any)                 { panic(fmt.Sprint(args...)) }
func (*example) Errorf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (e *example) Cleanup(fn func())               { e.cleanups = append(e.cleanups, fn) }

func (e *example) end() {
	for _, fn := range slices.Backward(e.cleanups) {
		fn()
	}
}

// Each transaction of a load says which load it is, and that all of it shall be undone when a store refuses a record of it.
// Before the next one it asks whether that has come.
func ExampleRejected() {
	ctx := context.Background()
	pool, done := database() // an application's own, with the migrations applied
	defer done()
	load := map[string]string{outbox.LoadHeader: "nightly-7", outbox.OnRejectHeader: outbox.OnRejectRevert}
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `create table prices (sku text primary key, cents int)`); err != nil {
			return err
		}
		return outbox.Watch(ctx, tx, outbox.Kind{Name: "price", Table: "prices", History: true})
	})
	for part := 1; part <= 2 && err == nil; part++ {
		var why string
		if why, err = outbox.Rejected(ctx, pool, load[outbox.LoadHeader]); err != nil || why != "" {
			fmt.Println("the load is being reverted:", why)
			break
		}
		err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			if err := outbox.SetHeaders(ctx, tx, load); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, `insert into prices select $1 || '-' || n, 100 from generate_series(1, 2) n`, fmt.Sprint(part))
			return err
		})
	}
	if err != nil {
		panic(err)
	}
	fmt.Println(changes(ctx, pool))
	// Output:
	// price [1-1 1-2]
	// price [2-1 2-2]
}
