package content

import (
	"iter"

	"github.com/outflow-db/outflow/backends"
)

// Bytes is how many bytes of records are read back at once, about.
const Bytes = 4 << 20

// Chunks cuts records into parts of at most so many, and of at most Bytes unless one record alone has more.
func Chunks(records []backends.Record, most int) iter.Seq[[]backends.Record] {
	return func(yield func([]backends.Record) bool) {
		from, size := 0, 0
		for i, r := range records {
			if i > from && (i-from == most || size+r.Size() > Bytes) {
				if !yield(records[from:i]) {
					return
				}
				from, size = i, 0
			}
			size += r.Size()
		}
		if from < len(records) {
			yield(records[from:])
		}
	}
}
