package backends_test

import (
	"testing"

	"github.com/outflow-db/outflow/backends"
)

// A change is one line: what is done, to what, and what becomes of it.
func TestChangeText(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]backends.Change{
		"create orders":                                 {What: backends.Create, Target: "orders"},
		"create schema: readmodel":                      {What: backends.Create, Field: "schema", To: "readmodel"},
		"alter orders.language: english becomes german": {What: backends.Alter, Target: "orders", Field: "language", From: "english", To: "german"},
		"alter orders.vector: real[] goes":              {What: backends.Alter, Target: "orders", Field: "vector", From: "real[]"},
		"rebuild":                                       {What: backends.Rebuild},
	} {
		if got := c.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
