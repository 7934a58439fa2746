package outbox_test

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/outflow-db/outflow/outbox"
)

// A transaction takes its token along, and whoever has it waits until a backend has applied what was changed.
func ExampleWait() {
	ctx := context.Background()
	pool, done := database()
	defer done()
	var token string
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) (err error) {
		if _, err := tx.Exec(ctx, `select outbox.kind('note')`); err != nil {
			return err
		}
		if err := outbox.Put(ctx, tx, outbox.Record{Kind: "note", Key: "1", Body: "hello"}); err != nil {
			return err
		}
		token, err = outbox.Token(ctx, tx)
		return err
	})
	if err != nil {
		panic(err)
	}

	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	fmt.Println(outbox.Wait(ctx, pool, token)) // all backends: there are none yet
	fmt.Println(outbox.Wait(ctx, pool, "", "search"))
	// Output:
	// <nil>
	// <nil>
}

// The status tells how far each backend is.
func ExampleStatus() {
	ctx := context.Background()
	pool, done := database()
	defer done()
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		return outbox.AddBackend(ctx, tx, "search", "elasticsearch", 2)
	})
	if err == nil {
		err = outbox.Relog(ctx, pool, "search", "file", []string{"a.go", "b.go"}, outbox.Cause{})
	}
	if err == nil {
		err = outbox.Pause(ctx, pool, "search", "operator", "new disks")
	}
	if err != nil {
		panic(err)
	}
	all, err := outbox.Status(ctx, pool)
	if err != nil {
		panic(err)
	}
	for _, b := range all {
		fmt.Printf("%s (%s): %d changes behind, %d lanes, %d parked, paused: %s\n", b.Name, b.Type, b.Changes, len(b.Lanes), b.Parked, b.Paused)
	}
	// Output:
	// search (elasticsearch): 2 changes behind, 2 lanes, 0 parked, paused: new disks
}
