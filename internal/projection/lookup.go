package projection

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// A plan is made as if tables were large: whoever has no index for the lookup shows it even when the table is small.
const (
	largeTables = `select set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true),
 set_config('enable_mergejoin', 'off', true)`
	explain = "explain (verbose, format json)\n"
	// someKeys stands in for $1 where the planner must not know what it is: from an empty array it would conclude
	// that nothing is to be read.
	someKeys = "(array(select ''::pg_catalog.text))"
)

// WholeReads lists the tables, as schema.table, that a lookup of a few keys must read from end to end because no
// index serves it. The query has passed Describe. It is planned, not run, in a transaction that is rolled back.
func WholeReads(ctx context.Context, db Beginner, query string) (tables []string, err error) {
	p, err := parse(query)
	if err != nil {
		return nil, refuse(err)
	}
	tx, err := db.Begin(ctx)
	if err != nil {
		return nil, fmt.Errorf("explaining the query: %w", err)
	}
	defer func() { err = errors.Join(err, tx.Rollback(context.WithoutCancel(ctx))) }()
	if _, err := tx.Exec(ctx, largeTables); err != nil {
		return nil, fmt.Errorf("explaining the query: %w", err)
	}
	var text []byte
	if err := tx.QueryRow(ctx, explain+p.with(someKeys), pgx.QueryExecModeExec).Scan(&text); err != nil {
		return nil, p.located(err, len(explain), someKeys)
	}
	var plans []struct{ Plan planNode }
	if err := json.Unmarshal(text, &plans); err != nil {
		return nil, fmt.Errorf("reading the plan of the query: %w", err)
	}
	for _, top := range plans {
		tables = top.Plan.whole(tables)
	}
	slices.Sort(tables)
	return slices.Compact(tables), nil
}

// planNode is what a plan says of one of its steps.
type planNode struct {
	Type     string     `json:"Node Type"`
	Schema   string     `json:"Schema"`
	Relation string     `json:"Relation Name"`
	Cond     string     `json:"Index Cond"`
	Recheck  string     `json:"Recheck Cond"` // of a bitmap, whose condition is a step below
	Plans    []planNode `json:"Plans"`
}

// whole adds the tables that the step and those below it read from end to end. An index without a condition is
// read from end to end as well.
func (n planNode) whole(found []string) []string {
	switch {
	case n.Relation == "" || n.Cond != "" || n.Recheck != "":
	case n.Type == "Seq Scan", n.Type == "Bitmap Heap Scan", strings.HasPrefix(n.Type, "Index"):
		found = append(found, n.Schema+"."+n.Relation)
	}
	for _, child := range n.Plans {
		found = child.whole(found)
	}
	return found
}
