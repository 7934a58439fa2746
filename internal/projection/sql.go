package projection

import (
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/outflow-db/outflow/backends"
)

// Locals are the settings on which the text forms of values depend, as a statement for the beginning of
// each transaction that reads records. Without it a record's digest would depend on who reads it.
const Locals = `select set_config('TimeZone', 'UTC', true), set_config('DateStyle', 'ISO, YMD', true),
 set_config('IntervalStyle', 'iso_8601', true), set_config('extra_float_digits', '1', true),
 set_config('bytea_output', 'hex', true), set_config('lc_monetary', 'C', true), set_config('xmlbinary', 'base64', true)`

// SQL is the statement that reads records: query, which must have passed Describe, with its columns
// folded as the layout says. $1 is the text[] of keys. Each row is the key's text, the document as jsonb
// text if the layout has one, then the raw columns in their own types.
func SQL(query string, layout backends.Layout) string { return Asking(query, layout, theKeys) }

// Asking is SQL with an expression, a text[], in place of $1.
func Asking(query string, layout backends.Layout, keys string) string {
	p, err := parse(query)
	if err != nil {
		return query // it did not pass Describe; PostgreSQL's own complaint is the best answer
	}
	out := []string{`q."key"::pg_catalog.text`}
	if len(layout.Doc) > 0 {
		out = append(out, document(layout.Doc))
	}
	for _, name := range layout.Raw {
		out = append(out, column(name))
	}
	return "select " + strings.Join(out, ", ") + " from (\n" + p.with(keys) + "\n) q"
}

// Count is the statement that counts the records of query, which must have passed Describe. $1 is the text[] of keys.
func Count(query string) string {
	p, err := parse(query)
	if err != nil {
		return query // as in SQL
	}
	return "select pg_catalog.count(*) from (\n" + p.with(theKeys) + "\n) q"
}

// Keys is the statement that tells which keys have a record of query, which must have passed Describe. $1 is the text[]
// of keys.
func Keys(query string) string {
	p, err := parse(query)
	if err != nil {
		return query // as in SQL
	}
	return `select q."key"::pg_catalog.text from (` + "\n" + p.with(theKeys) + "\n) q where q.\"key\" is not null"
}

// document folds columns into one jsonb. A record is folded in one call, has no limit of columns but the
// table's own, and takes the names from the record.
func document(names []string) string {
	columns := make([]string, len(names))
	for i, name := range names {
		columns[i] = column(name)
	}
	return "(select pg_catalog.to_jsonb(d) from (select " + strings.Join(columns, ", ") + ") d)::pg_catalog.text"
}

func column(name string) string { return "q." + pgx.Identifier{name}.Sanitize() }

// Formats asks for every column of SQL in binary, which for the key and the document is their text. It is
// passed to Query as its first argument.
func Formats(layout backends.Layout) pgx.QueryResultFormats {
	n := 1 + len(layout.Raw)
	if len(layout.Doc) > 0 {
		n++
	}
	formats := make(pgx.QueryResultFormats, n)
	for i := range formats {
		formats[i] = pgx.BinaryFormatCode
	}
	return formats
}
