package backends_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/outflow-db/outflow/backends"
)

// whole refuses every request that holds one of the bad keys, as a whole.
type whole struct {
	backends.Backend
	features backends.Features
	bad      map[string]bool
	fail     func(records []backends.Record) error
	short    bool
	written  map[string]int
	requests int
}

func (w *whole) Features() backends.Features { return w.features }

func (w *whole) Write(_ context.Context, _ backends.Target, records []backends.Record) ([]backends.Result, error) {
	w.requests++
	if w.fail != nil {
		if err := w.fail(records); err != nil {
			return nil, err
		}
	}
	for _, r := range records {
		if w.bad[r.Key] {
			return nil, &backends.Error{Op: "write", Backend: "w", Class: backends.Rejected, Err: errors.New("no " + r.Key)}
		}
	}
	for _, r := range records {
		w.written[r.Key]++
	}
	if w.short {
		return nil, nil
	}
	return make([]backends.Result, len(records)), nil
}

func numbered(n int) []backends.Record {
	records := make([]backends.Record, n)
	for i := range records {
		records[i] = backends.Record{Key: fmt.Sprint(i), Version: 1}
	}
	return records
}

// Whichever records are refused, they and only they are answered Failed, and each other is written once.
func TestWriteBisected(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 40).Draw(t, "records")
		w := &whole{written: map[string]int{}, bad: map[string]bool{}, features: backends.Features{MaxRecords: rapid.IntRange(0, 9).Draw(t, "most")}}
		for _, i := range rapid.SliceOfN(rapid.IntRange(0, 40), 0, 6).Draw(t, "bad") {
			w.bad[fmt.Sprint(i)] = true
		}
		records := numbered(n)
		results, err := backends.WriteBisected(t.Context(), w, backends.Target{Kind: "item"}, records)
		if err != nil || len(results) != n {
			t.Fatalf("%d results, %v", len(results), err)
		}
		for i, r := range results {
			key := records[i].Key
			switch {
			case w.bad[key] && (r.Outcome != backends.Failed || r.Err.Key != key || r.Err.Kind != "item" || r.Err.Err.Error() != "no "+key):
				t.Errorf("key %s: %+v", key, r)
			case !w.bad[key] && (r.Outcome != backends.Applied || w.written[key] != 1):
				t.Errorf("key %s: %+v, written %d times", key, r, w.written[key])
			}
		}
	})
}

// One refused record among many costs few requests.
func TestWriteBisectedIsFast(t *testing.T) {
	t.Parallel()
	w := &whole{written: map[string]int{}, bad: map[string]bool{"700": true}}
	if _, err := backends.WriteBisected(t.Context(), w, backends.Target{}, numbered(1000)); err != nil || w.requests > 21 {
		t.Errorf("%d requests, %v", w.requests, err)
	}
}

// Another class than Rejected ends the search, wherever it turns up; so does a backend that does not answer
// for each record.
func TestWriteBisectedFails(t *testing.T) {
	t.Parallel()
	overload := &backends.Error{Op: "write", Class: backends.Overload}
	for _, at := range []string{"0-7", "0-3", "0-0", "1-1", "4-7", "6-6"} {
		w := &whole{written: map[string]int{}, bad: map[string]bool{"0": true, "7": true}, fail: func(r []backends.Record) error {
			if r[0].Key+"-"+r[len(r)-1].Key == at {
				return overload
			}
			return nil
		}}
		if _, err := backends.WriteBisected(t.Context(), w, backends.Target{}, numbered(8)); !errors.Is(err, overload) {
			t.Errorf("records %s: got %v", at, err)
		}
	}
	_, err := backends.WriteBisected(t.Context(), &whole{short: true, written: map[string]int{}}, backends.Target{Kind: "item"}, numbered(2))
	if backends.ClassOf(err) != backends.Unknown {
		t.Errorf("got %v", err)
	}
}

// Batches hold all records in order and keep the bounds, but for a record that is too large by itself.
func TestSplit(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		f := backends.Features{MaxRecords: rapid.IntRange(0, 5).Draw(t, "records"), MaxBytes: rapid.IntRange(0, 500).Draw(t, "bytes")}
		records := numbered(rapid.IntRange(0, 30).Draw(t, "n"))
		for i := range records {
			records[i].Doc = make([]byte, rapid.IntRange(0, 300).Draw(t, "size"))
		}
		var joined []backends.Record
		for _, batch := range backends.Split(records, f) {
			size := 0
			for _, r := range batch {
				size += r.Size()
			}
			if len(batch) == 0 || f.MaxRecords > 0 && len(batch) > f.MaxRecords || f.MaxBytes > 0 && size > f.MaxBytes && len(batch) > 1 {
				t.Errorf("a batch of %d records and %d bytes", len(batch), size)
			}
			joined = append(joined, batch...)
		}
		if d := cmp.Diff(len(records), len(joined)); d != "" {
			t.Fatal(d)
		}
		for i := range records {
			if records[i].Key != joined[i].Key {
				t.Errorf("record %d is %s", i, joined[i].Key)
			}
		}
	})
}

// Batches are as full as the bounds allow.
func TestSplitFills(t *testing.T) {
	t.Parallel()
	sizes := func(f backends.Features) (n []int) {
		for _, b := range backends.Split(numbered(10), f) {
			n = append(n, len(b))
		}
		return n
	}
	one := numbered(1)[0].Size()
	for _, c := range []struct {
		f    backends.Features
		want []int
	}{
		{backends.Features{}, []int{10}},
		{backends.Features{MaxRecords: 4}, []int{4, 4, 2}},
		{backends.Features{MaxBytes: 3 * one}, []int{3, 3, 3, 1}},
		{backends.Features{MaxBytes: 1}, []int{1, 1, 1, 1, 1, 1, 1, 1, 1, 1}},
	} {
		if d := cmp.Diff(c.want, sizes(c.f)); d != "" {
			t.Errorf("%+v: %s", c.f, d)
		}
	}
}
