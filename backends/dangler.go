package backends

import "context"

// Dangler is what a Backend may be as well: one whose records may refer to others, as an edge does to the vertices at its
// ends. `outflow verify --dangling` asks it.
type Dangler interface {
	// Ends begins a search for records of target that dangle: that refer to what is not there. targets are those of the
	// backend that readers see, target among them; the ends are looked for in them. It is nil if records of target refer to
	// nothing. The store is not asked yet.
	Ends(target Target, targets []Target) (Ends, error)
}

// Ends looks for what records refer to. It is for one goroutine.
type Ends interface {
	// Missing answers for those of the keys whose records refer to what is not there, as the store is with everything that
	// was acknowledged before. Whether the records themselves are there, Lookup tells; a key that no record can have refers
	// to nothing. Keys are unique within a call.
	//
	// It may remember which ends are there, in bounded memory, so as not to ask for them again: one that goes away during
	// the search may be overlooked. A new search sees it. A store that cannot be asked is an *Error.
	Missing(ctx context.Context, keys []string) ([]Dangling, error)
}

// Dangling is a record that refers to what is not there.
type Dangling struct {
	Key  string
	Ends []End // that are missing, at least one
}

// End is what a record refers to.
type End struct {
	Name string // what it is to the record, such as source or target
	ID   string // what the store calls it
	// Records are those that would be it, of whichever of the targets: one of them is enough. None: no target has any such.
	Records []Reference
}

// Reference names a record of a target.
type Reference struct {
	Kind, Target string
	Key          string // empty: it cannot be told; any record of the kind may be it
}
