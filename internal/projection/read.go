package projection

import (
	"errors"
	"iter"

	"github.com/jackc/pgx/v5"

	"github.com/outflow-db/outflow/backends"
)

// ErrNoKey says that the query yielded a row whose key is null.
var ErrNoKey = errors.New("the projection's query yields a row whose key is null: let it leave such rows out")

// Read makes a record of each row of a query made by SQL and run with Formats. The records own their
// memory and carry the version and their digest. The first error, of the query or ErrNoKey, is yielded and
// ends the iteration. The rows are closed when the iteration ends, however it ends.
func Read(rows pgx.Rows, layout backends.Layout, version int64) iter.Seq2[backends.Record, error] {
	return func(yield func(backends.Record, error) bool) {
		defer rows.Close()
		for rows.Next() {
			values := rows.RawValues()
			if values[0] == nil {
				yield(backends.Record{}, ErrNoKey)
				return
			}
			if !yield(record(values, layout, version), nil) {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(backends.Record{}, err)
		}
	}
}

// record copies one row: the connection's buffer is used again for the next.
func record(values [][]byte, layout backends.Layout, version int64) backends.Record {
	r := backends.Record{Key: string(values[0]), Version: version}
	values = duplicate(values[1:])
	if len(layout.Doc) > 0 {
		r.Doc, values = values[0], values[1:]
	}
	if len(layout.Raw) > 0 {
		r.Raw = values
	}
	r.Digest = backends.ContentDigest(r.Doc, r.Raw)
	return r
}

// duplicate copies values into one piece of memory. What is nil stays nil.
func duplicate(values [][]byte) [][]byte {
	size := 0
	for _, v := range values {
		size += len(v)
	}
	memory := make([]byte, 0, size)
	own := make([][]byte, len(values))
	for i, v := range values {
		if v == nil {
			continue
		}
		from := len(memory)
		memory = append(memory, v...)
		own[i] = memory[from:len(memory):len(memory)]
	}
	return own
}
