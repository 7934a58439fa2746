package outbox

import "math/rand/v2"

// The model of the simulation: a log, a table, a store, workers that pause and die at any point, and messages that are
// late. Time is abstract. It shows which orders of events exist, not how likely they are.
const (
	simKeys    = 4
	simLease   = 40
	simGrace   = 200 // pause before suspects are logged again
	simPage    = 3
	simTimeout = 60
)

// rules are those that the engine follows. Each can be left out.
type rules struct {
	guard   bool // the store refuses a version below the one that it has; it keeps no tombstones
	heir    bool // who takes an expired lease makes the unsaved delta suspect
	whole   bool // all of it, not only the page that the former is known to have read
	confess bool // who finds its lease lost logs again what it had in hand
	doubts  bool // keys of a request without an answer are suspect
	live    bool // the lease is checked just before each send
	repeat  bool // suspects are logged again after doubling pauses until the former is gone
	sees    bool // a page is read in a snapshot that sees its own lease: what a former has read was there when the lane was taken
	raise   bool // refused by a higher version with a valid lease: versions go above it
	ahead   bool // a peek is at what the position has not passed
	early   bool // who finds its lease lost logs again what it peeked at, too, since it last saved

	peeks      bool // between two pages, who is far behind writes what is new before its turn, and says nothing of it in the position
	rawDeletes bool // the store does not guard deletes
	restored   bool // PostgreSQL is restored from an older backup, its clock is behind; the store keeps tombstones
}

type simMessage struct {
	key, version, value int // value < 0: delete
	sent, try           int
	from                *simWorker
}

type simRecord struct {
	version, value int
	deleted        bool
}

// What a worker is about to do.
const (
	wantsLane = iota
	wantsPage
	readsPage
	sendsPage
	awaitsAnswers
)

type simWorker struct {
	doing              int
	epoch, version     int
	from, to           int // its page in the log
	page               []simMessage
	next, acks         int
	paused, since, try int
	dead, doomed       bool // doomed: dies right after its last send
	checked            bool
	refused            int // the highest version that the store has instead
	peeking            bool
	peeked             map[int]bool // keys, since the last save
}

type simSuspect struct {
	keys   map[int]bool
	due    int
	pause  int
	former *simWorker
}

type sim struct {
	rules
	r         *rand.Rand
	log       []int // keys
	table     map[int]int
	position  int
	owner     *simWorker
	epoch     int
	version   int
	expires   int
	suspects  []simSuspect
	store     map[int]simRecord
	messages  []simMessage
	workers   []*simWorker
	now       int
	behind    int // the clock, after a restore
	value     int
	later     int          // when changes come
	changes   map[int]bool // keys
	calm, end bool         // nobody pauses or dies; every message lands
}

func newSim(rules rules, seed uint64) *sim {
	s := &sim{rules: rules, r: rand.New(rand.NewPCG(seed, 0)), table: map[int]int{}, store: map[int]simRecord{}, now: 1000}
	for range 3 {
		s.workers = append(s.workers, &simWorker{})
	}
	return s
}

// change writes or deletes a key, and logs it.
func (s *sim) change(key int) {
	if s.r.IntN(2) == 0 {
		delete(s.table, key)
	} else {
		s.value++
		s.table[key] = s.value
	}
	s.log = append(s.log, key)
}

func (s *sim) relog(keys map[int]bool) {
	for k := range simKeys {
		if keys[k] {
			s.log = append(s.log, k)
		}
	}
}

func (s *sim) nextVersion() int {
	s.version = max(s.version+1, (s.now-s.behind)*16)
	return s.version
}

func (s *sim) holds(w *simWorker) bool { return s.owner == w && s.epoch == w.epoch }

// land is a message arriving at the store.
func (s *sim) land(m simMessage) {
	old, there := s.store[m.key]
	refused := s.guard && there && old.version > m.version && (!s.rawDeletes || m.value >= 0)
	switch {
	case refused:
	case m.value >= 0:
		s.store[m.key] = simRecord{version: m.version, value: m.value}
	case s.restored:
		s.store[m.key] = simRecord{version: m.version, deleted: true}
	default:
		delete(s.store, m.key)
	}
	if w := m.from; !w.dead && w.doing >= sendsPage && w.version == m.version && w.try == m.try {
		w.acks++
		if refused {
			w.refused = max(w.refused, old.version)
		}
	}
}

// deliver lets messages land: most soon, some late, a few very late.
func (s *sim) deliver(all bool) {
	kept := s.messages[:0]
	for _, m := range s.messages {
		lands := s.r.IntN(6) == 0 && s.r.IntN(40) > 0
		if m.sent%23 == 0 && !s.end {
			lands = s.r.IntN(1500) == 0
		}
		if lands || all {
			s.land(m)
		} else {
			kept = append(kept, m)
		}
	}
	s.messages = kept
}

// disturb makes the worker pause, for longer than lease and grace sometimes, or die. It answers whether it did.
func (s *sim) disturb(w *simWorker) bool {
	pause, die := 25, 200
	if w.doing == sendsPage {
		pause = 6 // between the read and the sends
	}
	if w.doing >= sendsPage && (s.owner != w || s.now >= s.expires) {
		die = 8 // before it finds out that it lost the lane
	}
	if s.r.IntN(pause) == 0 {
		w.paused = s.now + 1 + s.r.IntN([]int{5, 20, 120, 1500}[s.r.IntN(4)])
		return true
	}
	w.dead = s.r.IntN(die) == 0
	return w.dead
}

// step is the worker's next.
func (s *sim) step(w *simWorker) {
	if w.dead || s.now < w.paused || !s.calm && s.disturb(w) {
		return
	}
	if s.holds(w) && s.now < s.expires {
		s.expires = s.now + simLease // the renewal
	}
	switch w.doing {
	case wantsLane:
		s.take(w)
	case wantsPage:
		if !s.holds(w) {
			s.lose(w)
			return
		}
		s.expires = s.now + simLease
		s.sweep()
		w.version, w.doing = s.nextVersion(), readsPage
		w.peeking = s.peeks && !s.end && len(s.log) > s.position+simPage && s.r.IntN(3) == 0
	case readsPage:
		s.read(w)
	case sendsPage:
		s.send(w)
	case awaitsAnswers:
		s.settle(w)
	}
}

func (s *sim) take(w *simWorker) {
	if s.owner != nil && s.now < s.expires {
		return
	}
	former := s.owner
	s.epoch++
	s.owner, s.expires, w.epoch, w.doing = w, s.now+simLease, s.epoch, wantsPage
	if former == nil || !s.heir {
		return
	}
	delta := s.log[s.position:]
	if !s.whole {
		delta = delta[:min(len(delta), simPage)]
	}
	keys := map[int]bool{}
	for _, k := range delta {
		keys[k] = true
	}
	s.suspects = append(s.suspects, simSuspect{keys, s.now + simGrace, simGrace, former})
}

// lose is a worker finding out that its lane is lost.
func (s *sim) lose(w *simWorker) {
	if s.confess && (!w.peeking || s.early) {
		s.relog(w.keys())
	}
	if s.confess && s.early {
		s.relog(w.peeked)
	}
	*w = simWorker{try: w.try + 1}
}

func (w *simWorker) keys() map[int]bool {
	keys := map[int]bool{}
	for _, m := range w.page {
		keys[m.key] = true
	}
	return keys
}

func (s *sim) sweep() {
	kept := s.suspects[:0]
	for _, x := range s.suspects {
		due := s.now >= x.due
		if due {
			s.relog(x.keys)
		}
		if due && s.repeat && x.former != nil {
			x.pause *= 2
			x.due, due = s.now+x.pause, false
		}
		if !due {
			kept = append(kept, x)
		}
	}
	s.suspects = kept
}

// read makes the page, or a peek; the snapshot sees the lease.
func (s *sim) read(w *simWorker) {
	if s.sees && !s.holds(w) {
		s.lose(w)
		return
	}
	w.from, w.to, w.page = s.position, min(len(s.log), s.position+simPage), nil
	if w.peeking {
		w.from, w.to = s.glance()
	}
	for k := range simKeys {
		for _, logged := range s.log[w.from:w.to] {
			if logged != k {
				continue
			}
			value, there := s.table[k]
			if !there {
				value = -1
			}
			w.page = append(w.page, simMessage{key: k, version: w.version, value: value, from: w, try: w.try})
			break
		}
	}
	if w.peeking {
		w.note()
	}
	w.next, w.acks, w.refused, w.doing, w.since = 0, 0, 0, sendsPage, s.now
	if len(w.page) == 0 {
		w.doing = wantsPage
	}
}

// glance is where in the log a peek is: its newest rows, behind the page that comes next.
func (s *sim) glance() (from, to int) {
	const most = 2
	if s.ahead {
		return max(s.position+simPage, len(s.log)-most), len(s.log)
	}
	return max(s.position-most, 0), s.position
}

// note remembers what is peeked at.
func (w *simWorker) note() {
	if w.peeked == nil {
		w.peeked = map[int]bool{}
	}
	for k := range w.keys() {
		w.peeked[k] = true
	}
}

func (s *sim) send(w *simWorker) {
	if s.live && !w.checked {
		if s.now > w.since+simLease-2 {
			w.doing, w.since = awaitsAnswers, s.now-1000
			return
		}
		w.checked = true // a pause can come between the check and the send
		return
	}
	w.checked = false
	m := w.page[w.next]
	m.sent = s.now
	s.messages = append(s.messages, m)
	if w.next++; w.next == len(w.page) {
		w.doing, w.since, w.dead = awaitsAnswers, s.now, w.doomed
	}
}

// settle is what a worker does with the answers: it saves, or it begins again.
func (s *sim) settle(w *simWorker) {
	done := w.acks == len(w.page)
	if !done && s.now-w.since <= simTimeout {
		return
	}
	if !s.holds(w) {
		s.lose(w)
		return
	}
	switch {
	case !done && s.doubts && !s.end:
		s.suspects = append(s.suspects, simSuspect{w.keys(), s.now + simGrace, simGrace, w})
	case done && s.raise && w.refused > w.version:
		s.version = max(s.version, w.refused)
	case done && w.peeking:
		w.page = nil
	case done:
		s.position, w.page, w.peeked = w.to, nil, nil
	}
	w.try++
	w.doing = wantsPage
}
