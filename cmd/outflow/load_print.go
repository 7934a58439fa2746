package main

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/outflow-db/outflow/ast"
)

// loadResult is what was loaded of all inputs, as --json shows it.
type loadResult struct {
	ast.Totals
	id       string
	batches  int
	Refused  int64
	unpruned []string
	backends []reachedJSON
	tokens   []string
	slowest  time.Duration
	elapsed  time.Duration
	waited   *time.Duration
	rejected string // why it is being reverted
}

func (l *loadResult) add(r *ast.Result) {
	l.Add(r.Totals)
	l.id = r.ID
	l.batches += r.Batches
	l.Refused += r.Refused
	l.unpruned = append(l.unpruned, r.Unpruned...)
	l.tokens = append(l.tokens, r.Tokens...)
	l.slowest = max(l.slowest, r.Slowest)
	l.elapsed += r.Elapsed
}

func (a *loading) print(l *loadResult) error {
	if a.o.json {
		a.write(struct {
			Summary loadJSON `json:"summary"`
		}{l.json()})
		return a.writing
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\tINSERTED\tUPDATED\tDELETED\tUNCHANGED\t")
	for _, row := range []struct {
		name string
		c    ast.Counts
	}{{"files", l.Files}, {"symbols", l.Symbols}, {"relations", l.Relations}, {"embeddings", l.Embeddings}} {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t\n", row.name, number(row.c.Inserted), number(row.c.Updated), number(row.c.Deleted), number(row.c.Unchanged))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(a.out, "%s in %s (%s a minute), %s refused\n", counted(l.Files.Total(), "file"), span(l.elapsed),
		number(perMinute(l.Files.Total(), l.elapsed)), number(l.Refused))
	for _, repository := range l.unpruned {
		fmt.Fprintf(a.out, "not pruned, because lines were refused: %s\n", repository)
	}
	if l.waited != nil {
		fmt.Fprintf(a.out, "every backend had it %s later\n", span(*l.waited))
	}
	if l.rejected != "" {
		fmt.Fprintf(a.out, "load %s is being reverted: %s\n", l.id, l.rejected)
	}
	for _, b := range l.backends {
		fmt.Fprintf(a.out, "  %s: %s behind, %s parked%s\n", b.Name, counted(b.Behind, "change"), number(b.Parked), paused(b.Paused))
	}
	return nil
}

// paused is ", paused: why" of a backend that is.
func paused(why string) string {
	if why == "" {
		return ""
	}
	return ", paused: " + why
}

// write writes one line of JSON.
func (a *loading) write(v any) {
	text, err := json.Marshal(v)
	if err == nil {
		_, err = fmt.Fprintf(a.out, "%s\n", text)
	}
	a.note(err)
}

// batch tells of a batch.
func (a *loading) batch(b *ast.Batch, load string) {
	a.batches++
	if !a.o.json {
		return
	}
	a.write(batchJSON{
		Batch: a.batches, Load: load, Transaction: b.Transaction, Token: b.Token,
		MS: float64(b.Time.Microseconds()) / 1000, Retries: b.Retries,
		Files: countsJSON(b.Files), Symbols: countsJSON(b.Symbols), Relations: countsJSON(b.Relations),
		Embeddings: countsJSON(b.Embeddings), Digests: b.Digests,
	})
}

// perMinute is a rate.
func perMinute(n int64, d time.Duration) int64 {
	if d <= 0 {
		return 0
	}
	return int64(float64(n) / d.Minutes())
}

// What --json shows.
type countsJSON struct {
	Inserted  int64 `json:"inserted"`
	Updated   int64 `json:"updated"`
	Deleted   int64 `json:"deleted"`
	Unchanged int64 `json:"unchanged"`
}

type batchJSON struct {
	Batch       int         `json:"batch"`
	Load        string      `json:"load"`
	Transaction string      `json:"transaction"`
	Token       string      `json:"token"`
	MS          float64     `json:"ms"`
	Retries     int         `json:"retries"`
	Files       countsJSON  `json:"files"`
	Symbols     countsJSON  `json:"symbols"`
	Relations   countsJSON  `json:"relations"`
	Embeddings  countsJSON  `json:"embeddings"`
	Digests     ast.Digests `json:"digests"`
}

type badJSON struct {
	Bad badFileJSON `json:"bad"`
}

type badFileJSON struct {
	Input      string   `json:"input"`
	Line       int      `json:"line"`
	Repository string   `json:"repository"`
	Path       string   `json:"path"`
	Problems   []string `json:"problems"`
}

// reachedJSON is how far a backend is after --wait.
type reachedJSON struct {
	Name   string `json:"name"`
	Behind int64  `json:"behind"` // by what others wrote meanwhile
	Parked int64  `json:"parked"`
	Paused string `json:"paused"`
}

type loadJSON struct {
	Load           string        `json:"load"`
	Files          countsJSON    `json:"files"`
	Symbols        countsJSON    `json:"symbols"`
	Relations      countsJSON    `json:"relations"`
	Embeddings     countsJSON    `json:"embeddings"`
	Refused        int64         `json:"refused"`
	Batches        int           `json:"batches"`
	Seconds        float64       `json:"seconds"`
	SlowestBatchMS int64         `json:"slowest_batch_ms"`
	WaitedSeconds  *float64      `json:"waited_seconds"`
	Unpruned       []string      `json:"unpruned"`
	Rejected       string        `json:"rejected"` // why it is being reverted
	Backends       []reachedJSON `json:"backends"`
}

func (l *loadResult) json() loadJSON {
	j := loadJSON{
		Load: l.id, Files: countsJSON(l.Files), Symbols: countsJSON(l.Symbols), Relations: countsJSON(l.Relations),
		Embeddings: countsJSON(l.Embeddings), Refused: l.Refused, Batches: l.batches, Seconds: l.elapsed.Seconds(),
		SlowestBatchMS: l.slowest.Milliseconds(), Rejected: l.rejected, Unpruned: append([]string{}, l.unpruned...), Backends: append([]reachedJSON{}, l.backends...),
	}
	if l.waited != nil {
		seconds := l.waited.Seconds()
		j.WaitedSeconds = &seconds
	}
	return j
}
