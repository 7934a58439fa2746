package outbox

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// machine is one run of writers and a reader, and what a dumb model expects of it.
type machine struct {
	world
	r         *rand.Rand
	open      []transaction
	written   map[int][]string // keys of open transactions, by their place in open
	committed []string         // keys, in any order
	next      int
	tenure    *Tenure
	pos       Position
	unsaved   []string // delivered behind the last save
	saved     []string // delivered for good
}

// step does something at random: a writer begins, writes, commits or aborts; the reader reads a page of any size,
// saves, or dies.
func (m *machine) step() {
	m.Helper()
	switch n := m.r.IntN(20); {
	case n < 4 && len(m.open) < 4:
		m.open = append(m.open, m.begin())
	case n < 10 && len(m.open) > 0:
		m.write(m.r.IntN(len(m.open)))
	case n < 13 && len(m.open) > 0:
		m.end(m.r.IntN(len(m.open)), m.r.IntN(4) > 0)
	case n < 17:
		m.read(1 + m.r.IntN(4))
	case n < 19:
		m.save()
	default:
		m.crash()
	}
}

func (m *machine) write(i int) {
	m.Helper()
	m.next++
	key := fmt.Sprint(m.next)
	m.open[i].logs(key)
	m.written[i] = append(m.written[i], key)
}

// end ends a transaction; the last one takes its place.
func (m *machine) end(i int, commit bool) {
	m.Helper()
	if commit {
		m.open[i].end("commit")
		m.committed = append(m.committed, m.written[i]...)
	} else {
		m.open[i].end("rollback")
	}
	last := len(m.open) - 1
	m.open[i], m.written[i] = m.open[last], m.written[last]
	m.open = m.open[:last]
	delete(m.written, last)
}

func (m *machine) read(limit int) (more bool) {
	m.Helper()
	keys, p := m.page(NewReader(m.pool, m.tenure, nil), m.pos, limit)
	if p.Rows > limit {
		m.Fatalf("a page of %d rows, limit %d", p.Rows, limit)
	}
	m.unsaved, m.pos = append(m.unsaved, strings.Fields(keys)...), p.Next
	return p.More
}

func (m *machine) save() {
	m.Helper()
	m.ok(m.tenure.Save(m.Context(), m.pool, m.pos, Outcome{}))
	m.saved, m.unsaved = append(m.saved, m.unsaved...), nil
}

// crash forgets what was not saved; another reader goes on from there.
func (m *machine) crash() {
	m.Helper()
	m.expire("b")
	m.tenure, m.unsaved = m.take("b", fmt.Sprint(m.next, m.r.Uint64())), nil
	m.pos = m.tenure.Start
}

// check fails unless what was delivered so far is part of what was committed, nothing twice.
func (m *machine) check(exactly bool) {
	m.Helper()
	got, want := append(slices.Clone(m.saved), m.unsaved...), slices.Clone(m.committed)
	slices.Sort(got)
	slices.Sort(want)
	if len(slices.Compact(slices.Clone(got))) != len(got) {
		m.Fatalf("delivered twice: %v", got)
	}
	if exactly {
		if diff := cmp.Diff(want, got); diff != "" {
			m.Fatal(diff)
		}
		return
	}
	for _, key := range got {
		if _, found := slices.BinarySearch(want, key); !found {
			m.Fatalf("%s was delivered and not committed", key)
		}
	}
}

// Whatever transactions do, in whatever order they end, and however the reader cuts its pages, saves and dies: every
// committed row is delivered, no row of an open or aborted transaction is, and none is delivered twice unless the
// reader died before it saved.
func TestEveryRowIsDeliveredOnce(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			m := &machine{world: newWorld(t, "b"), r: rand.New(rand.NewPCG(seed, 7)), written: map[int][]string{}}
			m.tenure = m.take("b", "first")
			m.pos = m.tenure.Start
			for range 120 {
				m.step()
				m.check(false)
			}
			for len(m.open) > 0 {
				m.end(0, true)
			}
			for range 2 { // the page that ends a target, and one that takes a new target
				for m.read(3) {
				}
			}
			m.check(true)
		})
	}
}

// The same holds in the middle of a delta whose target is fixed: a lower id that commits meanwhile is delivered after
// it, and the delta goes on where it was.
func TestLateCommitDoesNotDisturbADelta(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b")
	tenure := w.take("b", "p")
	late := w.begin()
	late.logs("late")
	w.writes("1")
	w.writes("2")
	w.writes("3")
	r := NewReader(w.pool, tenure, nil)
	first, p := w.page(r, tenure.Start, 2)
	late.commit()
	w.writes("4")
	second, p := w.page(r, p.Next, 2)
	third, p := w.page(r, p.Next, 5)
	if got := first + "|" + second + "|" + third; got != "1 2|3|late 4" || p.More {
		t.Errorf("delivered %s", got)
	}
}
