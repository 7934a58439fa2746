package nebula_test

import (
	"context"
	"fmt"

	"github.com/outflow-db/outflow/backends"
	_ "github.com/outflow-db/outflow/backends/nebula"
)

// A backend is opened by its type. It connects when it is used, and says before that what it wants of a target.
func Example() {
	b, err := backends.Open(context.Background(), backends.Config{
		Name: "graph", Type: "nebula", Settings: map[string]any{"addresses": []any{"graph-1:9669", "graph-2:9669"}, "space": "code"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = b.Close() }()
	layout, err := b.Layout(backends.Target{
		Kind: "relation", Name: "relation", // its key: ["source", "type", "target"]
		Columns: []backends.Column{{Name: "line", Type: "integer", Base: "integer", Form: backends.FormBase}},
		Settings: map[string]any{
			"edge":  map[string]any{"source": 0, "target": 2},
			"types": map[string]any{"column": 1, "names": []any{"calls", "imports"}},
		},
	})
	fmt.Println(layout.Doc, layout.Raw, err)
	// Output: [line] [] <nil>
}
