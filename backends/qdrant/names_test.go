package qdrant

import (
	"slices"
	"strconv"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/outflow-db/outflow/backends"
)

// Anybody can compute an id: uuid5(uuid5(NAMESPACE_URL, "outflow:" + kind), key).
func TestIDs(t *testing.T) {
	t.Parallel()
	space := uuid.NewSHA1(uuid.NameSpaceURL, []byte("outflow:symbol"))
	id, ok := newIDs("symbol", false).of("a key")
	if !ok || id.GetUuid() != uuid.NewSHA1(space, []byte("a key")).String() {
		t.Errorf("got %v", id)
	}
	if other, _ := newIDs("file", false).of("a key"); text(other) == text(id) {
		t.Error("two kinds share an id")
	}
	// As Python's uuid module computes it.
	if want := "aa1cbd7a-8892-5be4-a35e-4fdd21dedf94"; text(id) != want {
		t.Errorf("got %s", text(id))
	}
}

// A key that is the id has one form only, so that no two keys are one point.
func TestPlainIDs(t *testing.T) {
	t.Parallel()
	ids := newIDs("symbol", true)
	for key, want := range map[string]bool{
		"0": true, "18446744073709551615": true, "00000000-0000-0000-0000-000000000000": true, "f0e1d2c3-b4a5-9687-7869-5a4b3c2d1e0f": true,
		"": false, "-1": false, "+1": false, "01": false, "18446744073709551616": false, "x": false, "1.0": false,
		"F0E1D2C3-b4a5-9687-7869-5a4b3c2d1e0f": false, "{f0e1d2c3-b4a5-9687-7869-5a4b3c2d1e0f}": false, "f0e1d2c3b4a5968778695a4b3c2d1e0f": false,
	} {
		if id, ok := ids.of(key); ok != want || ok && text(id) != key {
			t.Errorf("%q: got %v, %v", key, id, ok)
		}
	}
}

// Different keys have different ids, however they are made.
func FuzzIDs(f *testing.F) {
	f.Add("1", "01")
	f.Add("f0e1d2c3-b4a5-9687-7869-5a4b3c2d1e0f", "F0E1D2C3-B4A5-9687-7869-5A4B3C2D1E0F")
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, ids := range []ids{newIDs("k", true), newIDs("k", false)} {
			x, okX := ids.of(a)
			y, okY := ids.of(b)
			if okX && okY && (text(x) == text(y)) != (a == b) {
				t.Errorf("%q and %q: %v and %v", a, b, x, y)
			}
		}
	})
}

// A target's name is that of an alias, and its generations are beside it; no name of one is the other's.
func TestNames(t *testing.T) {
	t.Parallel()
	b := &backend{name: "vectors", prefix: "p-"}
	for name, want := range map[string]bool{"docs": true, "Docs.v1_x": true, "a@1": false, "a/b": false, "ä": false, "a b": false} {
		n, err := b.names(backends.Target{Name: name, Generation: 3})
		if (err == nil) != want || want && (n.alias != "p-"+name || n.collection != "p-"+name+"@3") {
			t.Errorf("%q: %v, %v", name, n, err)
		}
		if err != nil && backends.ClassOf(err) != backends.Rejected {
			t.Errorf("class %s", backends.ClassOf(err))
		}
	}
	first, _ := b.names(backends.Target{Name: "x"})
	if first.collection != "p-x@1" {
		t.Errorf("the first generation is %s", first.collection)
	}
}

// What is sent at once is as much as the pace allows, and one record at least.
func TestPortion(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOfN(rapid.IntRange(1, 50), 1, 20).Draw(t, "sizes")
		most := rapid.IntRange(1, 200).Draw(t, "most")
		var changes []change
		for i, size := range sizes {
			changes = append(changes, change{place: i, size: size})
		}
		part := portion(changes, most)
		next := slices.Concat(part, changes[len(part):])
		switch {
		case len(part) == 0, len(part) > 1 && sizeOfAll(part) > most:
			t.Fatalf("%d bytes of %v, want up to %d", sizeOfAll(part), sizes, most)
		case len(part) < len(changes) && sizeOfAll(changes[:len(part)+1]) <= most:
			t.Fatalf("one more of %v would fit into %d", sizes, most)
		}
		for i, c := range next {
			if c.place != i {
				t.Fatalf("the order changed: %s", strconv.Itoa(i))
			}
		}
	})
}
