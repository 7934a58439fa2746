package outbox

import (
	"maps"
	"slices"
	"testing"
)

// run is one adversarial run. It answers how the store differs from the table in the end; empty: it does not.
func (s *sim) run() string {
	s.disturbed()
	if !s.restored {
		s.trap()
	}
	s.settleDown()
	return s.difference()
}

// disturbed is the part in which everything happens at random, a restore included.
func (s *sim) disturbed() {
	length := 1000 + s.r.IntN(1500)
	restore := length/2 + s.r.IntN(length/2)
	var backup sim
	for t := range length {
		s.now++
		if s.r.IntN(12) == 0 {
			s.change(s.r.IntN(simKeys))
		}
		s.step(s.workers[s.r.IntN(len(s.workers))])
		s.deliver(false)
		for i, w := range s.workers {
			if w.dead && s.r.IntN(90) == 0 {
				s.workers[i] = &simWorker{}
			}
		}
		if t == length/4 {
			backup = *s
			backup.log, backup.table = slices.Clone(s.log), maps.Clone(s.table)
		}
		if s.restored && t == restore {
			s.restore(backup, s.r.IntN(length))
		}
	}
}

// restore takes PostgreSQL back to the backup; its processes are new, and every key is logged.
func (s *sim) restore(b sim, behind int) {
	s.deliver(true)
	s.log, s.table, s.position, s.epoch, s.version, s.expires = b.log, b.table, b.position, b.epoch, b.version, b.expires
	s.owner, s.suspects, s.behind = nil, nil, behind
	for i := range s.workers {
		s.workers[i] = &simWorker{}
	}
	for k := range simKeys {
		s.log = append(s.log, k)
	}
}

// trap stops a worker with a page in hand, or if there are peeks rather with one of those, changes or deletes the keys, and
// lets it go on after any time. Half of them die right after their last send.
func (s *sim) trap() {
	for i := range 3000 {
		s.now++
		if i%10 == 0 || s.peeks && i%5 == 0 { // peeks need a backlog
			s.change(s.r.IntN(simKeys))
		}
		w := s.workers[s.r.IntN(len(s.workers))]
		s.step(w)
		s.deliver(false)
		s.replace()
		if w.doing != sendsPage || w.dead || w.next > 0 || !s.holds(w) || s.peeks && !w.peeking && i < 2000 {
			continue
		}
		w.paused = s.now + []int{30, 100, 260, 700, 2400}[s.r.IntN(5)]
		w.doomed, w.checked = s.r.IntN(2) == 0, s.r.IntN(2) == 0
		if s.r.IntN(2) == 0 && !w.peeking {
			w.page, w.to = w.page[:1], w.from+1
			w.page[0].key = s.log[w.from]
			w.page[0].value = s.valueOf(w.page[0].key)
		}
		s.calm = s.peeks && s.r.IntN(2) == 0 // so that nobody else mends it by chance
		if s.peeks && s.r.IntN(2) == 0 {     // when somebody else has the lane
			s.later, s.changes = s.now+simLease+s.r.IntN(200), w.keys()
			return
		}
		for _, m := range w.page {
			s.change(m.key)
		}
		return
	}
}

func (s *sim) valueOf(key int) int {
	if v, there := s.table[key]; there {
		return v
	}
	return -1
}

// replace starts a new process for each that died.
func (s *sim) replace() {
	for i, w := range s.workers {
		if w.dead {
			s.workers[i] = &simWorker{}
		}
	}
}

// settleDown lets everything end: nobody writes, zombies go on, messages land, formers are found to be gone.
func (s *sim) settleDown() {
	for t := range 30000 {
		s.now++
		s.replace()
		for k := range simKeys {
			if s.now == s.later && s.changes[k] {
				s.change(k)
			}
		}
		s.calm, s.end = s.calm || t > 1500, t >= 4000
		if t > 3500 {
			for _, w := range s.workers {
				w.paused = 0
			}
		}
		s.step(s.workers[s.r.IntN(len(s.workers))])
		s.deliver(t == 4000)
		if t == 4500 || t == 5500 {
			for i := range s.suspects {
				s.suspects[i].due = s.now
				if t == 5500 {
					s.suspects[i].former = nil
				}
			}
		}
		if t > 6000 && s.position == len(s.log) && len(s.messages) == 0 && len(s.suspects) == 0 {
			return
		}
	}
}

// difference compares the store with the table.
func (s *sim) difference() string {
	for k := range simKeys {
		want, exists := s.table[k]
		got, there := s.store[k]
		there = there && !got.deleted
		switch {
		case there && !exists:
			return "resurrected"
		case exists && !there:
			return "missing"
		case exists && got.value != want:
			return "stale"
		}
	}
	if s.position != len(s.log) {
		return "stuck"
	}
	return ""
}

// engine are the rules that the engine follows.
var engine = rules{guard: true, heir: true, whole: true, confess: true, doubts: true, live: true, repeat: true, sees: true, raise: true, ahead: true, early: true}

// without leaves rules out.
func (r rules) without(out ...func(*rules) *bool) rules {
	for _, rule := range out {
		*rule(&r) = false
	}
	return r
}

// peeking is the rules with workers that peek.
func peeking(r rules) rules {
	r.peeks = true
	return r
}

// With the engine's rules the store ends up as the table, in every run: with any store, also one without a guard of
// its own, and after a restore.
func TestStoresConverge(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rules rules
		runs  uint64
	}{
		"guarded store":     {engine, 400},
		"deletes unguarded": {func() rules { r := engine; r.rawDeletes = true; return r }(), 150},
		"no guard":          {engine.without(guard), 150},
		"restored":          {func() rules { r := engine; r.restored = true; return r }(), 150},

		"peeks":                    {peeking(engine), 300},
		"peeks, deletes unguarded": {func() rules { r := peeking(engine); r.rawDeletes = true; return r }(), 100},
		"peeks, no guard":          {peeking(engine.without(guard)), 100},
		"peeks, restored":          {func() rules { r := peeking(engine); r.restored = true; return r }(), 100},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range c.runs {
				if got := newSim(c.rules, seed).run(); got != "" {
					t.Errorf("seed %d: the store has a record %s", seed, got)
				}
			}
		})
	}
}

func guard(r *rules) *bool   { return &r.guard }
func heir(r *rules) *bool    { return &r.heir }
func whole(r *rules) *bool   { return &r.whole }
func confess(r *rules) *bool { return &r.confess }
func doubts(r *rules) *bool  { return &r.doubts }
func live(r *rules) *bool    { return &r.live }
func repeat(r *rules) *bool  { return &r.repeat }
func sees(r *rules) *bool    { return &r.sees }
func raise(r *rules) *bool   { return &r.raise }
func ahead(r *rules) *bool   { return &r.ahead }
func early(r *rules) *bool   { return &r.early }

// None of the rules is there in vain: there is a run that ends well with it, and without it leaves the store different
// for ever. They overlap, so that some are shown without the others that would have caught it.
func TestEveryRuleIsNeeded(t *testing.T) {
	t.Parallel()
	restored := engine
	restored.restored = true
	for name, c := range map[string]struct {
		with rules
		rule func(*rules) *bool
		seed uint64
	}{
		"guard":   {rules{guard: true, sees: true}, guard, 0},
		"repeat":  {engine, repeat, 566},
		"raise":   {restored, raise, 119},
		"sees":    {engine.without(repeat), sees, 23},
		"heir":    {engine.without(live), heir, 267},
		"live":    {engine.without(repeat), live, 197},
		"confess": {engine.without(repeat, live), confess, 85},
		"whole":   {engine.without(repeat, live), whole, 84},
		"doubts":  {engine.without(repeat, live), doubts, 96},
		"early":   {peeking(engine.without(repeat, live)), early, 15},
		"ahead":   {peeking(engine.without(repeat, live)), ahead, 703},
	} {
		if got := newSim(c.with, c.seed).run(); got != "" {
			t.Errorf("%s: with it, seed %d ends with a record %s", name, c.seed, got)
		}
		if got := newSim(c.with.without(c.rule), c.seed).run(); got == "" || got == "stuck" {
			t.Errorf("%s: without it, seed %d ends well (%s)", name, c.seed, got)
		}
	}
}
