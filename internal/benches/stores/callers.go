package stores

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/vesoft-inc/nebula-go/v3/nebula"

	"github.com/outflow-db/outflow/internal/benches/lab"
	"github.com/outflow-db/outflow/internal/nebulatest"
)

// Who calls a symbol, two steps out, as docs/nebula.md asks it of the graph; and the same in PostgreSQL.
const (
	callersGo = `GO 2 STEPS FROM "%s" OVER calls REVERSELY YIELD DISTINCT src(edge) AS caller`

	callersSQL = `
with recursive walk (id, step) as (
  select $1::uuid, 0
  union
  select r.source, w.step + 1 from walk w join ast.relations r on r.target = w.id and r.type = 'calls' where w.step < 2)
select distinct id::text from walk where step = 2`

	// Symbols that are worth the question: a well-known one, if it is there, and those that are called most.
	askedSQL = `
select id::text from (
  select s.id, count(*) + case when s.qualified = 'bufio.NewReader' then 1e9 else 0 end as n
    from ast.symbols s join ast.relations r on r.target = s.id and r.type = 'calls' group by s.id, s.qualified) x
 order by n desc, 1 limit $1`
)

// asked is how many symbols the question is asked about.
const asked = 10

// answers is what was found, and how long it took both.
type answers struct {
	callers       int
	graph, tables []time.Duration
}

// callers asks the graph and PostgreSQL who calls what, and compares the answers.
func (g *graph) callers(ctx context.Context) ([]lab.Row, error) {
	a, err := g.ask(ctx)
	if err != nil {
		return nil, err
	}
	return []lab.Row{
		lab.Fact("graph: who calls this, two steps out, mean", lab.Millis(lab.Mean(a.graph)), "ms").
			With(fmt.Sprintf("%d questions, %d callers in all, the same as in PostgreSQL; the stand-in, not a real server, answers", len(a.graph), a.callers)),
		lab.Fact("graph: the same by a recursive query in PostgreSQL, mean", lab.Millis(lab.Mean(a.tables)), "ms"),
	}, nil
}

func (g *graph) ask(ctx context.Context) (a answers, err error) {
	conn, err := nebulatest.Server{Addr: g.server.Addr(), User: "root", Password: "nebula"}.Dial(ctx)
	if err != nil {
		return a, err
	}
	defer conn.Close()
	if _, err := rowsOf(conn.Execute("USE "+space, nil)); err != nil {
		return a, err
	}
	rows, err := g.pool.Query(ctx, askedSQL, asked)
	if err != nil {
		return a, fmt.Errorf("choosing symbols: %w", err)
	}
	symbols, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return a, fmt.Errorf("choosing symbols: %w", err)
	}
	for _, id := range symbols {
		if err := g.compare(ctx, conn, id, &a); err != nil {
			return a, err
		}
	}
	if a.callers == 0 {
		return a, errors.New("nothing calls anything, two steps out")
	}
	return a, nil
}

// compare asks both about one symbol.
func (g *graph) compare(ctx context.Context, conn *nebulatest.Conn, id string, a *answers) error {
	begun := time.Now()
	got, err := rowsOf(conn.Execute(fmt.Sprintf(callersGo, id), nil))
	if err != nil {
		return err
	}
	a.graph = append(a.graph, time.Since(begun))
	begun = time.Now()
	rows, err := g.pool.Query(ctx, callersSQL, id)
	if err != nil {
		return fmt.Errorf("asking PostgreSQL who calls %s: %w", id, err)
	}
	want, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("asking PostgreSQL who calls %s: %w", id, err)
	}
	a.tables = append(a.tables, time.Since(begun))
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		return fmt.Errorf("who calls %s, two steps out: the graph has %d, PostgreSQL %d, or others", id, len(got), len(want))
	}
	a.callers += len(got)
	return nil
}

// answer is what a graphd answers.
type answer interface {
	GetErrorCode() nebula.ErrorCode
	GetErrorMsg() []byte
	GetData() *nebula.DataSet
}

// rowsOf are the texts of an answer's first column.
func rowsOf(a answer, err error) ([]string, error) {
	switch {
	case err != nil:
		return nil, fmt.Errorf("asking the graph: %w", err)
	case a.GetErrorCode() != nebula.ErrorCode_SUCCEEDED:
		return nil, fmt.Errorf("asking the graph: %s", a.GetErrorMsg())
	case a.GetData() == nil:
		return nil, nil
	}
	var list []string
	for _, r := range a.GetData().Rows {
		if len(r.Values) > 0 {
			list = append(list, string(r.Values[0].GetSVal()))
		}
	}
	return list, nil
}
