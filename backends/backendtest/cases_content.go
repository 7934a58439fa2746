package backendtest

import (
	"slices"

	"github.com/google/go-cmp/cmp"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/internal/content"
)

// forge makes the store hold another content for a record: its version and its digest stay, as they do when somebody
// changes a store by hand.
func forge(r, other backends.Record) backends.Record {
	other.Key, other.Version, other.Digest = r.Key, r.Version, r.Digest
	return other
}

// comparer is the store's backend as one that compares, which not every backend is.
func (x *bench) comparer() backends.Comparer {
	x.Helper()
	c, ok := x.backend.(backends.Comparer)
	if !ok {
		x.Skip("the store does not promise to compare what it holds")
	}
	return c
}

// differs wants exactly these keys to be told as differing, in these columns.
func (x *bench) differs(records []backends.Record, want map[string][]string) {
	x.Helper()
	found, err := x.comparer().Compare(x.Context(), x.target, records)
	if err != nil {
		x.Fatalf("comparing %d records: %v", len(records), err)
	}
	got := map[string][]string{}
	for _, m := range found {
		if _, twice := got[m.Key]; twice {
			x.Errorf("key %q was told twice", m.Key)
		}
		got[m.Key] = m.Columns
	}
	if d := cmp.Diff(want, got); d != "" {
		x.Errorf("what differs (-want +got):\n%s", d)
	}
}

// A content that was changed behind the backend's back is found, by column, though version and digest stay; the same
// content is no difference, and neither is a record that is not there. Write again mends it.
func testContent(tb test, s Suite) {
	x := newBench(tb, s)
	x.comparer()
	keys := x.many(1500)
	records := x.state(7, 1, keys...)
	none := map[string][]string{}
	x.differs(records, none)
	x.write(records)
	x.refresh()
	x.differs(records, none)
	x.differs(nil, none)
	some, want := []int{0, 700, 1499}, map[string][]string{}
	var forged []backends.Record
	other := x.state(7, 2, keys...)
	for _, i := range some {
		forged = append(forged, forge(records[i], other[i]))
		want[keys[i]] = x.changed("name", "n", "note", "src", "dst", "typ", "embedding")
	}
	x.write(forged)
	x.refresh()
	x.differs(records, want)
	x.write(records)
	x.write(gone(8, keys[1]))
	x.refresh()
	x.differs(records, none)
	x.check(keys[1])
}

// changed are those of the columns that the target has and that put makes others of for another seed.
func (x *bench) changed(names ...string) []string {
	var list []string
	for _, c := range x.target.Columns {
		if slices.Contains(names, c.Name) && c.Name != "src" && c.Name != "typ" {
			list = append(list, c.Name)
		}
	}
	slices.Sort(list)
	return list
}

// Of every type, every value is told from NULL and from the next one, and is the same as itself. Numbers are told apart
// by every digit.
func testContentOfEveryType(tb test, s Suite) {
	x := benchOf(tb, s, Types, s.Open(tb))
	x.comparer()
	keys, columns := x.kinds()
	records := x.read(7, keys...)
	x.write(records)
	x.refresh()
	x.differs(records, map[string][]string{})
	empty := records[0]
	x.forged(records, columns, func(int) backends.Record { return empty })
	x.forged(records, columns, func(i int) backends.Record {
		if i+1 < len(records) && columns[i+1] == columns[i] {
			return records[i+1]
		}
		return records[i]
	})
}

// forged makes the store hold others' contents, where they are other values, and wants each to be told.
func (x *bench) forged(records []backends.Record, columns []string, other func(int) backends.Record) {
	x.Helper()
	var forgeries []backends.Record
	want := map[string][]string{}
	for i, r := range records[1:] {
		o := other(i + 1)
		if differ, err := content.Differ(r.Doc, o.Doc); err != nil {
			x.Fatal(err)
		} else if len(differ) < 2 && slices.EqualFunc(r.Raw, o.Raw, slices.Equal[[]byte]) {
			continue // in nothing but the column id
		}
		forgeries, want[r.Key] = append(forgeries, forge(r, o)), []string{columns[i+1], "id"}
	}
	if len(want) < len(values) {
		x.Fatalf("%d contents differ, of %d types", len(want), len(values))
	}
	x.write(forgeries)
	x.refresh()
	x.differs(records, want)
	x.write(records)
	x.refresh()
	x.differs(records, map[string][]string{})
}

// A vector with one other element is told, and one that is missing.
func testContentOfVectors(tb test, s Suite) {
	x := benchOf(tb, s, Vector, s.Open(tb))
	x.comparer()
	keys := []string{"one", "two", "three", "none"}
	x.put(1, keys...)
	x.sql("update @.item set embedding = null where key = 'none'")
	records := x.read(7, keys...)
	x.sql("update @.item set embedding[2] = embedding[2] + 0.0009765625 where key = 'one'")
	x.sql("update @.item set embedding = null where key = 'two'")
	x.sql("update @.item set embedding = array[1, 2, 3, 4]::real[] where key = 'none'")
	other := x.read(7, keys...)
	x.write(records)
	x.refresh()
	x.differs(records, map[string][]string{})
	var forgeries []backends.Record
	for i, r := range records {
		forgeries = append(forgeries, forge(r, other[i]))
	}
	x.write(forgeries)
	x.refresh()
	x.differs(records, map[string][]string{"one": {"embedding"}, "two": {"embedding"}, "none": {"embedding"}})
	x.write(records)
	x.refresh()
	x.differs(records, map[string][]string{})
}

// The count is that of the live records, as soon as they are acknowledged.
func testCount(tb test, s Suite) {
	x := newBench(tb, s)
	c, ok := x.backend.(backends.Counter)
	if !ok {
		x.Skip("the store does not promise to count")
	}
	count := func(want int64) {
		x.Helper()
		if n, err := c.Count(x.Context(), x.target); err != nil || n != want {
			x.Errorf("counted %d (%v), want %d", n, err, want)
		}
	}
	count(0)
	keys := x.many(2500)
	x.write(x.state(7, 1, keys...))
	count(2500)
	x.write(gone(8, keys[:701]...))
	count(1799)
	x.write(x.state(9, 2, keys[700:901]...))
	count(1800)
}
