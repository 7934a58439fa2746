package backends

import (
	"context"
	"fmt"
)

// Split cuts records, in order, into batches that one Write of a backend with these features takes. A
// record that is larger than MaxBytes by itself is a batch of its own: whether it is taken is for the
// store to say. The batches share the memory of records.
func Split(records []Record, features Features) [][]Record {
	var batches [][]Record
	start, size := 0, 0
	for i, r := range records {
		n := r.Size()
		full := features.MaxRecords > 0 && i-start >= features.MaxRecords ||
			features.MaxBytes > 0 && size+n > features.MaxBytes
		if full && i > start {
			batches = append(batches, records[start:i:i])
			start, size = i, 0
		}
		size += n
	}
	if start < len(records) {
		batches = append(batches, records[start:])
	}
	return batches
}

// WriteBisected is b.Write for batches of any size that may hold records the store refuses for good. It
// sends what Split makes of the records, and halves a batch that is refused as a whole with class Rejected
// until the refused records are found: those are answered Failed, the others are written.
//
// It fails as Write does, with any class but Rejected. Batches before the one that failed may then have
// been applied; sending all records again is right, because writes are idempotent.
func WriteBisected(ctx context.Context, b Backend, target Target, records []Record) ([]Result, error) {
	results := make([]Result, 0, len(records))
	for _, batch := range Split(records, b.Features()) {
		part, err := bisect(ctx, b, target, batch)
		if err != nil {
			return nil, err
		}
		results = append(results, part...)
	}
	return results, nil
}

func bisect(ctx context.Context, b Backend, target Target, records []Record) ([]Result, error) {
	results, err := b.Write(ctx, target, records)
	switch {
	case err == nil && len(results) != len(records):
		return nil, &Error{
			Op: "write", Kind: target.Kind, Class: Unknown,
			Err: fmt.Errorf("the backend answered for %d of %d records", len(results), len(records)),
		}
	case err == nil:
		return results, nil
	case ClassOf(err) != Rejected:
		return nil, err
	case len(records) == 1:
		return []Result{{Outcome: Failed, Err: rejected(err, target, records[0])}}, nil
	}
	half := len(records) / 2
	first, err := bisect(ctx, b, target, records[:half])
	if err != nil {
		return nil, err
	}
	second, err := bisect(ctx, b, target, records[half:])
	if err != nil {
		return nil, err
	}
	return append(first, second...), nil
}

// rejected is err as the answer for one record: a copy, because the backend may hand out the same again.
func rejected(err error, target Target, r Record) *Error {
	e := *AsError("write", "", err)
	e.Kind, e.Key = target.Kind, r.Key
	return &e
}
