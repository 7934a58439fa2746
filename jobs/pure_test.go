package jobs

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/outbox"
)

var classes = []backends.Class{
	backends.Transient, backends.Overload, backends.Unknown, backends.Rejected, backends.Schema, backends.Denied, "nobody's",
}

// What seemed to dangle does so for certain if the store still has it and lacks an end, and neither it nor any record that
// would be a missing end is moving; it is still open if it dangles and something moves; everything else is fine.
func TestSift(t *testing.T) {
	t.Parallel()
	names := rapid.SampledFrom([]string{"a", "b", "c", "d"})
	own := backends.Reference{Kind: "edge", Target: "edge"}
	rapid.Check(t, func(t *rapid.T) {
		keys := rapid.SliceOfDistinct(names, rapid.ID).Draw(t, "keys")
		moving := map[backends.Reference]bool{}
		for _, k := range rapid.SliceOf(names).Draw(t, "edges that move") {
			moving[backends.Reference{Kind: own.Kind, Target: own.Target, Key: k}] = true
		}
		for _, k := range rapid.SliceOf(names).Draw(t, "nodes that move") {
			moving[backends.Reference{Kind: "node", Target: "node", Key: k}] = true
		}
		var found []backends.Dangling
		held := map[string]string{}
		what := map[string]string{}
		for _, key := range keys {
			what[key] = "fine"
			there := rapid.Bool().Draw(t, "in the store")
			if there {
				held[key] = "digest"
			}
			d := backends.Dangling{Key: key}
			moves := moving[backends.Reference{Kind: own.Kind, Target: own.Target, Key: key}]
			for _, records := range rapid.SliceOfN(rapid.SliceOf(names), 0, 2).Draw(t, "ends") {
				end := backends.End{}
				for _, k := range records {
					ref := backends.Reference{Kind: "node", Target: "node", Key: k}
					end.Records, moves = append(end.Records, ref), moves || moving[ref]
				}
				d.Ends = append(d.Ends, end)
			}
			if len(d.Ends) == 0 {
				continue
			}
			found = append(found, d)
			switch {
			case there && moves:
				what[key] = "open"
			case there:
				what[key] = "sure"
			}
		}
		fine, sure := sift(keys, found, held, func(r backends.Reference) bool { return moving[r] }, own)
		got := map[string]string{}
		for _, k := range keys {
			got[k] = "open"
		}
		for _, k := range fine {
			got[k] = "fine"
		}
		for _, d := range sure {
			got[d.Key] = "sure"
		}
		if diff := cmp.Diff(what, got); diff != "" || len(fine)+len(sure) > len(keys) {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

// A pause within a job is between a half and the whole of what doubles up to two seconds; overload waits longer.
func TestBackoffIsBounded(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 1<<40).Draw(t, "try")
		random := rapid.Float64Range(0, 1).Draw(t, "random")
		class := rapid.SampledFrom(classes).Draw(t, "class")
		d := backoff(n, class, random)
		if d < backoffFirst/2 || d > backoffMost {
			t.Fatalf("%v", d)
		}
		if backoff(n+1, class, random) < d || backoff(n, backends.Overload, random) < d {
			t.Fatal("a later try, or an overloaded store, is asked sooner")
		}
	})
}

// River waits for seconds after a failed job, and for minutes after a failed verify: never for hours.
func TestJobBackoffsAreBounded(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(-3, 1<<40).Draw(t, "attempt")
		random := rapid.Float64Range(0, 1).Draw(t, "random")
		if d := jobBackoff(n, random); d < time.Second/2 || d > 4*time.Second {
			t.Errorf("a job waits %v", d)
		}
		if d := verifyBackoff(n, random); d < time.Second/2 || d > 5*time.Minute {
			t.Errorf("a verify waits %v", d)
		}
	})
}

// Each class of errors has one behaviour, and the gravest of several decides.
func TestJudge(t *testing.T) {
	t.Parallel()
	got, ends := map[backends.Class]verdict{}, map[backends.Class]bool{}
	for _, c := range classes {
		got[c], ends[c] = judge(c), fatal(c)
	}
	if diff := cmp.Diff(map[backends.Class]verdict{
		backends.Transient: again, backends.Overload: fewer, backends.Unknown: doubts, backends.Rejected: park,
		backends.Schema: mend, backends.Denied: stop, "nobody's": doubts,
	}, got); diff != "" {
		t.Errorf("verdicts (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[backends.Class]bool{
		backends.Transient: false, backends.Overload: false, backends.Unknown: false, backends.Rejected: true,
		backends.Schema: true, backends.Denied: true, "nobody's": false,
	}, ends); diff != "" {
		t.Errorf("what pauses the backend (-want +got):\n%s", diff)
	}
	light, grave := &backends.Error{Class: backends.Transient}, &backends.Error{Class: backends.Denied}
	if graver(light, grave) != grave || graver(grave, light) != grave || graver(nil, light) != light || graver(light, nil) != light || graver(nil, nil) != nil {
		t.Error("the lighter error won")
	}
}

// The pages of a feed come to have about as many keys as wanted, whatever the rows are like.
func TestNextRows(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.IntRange(1, 100_000).Draw(t, "want")
		limit := rapid.IntRange(1, want).Draw(t, "limit")
		perRow := rapid.IntRange(0, 500).Draw(t, "keys per row")
		for range 40 {
			next := nextRows(limit, limit, limit*perRow, want)
			if next < 1 || next > want || next > 4*limit {
				t.Fatalf("%d after %d", next, limit)
			}
			limit = next
		}
		if keys := limit * perRow; keys > want && limit > 1 {
			t.Fatalf("pages of %d keys where %d are wanted", keys, want)
		}
		if perRow > 0 && limit < want && (limit+1)*perRow <= want {
			t.Fatalf("pages of %d rows with %d keys each where %d keys are wanted", limit, perRow, want)
		}
		if nextRows(limit, 0, 0, want) != limit {
			t.Fatal("an empty page changed the pace")
		}
	})
}

// A question's answer is about as large as a portion, and at least one key is asked for.
func TestChunk(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := collector{bound: rapid.IntRange(1<<10, 1<<26).Draw(t, "bound"), sizes: map[*plan]int{}, most: rapid.IntRange(0, 600).Draw(t, "most")}
		p := &plan{}
		if n := c.chunk(p); n < 1 || n > chunkFirst || c.most > 0 && n > c.most {
			t.Fatalf("the first question has %d keys", n)
		}
		size := rapid.IntRange(0, 1<<27).Draw(t, "size")
		c.learn(p, size)
		if n := c.chunk(p); n < 1 || n > chunkMost || n > 1 && n*size > c.bound || c.most > 0 && n > c.most {
			t.Fatalf("records of %d bytes are asked for by %d within %d", size, n, c.bound)
		}
		less := rapid.IntRange(0, size).Draw(t, "less")
		before := c.sizes[p]
		if c.learn(p, less); c.sizes[p] > before || c.sizes[p] < less {
			t.Fatalf("the size went from %d to %d for %d", before, c.sizes[p], less)
		}
	})
}

// What is stored of an error is text that PostgreSQL takes, short, and the same if it was so before.
func TestStorable(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := string(rapid.SliceOfN(rapid.Byte(), 0, 3000).Draw(t, "bytes"))
		got := storable(text)
		if !utf8.ValidString(got) || strings.ContainsRune(got, 0) || utf8.RuneCountInString(got) > 2001 {
			t.Fatalf("%q", got)
		}
		if plain := utf8.ValidString(text) && !strings.ContainsRune(text, 0) && len(text) <= 2000; plain && got != text {
			t.Fatalf("%q became %q", text, got)
		}
	})
}

// The keeper calls for lanes that are behind and free, of backends that run here and are not paused, and not again
// at once.
func TestDue(t *testing.T) {
	t.Parallel()
	start := time.Unix(0, 0)
	behind := outbox.LaneState{Backend: "a", Lane: 1, Behind: true}
	held, done, paused, foreign := behind, behind, behind, behind
	held.Held, done.Behind, paused.Paused, foreign.Backend = true, false, "maintenance", "elsewhere"
	call := ProjectArgs{Backend: "a", Lane: 1}
	for name, c := range map[string]struct {
		lane   outbox.LaneState
		called time.Duration // before now; 0: never
		want   []ProjectArgs
		forget bool // that it was called
	}{
		"free and behind":       {lane: behind, want: []ProjectArgs{call}},
		"called just now":       {lane: behind, called: callAgain - 1},
		"called a while ago":    {lane: behind, called: callAgain, want: []ProjectArgs{call}},
		"held":                  {lane: held, forget: true},
		"held, called just now": {lane: held, called: 1, forget: true},
		"nothing to do":         {lane: done, called: 1, forget: true},
		"paused":                {lane: paused},
		"not of this process":   {lane: foreign},
	} {
		k := keeper{called: map[ProjectArgs]time.Time{}}
		now := start.Add(time.Hour)
		if c.called > 0 {
			k.called[call] = now.Add(-c.called)
		}
		got := k.due([]outbox.LaneState{c.lane}, func(b string) bool { return b == "a" }, now)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if _, known := k.called[call]; c.forget && known {
			t.Errorf("%s: the call is remembered", name)
		}
	}
}

// The kinds whose changes lead to a kind are found through others, each once.
func TestCauses(t *testing.T) {
	t.Parallel()
	kinds := map[string]kind{
		"room": {dependants: []dependant{{kind: "shelf"}, {kind: "item"}}}, "shelf": {dependants: []dependant{{kind: "item"}}}, "item": {}, "other": {},
	}
	got := causes(kinds, "item")
	if got[0] != "item" || len(got) != 3 {
		t.Errorf("an item changes with %v", got)
	}
	if diff := cmp.Diff([]string{"other"}, causes(kinds, "other")); diff != "" {
		t.Error(diff)
	}
}

// bounded draws settings of any bounds of memory.
func bounded(t *rapid.T) Settings {
	return Settings{
		PortionBytes: rapid.IntRange(1<<10, 64<<20).Draw(t, "portion"),
		MemoryBytes:  rapid.IntRange(1<<20, 1<<30).Draw(t, "memory"),
	}
}

// The portions of the lanes at work fit into the memory together, except that a portion is worth a request.
func TestPortionsShareMemory(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		set := bounded(t)
		lanes := rapid.IntRange(0, 1000).Draw(t, "lanes")
		got := set.portionBytes(lanes)
		if got > set.PortionBytes || got > portionLeast && 3*lanes*got > set.MemoryBytes {
			t.Fatalf("%d bytes for each of %d lanes", got, lanes)
		}
		if got < min(set.PortionBytes, portionLeast) {
			t.Fatalf("%d bytes are too few", got)
		}
	})
}

// A lane never holds more than its share, or else one portion alone, whatever the size of its records, and it is never
// stuck: while it holds nothing it may read.
func TestLaneKeepsToItsShare(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		set := bounded(t)
		lanes, size := rapid.IntRange(1, 1000).Draw(t, "lanes"), rapid.IntRange(1, 4<<20).Draw(t, "record")
		share, bound := set.share(lanes), set.portionBytes(lanes)
		var held []int
		t.Repeat(map[string]func(*rapid.T){
			"read": func(t *rapid.T) {
				room := roomFor(share, sum(held), bound, size)
				if room == 0 && len(held) > 0 {
					t.Skip("it has to wait")
				}
				if room <= 0 || room > bound {
					t.Fatalf("room for %d bytes with a bound of %d, while %v are held of %d", room, bound, held, share)
				}
				held = append(held, max(room/size, 1)*size)
			},
			"end": func(t *rapid.T) {
				if len(held) == 0 {
					t.Skip("nothing is held")
				}
				held = held[1:]
			},
			"": func(t *rapid.T) {
				if sum(held) > share && len(held) > 1 {
					t.Fatalf("%v bytes are held of a share of %d", held, share)
				}
			},
		})
	})
}

// Small records leave room for as many portions as the engine works with at once.
func TestPortionsOverlap(t *testing.T) {
	t.Parallel()
	set := Settings{PortionBytes: 8 << 20, MemoryBytes: 128 << 20}
	for lanes := 1; lanes <= 1000; lanes++ {
		share, bound, held := set.share(lanes), set.portionBytes(lanes), 0
		for n := range portionsHeld {
			if roomFor(share, held, bound, 1000) < bound/2 {
				t.Fatalf("%d lanes: no room for portion %d", lanes, n+1)
			}
			held += bound + 1000 // the record that fills it
		}
	}
}

func sum(list []int) (n int) {
	for _, i := range list {
		n += i
	}
	return n
}
