package backends

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// Backend is one configured store, open. See the package documentation for the promises it makes.
type Backend interface {
	// Features says what this store can promise. It is constant for the life of the backend.
	Features() Features

	// Layout says in which form the records of target are wanted. It does no I/O. It fails with an
	// *Error of class Rejected when the target's columns or settings cannot be served, naming the setting.
	Layout(target Target) (Layout, error)

	// Prepare creates or completes the structures of all targets in the store. It is idempotent, may run
	// in several processes at once, and keeps data that is there. Structures that differ in a way it
	// cannot mend in place are an *Error of class Schema whose advice says what to do.
	Prepare(ctx context.Context, targets []Target) error

	// Write stores or deletes records of one target. Keys are unique within a call.
	//
	// A nil error means: results has one element per record, in order. A non-nil error is an *Error for
	// the whole request: class Unknown says that any part of it may have been applied, class Rejected
	// that the store refused the request because of some record in it, class Overload that it was too
	// large or came too fast; for all other classes nothing was applied as far as the backend knows.
	Write(ctx context.Context, target Target, records []Record) (results []Result, err error)

	// Scan calls fn with all live records of the target, in pages, in any order. A record that does not
	// change during the scan is reported exactly once. Memory stays bounded by the page. An error of fn
	// ends the scan and is returned as it is.
	Scan(ctx context.Context, target Target, fn func(page []Entry) error) error

	// Lookup returns what the store holds for the keys, newest state, in any order; absent keys are absent
	// from the answer.
	Lookup(ctx context.Context, target Target, keys []string) ([]Entry, error)

	// Health asks the store, cheaply, whether it can serve. It returns an *Error when it cannot.
	Health(ctx context.Context) error

	// Close releases connections. Calls under way may fail.
	Close() error
}

// Features is what a store can promise.
type Features struct {
	// Guarded: a write or delete with a version lower than the stored one is refused as Stale.
	Guarded bool
	// Tombstones: the guard also holds after a delete, for as long as any late write can come.
	Tombstones bool
	// Recomputed: Scan and Lookup compute the digest from the stored content, so that verify notices a
	// content that was changed behind the backend's back. Otherwise the digest stored beside it is compared.
	Recomputed bool
	// MaxRecords and MaxBytes bound one Write. Zero means the engine's own bounds.
	MaxRecords, MaxBytes int
	// Records is how many records of one Write suit the store, where nothing is configured. Zero means 1000.
	Records int
	// MaxKey is the longest key in bytes. A record with a longer one is answered Failed, with class Rejected. Zero
	// means that every key is taken.
	MaxKey int
	// Concurrency is how many Writes of one lane may be under way at once. Zero means 2.
	Concurrency int
}

// Column is a column of a projection, other than the key.
type Column struct {
	Name string // as the projection's query names it
	OID  uint32 // PostgreSQL's type oid; for types of extensions it differs between databases
	Type string // format_type's text, such as "real[]", "character varying(9)" or the name of a domain
	Base string // the same for the type under a domain, without length or precision
	Form Form   // of the type under a domain, and for an array that of its elements
}

// Form is the sort of a type: pg_type.typtype.
type Form string

// The forms of types.
const (
	FormBase       Form = "b"
	FormComposite  Form = "c"
	FormEnum       Form = "e"
	FormMultirange Form = "m"
	FormRange      Form = "r"
)

// Target is where in a backend a kind goes: an index, a collection, a tag, a table.
type Target struct {
	Kind     string         // the kind of the records
	Name     string         // the name in the store
	Columns  []Column       // what the projection yields besides the key, in its order
	Settings map[string]any // the projection's settings for this type of backend, as configured

	// Generation counts the rebuilds of the target, from 1; 0 means 1. It is always 1 for a backend that is no
	// Rebuilder. Each generation has data of its own.
	Generation int
	// Building: this generation is being filled, beside the one that readers see.
	Building bool
}

// Layout is the form in which a backend wants the records of a target.
type Layout struct {
	// Doc names the columns that PostgreSQL folds into one JSON document (Record.Doc). Empty: no document.
	Doc []string
	// Raw names the columns that come apart, in PostgreSQL's binary format (Record.Raw, in this order).
	Raw []string
}

// DocLayout is the layout that folds every column of the target into the document.
func DocLayout(target Target) Layout {
	var l Layout
	for _, c := range target.Columns {
		l.Doc = append(l.Doc, c.Name)
	}
	return l
}

// Record is one key's state as read by a projection, or its absence.
type Record struct {
	Key     string   // valid UTF-8, no NUL, 1 to 2000 bytes
	Version int64    // grows with every page of the log; below 2^53
	Deleted bool     // PostgreSQL has no such record any more: Doc and Raw are nil, Digest is zero
	Digest  Digest   // of Doc and Raw
	Doc     []byte   // JSON text as PostgreSQL's jsonb writes it; nil if the layout has no document
	Raw     [][]byte // binary values by the layout's Raw; a nil element is NULL
}

// Size is the record's share of memory and of a request, in bytes.
func (r Record) Size() int {
	n := len(r.Key) + len(r.Doc) + 64
	for _, b := range r.Raw {
		n += len(b)
	}
	return n
}

// Outcome is what became of one record of a Write.
type Outcome int

// The outcomes.
const (
	Applied Outcome = iota // the store holds this state, or has deleted the key
	Stale                  // the store holds a newer version and kept it; Result.Stored tells which, if known
	Failed                 // Result.Err tells why
)

// Result answers for one record of a Write.
type Result struct {
	Outcome Outcome
	Stored  int64  // for Stale: the version in the store, 0 if it does not say
	Err     *Error // for Failed
}

// Entry is what a store holds for a key.
type Entry struct {
	Key     string
	Version int64
	Digest  Digest
}

// Digest identifies a record's content: the first eight bytes of a SHA-256, see ContentDigest.
type Digest [8]byte

// String is the digest in hexadecimal, 16 digits.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// ParseDigest reads what String wrote.
func ParseDigest(s string) (Digest, error) {
	var d Digest
	if len(s) != 2*len(d) {
		return d, fmt.Errorf("digest %q: want %d hexadecimal digits", s, 2*len(d))
	}
	if _, err := hex.Decode(d[:], []byte(s)); err != nil {
		return d, fmt.Errorf("digest %q: %w", s, err)
	}
	return d, nil
}

// ContentDigest is the digest of a record's content: SHA-256 over the document and then each raw value,
// every part preceded by its length as a big-endian int64, -1 for an absent one, cut to eight bytes. The
// form is chosen so that PostgreSQL computes the same with sha256, int8send and array_send.
func ContentDigest(doc []byte, raw [][]byte) Digest {
	var memory [2048]byte // most contents are smaller, and are hashed at once
	size := 8 + len(doc)
	for _, b := range raw {
		size += 8 + len(b)
	}
	if size > len(memory) {
		return longDigest(doc, raw)
	}
	content := append(appendSize(memory[:0], doc), doc...)
	for _, b := range raw {
		content = append(appendSize(content, b), b...)
	}
	sum := sha256.Sum256(content)
	return Digest(sum[:len(Digest{})])
}

// longDigest is ContentDigest without a copy of the content.
func longDigest(doc []byte, raw [][]byte) Digest {
	var size [8]byte
	h := sha256.New()
	h.Write(appendSize(size[:0], doc))
	h.Write(doc)
	for _, b := range raw {
		h.Write(appendSize(size[:0], b))
		h.Write(b)
	}
	var sum [sha256.Size]byte
	return Digest(h.Sum(sum[:0])[:len(Digest{})])
}

// appendSize adds what stands before a part of a content.
func appendSize(b, part []byte) []byte {
	size := int64(len(part))
	if part == nil {
		size = -1
	}
	return binary.BigEndian.AppendUint64(b, uint64(size))
}
