package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/outflow-db/outflow/backends"
)

// Plan reads the catalogs, in a transaction that can write nothing.
func (b *backend) Plan(ctx context.Context, targets []backends.Target) ([]backends.Change, error) {
	models := make([]*model, len(targets))
	var errs []error
	for i, t := range targets {
		m, err := b.model(t)
		models[i] = m
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	var changes []backends.Change
	err := pgx.BeginTxFunc(ctx, b.pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		c := comparison{preparation: preparation{backend: b, tx: tx}}
		if err := c.schema(ctx); err != nil {
			return err
		}
		for _, m := range models {
			if err := c.target(ctx, m); err != nil {
				return fmt.Errorf("target %s: %w", m.name, err)
			}
		}
		changes = c.changes
		return nil
	})
	if err != nil {
		return nil, b.classify("plan", err)
	}
	return changes, nil
}

// comparison is one Plan under way. It follows preparation step by step.
type comparison struct {
	preparation
	installed bool // the schema's own tables are there
	changes   []backends.Change
}

func (c *comparison) note(target string, what backends.ChangeKind, field, from, to string) {
	c.changes = append(c.changes, backends.Change{Target: target, What: what, Field: field, From: from, To: to})
}

func (c *comparison) schema(ctx context.Context) error {
	if err := c.encoding(ctx); err != nil {
		return err
	}
	var there bool
	if err := c.ask(ctx, &there, "select exists (select from pg_namespace where nspname = $1)", c.backend.schema); err != nil {
		return err
	}
	if !there {
		c.note("", backends.Create, "schema", "", c.backend.schema)
	}
	have, err := c.preparation.installed(ctx)
	if err != nil {
		return err
	}
	c.installed = have != ""
	switch wanted := c.wanted(); {
	case have == "":
		c.note("", backends.Create, "functions", "", fmt.Sprintf("version %d", version))
	case have != wanted:
		c.note("", backends.Alter, "functions", "version "+have, "version "+wanted)
	}
	return nil
}

func (c *comparison) target(ctx context.Context, m *model) error {
	var there bool
	if err := c.ask(ctx, &there, "select to_regclass($1) is not null", m.table); err != nil {
		return err
	}
	if !there {
		c.note(m.name, backends.Create, "", "", "table "+m.table)
		return nil
	}
	ours, err := c.registered(ctx, m)
	if err != nil {
		return err
	}
	if ours == nil {
		c.note(m.name, backends.Rebuild, "", "a table that is not Outflow's", "table "+m.table)
		return nil
	}
	if ours.language != m.language {
		c.note(m.name, backends.Alter, "language", ours.language, m.language)
	}
	have, err := c.comments(ctx, m)
	if err != nil {
		return err
	}
	indexes, err := c.indexes(ctx, m)
	if err != nil {
		return err
	}
	c.index(m, indexes, "deleted")
	for _, part := range m.parts() {
		c.part(m, part, have, indexes)
	}
	return nil
}

// registration is what the schema's own table knows of a target.
type registration struct{ language string }

// registered is nil when the table is not one of ours.
func (c *comparison) registered(ctx context.Context, m *model) (*registration, error) {
	if !c.installed {
		return nil, nil
	}
	var r registration
	err := c.ask(ctx, &r.language, "select language from "+c.ours(reserved+"_targets")+" where name = $1", m.name)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return &r, err
}

// part compares the columns and indexes that a setting asks for.
func (c *comparison) part(m *model, part part, have map[string]string, indexes []string) {
	for _, column := range part.columns {
		definition, there := have[column.name]
		switch {
		case part.wanted && !there:
			c.note(m.name, backends.Alter, column.name, "", oneLine(column.definition))
		case part.wanted && definition != column.definition:
			c.note(m.name, backends.Alter, column.name, oneLine(definition), oneLine(column.definition))
		case !part.wanted && there:
			c.note(m.name, backends.Alter, column.name, oneLine(definition), "")
		}
	}
	if !part.wanted {
		return
	}
	for _, purpose := range slices.Sorted(maps.Keys(part.indexes)) {
		c.index(m, indexes, purpose)
	}
}

func (c *comparison) index(m *model, have []string, purpose string) {
	if name := m.indexName(purpose); !slices.Contains(have, name) {
		c.note(m.name, backends.Create, "index "+purpose, "", name)
	}
}

// indexes lists the names of the indexes of the target's table.
func (c *comparison) indexes(ctx context.Context, m *model) ([]string, error) {
	rows, err := c.tx.Query(ctx, `select c.relname::text from pg_index i join pg_class c on c.oid = i.indexrelid where i.indrelid = to_regclass($1)`, m.table)
	if err != nil {
		return nil, fmt.Errorf("reading the indexes: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// oneLine keeps a definition on the screen.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
