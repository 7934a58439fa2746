package backendtest

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/outflow-db/outflow/backends"
)

// comparing breaks a Memory by changing what it tells of contents.
func comparing(change func([]backends.Mismatch) []backends.Mismatch) func(*broken) {
	return func(b *broken) {
		b.compare = func(ctx context.Context, t backends.Target, records []backends.Record) ([]backends.Mismatch, error) {
			found, err := b.Memory.Compare(ctx, t, records)
			return change(found), err
		}
	}
}

// believing compares the digests that are kept, and not what is stored.
func believing(b *broken) {
	b.compare = func(ctx context.Context, t backends.Target, records []backends.Record) (found []backends.Mismatch, err error) {
		for _, r := range records {
			entries, err := b.Memory.Lookup(ctx, t, []string{r.Key})
			if err != nil {
				return nil, err
			}
			if len(entries) > 0 && b.Store.targets[t.Name][r.Key].Digest != r.Digest {
				found = append(found, backends.Mismatch{Key: r.Key})
			}
		}
		return found, nil
	}
}

// rounding reads numbers as doubles before it compares them.
func rounding(b *broken) {
	round := func(doc []byte) []byte {
		var v any
		if json.Unmarshal(doc, &v) != nil {
			return doc
		}
		doc, _ = json.Marshal(v)
		return doc
	}
	b.compare = func(ctx context.Context, t backends.Target, records []backends.Record) ([]backends.Mismatch, error) {
		records = slices.Clone(records)
		for i := range records {
			records[i].Doc = round(records[i].Doc)
		}
		held := b.Store.targets[t.Name]
		other := &Memory{Promises: b.Promises, Store: &MemoryStore{targets: map[string]map[string]stored{t.Name: {}}}}
		for key, s := range held {
			s.doc = round(s.doc)
			other.Store.targets[t.Name][key] = s
		}
		return other.Compare(ctx, t, records)
	}
}

// contentBreakages are each a broken promise of a backends.Comparer or Counter, and the case that must notice.
var contentBreakages = []breakage{
	{"compares nothing", "content", comparing(func([]backends.Mismatch) []backends.Mismatch { return nil })},
	{"compares nothing", "content of every type", comparing(func([]backends.Mismatch) []backends.Mismatch { return nil })},
	{"compares nothing", "content of vectors", comparing(func([]backends.Mismatch) []backends.Mismatch { return nil })},
	{"names no columns", "content", comparing(func(found []backends.Mismatch) []backends.Mismatch {
		for i := range found {
			found[i].Columns = nil
		}
		return found
	})},
	{"compares only the first records", "content", func(b *broken) {
		b.compare = func(ctx context.Context, t backends.Target, records []backends.Record) ([]backends.Mismatch, error) {
			return b.Memory.Compare(ctx, t, records[:min(len(records), 1000)])
		}
	}},
	{"finds everything different", "content", func(b *broken) {
		b.compare = func(_ context.Context, _ backends.Target, records []backends.Record) (found []backends.Mismatch, _ error) {
			for _, r := range records {
				found = append(found, backends.Mismatch{Key: r.Key, Columns: []string{"n", "name", "note"}})
			}
			return found, nil
		}
	}},
	{"tells of what is not there", "content", func(b *broken) {
		b.compare = func(ctx context.Context, t backends.Target, records []backends.Record) ([]backends.Mismatch, error) {
			found, err := b.Memory.Compare(ctx, t, records)
			if n, _ := b.Memory.Count(ctx, t); n == 0 && len(records) > 0 {
				found = append(found, backends.Mismatch{Key: records[0].Key})
			}
			return found, err
		}
	}},
	{"believes digests", "content", believing},
	{"believes digests", "content of every type", believing},
	{"rounds numbers", "content of every type", rounding},
	{"counts what was deleted", "count", func(b *broken) {
		b.count = func(_ context.Context, t backends.Target) (int64, error) {
			return int64(len(b.Store.targets[t.Name])), nil
		}
	}},
	{"counts late", "count", func(b *broken) {
		last := int64(0)
		b.count = func(ctx context.Context, t backends.Target) (int64, error) {
			n, err := b.Memory.Count(ctx, t)
			n, last = last, n
			return n, err
		}
	}},
}
