package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/outbox"
)

// Dangling is what a verify found of records that refer to what the store does not have, as an edge does without a vertex
// at its end. They are no difference: PostgreSQL may have rows that refer to none. What came to dangle while the verify
// was under way may be left out.
type Dangling struct {
	Records  int64            `json:"records"`             // that dangle for certain
	Lacking  int64            `json:"lacking,omitempty"`   // of them, whose ends PostgreSQL has, all of them: only the store lacks them
	InFlight int64            `json:"in_flight,omitempty"` // that changed meanwhile, or whose ends did: nothing can be said
	Examples []DanglingRecord `json:"examples,omitempty"`
}

// DanglingRecord is one record that dangles.
type DanglingRecord struct {
	Key  string       `json:"key"`
	Ends []MissingEnd `json:"ends"`
}

// MissingEnd is what a record refers to and the store does not have.
type MissingEnd struct {
	End     string `json:"end"`               // what it is to the record: source or target
	ID      string `json:"id"`                // what the store calls it
	Lacking string `json:"lacking,omitempty"` // the target that lacks a record which PostgreSQL has; empty: PostgreSQL has none, or it cannot be told which it would be
}

// maybeDangling keeps those of the keys whose records seem to dangle.
func (v *comparison) maybeDangling(ctx context.Context, keys []string) error {
	found, err := v.ends.Missing(ctx, keys)
	if err != nil || len(found) == 0 {
		return err
	}
	list := make([]string, len(found))
	for i, d := range found {
		list[i] = d.Key
	}
	if _, err := v.conn.Exec(ctx, `insert into verify_dangling (key) select unnest($1::text[]) on conflict (key) do nothing`, list); err != nil {
		return fmt.Errorf("keeping what seems to dangle: %w", err)
	}
	return nil
}

// dangling looks again at what seems to dangle until it is certain, adds what does to what was found, and forgets it.
//
// A record dangles for certain if the store has it and lacks its end after the backend has applied everything that was
// committed before, and nothing of the record nor of what would be its end was committed since: then PostgreSQL had it so,
// or the store has lost the end.
func (v *comparison) dangling(ctx context.Context) error {
	if v.ends == nil {
		return nil
	}
	if err := errors.Join(v.settled(ctx, "verify_dangling", v.chunkDangling), ctx.Err()); err != nil {
		return err
	}
	all := Dangling{} // a copy: what is saved of a scheduled verify may be older than what is found
	if v.found.Dangling != nil {
		all = *v.found.Dangling
	}
	var records, lacking, open int64
	err := v.conn.QueryRow(ctx, `
select count(*) filter (where not open), count(*) filter (where not open and lacking), count(*) filter (where open) from verify_dangling`).Scan(&records, &lacking, &open)
	if err != nil {
		return fmt.Errorf("counting what dangles: %w", err)
	}
	all.Records, all.Lacking, all.InFlight = all.Records+records, all.Lacking+lacking, all.InFlight+open
	if records > 0 {
		some, err := v.someDangling(ctx, max(v.o.Limit-len(all.Examples), 0))
		if err != nil {
			return err
		}
		all.Examples = slices.Concat(all.Examples, some)
	}
	if _, err := v.conn.Exec(ctx, `truncate pg_temp.verify_dangling`); err != nil {
		return fmt.Errorf("emptying a temporary table: %w", err)
	}
	v.found.Dangling = &all
	return nil
}

// someDangling names some of what dangles.
func (v *comparison) someDangling(ctx context.Context, most int) ([]DanglingRecord, error) {
	rows, err := v.conn.Query(ctx, `select key, ends::text from verify_dangling where not open order by key limit $1`, most)
	if err != nil {
		return nil, fmt.Errorf("naming what dangles: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (d DanglingRecord, err error) {
		var ends string
		if err = row.Scan(&d.Key, &ends); err == nil {
			err = json.Unmarshal([]byte(ends), &d.Ends)
		}
		return d, err
	})
	if err != nil {
		return nil, fmt.Errorf("naming what dangles: %w", err)
	}
	return list, nil
}

// chunkDangling decides about keys that seemed to dangle: they do not, they do for certain, or they are still open. What
// moves is read last: whatever made an answer untrue shows there.
func (v *comparison) chunkDangling(ctx context.Context, keys []string, since outbox.Snapshot) error {
	ends, err := v.s.ends(ctx, v.p) // which remembers nothing of before
	if err != nil {
		return err
	}
	found, err := ends.Missing(ctx, keys)
	if err != nil {
		return err
	}
	held, err := v.digests(ctx, keys)
	if err != nil {
		return err
	}
	lost, err := v.lost(ctx, found)
	if err != nil {
		return err
	}
	moving, err := v.movingEnds(ctx, found, since)
	if err != nil {
		return err
	}
	fine, sure := sift(keys, found, held, func(r backends.Reference) bool { return moving[r] }, backends.Reference{Kind: v.p.Kind, Target: v.p.target.Name})
	names, lists, lacking := make([]string, len(sure)), make([]string, len(sure)), make([]bool, len(sure))
	for i, d := range sure {
		var missing []MissingEnd
		missing, lacking[i] = missingEnds(d, lost)
		list, err := json.Marshal(missing)
		if err != nil {
			return fmt.Errorf("keeping what dangles: %w", err)
		}
		names[i], lists[i] = d.Key, string(list)
	}
	_, err = v.conn.Exec(ctx, `
with f as (delete from verify_dangling where key = any($1::text[]))
update verify_dangling d set open = false, ends = u.ends::jsonb, lacking = u.lacking
  from unnest($2::text[], $3::text[], $4::bool[]) u (key, ends, lacking) where d.key = u.key`, fine, names, lists, lacking)
	if err != nil {
		return fmt.Errorf("keeping what dangles: %w", err)
	}
	return nil
}

// sift decides about keys that seemed to dangle: those that do not, and those that do for certain. own is a reference to
// a record of the keys' own target. About the others nothing can be said yet, because they or their ends are moving.
func sift(keys []string, found []backends.Dangling, held map[string]string, moving func(backends.Reference) bool, own backends.Reference) (fine []string, sure []backends.Dangling) {
	dangling := make(map[string]bool, len(found))
	for _, d := range found {
		if _, there := held[d.Key]; !there {
			continue
		}
		dangling[d.Key] = true
		own.Key = d.Key
		if !moving(own) && !slices.ContainsFunc(d.Ends, func(e backends.End) bool { return slices.ContainsFunc(e.Records, moving) }) {
			sure = append(sure, d)
		}
	}
	return slices.DeleteFunc(slices.Clone(keys), func(k string) bool { return dangling[k] }), sure
}

// missingEnds tells the ends of a record, and whether PostgreSQL has them all. lost are the records that it has.
func missingEnds(d backends.Dangling, lost map[backends.Reference]bool) (list []MissingEnd, lacking bool) {
	lacking = true
	for _, e := range d.Ends {
		end := MissingEnd{End: e.Name, ID: e.ID}
		if i := slices.IndexFunc(e.Records, func(r backends.Reference) bool { return lost[r] }); i >= 0 {
			end.Lacking = e.Records[i].Target
		}
		list, lacking = append(list, end), lacking && end.Lacking != ""
	}
	return list, lacking
}

// byTarget are the keys of what is referred to, by target. Without a key: none of the target's records can be told apart.
func byTarget(found []backends.Dangling) map[backends.Reference][]string {
	sets := map[backends.Reference]map[string]bool{}
	for _, d := range found {
		for _, e := range d.Ends {
			for _, r := range e.Records {
				at := backends.Reference{Kind: r.Kind, Target: r.Target}
				if sets[at] == nil {
					sets[at] = map[string]bool{}
				}
				sets[at][r.Key] = true
			}
		}
	}
	all := make(map[backends.Reference][]string, len(sets))
	for at, set := range sets {
		all[at] = slices.Sorted(maps.Keys(set))
	}
	return all
}

// lost are those of the records that would be the missing ends which PostgreSQL has.
func (v *comparison) lost(ctx context.Context, found []backends.Dangling) (map[backends.Reference]bool, error) {
	all := map[backends.Reference]bool{}
	for at, keys := range byTarget(found) {
		i := slices.IndexFunc(v.s.plans[at.Kind], func(p *plan) bool { return !p.beside && p.target.Name == at.Target })
		keys = slices.DeleteFunc(keys, func(k string) bool { return k == "" })
		if i < 0 || len(keys) == 0 {
			continue
		}
		other := &comparison{c: v.c, s: v.s, p: v.s.plans[at.Kind][i], all: v.all, list: v.all[at.Kind].list, conn: v.conn}
		there, err := other.present(ctx, keys)
		if err != nil {
			return nil, fmt.Errorf("looking for the ends in kind %s: %w", at.Kind, err)
		}
		for k := range there {
			all[backends.Reference{Kind: at.Kind, Target: at.Target, Key: k}] = true
		}
	}
	return all, nil
}

// movingEnds are those of the records that dangle, and of those that would be their ends, of which the log has a change
// that is not applied yet or was committed after the snapshot.
func (v *comparison) movingEnds(ctx context.Context, found []backends.Dangling, since outbox.Snapshot) (map[backends.Reference]bool, error) {
	own := make([]string, len(found))
	for i, d := range found {
		own[i] = d.Key
	}
	all := map[backends.Reference]bool{}
	note := func(at backends.Reference, kinds, keys []string) error {
		moving, err := outbox.InFlight(ctx, v.c.Pool, v.s.name, kinds, keys, since)
		for _, at.Key = range moving {
			all[at] = true
		}
		return err
	}
	if err := note(backends.Reference{Kind: v.p.Kind, Target: v.p.target.Name}, v.kinds, own); err != nil {
		return nil, err
	}
	for at, keys := range byTarget(found) {
		kinds := causes(v.all, at.Kind)
		if keys[0] == "" { // any change of the kind may be of it: to InFlight, the first of the kinds is one whose keys are known
			if err := note(at, append([]string{""}, kinds...), keys[:1]); err != nil {
				return nil, err
			}
			keys = keys[1:]
		}
		if err := note(at, kinds, keys); err != nil {
			return nil, err
		}
	}
	return all, nil
}
