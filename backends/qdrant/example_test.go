package qdrant_test

import (
	"context"
	"fmt"

	"github.com/outflow-db/outflow/backends"
	_ "github.com/outflow-db/outflow/backends/qdrant"
)

// A backend is opened by its type. It connects when it is used, and says before that what it wants of a target.
func Example() {
	b, err := backends.Open(context.Background(), backends.Config{
		Name: "vectors", Type: "qdrant", Settings: map[string]any{"addresses": []any{"vectors-1:6334", "vectors-2:6334"}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = b.Close() }()
	layout, err := b.Layout(backends.Target{
		Kind: "symbol", Name: "symbols",
		Columns: []backends.Column{
			{Name: "name", Type: "text", Base: "text", Form: backends.FormBase},
			{Name: "embedding", Type: "real[]", Base: "real[]", Form: backends.FormBase},
		},
		Settings: map[string]any{"vectors": map[string]any{"embedding": map[string]any{"size": 256, "distance": "Cosine"}}},
	})
	fmt.Println(layout.Doc, layout.Raw, err)
	// Output: [name] [embedding] <nil>
}
