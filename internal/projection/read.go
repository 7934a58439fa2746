package projection

import (
	"errors"
	"iter"
	"unsafe"

	"github.com/jackc/pgx/v5"

	"github.com/outflow-db/outflow/backends"
)

// ErrNoKey says that the query yielded a row whose key is null.
var ErrNoKey = errors.New("the projection's query yields a row whose key is null: let it leave such rows out")

// Read makes a record of each row of a query made by SQL and run with Formats. The records own their
// memory, which neighbours share, and carry the version and their digest. The first error, of the query or ErrNoKey, is
// yielded and ends the iteration. The rows are closed when the iteration ends, however it ends.
func Read(rows pgx.Rows, layout backends.Layout, version int64) iter.Seq2[backends.Record, error] {
	return func(yield func(backends.Record, error) bool) {
		defer rows.Close()
		m := maker{doc: len(layout.Doc) > 0, raw: len(layout.Raw) > 0, version: version}
		for rows.Next() {
			values := rows.RawValues()
			if values[0] == nil {
				yield(backends.Record{}, ErrNoKey)
				return
			}
			if !yield(m.record(values), nil) {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(backends.Record{}, err)
		}
	}
}

// maker makes records. It takes memory for many small values at once: keys from one piece and contents from another,
// because keys are kept for longer.
type maker struct {
	doc, raw       bool
	version        int64
	keys, contents []byte // what is left of the pieces
}

// pieces of memory. A value that is larger than a quarter of one has memory of its own.
const (
	keysPiece     = 4 << 10
	contentsPiece = 32 << 10
)

// record copies one row: the connection's buffer is used again for the next.
func (m *maker) record(values [][]byte) backends.Record {
	r := backends.Record{Key: text(own(&m.keys, values[0], keysPiece)), Version: m.version}
	values = values[1:]
	if m.doc {
		r.Doc, values = own(&m.contents, values[0], contentsPiece), values[1:]
	}
	if m.raw {
		r.Raw = make([][]byte, len(values))
		for i, v := range values {
			r.Raw[i] = own(&m.contents, v, contentsPiece)
		}
	}
	r.Digest = backends.ContentDigest(r.Doc, r.Raw)
	return r
}

// own copies a value. What is nil stays nil.
func own(left *[]byte, v []byte, piece int) []byte {
	switch n := len(v); {
	case v == nil:
		return nil
	case n > piece/4:
		return append(make([]byte, 0, n), v...)
	case n > len(*left):
		*left = make([]byte, piece)
	}
	mine := (*left)[:len(v):len(v)]
	copy(mine, v)
	*left = (*left)[len(v):]
	return mine
}

// text is memory that nobody changes any more as a text, without a copy.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) } //nolint:gosec // see above
