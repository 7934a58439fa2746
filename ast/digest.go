package ast

import (
	"context"
	"crypto/md5" //nolint:gosec // it guards against accidents, not against people
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Digest stands for rows of one table: how many there are, and a sum over them that does not depend on their order.
type Digest struct {
	Rows int64 `json:"rows"`
	Sum  int64 `json:"sum"`
}

func (d *Digest) add(e Digest) { d.Rows, d.Sum = d.Rows+e.Rows, d.Sum+e.Sum }

// digestSum is the sum of the first five bytes of each row's MD5, so that it fits for millions of rows. A row is
// what record_send makes of it.
const digestSum = `select %d, count(*), coalesce(sum(('x' || left(md5(record_send(row(%s))), 10))::bit(40)::bigint), 0)::bigint from %s t where %s`

// digestsOf is the digests of the rows that the files $1 have, with the number of each table in tables.
var digestsOf = func() string {
	var each []string
	for i, m := range tables {
		each = append(each, fmt.Sprintf(digestSum, i, m.digested, m.name, m.owned()))
	}
	return strings.Join(each, " union all ")
}()

// vectorHead is how many numbers of a vector its digest covers: reading all of them again would cost as much as
// writing them.
const vectorHead = 8

// The types of the columns that a digest covers, as record_send names them.
const (
	oidInt4 = 23
	oidText = 25
	oidUUID = 2950
	oidReal = 1021 // real[]
)

var (
	symbolTypes    = []uint32{oidUUID, oidUUID, oidText, oidText, oidText, oidInt4, oidText, oidText, oidInt4, oidInt4}
	relationTypes  = []uint32{oidUUID, oidText, oidUUID}
	embeddingTypes = []uint32{oidUUID, oidText, oidInt4, oidReal}
)

// note adds a row, given as COPY has it, to the digest of its table. scratch is room to work in.
func (r *rows) note(row []byte, types []uint32) {
	b := binary.BigEndian.AppendUint32(r.scratch[:0], uint32(len(types))) //nolint:gosec // ten at most
	rest := row[2:]
	for _, oid := range types {
		n := 4 + int(binary.BigEndian.Uint32(rest))
		b = binary.BigEndian.AppendUint32(b, oid)
		if oid == oidReal {
			b = appendHead(b, rest[4:n])
		} else {
			b = append(b, rest[:n]...)
		}
		rest = rest[n:]
	}
	sum := md5.Sum(b) //nolint:gosec // see above
	r.scratch = b
	r.digest.add(Digest{1, int64(binary.BigEndian.Uint64(sum[:8]) >> 24)})
}

// appendHead appends a vector, cut to its first numbers, and its length.
func appendHead(b, vector []byte) []byte {
	head := vector[:min(len(vector), 20+8*vectorHead)]
	start := len(b) + 4
	b = binary.BigEndian.AppendUint32(b, uint32(len(head))) //nolint:gosec // small
	b = append(b, head...)
	binary.BigEndian.PutUint32(b[start+12:], uint32((len(head)-20)/8)) //nolint:gosec // small
	return b
}

// intended is what the tables must have of files, in the order of tables.
func intended(files []*prepared) []Digest {
	all := make([]Digest, len(tables))
	for i, m := range tables {
		for _, p := range files {
			all[i].add(m.rows(p).digest)
		}
	}
	return all
}

// integrity compares what the tables have of the files with what they should have. A difference ends the
// transaction: a trigger has changed rows on their way, or something is broken.
func (t *transaction) integrity(ctx context.Context, files []*prepared) error {
	if len(files) == 0 {
		return nil
	}
	rows, err := t.tx.Query(ctx, digestsOf, pgx.QueryExecModeExec, ids(files)) // planned anew: see apply
	if err != nil {
		return fmt.Errorf("comparing digests: %w", err)
	}
	want, got := intended(files), make([]Digest, len(tables))
	var n int
	var d Digest
	if _, err := pgx.ForEachRow(rows, []any{&n, &d.Rows, &d.Sum}, func() error { got[n] = d; return nil }); err != nil {
		return fmt.Errorf("comparing digests: %w", err)
	}
	for i, m := range tables {
		if got[i] != want[i] {
			return &IntegrityError{Table: m.name, Intended: want[i], Found: got[i]}
		}
	}
	t.done.Digests = Digests{Symbols: want[0], Embeddings: want[1], Relations: want[2]}
	return nil
}

// Digests are those of the rows of a batch, of its files that were new or different.
type Digests struct {
	Symbols    Digest `json:"symbols"`
	Embeddings Digest `json:"embeddings"`
	Relations  Digest `json:"relations"`
}

// IntegrityError says that a table did not have what was written to it. The transaction was rolled back.
type IntegrityError struct {
	Table           string
	Intended, Found Digest
}

// Error tells both digests.
func (e *IntegrityError) Error() string {
	return fmt.Sprintf("%s has %d rows with the digest %x, want %d with %x: a trigger or rule changes what is written to it",
		e.Table, e.Found.Rows, e.Found.Sum, e.Intended.Rows, e.Intended.Sum)
}
