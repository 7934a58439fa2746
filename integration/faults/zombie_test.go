package faults_test

import (
	"testing"
	"time"

	"github.com/outflow-db/outflow/integration/faults"
)

// A process that is stopped in the middle of a send is a zombie when it wakes up: its lane belongs to another, who has
// changed and deleted the same keys in the store. What it sends late does no harm to a store that guards versions and
// keeps tombstones; brings back what was deleted in one that guards versions only; and overwrites all in one that has no
// guard. In the end all three are right.
func TestZombies(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		options faults.Options
		harm    int // records that are wrong when the late request has arrived
	}{
		"versions and tombstones": {faults.Options{ReadModels: 1}, 0},
		"versions":                {faults.Options{Qdrants: 1}, 3},
		"no guard":                {faults.Options{Nebulas: 1}, 6},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.options.Source, c.options.Processes, c.options.Writers, c.options.Zombie = source(t), faults.None, faults.None, time.Minute
			c.options.Request = time.Minute // a server drops a request whose limit is over when it arrives
			z := &zombie{T: t, l: lab(t, c.options)}
			z.stopsInASend()
			z.isReplaced()
			z.wakesUp(c.harm)
		})
	}
}

// zombie is a worker that becomes one, and the worker that takes over.
type zombie struct {
	*testing.T
	l            *faults.Lab
	first, other *faults.Hand
}

func (z *zombie) ok(err error) {
	z.Helper()
	if err != nil {
		z.Fatal(err)
	}
}

func (z *zombie) hire(name string) *faults.Hand {
	z.Helper()
	h, err := z.l.Hire(name)
	z.ok(err)
	z.Cleanup(func() {
		if err := h.Fire(); err != nil {
			z.Error(err)
		}
	})
	return h
}

func (z *zombie) proxy() *faults.Proxy { return z.first.Proxies[z.l.Stores[0].Name] }

// eventually waits until something holds.
func (z *zombie) eventually(what string, holds func() bool) {
	z.Helper()
	for end := time.Now().Add(time.Minute); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			z.Fatalf("after a minute still not: %s", what)
		}
	}
}

// stopsInASend lets the first worker send six records, holds the request on its way, and stops the worker.
func (z *zombie) stopsInASend() {
	z.Helper()
	z.first = z.hire("first")
	z.ok(z.l.Apply(z.Context(), `insert into node select i, 'first', '{1,2,3}', '{1,2}' from generate_series(1, 6) i`))
	z.proxy().FreezeAt("held in hand")
	_, err := z.l.Commit(z.Context(), `update node set v = 'held in hand'`)
	z.ok(err)
	z.eventually("the request is on its way", z.proxy().Frozen)
	z.ok(z.first.Stop())
}

// isReplaced lets the other worker take the lane over and change the same keys in the store.
func (z *zombie) isReplaced() {
	z.Helper()
	z.other = z.hire("other")
	z.ok(z.l.Apply(z.Context(), `update node set v = 'later' where id <= 3`, `delete from node where id > 3`))
	z.ok(z.other.Stop()) // nobody mends anything meanwhile
	z.differ(0)
}

// wakesUp lets the request arrive, and then both workers go on.
func (z *zombie) wakesUp(harm int) {
	z.Helper()
	before := z.proxy().Answered()
	z.proxy().Thaw()
	z.eventually("the late request is answered", func() bool { return z.proxy().Answered() > before })
	if harm > 0 { // an answer may begin before the write is done
		z.eventually("the late request does harm", func() bool {
			n, err := z.l.Differ(z.Context(), z.l.Stores[0])
			return err == nil && n == harm
		})
	}
	z.differ(harm)
	z.ok(z.first.Continue())
	z.ok(z.other.Continue())
	z.same()
	z.ok(z.first.Retire())
	z.same()
	z.ok(z.other.Retire())
}

func (z *zombie) differ(want int) {
	z.Helper()
	n, err := z.l.Differ(z.Context(), z.l.Stores[0])
	z.ok(err)
	if n != want {
		z.Errorf("%d records of the store are wrong, want %d", n, want)
	}
}

func (z *zombie) same() {
	z.Helper()
	if _, n, err := z.l.Compare(z.Context()); err != nil || n != 0 {
		z.Errorf("%d records of the store are wrong in the end: %v", n, err)
	}
}
