package postgres

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/outflow-db/outflow/backends"
)

// version is that of the schema's own tables and functions; a newer one replaces an older one's.
const version = 1

// onesBefore14 counts ones where there is no bit_count. It is many times slower.
const onesBefore14 = "length(replace($1::text, '0', ''))::bigint"

//go:embed functions.sql
var functions string

// Prepare makes the schema, its functions, and a table for each target, in one transaction under a lock.
// What the settings no longer ask for is dropped; what they newly ask for is added, empty: the engine
// fills a target again when its projection changes.
func (b *backend) Prepare(ctx context.Context, targets []backends.Target) error {
	models := make([]*model, len(targets))
	var errs []error
	for i, t := range targets {
		m, err := b.model(t)
		models[i] = m
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return b.asked(ctx, "prepare", func(ctx context.Context) error {
		return pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) error {
			p := preparation{backend: b, tx: tx}
			if err := p.schema(ctx); err != nil {
				return err
			}
			for _, m := range models {
				if err := p.target(ctx, m); err != nil {
					return fmt.Errorf("target %s: %w", m.name, err)
				}
			}
			return nil
		})
	})
}

// preparation is one Prepare under way.
type preparation struct {
	*backend
	tx pgx.Tx
}

func (p preparation) exec(ctx context.Context, sql string, args ...any) error {
	if _, err := p.tx.Exec(ctx, sql, args...); err != nil {
		return fmt.Errorf("%s: %w", strings.SplitN(sql, "\n", 2)[0], err)
	}
	return nil
}

// ours is a name in the schema, quoted.
func (p preparation) ours(name string) string {
	return pgx.Identifier{p.backend.schema, name}.Sanitize()
}

func (p preparation) ask(ctx context.Context, into any, sql string, args ...any) error {
	if err := p.tx.QueryRow(ctx, sql, args...).Scan(into); err != nil {
		return fmt.Errorf("%s: %w", strings.SplitN(sql, "\n", 2)[0], err)
	}
	return nil
}

// schema makes the schema with its own table and functions, or brings them up to date.
func (p preparation) schema(ctx context.Context) error {
	if err := p.exec(ctx, "select pg_advisory_xact_lock(hashtextextended('outflow ' || $1, 0))", p.backend.schema); err != nil {
		return err
	}
	if err := p.encoding(ctx); err != nil {
		return err
	}
	var there bool
	if err := p.ask(ctx, &there, "select exists (select from pg_namespace where nspname = $1)", p.backend.schema); err != nil {
		return err
	}
	if !there { // asked first, because "if not exists" wants the right to create all the same
		if err := p.exec(ctx, "create schema "+pgx.Identifier{p.backend.schema}.Sanitize()); err != nil {
			return err
		}
	}
	have, err := p.installed(ctx)
	if err != nil || have == p.wanted() {
		return err
	}
	return p.install(ctx)
}

func (p preparation) encoding(ctx context.Context) error {
	var encoding string
	if err := p.ask(ctx, &encoding, "select current_setting('server_encoding')"); err != nil {
		return err
	}
	if encoding == "UTF8" {
		return nil
	}
	e := p.fail("prepare", backends.Schema, fmt.Errorf("the database's encoding is %s, which cannot hold every text", encoding))
	e.Advice = "use a database with encoding UTF8"
	return e
}

// installed is the version of what is there, "" for nothing.
func (p preparation) installed(ctx context.Context) (string, error) {
	var there bool
	table := p.ours(reserved + "_version")
	if err := p.ask(ctx, &there, "select to_regclass($1) is not null", table); err != nil || !there {
		return "", err
	}
	var have int
	var made string
	if err := p.tx.QueryRow(ctx, "select version, made from "+table).Scan(&have, &made); err != nil {
		return "", fmt.Errorf("reading %s: %w", table, err)
	}
	if have > version {
		e := p.fail("prepare", backends.Schema, fmt.Errorf("schema %s is of version %d, made by a newer Outflow; this one knows %d", p.backend.schema, have, version))
		e.Advice = "run the newer Outflow, or choose another schema"
		return "", e
	}
	return made, nil
}

// wanted names what install makes; a server of another version needs other functions.
func (p preparation) wanted() string {
	major, _, _ := strings.Cut(p.tx.Conn().PgConn().ParameterStatus("server_version"), ".")
	return fmt.Sprintf("%d for PostgreSQL %s", version, major)
}

func (p preparation) install(ctx context.Context) error {
	var number int
	if err := p.ask(ctx, &number, "select current_setting('server_version_num')::int"); err != nil {
		return err
	}
	count := "bit_count($1)"
	if number < 140000 {
		count = onesBefore14
	}
	fold, err := p.fold(ctx)
	if err != nil {
		return err
	}
	sql := strings.NewReplacer(
		"@schema@", pgx.Identifier{p.backend.schema}.Sanitize(),
		"@bit_count@", count, "@fold@", fold,
	).Replace(functions)
	if _, err := p.tx.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
		return fmt.Errorf("making the functions: %w", err)
	}
	return p.exec(ctx, "insert into "+p.ours(reserved+"_version")+" (version, made) values ($1, $2)\n"+
		"on conflict (one) do update set version = excluded.version, made = excluded.made", version, p.wanted())
}

// fold is the expression for lower case. Words are folded by Go on their way in; a database whose locale
// knows ASCII only needs a collation that knows more.
func (p preparation) fold(ctx context.Context) (string, error) {
	var collation string
	err := p.ask(ctx, &collation, `select case when lower('ÄЖ') = 'äж' then '' else coalesce(
		(select format(' collate %I.%I', n.nspname, c.collname) from pg_collation c join pg_namespace n on n.oid = c.collnamespace
		  where c.collname = any(array['und-x-icu', 'pg_c_utf8', 'C.utf8', 'C.UTF-8', 'en_US.utf8']) and c.collencoding in (-1, 6)
		    and n.nspname = 'pg_catalog' order by c.collname limit 1), '') end`)
	return "lower($1" + collation + ")", err
}

// target makes or mends one target's table.
func (p preparation) target(ctx context.Context, m *model) error {
	if err := p.owned(ctx, m); err != nil {
		return err
	}
	err := p.exec(ctx, `create table if not exists `+m.table+` (
		key text collate "C" primary key,
		version bigint not null,
		deleted_at timestamptz,
		body jsonb
	)`)
	if err != nil {
		return err
	}
	err = p.exec(ctx, "create index if not exists "+pgx.Identifier{m.indexName("deleted")}.Sanitize()+
		" on "+m.table+" (deleted_at) where deleted_at is not null")
	if err != nil {
		return err
	}
	for _, part := range m.parts() {
		if err := p.part(ctx, m, part); err != nil {
			return err
		}
	}
	return p.record(ctx, m)
}

// owned refuses a table that somebody else made.
func (p preparation) owned(ctx context.Context, m *model) error {
	var foreign bool
	err := p.ask(ctx, &foreign, "select to_regclass($1) is not null and not exists (select from "+
		p.ours(reserved+"_targets")+" where name = $2)", m.table, m.name)
	if err != nil || !foreign {
		return err
	}
	e := p.fail("prepare", backends.Schema, fmt.Errorf("%s exists and is not Outflow's", m.table))
	e.Advice = "choose another name for the target, or another schema"
	return e
}

// record keeps what the SQL functions need to know of the target.
func (p preparation) record(ctx context.Context, m *model) error {
	if m.language != "simple" {
		var there bool
		dictionary := m.language + "_stem"
		if err := p.ask(ctx, &there, "select exists (select from pg_ts_dict where dictname = $1 and dictnamespace = 'pg_catalog'::regnamespace)", dictionary); err != nil {
			return err
		}
		if !there {
			e := p.fail("prepare", backends.Rejected, fmt.Errorf("setting language is %q: the server has no dictionary %s", m.language, dictionary))
			e.Advice = "choose a language that the server's text search knows, or simple"
			return e
		}
	}
	return p.exec(ctx, "insert into "+p.ours(reserved+"_targets")+" (name, language, text, vector, edge) values ($1, $2, $3, $4, $5)\n"+
		"on conflict (name) do update set language = excluded.language, text = excluded.text, vector = excluded.vector, edge = excluded.edge",
		m.name, m.language, len(m.text) > 0, m.vector != "", m.edge.from != "")
}

// A part is what one setting adds to a table: columns, and indexes on them.
type part struct {
	wanted  bool
	columns []derived
	indexes map[string]string // by purpose, what follows "on table"
}

type derived struct{ name, definition string }

func (m *model) parts() []part {
	return []part{
		{len(m.text) > 0, []derived{{"words", "tsvector"}}, map[string]string{"words": "using gin (words)"}},
		{m.vector != "", []derived{{"vector", "real[]"}, {"signs", "bit varying"}}, nil},
		{m.edge.from != "", m.edge.columns(), map[string]string{
			"from": "(edge_from, edge_type) where edge_from is not null",
			"to":   "(edge_to, edge_type) where edge_to is not null",
		}},
	}
}

// columns come from the body, so that an edge is what its record says.
func (e edge) columns() []derived {
	typ := "null::text"
	if e.typ != "" {
		typ = "body ->> " + quote(e.typ)
	}
	return []derived{
		{"edge_from", "text collate \"C\" generated always as (body ->> " + quote(e.from) + ") stored"},
		{"edge_to", "text collate \"C\" generated always as (body ->> " + quote(e.to) + ") stored"},
		{"edge_type", "text collate \"C\" generated always as (" + typ + ") stored"},
	}
}

// quote makes a literal that is right whatever standard_conforming_strings is.
func quote(s string) string {
	return " E'" + strings.NewReplacer("'", "''", `\`, `\\`).Replace(s) + "'"
}

// part adds or drops columns and indexes. A column keeps its definition as its comment; one that was made
// by another definition is made anew.
func (p preparation) part(ctx context.Context, m *model, part part) error {
	have, err := p.comments(ctx, m)
	if err != nil {
		return err
	}
	for _, c := range part.columns {
		definition, there := have[c.name]
		if there && (!part.wanted || definition != c.definition) {
			if err := p.exec(ctx, "alter table "+m.table+" drop column "+c.name); err != nil {
				return err
			}
			there = false
		}
		if part.wanted && !there {
			if err := p.add(ctx, m, c); err != nil {
				return err
			}
		}
	}
	if !part.wanted {
		return nil
	}
	for _, purpose := range slices.Sorted(maps.Keys(part.indexes)) {
		err := p.exec(ctx, "create index if not exists "+pgx.Identifier{m.indexName(purpose)}.Sanitize()+" on "+m.table+" "+part.indexes[purpose])
		if err != nil {
			return err
		}
	}
	return nil
}

func (p preparation) comments(ctx context.Context, m *model) (map[string]string, error) {
	rows, err := p.tx.Query(ctx, `select attname::text, coalesce(col_description(attrelid, attnum), '') from pg_attribute
		where attrelid = to_regclass($1) and attnum > 0 and not attisdropped`, m.table)
	if err != nil {
		return nil, fmt.Errorf("reading the columns: %w", err)
	}
	have := map[string]string{}
	var name, comment string
	_, err = pgx.ForEachRow(rows, []any{&name, &comment}, func() error {
		have[name] = comment
		return nil
	})
	return have, err
}

func (p preparation) add(ctx context.Context, m *model, c derived) error {
	if err := p.exec(ctx, "alter table "+m.table+" add column "+c.name+" "+c.definition); err != nil {
		return err
	}
	return p.exec(ctx, "comment on column "+m.table+"."+c.name+" is "+quote(c.definition))
}
