package backends_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/backends/backendtest"
)

// A store of one's own is registered by its type, as those of this module are.
func ExampleRegister() {
	backends.Register("example", func(_ context.Context, cfg backends.Config) (backends.Backend, error) {
		return &backendtest.Memory{Name: cfg.Name, Promises: backendtest.Everything()}, nil
	})
	store, err := backends.Open(context.Background(), backends.Config{Name: "mine", Type: "example"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = store.Close() }()
	fmt.Println(store.Health(context.Background()))
	// Output: <nil>
}

// One record that the store refuses does not keep the others out.
func ExampleWriteBisected() {
	ctx := context.Background()
	store := &backendtest.Memory{Name: "mine", Before: func(_ context.Context, op string, _ backends.Target, records []backends.Record) error {
		for _, r := range records {
			if string(r.Doc) == `{"n": -1}` { // this store refuses the whole request
				return &backends.Error{Op: op, Backend: "mine", Class: backends.Rejected, Err: errors.New("n is negative")}
			}
		}
		return nil
	}}
	target := backends.Target{Kind: "item", Name: "items"}
	if err := store.Prepare(ctx, []backends.Target{target}); err != nil {
		fmt.Println(err)
		return
	}
	results, err := backends.WriteBisected(ctx, store, target, []backends.Record{
		{Key: "a", Version: 1, Doc: []byte(`{"n": 1}`)},
		{Key: "b", Version: 1, Doc: []byte(`{"n": -1}`)},
		{Key: "c", Version: 1, Doc: []byte(`{"n": 3}`)},
	})
	fmt.Println(err)
	for _, r := range results {
		fmt.Println(r.Outcome == backends.Applied, r.Err)
	}
	// Output:
	// <nil>
	// true <nil>
	// false write backend mine kind item key b: rejected: n is negative (mend the row or the projection: the record is written again with its next change, or by a retry)
	// true <nil>
}
