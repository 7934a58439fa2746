package outbox

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// all is the range of a backend's only lane.
var all = Range{0, 1 << 32}

// The hash never changes: the lanes of running installations were split by it.
func TestHashIsPinned(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind, key string
		want      uint32
	}{
		{"", "", 0x0578ab1b},
		{"file", "cmd/go/main.go", 0x567cc5bd},
		{"symbol", "42", 0xb544f40d},
		{"relation", `["a", "b", 7]`, 0x854f4b78},
		{"k", "größe", 0xa49fe099},
	} {
		if got := Hash(c.kind, c.key); got != c.want {
			t.Errorf("Hash(%q, %q) is %#x, must stay %#x", c.kind, c.key, got, c.want)
		}
	}
	if Hash("ab", "c") == Hash("a", "bc") {
		t.Error("where the kind ends makes no difference")
	}
}

// Similar keys, as counters, paths and arrays are, fall into lanes of equal size: at most a fifth above or below the
// average of 256 lanes, and two in a hundred with 4.
func TestHashIsBalanced(t *testing.T) {
	t.Parallel()
	const n = 256 * 1024
	for name, key := range map[string]func(int) string{
		"counter": func(i int) string { return fmt.Sprint(i) },
		"uuid":    func(i int) string { return fmt.Sprintf("0190b5c2-7a3e-7000-8000-%012x", i) },
		"path":    func(i int) string { return fmt.Sprintf("src/pkg%d/file%d.go", i/100, i%100) },
		"array":   func(i int) string { return fmt.Sprintf(`["a%d", %d]`, i%7, i) },
	} {
		var of4, of256 [256]int
		for i := range n {
			h := Hash("file", key(i))
			of4[h>>30]++
			of256[h>>24]++
		}
		if low, high := slices.Min(of256[:]), slices.Max(of256[:]); low < 1024*4/5 || high > 1024*6/5 {
			t.Errorf("%s: 256 lanes have %d to %d keys, want about 1024", name, low, high)
		}
		if low, high := slices.Min(of4[:4]), slices.Max(of4[:4]); low < n/4*98/100 || high > n/4*102/100 {
			t.Errorf("%s: 4 lanes have %d to %d keys, want about %d", name, low, high, n/4)
		}
	}
}

// A range has its lower bound and not its upper one, and the full one has every hash.
func TestRange(t *testing.T) {
	t.Parallel()
	r := Range{10, 20}
	got := []bool{r.Has(9), r.Has(10), r.Has(19), r.Has(20), all.Has(0), all.Has(1<<32 - 1)}
	if diff := cmp.Diff([]bool{false, true, true, false, true, true}, got); diff != "" {
		t.Error(diff)
	}
}

var target = Snapshot{xmin: 50, xmax: 50}

// A page has each key once, in the order of the log, by kind.
func TestCollectDeduplicates(t *testing.T) {
	t.Parallel()
	p := Collect(Position{}, target, all, []Row{
		{Place: Place{1, 1}, Kind: "file", Keys: []string{"b", "a", "b"}},
		{Place: Place{1, 2}, Kind: "word", Keys: []string{"a"}},
		{Place: Place{2, 3}, Kind: "file", Keys: []string{"c", "a"}},
	}, 4)
	want := map[string][]string{"file": {"b", "a", "c"}, "word": {"a"}}
	if diff := cmp.Diff(want, p.Keys); diff != "" {
		t.Error(diff)
	}
	if p.Count() != 4 || p.Rows != 3 || p.Empty() || p.More {
		t.Errorf("count %d, rows %d, empty %v, more %v", p.Count(), p.Rows, p.Empty(), p.More)
	}
}

// What is addressed to one backend concerns nobody else: it has no dependants to follow. What is not does, with the
// transactions that changed it; a key that came both ways is followed.
func TestCollectFollowsOnlyChanges(t *testing.T) {
	t.Parallel()
	p := Collect(Position{}, target, all, []Row{
		{Place: Place{4, 1}, Kind: "file", Keys: []string{"repaired"}, Only: true},
		{Place: Place{5, 2}, Kind: "file", Keys: []string{"changed"}},
		{Place: Place{7, 3}, Kind: "file", Keys: []string{"both"}, Only: true},
		{Place: Place{8, 4}, Kind: "file", Keys: []string{"both"}},
	}, 10)
	if diff := cmp.Diff(map[string][]string{"file": {"changed", "both"}}, p.Changed); diff != "" {
		t.Error(diff)
	}
	if want := (Cause{5, 8}); p.Cause != want {
		t.Errorf("cause is %v, want %v", p.Cause, want)
	}
	if diff := cmp.Diff([]string{"repaired", "changed", "both"}, p.Keys["file"]); diff != "" {
		t.Error(diff)
	}
}

// A wildcard row concerns all keys of its kind whatever the lane, and carries on the transactions behind it: its own,
// or those that it was written for.
func TestCollectWildcards(t *testing.T) {
	t.Parallel()
	none := Range{0, 1}
	p := Collect(Position{}, target, none, []Row{
		{Place: Place{9, 1}, Kind: "file", All: true, Keys: []string{"ignored"}},
		{Place: Place{11, 2}, Kind: "file", All: true, Only: true, Cause: Cause{3, 6}},
		{Place: Place{12, 3}, Kind: "word", All: true},
		{Place: Place{13, 4}, Kind: "word", Keys: []string{"of another lane"}},
	}, 10)
	if diff := cmp.Diff(map[string]Cause{"file": {3, 9}, "word": {12, 12}}, p.All); diff != "" {
		t.Error(diff)
	}
	if p.Empty() || p.Count() != 0 || len(p.Keys) != 0 || len(p.Changed) != 0 {
		t.Errorf("keys %v and changes %v of other lanes are in the page", p.Keys, p.Changed)
	}
}

// A page that has nothing for the lane still moves its position: to the target, or to its last row if the delta
// goes on.
func TestCollectMovesOverOthersKeys(t *testing.T) {
	t.Parallel()
	at := Position{At: Snapshot{xmin: 3, xmax: 3}}
	rows := []Row{{Place: Place{9, 1}, Kind: "file", Keys: []string{"x"}, At: time.Unix(9, 0)}, {Place: Place{9, 2}, Kind: "file", Keys: []string{"y"}, At: time.Unix(8, 0)}}
	done := Collect(at, target, Range{0, 1}, rows, 3)
	if want := (Position{At: target}); !cmp.Equal(done.Next, want, cmp.AllowUnexported(Snapshot{})) || !done.Empty() || done.More {
		t.Errorf("a short page: %+v, want to be at %+v", done, want)
	}
	part := Collect(at, target, Range{0, 1}, rows, 2)
	if want := (Position{At: at.At, Target: target, After: Place{9, 2}}); !cmp.Equal(part.Next, want, cmp.AllowUnexported(Snapshot{})) || !part.More {
		t.Errorf("a full page: %+v, want to be at %+v", part, want)
	}
	if !part.Oldest.Equal(time.Unix(8, 0)) || !Collect(at, target, all, nil, 2).Oldest.IsZero() {
		t.Errorf("the oldest row is from %v", part.Oldest)
	}
}

// The pages of lanes that share the hashes among them have every key exactly once.
func TestLanesPartitionKeys(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		keys := rapid.SliceOfN(rapid.StringMatching(`[a-z0-9/]{1,12}`), 0, 30).Draw(t, "keys")
		cuts := append(rapid.SliceOfNDistinct(rapid.Uint64Range(1, 1<<32-1), 0, 6, rapid.ID).Draw(t, "cuts"), 0, 1<<32)
		slices.Sort(cuts)
		var got []string
		for i, lo := range cuts[:len(cuts)-1] {
			p := Collect(Position{}, target, Range{lo, cuts[i+1]}, []Row{{Place: Place{1, 1}, Kind: "k", Keys: keys}}, 9)
			got = append(got, p.Keys["k"]...)
		}
		slices.Sort(got)
		slices.Sort(keys)
		if want := slices.Compact(keys); !slices.Equal(got, want) {
			t.Fatalf("got %s, want %s", strings.Join(got, " "), strings.Join(want, " "))
		}
	})
}

// A lane of many makes room for its own share of the keys of a page, and not for those of all lanes.
func TestCollectMakesRoomForItsShare(t *testing.T) {
	keys := make([]string, 50_000)
	for i := range keys {
		keys[i] = fmt.Sprint(i)
	}
	rows := []Row{{Kind: "k", Keys: keys}}
	allocated := func(span Range) int64 {
		return testing.Benchmark(func(b *testing.B) {
			b.Helper()
			b.ReportAllocs()
			for b.Loop() {
				Collect(Position{}, Snapshot{}, span, rows, 2)
			}
		}).AllocedBytesPerOp()
	}
	whole, share := allocated(all), allocated(Range{0, 1 << 32 / 25})
	if share*10 > whole {
		t.Errorf("a 25th of the keys takes %d bytes, all of them %d", share, whole)
	}
}
