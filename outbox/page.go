package outbox

import (
	"slices"
	"time"
)

// Row is one row of the log.
type Row struct {
	Place
	Kind  string
	Keys  []string
	All   bool // every key of the kind, whatever Keys says
	Only  bool // addressed to one backend: a repair, a rebuild, a dependant
	Cause Cause
	At    time.Time
	Trace Trace // that the transaction belongs to, if it said so

	Revertible Revertible // its write, if that asks to be reverted when a record of it is refused
	Late       bool       // a record of Revertible.Load was refused before, and nobody knew of this transaction then

	asked bool // its keys were noted for the question of its kind
}

// Trace names a span of a trace, as the headers traceparent and tracestate do (W3C Trace Context). It is not checked.
type Trace struct{ Parent, State string }

// Cause is the range of transactions whose changes led to rows that a reader put into the log itself, so that
// waiting for one of them waits for those rows as well.
type Cause struct{ From, To uint64 }

// span is the smallest range that holds both.
func (c Cause) span(o Cause) Cause {
	if c.To == 0 {
		return o
	}
	return Cause{min(c.From, o.From), max(c.To, o.To)}
}

// Page is a part of a delta: what one turn of a reader has to apply.
type Page struct {
	Rows    int                 // rows of the log it is made of
	Keys    map[string][]string // keys of the lane by kind, each once, in the order of the log
	All     map[string]Cause    // kinds of which every key is concerned
	Changed map[string][]string // those of Keys whose dependants are concerned too
	Cause   Cause               // of what follows from Changed
	Oldest  time.Time           // when its oldest row was written; zero if it has none
	Traces  []Trace             // that its changes belong to, each once, up to tracesMost of them
	Late    []Revertible        // writes of which a record was refused before they were known, each once
	Next    Position            // where the lane is when all of it is applied
	More    bool                // the delta goes on behind it
	Durable bool                // every transaction that its snapshot sees was on disk when it was read

	seen       map[string]map[string]sight // all of Keys, by kind
	revertible []revertible                // in the order of the log
}

// tracesMost bounds the traces of a page: more than that nobody looks at.
const tracesMost = 100

// belongs notes a trace that the page's changes belong to.
func (p *Page) belongs(t Trace) {
	if t.Parent != "" && len(p.Traces) < tracesMost && !slices.Contains(p.Traces, t) {
		p.Traces = append(p.Traces, t)
	}
}

// Count is the number of keys in the page.
func (p *Page) Count() int {
	n := 0
	for _, keys := range p.Keys {
		n += len(keys)
	}
	return n
}

// Empty says whether nothing is to be done but to move the position.
func (p *Page) Empty() bool { return len(p.Keys) == 0 && len(p.All) == 0 }

// Disjoint says whether the pages have no key in common.
func (p *Page) Disjoint(o *Page) bool {
	for kind, keys := range p.Keys {
		others := o.seen[kind]
		if len(others) == 0 {
			continue
		}
		for _, k := range keys {
			if _, common := others[k]; common {
				return false
			}
		}
	}
	return true
}

// Collect makes the page of the lane's range from rows of the delta to target, which were read from pos with
// the given limit. Keys outside the range are left to other lanes. A delta has more when the limit was reached.
func Collect(pos Position, target Snapshot, span Range, rows []Row, limit int) *Page {
	p := &Page{Rows: len(rows), Keys: map[string][]string{}, All: map[string]Cause{}, Changed: map[string][]string{}}
	p.More, p.seen = len(rows) >= limit, seenFor(rows, span)
	for _, r := range rows {
		cause := r.Cause
		if cause.To == 0 {
			cause = Cause{r.Tx, r.Tx}
		}
		if p.Oldest.IsZero() || r.At.Before(p.Oldest) {
			p.Oldest = r.At
		}
		if r.Late && !slices.Contains(p.Late, r.Revertible) {
			p.Late = append(p.Late, r.Revertible)
		}
		if r.All {
			p.belongs(r.Trace)
			p.All[r.Kind] = p.All[r.Kind].span(cause)
			continue
		}
		if !p.take(r, span) {
			continue
		}
		p.belongs(r.Trace)
		p.reverts(r)
		if !r.Only {
			p.Cause = p.Cause.span(cause)
		}
	}
	var last Place
	if len(rows) > 0 {
		last = rows[len(rows)-1].Place
	}
	p.Next = pos.Next(target, last, p.More)
	return p
}

// sight says where a key of a page was seen.
type sight byte

const (
	addressed sight = iota // only where its dependants are not concerned
	changed                // in Changed, too
)

// seenFor makes room for the keys of rows that are in the range. Hashes are even, so its share of all keys is about that;
// room for all of them, in each of many lanes, would be more memory than the records take.
func seenFor(rows []Row, span Range) map[string]map[string]sight {
	n := map[string]int{}
	for _, r := range rows {
		n[r.Kind] += len(r.Keys)
	}
	seen := make(map[string]map[string]sight, len(n))
	for kind, n := range n {
		seen[kind] = make(map[string]sight, int(float64(n)*float64(span.Hi-span.Lo)/(1<<32)))
	}
	return seen
}

// take takes in the row's keys that are in the range, and says whether there are any.
func (p *Page) take(r Row, span Range) (own bool) {
	seen, list, spread := p.seen[r.Kind], p.Keys[r.Kind], p.Changed[r.Kind]
	for _, k := range r.Keys {
		if !span.all() && !span.Has(Hash(r.Kind, k)) {
			continue
		}
		own = true
		before, known := seen[k]
		if !known {
			list = append(list, k)
		}
		if r.Only {
			if !known {
				seen[k] = addressed
			}
			continue
		}
		if !known || before == addressed {
			seen[k] = changed
			spread = append(spread, k)
		}
	}
	if own {
		p.Keys[r.Kind] = list
	}
	if own && !r.Only {
		p.Changed[r.Kind] = spread
	}
	return own
}

// Hash places a key among the 2^32 hashes that lanes divide: FNV-1a over the kind, a zero byte and the key, mixed
// once more because FNV's upper bits, which lanes split by, change little between similar keys. It must never
// change: positions of split lanes depend on it.
func Hash(kind, key string) uint32 {
	h := uint32(2166136261)
	for i := range len(kind) {
		h = (h ^ uint32(kind[i])) * 16777619
	}
	h *= 16777619
	for i := range len(key) {
		h = (h ^ uint32(key[i])) * 16777619
	}
	h ^= h >> 16 // the finalizer of MurmurHash3
	h *= 0x85ebca6b
	h ^= h >> 13
	h *= 0xc2b2ae35
	return h ^ h>>16
}

// Range is the key hashes of a lane: Lo <= hash < Hi, within 0 and 2^32.
type Range struct{ Lo, Hi uint64 }

// all says whether every hash is in the range.
func (r Range) all() bool { return r.Lo == 0 && r.Hi == 1<<32 }

// Has says whether the hash is in the range.
func (r Range) Has(hash uint32) bool { return uint64(hash) >= r.Lo && uint64(hash) < r.Hi }
