package lab

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/outflow-db/outflow/backends"
	"github.com/outflow-db/outflow/jobs"
)

// Store is a real store that benchmarks write into.
type Store struct {
	Bench   string                                // the benchmark's name, with which the names of its rows begin
	At      func(instance string) backends.Config // where an instance is, which has nothing in common with others
	Symbols map[string]any                        // settings of the target of symbols
	Items   map[string]any                        // of any other target
	Vectors bool                                  // symbols come with vectors: see AddVectors
	Batch   int                                   // records that one sends at once who writes by hand
	Rounds  int                                   // how often something is measured
}

// ReadModel is the embedded read model, in another database of the server, which is made: each instance is a schema.
func (l *Lab) ReadModel(ctx context.Context, bench string) (Store, error) {
	_, err := l.Empty(ctx, "store", 1)
	return Store{
		Bench: bench, Batch: 1000, Rounds: 6,
		At: func(instance string) backends.Config {
			return backends.Config{Type: "postgres", Settings: map[string]any{"url": l.Server.URL("store"), "schema": instance}}
		},
		Symbols: map[string]any{"text": []any{"qualified", "doc"}}, Items: map[string]any{"text": []any{"name", "doc"}},
	}, err
}

// Gauge measures what goes into an instance.
func (s Store) Gauge(instance string) *Gauge { return &Gauge{Behind: s.At(instance)} }

const (
	vectorColumn = `f.path, e.vector`
	vectorJoin   = `f on f.id = s.file_id join bench.vectors e on e.id = s.id`
)

// Projection is the projection of symbols into a backend.
func (s Store) Projection(backend string) jobs.Projection {
	p := Symbols(backend)
	p.Query, p.Settings = s.query(p.Query), s.Symbols
	return p
}

// All is the query of Projection without its condition; $1 is an empty array.
func (s Store) All() string { return s.query(AllSymbols) }

func (s Store) query(symbols string) string {
	if s.Vectors {
		symbols = strings.Replace(symbols, "f.path", vectorColumn, 1)
		symbols = strings.Replace(symbols, "f on f.id = s.file_id", vectorJoin, 1)
	}
	return symbols
}

// Dimensions is the size of the vectors that AddVectors makes.
const Dimensions = 256

// AddVectors gives every symbol a vector: table bench.vectors(id, vector).
func AddVectors(ctx context.Context, pool *pgxpool.Pool) error {
	_, err := pool.Exec(ctx, fmt.Sprintf(`
insert into bench.vectors select s.id, array(select sin(hashtextextended(s.id::text, 0) %% 1000 + g)::real from generate_series(1, %d) g) from ast.symbols s`, Dimensions))
	if err != nil {
		return fmt.Errorf("making vectors: %w", err)
	}
	return nil
}
