package backends

import "context"

// Comparer is what a Backend may be as well: one that reads back what it holds and compares it with what Write would
// have stored. `outflow verify --deep` asks it. Without it only a backend whose Features say Recomputed can be
// verified deeply.
type Comparer interface {
	// Compare reads, in whole, what the store holds for records, and answers for those that differ from what Write would
	// have stored for them: values, their types, and what is there beside. Versions and digests are not compared. Numbers
	// are compared exactly; where the store itself keeps fewer digits than PostgreSQL, or another form of the same value,
	// what it keeps of the record's value is what counts.
	//
	// Keys are unique within a call, and no record is Deleted. A key that the store does not hold is no mismatch: Lookup
	// tells. Memory stays bounded by a few times the size of the records. A store that cannot be asked is an *Error.
	Compare(ctx context.Context, target Target, records []Record) ([]Mismatch, error)
}

// Mismatch is a record that a store holds otherwise than Write would have stored it. It has no values: they may be
// secret.
type Mismatch struct {
	Key string
	// Columns names what differs: columns of the projection, and fields that are there and should not be. In order.
	Columns []string
}

// Counter is what a Backend may be as well: one that can count the records of a target without reading them.
type Counter interface {
	// Count is how many live records the target holds, exactly, with everything that was acknowledged before. It is much
	// cheaper than a Scan. Rows that others wrote there may be among them.
	Count(ctx context.Context, target Target) (int64, error)
}
