package backends

import (
	"context"
	"strings"
)

// Planner is what a Backend may be as well: one that can tell what Prepare would do. `outflow plan` asks it.
type Planner interface {
	// Plan compares the store's structures with what the targets want, and changes nothing. It is empty
	// after a Prepare of the same targets that succeeded. A store that cannot be asked is an *Error, as
	// for Prepare; what Prepare would refuse is a change of kind Rebuild, not an error.
	Plan(ctx context.Context, targets []Target) ([]Change, error)
}

// ChangeKind says what would become of a structure.
type ChangeKind string

// The kinds of changes.
const (
	Create  ChangeKind = "create"  // it is not there: Prepare makes it
	Alter   ChangeKind = "alter"   // it differs: Prepare mends it and keeps the data
	Rebuild ChangeKind = "rebuild" // it differs and cannot be mended: Prepare refuses until it is made anew
)

// Change is one difference between a structure that a store has and the one that a target wants.
type Change struct {
	Target string     // the target's name; empty: it belongs to all of them, such as a schema
	What   ChangeKind // what Prepare does about it
	Field  string     // the part of the target: a column, an index, a setting; empty: the target itself
	From   string     // how it is; empty: not there
	To     string     // how it shall be; empty: not there
}

// String is the change in one line, such as "alter orders.language: english becomes german".
func (c Change) String() string {
	var b strings.Builder
	b.WriteString(string(c.What))
	if c.Target != "" {
		b.WriteString(" " + c.Target)
	}
	switch {
	case c.Field != "" && c.Target != "":
		b.WriteString("." + c.Field)
	case c.Field != "":
		b.WriteString(" " + c.Field)
	}
	switch {
	case c.From != "" && c.To != "":
		b.WriteString(": " + c.From + " becomes " + c.To)
	case c.From != "":
		b.WriteString(": " + c.From + " goes")
	case c.To != "":
		b.WriteString(": " + c.To)
	}
	return b.String()
}
