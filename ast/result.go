package ast

import (
	cryptorand "crypto/rand"
	"time"

	"github.com/outflow-db/outflow/outbox"
)

// Options of a load. The zero value is good.
type Options struct {
	BatchFiles int            // at most so many files in a transaction; 500
	BatchRows  int            // at most so many symbols, relations and embeddings in a transaction, unless one file has more; 20,000
	Target     time.Duration  // how long a transaction shall take: batches get as many rows as do; 200 ms
	Idle       time.Duration  // a batch is written, full or not, when no file has come for so long; 200 ms
	Parallel   int            // transactions at once, each with a connection of the pool; 2
	ID         string         // names the load in ast.loaded and in the log; default: a random name
	Dimensions map[string]int // of models, if known; otherwise the first good file decides for the load
	Prune      bool           // in the end remove the files of the repositories that the load has read which it has not had
	Recheck    bool           // compare the rows even of files whose digest has not changed: heals what others did to the tables

	Headers  map[string]string // of the changes in the log, besides LoadHeader
	OnReject string            // outbox.OnRejectPark (default) or outbox.OnRejectRevert: what workers do when a backend refuses a record of the load

	Progress func(Progress) // called after each batch, by one goroutine at a time
	Bad      func(*BadFile) // called for each bad file, likewise; nil: they are kept in the Result
}

// Progress is told after each batch.
type Progress struct {
	Load    string // its id
	Batch   Batch  // the one just committed
	Files   int64  // done so far
	Bad     int64  // refused so far
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
	Digests     Digests
	Transaction string        // its id, as pg_current_xact_id tells it
	Token       string        // what outbox.Wait waits for; empty if nothing changed
	Time        time.Duration // of the transaction, commit included, the last attempt only
	Retries     int           // attempts given up for a deadlock, a serialization failure, or an IntegrityError
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
	Unpruned []string // with Options.Prune: repositories that were not pruned, because files of them were refused
}

// LoadHeader is the header by which the changes of a load can be found in the log: its value is the load's id.
const LoadHeader = outbox.LoadHeader

func (o Options) withDefaults() Options {
	set := func(n *int, value int) {
		if *n <= 0 {
			*n = value
		}
	}
	set(&o.BatchFiles, 500)
	set(&o.BatchRows, 20_000)
	set(&o.Parallel, 2)
	if o.Target <= 0 {
		o.Target = 200 * time.Millisecond
	}
	if o.Idle <= 0 {
		o.Idle = 200 * time.Millisecond
	}
	if o.ID == "" {
		o.ID = cryptorand.Text()
	}
	return o
}
