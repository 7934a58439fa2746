package outbox

import (
	"context"
	"fmt"
	"slices"
)

// The header by which a transaction says what shall happen when a backend refuses a record of it, and its values. To
// revert concerns the load that the header load names or, without one, the transaction alone; kinds without history cannot be
// reverted.
const (
	OnRejectHeader = "on_reject"
	OnRejectPark   = "park"   // the record is parked, and no more; so it is without the header
	OnRejectRevert = "revert" // and all that the load or the transaction has changed is restored, as Revert does
)

// LoadHeader names the load that a transaction belongs to. With OnRejectRevert the name has 500 bytes at most.
const LoadHeader = "load"

// loadMost is how long the name of a load that asks to be reverted can be, in bytes.
const loadMost = 500

// Revertible is a write that asks to be reverted when a backend refuses a record of it. Zero: it does not ask.
type Revertible struct {
	Load        string // empty: it is the transaction alone
	Transaction uint64
}

// What says what there is to revert, load or transaction, and its id.
func (r Revertible) What() (what, id string) {
	if r.Load != "" {
		return "load", r.Load
	}
	return "transaction", fmt.Sprint(r.Transaction)
}

// revertibleSQL begins what a page says of a row whose write asks to be reverted, and null of others: its load, its
// transaction, and then whether it is late. What a reader has logged itself says of which transaction it is.
const (
	revertibleSQL = `case when headers->>'on_reject' = 'revert' then array[coalesce(headers->>'load', ''),
       coalesce(case when backend is null then tx::text else headers->>'transaction' end, ''), `
	lateSQL = `case when backend is null then outbox.late(tx, headers->>'load', at)::text else '' end] end`
)

// says reads what revertibleSQL yields.
func (r *Row) says(said []string) (err error) {
	if len(said) != 3 || said[1] == "" {
		return nil
	}
	r.Revertible.Load, r.Late = said[0], said[2] == "true"
	r.Revertible.Transaction, err = parseXid(said[1])
	return err
}

// revertible is keys of a kind that a write asks to be reverted for.
type revertible struct {
	Revertible
	kind    string
	keys    []string
	changed bool // by the write itself: their dependants are concerned
}

// reverts notes that the row's write asks to be reverted.
func (p *Page) reverts(r Row) {
	if r.Revertible != (Revertible{}) && len(r.Revertible.Load) <= loadMost {
		p.revertible = append(p.revertible, revertible{r.Revertible, r.Kind, r.Keys, !r.Only})
	}
}

// Revertible lists the writes in the page that ask to be reverted if the record with the key is refused, each once. A nil
// page has none.
func (p *Page) Revertible(kind, key string) (list []Revertible) {
	if p == nil {
		return nil
	}
	for _, r := range p.revertible {
		if r.kind == kind && !slices.Contains(list, r.Revertible) && slices.Contains(r.keys, key) {
			list = append(list, r.Revertible)
		}
	}
	return list
}

// Changes are changed keys of a kind that follow from one write.
type Changes struct {
	Write Revertible // zero: none that asks to be reverted
	Keys  []string
}

// ChangedBy divides the changed keys of a kind by the writes that ask to be reverted; a key that several have changed
// comes with each.
func (p *Page) ChangedBy(kind string) []Changes {
	list, taken := []Changes(nil), map[string]bool{}
	for _, r := range p.revertible {
		if r.kind != kind || !r.changed {
			continue
		}
		i := slices.IndexFunc(list, func(c Changes) bool { return c.Write == r.Revertible })
		if i < 0 {
			i, list = len(list), append(list, Changes{Write: r.Revertible})
		}
		for _, k := range r.keys {
			if _, own := p.seen[kind][k]; own {
				list[i].Keys, taken[k] = append(list[i].Keys, k), true
			}
		}
	}
	for i := range list {
		slices.Sort(list[i].Keys)
		list[i].Keys = slices.Compact(list[i].Keys)
	}
	rest := p.Changed[kind]
	if len(list) > 0 {
		rest = slices.DeleteFunc(slices.Clone(rest), func(k string) bool { return taken[k] })
	}
	if len(rest) > 0 {
		list = append(list, Changes{Keys: rest})
	}
	return list
}

// Rejected answers why a load that asked for it is being reverted, or was within the last minutes; empty: it stands, as far
// as backends have got. Whoever writes a load in several transactions should ask before each: what it goes on writing is reverted as well.
func Rejected(ctx context.Context, db DB, load string) (string, error) {
	var why *string
	if err := db.QueryRow(ctx, `select outbox.rejected($1)`, load).Scan(&why); err != nil {
		return "", fmt.Errorf("asking whether load %s is being reverted: %w", load, err)
	}
	if why == nil {
		return "", nil
	}
	return *why, nil
}
