package ast

import (
	"context"
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

// Load writes the files of source to the tables of schema ast, several transactions at once. Their batches are as
// large as Options.Target allows and at most 16 MiB, unless one file has more. One batch more than these is in
// memory. A source that is slow need not fill them: see Options.Idle.
//
// A file that is there already is replaced: exactly its own symbols, relations and embeddings are inserted,
// updated or deleted, and rows that have not changed are not touched, so that they log no change. If source has
// a file twice, the later one wins.
//
// A bad file is reported, see BadFile, and the others are loaded. Any other error of source, and any failure
// of the database that another attempt does not cure, ends the load: what is committed stays, the Result
// tells how much, and loading the same again goes on where it ended: files that are there already are known by their
// digest. When ctx ends, Load returns as soon as source answers.
//
// Before a transaction commits, count and Digest of the rows that its files have in each table are compared with
// what was to be written. If they differ, all rows are compared and mended; if they differ still, the file is bad.
//
// With Options.Prune a load that reads its source to the end removes the files of the same repositories that it has
// not had. A repository of which a file was refused stays as it is, and so do all if a refused line did not tell
// its repository: see Result.Unpruned.
//
// With Options.OnReject "revert" workers undo all of the load when a backend refuses a record of it. It fails with a
// *RejectedError as soon as it sees that; later refusals are told by outbox.Rejected. It fails with a *NoHistoryError, and loads nothing, when that would not be possible.
func Load(ctx context.Context, pool *pgxpool.Pool, source iter.Seq2[*SourceFile, error], o Options) (*Result, error) {
	o = o.withDefaults()
	l := &loader{
		pool: pool, options: o, started: time.Now(), pace: newPace(o), scope: newScope(),
		result: &Result{ID: o.ID}, loading: map[uuid.UUID]*batch{},
	}
	err := l.run(ctx, source)
	l.result.Elapsed = time.Since(l.started)
	if err != nil {
		return l.result, fmt.Errorf("loading files: %w", err)
	}
	return l.result, nil
}

// run loads, and prunes if asked to. In the end it may know that the load is being reverted.
func (l *loader) run(ctx context.Context, source iter.Seq2[*SourceFile, error]) error {
	if err := l.asks(ctx); err != nil {
		return err
	}
	if err := l.all(ctx, source); err != nil {
		return err
	}
	return l.stands(ctx, l.pool)
}

// all loads, and prunes.
func (l *loader) all(ctx context.Context, source iter.Seq2[*SourceFile, error]) error {
	var since time.Time
	if l.options.Prune {
		if err := l.pool.QueryRow(ctx, "select clock_timestamp()").Scan(&since); err != nil {
			return fmt.Errorf("asking for the time: %w", err)
		}
	}
	if err := l.fill(ctx, source); err != nil || !l.options.Prune {
		return err
	}
	return l.prune(ctx, since)
}

// fill writes what source yields.
func (l *loader) fill(ctx context.Context, source iter.Seq2[*SourceFile, error]) error {
	g, ctx := errgroup.WithContext(ctx)
	batches := make(chan *batch)
	g.Go(func() error {
		defer close(batches)
		return newFeeder(l, batches).run(ctx, source)
	})
	for range l.options.Parallel {
		g.Go(func() error { return l.work(ctx, batches) })
	}
	return g.Wait()
}

// loader is one load. Its workers share it.
type loader struct {
	pool    *pgxpool.Pool
	options Options
	started time.Time
	pace    *pace
	scope   *scope

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
		l.pace.observe(done.written(), done.Time)
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

// written is how many rows of the model it had to write or to compare. Files count for one each.
func (b *Batch) written() int64 {
	return b.Files.Total() + b.Digests.Symbols.Rows + b.Digests.Relations.Rows + b.Digests.Embeddings.Rows
}

// retried tries again when transactions got in each other's way. When the tables do not have what was written, it
// compares all rows once: someone else may have left some that belong to a new file.
func (l *loader) retried(ctx context.Context, files []*prepared) (Batch, error) {
	compare := l.options.Recheck
	for retries := 0; ; retries++ {
		started := time.Now()
		b, err := l.transaction(ctx, files, compare)
		if err == nil {
			b.Time, b.Retries = time.Since(started), retries
			return b, nil
		}
		if _, differs := errors.AsType[*IntegrityError](err); differs && !compare {
			compare = true
			continue
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
	if _, differs := errors.AsType[*IntegrityError](err); differs || errors.Is(err, errOtherID) {
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
		l.options.Progress(Progress{Load: r.ID, Batch: b, Files: r.Files.Total(), Bad: r.Refused, Elapsed: time.Since(l.started)})
	}
}

func (l *loader) bad(b *BadFile) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.result.Refused++
	l.scope.refuse(b)
	if l.options.Bad != nil {
		l.options.Bad(b)
		return
	}
	l.result.Bad = append(l.result.Bad, b)
}
