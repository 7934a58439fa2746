package ast

import (
	"context"
	cryptorand "crypto/rand"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"
)

// Options of a load. The zero value is good.
type Options struct {
	BatchFiles int            // files in a transaction; 100
	BatchRows  int            // symbols, relations and embeddings in a transaction, unless one file has more; 20,000
	Parallel   int            // transactions at once, each with a connection of the pool; 2
	ID         string         // names the load in ast.loaded; default: a random name
	Dimensions map[string]int // of models, if known; otherwise the first good file decides for the load
	Recheck    bool           // compare the rows even of files whose digest has not changed: heals what others did to the tables

	Progress func(Progress) // called after each batch, by one goroutine at a time
	Bad      func(*BadFile) // called for each bad file, likewise; nil: they are kept in the Result
}

// Progress is told after each batch.
type Progress struct {
	Batch   Batch // the one just committed
	Files   int64 // done so far
	Bad     int64 // refused so far
	Elapsed time.Duration
}

// Counts says what a load did to the rows of one table. Embeddings go with their symbols, and are counted.
type Counts struct{ Inserted, Updated, Deleted, Unchanged int64 }

// Add adds d to c.
func (c *Counts) Add(d Counts) {
	c.Inserted += d.Inserted
	c.Updated += d.Updated
	c.Deleted += d.Deleted
	c.Unchanged += d.Unchanged
}

// Total is how many rows the load stated.
func (c Counts) Total() int64 { return c.Inserted + c.Updated + c.Unchanged }

// Totals counts the rows of all tables.
type Totals struct{ Files, Symbols, Relations, Embeddings Counts }

// Add adds u to t.
func (t *Totals) Add(u Totals) {
	t.Files.Add(u.Files)
	t.Symbols.Add(u.Symbols)
	t.Relations.Add(u.Relations)
	t.Embeddings.Add(u.Embeddings)
}

// Batch is what one transaction did.
type Batch struct {
	Totals
	Token   string        // what outbox.Wait waits for
	Time    time.Duration // of the transaction, commit included, the last attempt only
	Retries int           // attempts given up for a deadlock or a serialization failure
}

// Result is what a load did.
type Result struct {
	Totals
	ID       string
	Batches  int
	Tokens   []string      // of the batches, for outbox.Wait
	Refused  int64         // bad files
	Bad      []*BadFile    // the bad files, unless Options.Bad took them
	Slowest  time.Duration // the longest transaction
	Database time.Duration // all transactions together
	Elapsed  time.Duration
}

func (o Options) withDefaults() Options {
	set := func(n *int, value int) {
		if *n <= 0 {
			*n = value
		}
	}
	set(&o.BatchFiles, 100)
	set(&o.BatchRows, 20_000)
	set(&o.Parallel, 2)
	if o.ID == "" {
		o.ID = cryptorand.Text()
	}
	return o
}

// Load writes the files of source to the tables of schema ast, in transactions of about a hundred files and at
// most 16 MiB, unless one file has more, several at once. One batch more than these is in memory.
//
// A file that is there already is replaced: exactly its own symbols, relations and embeddings are inserted,
// updated or deleted, and rows that have not changed are not touched, so that they log no change. If source has
// a file twice, the later one wins.
//
// A bad file is reported, see BadFile, and the others are loaded. Any other error of source, and any failure
// of the database that another attempt does not cure, ends the load: what is committed stays, the Result
// tells how much, and loading the same again goes on where it ended. When ctx ends, Load returns as soon as
// source answers.
func Load(ctx context.Context, pool *pgxpool.Pool, source iter.Seq2[*SourceFile, error], o Options) (*Result, error) {
	o = o.withDefaults()
	l := &loader{pool: pool, options: o, started: time.Now(), result: &Result{ID: o.ID}, loading: map[uuid.UUID]*batch{}}
	g, ctx := errgroup.WithContext(ctx)
	batches := make(chan *batch)
	g.Go(func() error {
		defer close(batches)
		return newFeeder(l, batches).run(ctx, source)
	})
	for range o.Parallel {
		g.Go(func() error { return l.work(ctx, batches) })
	}
	err := g.Wait()
	l.result.Elapsed = time.Since(l.started)
	if err != nil {
		return l.result, fmt.Errorf("loading files: %w", err)
	}
	return l.result, nil
}

// loader is one load. Its workers share it.
type loader struct {
	pool    *pgxpool.Pool
	options Options
	started time.Time

	mu      sync.Mutex // guards the rest, and serialises the caller's functions
	result  *Result
	loading map[uuid.UUID]*batch // files on their way
}

// work writes batches until there are no more.
func (l *loader) work(ctx context.Context, batches <-chan *batch) error {
	for b := range batches {
		if err := l.write(ctx, b.files); err != nil {
			return err
		}
		l.finish(b)
	}
	return nil
}

// write writes files in one transaction. When the data is refused, it finds the bad files by halving.
func (l *loader) write(ctx context.Context, files []*prepared) error {
	done, err := l.retried(ctx, files)
	switch half := len(files) / 2; {
	case err == nil:
		l.report(done)
		return nil
	case !refused(err):
		return err
	case half > 0:
		return errors.Join(l.write(ctx, files[:half]), l.write(ctx, files[half:]))
	default:
		l.bad(files[0].bad(err.Error()))
		return nil
	}
}

// retried tries again when transactions got in each other's way.
func (l *loader) retried(ctx context.Context, files []*prepared) (Batch, error) {
	for retries := 0; ; retries++ {
		started := time.Now()
		b, err := l.transaction(ctx, files)
		if err == nil {
			b.Time, b.Retries = time.Since(started), retries
			return b, nil
		}
		if !conflict(err) || retries == attempts-1 {
			return b, err
		}
		select {
		case <-time.After(backoff(retries)):
		case <-ctx.Done():
			return b, ctx.Err()
		}
	}
}

// attempts are how often a transaction is tried.
const attempts = 8

// backoff is a random time that doubles, so that those who collided do not collide again.
func backoff(retries int) time.Duration {
	return rand.N(10 * time.Millisecond << retries)
}

// conflict says whether the same transaction may succeed now: serialization_failure, deadlock_detected.
func conflict(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (pg.Code == pgerrcode.SerializationFailure || pg.Code == pgerrcode.DeadlockDetected)
}

// refused says whether the data is the trouble, not anything else.
func refused(err error) bool {
	if errors.Is(err, errOtherID) {
		return true
	}
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (pgerrcode.IsDataException(pg.Code) || pgerrcode.IsIntegrityConstraintViolation(pg.Code) ||
		pgerrcode.IsProgramLimitExceeded(pg.Code) || pg.Code == pgerrcode.RaiseException)
}

func (l *loader) finish(b *batch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range b.files {
		delete(l.loading, p.id)
	}
	close(b.done)
}

func (l *loader) report(b Batch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.result
	r.Add(b.Totals)
	r.Batches++
	r.Database += b.Time
	r.Slowest = max(r.Slowest, b.Time)
	if b.Token != "" {
		r.Tokens = append(r.Tokens, b.Token)
	}
	if l.options.Progress != nil {
		l.options.Progress(Progress{Batch: b, Files: r.Files.Total(), Bad: r.Refused, Elapsed: time.Since(l.started)})
	}
}

func (l *loader) bad(b *BadFile) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.result.Refused++
	if l.options.Bad != nil {
		l.options.Bad(b)
		return
	}
	l.result.Bad = append(l.result.Bad, b)
}
