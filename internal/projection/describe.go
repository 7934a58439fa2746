package projection

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/outflow-db/outflow/backends"
)

// Beginner starts transactions: a pool, a connection, or a transaction.
type Beginner interface {
	Begin(ctx context.Context) (pgx.Tx, error)
}

const (
	viewName   = "outflow_projection"
	createView = "create temporary view " + viewName + " as\n"
	openCursor = "declare " + viewName + " no scroll cursor for\n"
)

// Describe finds what a projection's query yields besides the key, in its order, and which tables it
// reads: ordinary and partitioned ones as "schema"."table", to lock before the snapshot; also those behind
// views and behind functions whose body is standard SQL, but not those that other functions read. The
// query is planned, never run: it works in a transaction that it rolls back.
//
// It needs the right to make temporary tables in the database and to read the tables. Every problem that
// can be told at once is in the error, with its place in the query; the caller adds kind and backend. An
// error in which backends.ClassOf finds Rejected is the query's fault.
func Describe(ctx context.Context, db Beginner, query string) (columns []backends.Column, sources []string, err error) {
	p, err := parse(query)
	if err != nil {
		return nil, nil, refuse(err)
	}
	tx, err := db.Begin(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("describing the query: %w", err)
	}
	defer func() { err = errors.Join(err, tx.Rollback(context.WithoutCancel(ctx))) }()
	if _, err := tx.Exec(ctx, createView+p.with(noKeys), pgx.QueryExecModeExec); err != nil {
		return nil, nil, p.located(err, len(createView), noKeys)
	}
	if columns, err = readColumns(ctx, tx); err != nil {
		return nil, nil, err
	}
	if sources, err = readSources(ctx, tx); err != nil {
		return nil, nil, err
	}
	if err := p.open(ctx, tx); err != nil {
		return nil, nil, err
	}
	return columns, sources, nil
}

// open starts the query without fetching from it, in a read-only transaction as the engine's: this finds
// missing rights and locking clauses.
func (p parsed) open(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, "set transaction read only", pgx.QueryExecModeExec); err != nil {
		return fmt.Errorf("describing the query: %w", err)
	}
	if _, err := tx.Exec(ctx, openCursor+p.with(noKeys), pgx.QueryExecModeExec); err != nil {
		return p.located(err, len(openCursor), noKeys)
	}
	return nil
}

// located says where in the query an error of PostgreSQL lies, when instead stood for $1.
func (p parsed) located(err error, prefix int, instead string) error {
	e, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return fmt.Errorf("describing the query: %w", err)
	}
	said := e.Message
	if e.Hint != "" {
		said += " (hint: " + e.Hint + ")"
	}
	if at := byteOffset(p.with(instead), int(e.Position)-1-prefix); e.Position > 0 && at >= 0 {
		said = place(p.body, p.origin(at, instead)) + ": " + said
	}
	fault := &complaint{said, e}
	if transient(e.Code) {
		return fault
	}
	return refuse(fault)
}

// complaint is PostgreSQL's error in our words.
type complaint struct {
	said string
	err  *pgconn.PgError
}

// Error says it with PostgreSQL's code.
func (c *complaint) Error() string { return c.said + " (SQLSTATE " + c.err.Code + ")" }

// Unwrap is PostgreSQL's error.
func (c *complaint) Unwrap() error { return c.err }

func transient(code string) bool {
	return pgerrcode.IsConnectionException(code) || pgerrcode.IsInsufficientResources(code) ||
		pgerrcode.IsOperatorIntervention(code) || pgerrcode.IsTransactionRollback(code) ||
		code == pgerrcode.LockNotAvailable
}

// byteOffset turns PostgreSQL's count of characters into one of bytes.
func byteOffset(s string, chars int) int {
	for i := range s {
		if chars == 0 {
			return i
		}
		chars--
	}
	return len(s)
}

func refuse(err error) error {
	return &backends.Error{
		Op: "describe the query", Class: backends.Rejected, Err: err, Advice: "mend the projection's query",
	}
}

// steady are the types whose text does not depend on settings; an enum's is steady too.
var steady = []string{
	"text", "varchar", "bpchar", "name", "citext", "int2", "int4", "int8", "oid", "numeric", "uuid", "bool", "jsonb",
}

type described struct {
	backends.Column
	TypeName string // the type's own name, for a domain that of its base
	IsKey    bool
}

const columnsSQL = `
with recursive base(oid, of) as (
  select t.oid, t.oid from pg_type t
   where t.oid in (select atttypid from pg_attribute where attrelid = 'pg_temp.` + viewName + `'::regclass and attnum > 0)
  union all
  select b.oid, t.typbasetype from base b join pg_type t on t.oid = b.of where t.typtype = 'd'
)
select a.attname::text as name, a.atttypid as oid, format_type(a.atttypid, a.atttypmod) as type,
       format_type(b.of, -1) as base, coalesce(e.typtype, t.typtype)::text as form,
       t.typname::text as type_name, a.attname = 'key' as is_key
  from pg_attribute a join base b on b.oid = a.atttypid join pg_type t on t.oid = b.of and t.typtype <> 'd'
  left join pg_type e on t.typcategory = 'A' and e.oid = t.typelem
 where a.attrelid = 'pg_temp.` + viewName + `'::regclass and a.attnum > 0
 order by a.attnum`

func readColumns(ctx context.Context, tx pgx.Tx) ([]backends.Column, error) {
	rows, err := tx.Query(ctx, columnsSQL, pgx.QueryExecModeExec)
	if err != nil {
		return nil, fmt.Errorf("describing the query's columns: %w", err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByName[described])
	if err != nil {
		return nil, fmt.Errorf("describing the query's columns: %w", err)
	}
	return split(all)
}

// split takes the key out of the columns and checks them.
func split(all []described) ([]backends.Column, error) {
	var columns []backends.Column
	var errs []error
	hasKey := false
	for i, c := range all {
		switch {
		case c.IsKey:
			hasKey = true
			if c.Form != backends.FormEnum && !slices.Contains(steady, c.TypeName) {
				errs = append(errs, fmt.Errorf("column key is of type %s, whose text depends on settings: cast it to text in the query", c.Type))
			}
		case c.Name == "?column?":
			errs = append(errs, fmt.Errorf("column %d has no name: add one with AS", i+1))
		default:
			columns = append(columns, c.Column)
		}
	}
	if !hasKey {
		errs = append(errs, errors.New(`it has no column named key`))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, refuse(err)
	}
	return columns, nil
}

// sourcesSQL follows what the view depends on: relations through the rules of views, and functions whose
// body PostgreSQL keeps parsed.
const sourcesSQL = `
with recursive uses(class, oid) as (
  select 'pg_class'::regclass::oid, 'pg_temp.` + viewName + `'::regclass::oid
  union
  select d.refclassid, d.refobjid
    from uses u
    left join pg_rewrite r on u.class = 'pg_class'::regclass and r.ev_class = u.oid
    join pg_depend d on d.refclassid in ('pg_class'::regclass, 'pg_proc'::regclass)
     and (d.classid = 'pg_rewrite'::regclass and d.objid = r.oid
          or d.classid = 'pg_proc'::regclass and u.class = 'pg_proc'::regclass and d.objid = u.oid)
)
select format('%I.%I', n.nspname, c.relname), c.relpersistence = 't'
  from uses u join pg_class c on u.class = 'pg_class'::regclass and c.oid = u.oid
  join pg_namespace n on n.oid = c.relnamespace
 where c.relkind in ('r', 'p') and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
 order by 1`

func readSources(ctx context.Context, tx pgx.Tx) ([]string, error) {
	rows, err := tx.Query(ctx, sourcesSQL, pgx.QueryExecModeExec)
	if err != nil {
		return nil, fmt.Errorf("describing the query's tables: %w", err)
	}
	var sources []string
	var errs []error
	var name string
	var temporary bool
	_, err = pgx.ForEachRow(rows, []any{&name, &temporary}, func() error {
		if temporary {
			errs = append(errs, fmt.Errorf("it reads the temporary table %s, which workers cannot see", name))
		}
		sources = append(sources, name)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("describing the query's tables: %w", err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, refuse(err)
	}
	return sources, nil
}
