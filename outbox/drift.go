package outbox

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Drift is how a kind is in the database, compared with how it shall be.
type Drift struct {
	New     bool     // it is not there yet: Watch makes it
	Changes []string // what Watch would change, each in a few words; empty: nothing
	Refused []string // why Watch would fail, each in a sentence; empty: it would not
	Holder  string   // the table that feeds the kind now, when that is another one than it shall be: Watch would fail
	Rows    int64    // how many records it has, about; zero: nobody has counted
}

// Compare tells what Watch would do with the kind, and does nothing. It needs the rights that Watch needs. Dependants
// are compared as well, and whether their queries are right, except that they name kinds that do not exist yet.
func Compare(ctx context.Context, db DB, k Kind) (Drift, error) {
	if err := checkKind(k); err != nil {
		return Drift{}, fmt.Errorf("comparing: %w", err)
	}
	var d Drift
	compare := d.list
	if k.Table != "" {
		compare = d.table
	}
	err := compare(ctx, db, k)
	if err == nil {
		err = d.dependants(ctx, db, k)
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && telling(e.Code) {
		d.refuse("%s", strings.TrimPrefix(e.Message, "outbox.watch: "))
		return d, nil
	}
	if err != nil {
		return Drift{}, fmt.Errorf("comparing kind %s: %w", k.Name, err)
	}
	return d, nil
}

// telling says whether an error of PostgreSQL is about what was asked for, and not about the server.
func telling(code string) bool {
	return pgerrcode.IsSyntaxErrororAccessRuleViolation(code) || pgerrcode.IsInvalidSchemaName(code) ||
		pgerrcode.IsObjectNotInPrerequisiteState(code) || pgerrcode.IsDataException(code)
}

func (d *Drift) refuse(format string, args ...any) {
	d.Refused = append(d.Refused, fmt.Sprintf(format, args...))
}

func (d *Drift) change(format string, args ...any) {
	d.Changes = append(d.Changes, fmt.Sprintf(format, args...))
}

const driftSQL = `
with a as (select outbox.watched_root($1::text::regclass) as rel),
     b as (select a.rel, outbox.table_problem(a.rel) as bad from a),
     t as (select b.rel, b.bad, case when b.bad is null then coalesce(nullif($3::text[], '{}'), outbox.primary_key(b.rel), '{}') end as key from b)
select coalesce(t.bad, case when t.bad is null then outbox.key_problem(t.rel, t.key) end, ''), t.key,
       coalesce(w.kind, ''), w.key_columns, coalesce(w.by_primary_key, false), coalesce(w.per_row, false), coalesce(w.history, false),
       case when w.rel is not null then array(select outbox.watch_drift(w)) end,
       coalesce((select x.rel::text from outbox.watches x where x.kind = $2 and x.rel <> t.rel), ''),
       coalesce((select k.records from outbox.kinds k where k.kind = $2), false),
       coalesce((select sum(greatest(c.reltuples, 0)) from unnest(outbox.members(t.rel)) m join pg_class c on c.oid = m), 0)::bigint
  from t left join outbox.watches w on w.rel = t.rel`

// watched is a row of outbox.watches, empty when there is none.
type watched struct {
	kind           string
	key            []string
	byPrimaryKey   bool
	perRow         bool
	history        bool
	drift          []string
	holder, refuse string
	records        bool
}

func (d *Drift) table(ctx context.Context, db DB, k Kind) error {
	var w watched
	var key []string
	err := db.QueryRow(ctx, driftSQL, k.Table, k.Name, append([]string{}, k.Key...)).Scan(
		&w.refuse, &key, &w.kind, &w.key, &w.byPrimaryKey, &w.perRow, &w.history, &w.drift, &w.holder, &w.records, &d.Rows)
	if err != nil {
		return err
	}
	switch {
	case w.refuse != "" && key != nil && len(key) == 0:
		d.refuse("table %s has no primary key: name the columns of its key", k.Table)
	case w.refuse != "":
		d.refuse("table %s: %s", k.Table, w.refuse)
	}
	if w.records {
		d.refuse("it has its records in outbox.records")
	}
	d.Holder = w.holder
	if d.New = w.kind == ""; d.New {
		d.change("watch %s, key (%s)%s", k.Table, strings.Join(key, ", "), map[bool]string{true: ", row by row"}[k.PerRow]+map[bool]string{true: ", with history"}[k.History])
		return nil
	}
	d.compare(w, k, key)
	return nil
}

// compare tells how the watch that is there differs.
func (d *Drift) compare(w watched, k Kind, key []string) {
	if w.kind != k.Name {
		d.change("%s is watched as kind %s", k.Table, w.kind)
	}
	if !slices.Equal(w.key, key) {
		d.change("the key becomes (%s), was (%s)", strings.Join(key, ", "), strings.Join(w.key, ", "))
	} else if w.byPrimaryKey != (len(k.Key) == 0) {
		d.change("the key is %s", map[bool]string{true: "the primary key, whatever that is", false: "fixed"}[len(k.Key) == 0])
	}
	if w.perRow != k.PerRow {
		d.change("triggers for each %s", map[bool]string{true: "row", false: "statement"}[k.PerRow])
	}
	if w.history != k.History {
		d.change("%s", map[bool]string{true: "previous rows are kept", false: "previous rows are not kept any more"}[k.History])
	}
	for _, drift := range w.drift {
		d.change("%s", drift)
	}
}

const listSQL = `
with a as (select coalesce(regexp_replace(nullif($2, ''), '[;\s]+$', ''), format('select r.key from outbox.records r where r.kind = %L', $1::text)) as query)
select coalesce(k.list, ''), k.kind is null, k.list is distinct from a.query, coalesce(outbox.check_query(a.query, false), ''),
       coalesce((select w.rel::text from outbox.watches w where w.kind = $1), ''),
       $2 <> '' and exists (select from outbox.records r where r.kind = $1)
  from a left join outbox.kinds k on k.kind = $1`

func (d *Drift) list(ctx context.Context, db DB, k Kind) error {
	var was, wrong string
	var differs, records bool
	if err := db.QueryRow(ctx, listSQL, k.Name, k.List).Scan(&was, &d.New, &differs, &wrong, &d.Holder, &records); err != nil {
		return err
	}
	if wrong != "" {
		d.refuse("its list query must yield one text column named key: %s", wrong)
	}
	if records {
		d.refuse("it has records in outbox.records")
	}
	where := "declare it: its records are in outbox.records"
	if k.List != "" {
		where = "declare it by a list query"
	}
	switch {
	case d.New:
		d.change("%s", where)
	case differs && d.Holder == "":
		d.change("another list query")
	}
	return nil
}

// dependants compares what follows from changes of the kind.
func (d *Drift) dependants(ctx context.Context, db DB, k Kind) error {
	rows, err := db.Query(ctx, `select dependant, query from outbox.dependants where kind = $1 order by 1`, k.Name)
	if err != nil {
		return err
	}
	have := map[string]string{}
	var name, query string
	if _, err := pgx.ForEachRow(rows, []any{&name, &query}, func() error {
		have[name] = query
		return nil
	}); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(k.Dependants)) {
		var asked, wrong string
		err := db.QueryRow(ctx, `select q, coalesce(outbox.check_query(q, true), '') from regexp_replace($1, '[;\s]+$', '') q`, k.Dependants[name]).Scan(&asked, &wrong)
		was, there := have[name]
		switch {
		case err != nil:
			return err
		case wrong != "":
			d.refuse("the query for its dependant %s: %s", name, wrong)
		case !there:
			d.change("%s depends on it", name)
		case was != asked:
			d.change("%s depends on it by another query", name)
		}
		delete(have, name)
	}
	for _, name := range slices.Sorted(maps.Keys(have)) {
		d.change("%s does not depend on it any more", name)
	}
	return nil
}
